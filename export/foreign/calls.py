"""What a call of a leaf module means: layers map frames, neurons integrate, an attention waits for its neuron."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from spikewright.export.foreign.axes import Axes, LayoutError, LayoutRefused, sizes
from spikewright.export.foreign.node import NodeModule
from spikewright.export.foreign.record import Recorder
from spikewright.export.foreign.registry import OTHERWISE, Row, Site, as_module
from spikewright.export.foreign.values import Membrane, Opaque, Pending, Value
from spikewright.export.torch_to_nir.attention import is_block
from spikewright.models.attention.gates import FixedTimesteps
from spikewright.models.layers import MeanOverTime
from spikewright.models.neurons import Neuron
from spikewright.toolchain.errors import UnsupportedNodeError

NOTHING = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Identity)
AFFINE = (nn.Conv2d, nn.Conv1d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
RANKS: tuple[tuple[type[nn.Module], int], ...] = (
    (nn.Conv2d, 3),
    (nn.Conv1d, 2),
    (nn.AvgPool2d, 3),
    (nn.MaxPool2d, 3),
    (nn.AdaptiveAvgPool2d, 3),
    (nn.Linear, 1),
)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.DataParallel)


def is_own(module: nn.Module) -> bool:
    """Whether it is a leaf of ours, or an attention block of anybody's."""
    return isinstance(module, Neuron | FixedTimesteps | MeanOverTime | NodeModule) or is_block(module)


def is_torch_leaf(module: nn.Module) -> bool:
    """Whether it is a layer of torch (or of ours) itself, not a subclass that may compute something else."""
    home = type(module).__module__
    return home.startswith(("torch.nn.modules", "spikewright.models.layers")) and not isinstance(module, CONTAINERS)


def note(
    rec: Recorder, name: str, module: nn.Module, kind: Row | nn.Module, args: Any, kwargs: Any, result: Any
) -> None:
    """Note one call of a leaf."""
    from spikewright.export.foreign.membranes import followed

    tensors = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    followed(rec, tensors[:1])
    known = [(x, rec.lookup(x)) for x in tensors]
    opaque = next((k for k in (k for _, k in known) if isinstance(k, Opaque) and not k.owner), None)
    values = [k for _, k in known if isinstance(k, Value)]
    if not values:
        if any(k is not None for _, k in known):
            stands = opaque or next(k for _, k in known if isinstance(k, Opaque))
            for x in pytree.tree_leaves(result):
                if isinstance(x, Tensor):
                    rec.track(x, stands)
        return
    try:
        if isinstance(kind, Row):
            _foreign(rec, name, module, kind, values, known, result)
        elif isinstance(module, MeanOverTime):
            from spikewright.export.foreign.means import mean

            rec.track(result, mean(rec, values[0], [0], False, result))
        elif is_own(module):
            own(rec, name, module, values[0], result)
        else:
            layer(rec, name, module, rec.original_of(name, module), values[0], result)
    except LayoutError as error:
        raise LayoutRefused(
            f"{type(module).__name__} reads {sizes(values[0].axes)}: {error}",
            where=f"{rec.where}: module {name!r}",
            help="flatten in front of a linear map; keep time, batch and features apart; or give the layout of the example "
            "(capture(..., layout=), TB or BT) if it was not found",
        ) from error


def own(rec: Recorder, name: str, module: nn.Module, value: Value, y: Tensor) -> None:
    """Note a neuron or block of ours over all T; an attention that may stand alone waits for the neuron that reads it."""
    spiking_state(rec, name, value, 0, keeps=False)
    made, pending = rec.original_of(name, module), value.pending
    if hasattr(module, "with_neuron"):
        rec.track(y, replace(value, pending=Pending(name, made, BARE, value, y)))
        return
    if pending is not None and isinstance(made, Neuron):
        made, value = rec.modules.setdefault(name, fused(pending, made, site(rec, value))), replace(value, pending=None)
    block(rec, name, made, value, y, spiking=isinstance(module, Neuron))


# ------------------------------------------------------------------------------------------- layers
def layer(rec: Recorder, name: str, module: nn.Module, made: nn.Module, value: Value, y: Tensor) -> None:
    """Note a layer that maps every frame."""
    if isinstance(made, NOTHING):
        rec.track(y, value)
    elif isinstance(made, nn.Flatten):
        from spikewright.export.foreign.moves import reshaped

        rec.track(y, reshaped(rec, value, tuple(y.shape), name))
    elif isinstance(made, nn.AvgPool1d):
        from spikewright.export.foreign.means import vote

        rec.track(y, vote(rec, value, int(np.ravel(made.kernel_size)[0]), y))
    elif isinstance(made, nn.ReLU):
        _rectified(rec, name, made, value, y)
    elif isinstance(made, NORMS):
        _norm(rec, name, made, value, y)
    elif isinstance(made, nn.AvgPool3d | nn.MaxPool3d):
        flat = _flat_pool(made)
        if flat is None:
            return rec.blind(y, f"{type(module).__name__} over more than H and W has no meaning in NIR")
        frames(rec, name, flat, value, y, 3)
    else:
        rank = next((r for kind, r in RANKS if isinstance(made, kind)), None)
        if rank is None:
            return rec.blind(y, f"the module {type(module).__name__} has no meaning in NIR")
        frames(rec, name, made, value, y, rank, module)
    return None


def _rectified(rec: Recorder, name: str, made: nn.Module, value: Value, y: Tensor) -> None:
    """Note a ReLU: of an attention that waits for its neuron, of spikes (which are no less than 0), or of another signal."""
    if value.pending is not None:
        rec.track(y, replace(value, pending=replace(value.pending, rectified=True)))
    elif value.node in rec.neurons and value.factor >= 0:
        rec.track(y, value)
    else:
        elementwise(rec, name, made, value, y)


def _flat_pool(made: Any) -> nn.Module | None:
    """Return a pooling over (C, H, W) that leaves C alone as one over H and W."""
    k, s, p = ([v] * 3 if isinstance(v, int) else list(v) for v in (made.kernel_size, made.stride, made.padding))
    if (k[0], s[0], p[0]) != (1, 1, 0) or made.ceil_mode:
        return None
    kind = nn.AvgPool2d if isinstance(made, nn.AvgPool3d) else nn.MaxPool2d
    return kind(tuple(k[1:]), tuple(s[1:]), tuple(p[1:]))


def frames(
    rec: Recorder, name: str, made: nn.Module, value: Value, y: Tensor, rank: int, runs: nn.Module | None = None
) -> None:
    """Note a layer over the last ``rank`` axes; those in front are time and batch, in any arrangement."""
    lead, rest = value.axes[:-rank], value.axes[-rank:]
    if any(not a.name for group in lead for a in group) or any(a.name for group in rest for a in group):
        seen = sizes(value.axes)
        what = {"Linear": "a linear map", "Conv1d": "a convolution", "Conv2d": "a convolution"}.get(
            type(made).__name__, "a pooling"
        )
        raise LayoutError(f"{what} of shape {seen[2:]}; it maps the last {rank} axes, which are not the features alone")
    value = averaged(rec, value, linear=isinstance(made, AFFINE))
    operand = materialise(rec, value, rank)
    node = emit_module(rec, name, made, operand, value.time, tuple(y.shape[-rank:]))
    features = rec.atoms(node, y.shape[-rank:])
    out = Value(node, (*lead, *((a,) for a in features)), features, value.time)
    keep(rec, out, y, runs or made, operand)
    rec.track(y, out)


def _norm(rec: Recorder, name: str, made: nn.Module, value: Value, y: Tensor) -> None:
    """Note a batch norm: channels on axis 1, which must be the first feature axis."""
    value = averaged(rec, value, linear=True)
    groups = value.feature_groups()
    places = (1,) if isinstance(made, nn.BatchNorm3d) else (1, 2)  # ours and SpikingJelly's take (T, B, C, ...), too
    if not groups or groups[0] not in [value.axes[i] for i in places if i < len(value.axes)] or not value.in_order():
        raise LayoutError("a batch norm takes its channels on axis 1")
    operand = materialise(rec, value, len(groups))
    if isinstance(made, nn.BatchNorm3d) or not isinstance(made, nn.BatchNorm2d if len(groups) == 3 else nn.BatchNorm1d):
        made = _as_2d(made)
    node = emit_module(rec, name, made, operand, value.time, rec.shapes[operand])
    features = rec.atoms(node, [a.size for a in value.features])
    fresh = dict(zip(value.features, features, strict=True))
    out = Value(node, tuple(tuple(fresh.get(a, a) for a in g) for g in value.axes), features, value.time)
    keep(rec, out, y, made, operand)
    rec.track(y, out)


def _as_2d(made: Any) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(made.num_features, made.eps, made.momentum, made.affine, made.track_running_stats)
    norm.weight, norm.bias = made.weight, made.bias
    norm.running_mean, norm.running_var = made.running_mean, made.running_var
    return norm.eval()


def elementwise(
    rec: Recorder, name: str, made: nn.Module, value: Value, y: Tensor, *, linear: bool = False, later: Any = None
) -> Value:
    """Note a layer that maps every element."""
    value = averaged(rec, value, linear=linear)
    operand = materialise(rec, value, None)
    node = emit_module(rec, name, made, operand, value.time, rec.shapes[operand])
    features = rec.atoms(node, [a.size for a in value.features])
    fresh = dict(zip(value.features, features, strict=True))
    out = Value(
        node,
        tuple(tuple(fresh.get(a, a) for a in g) for g in value.axes),
        features,
        value.time,
        flattened=value.flattened,
    )
    if value.time in ("mean", "sum"):
        rec.later(node, lambda values: later(values[operand]))
    else:
        rec.store(out, y)
    rec.track(y, out)
    return out


def keep(rec: Recorder, out: Value, y: Tensor, runs: nn.Module, operand: fx.Node) -> None:
    """Keep what a layer gives; behind a mean over T, what it would give at every step."""
    if out.time not in ("mean", "sum"):
        return rec.store(out, y)

    def every_step(values: dict[fx.Node, Tensor]) -> Tensor:
        x = values[operand]
        with torch.no_grad():
            return runs.double()(x.flatten(0, 1)).reshape(*x.shape[:2], *rec.shapes[out.node])  # type: ignore[no-any-return]

    return rec.later(out.node, every_step)


def emit_module(
    rec: Recorder, name: str, made: nn.Module, operand: fx.Node, time: Any, shape: tuple[int, ...]
) -> fx.Node:
    """Return the node of a module's call over all steps."""
    rec.modules.setdefault(name, made)
    return rec.emit("call_module", name, (operand,), (), shape, time)


def averaged(rec: Recorder, value: Value, *, linear: bool) -> Value:
    """Let a linear layer behind a mean over T act on every step; refuse others there."""
    if value.time == "sum":
        rec.claims.append((value.count, rec.place()))
        value = replace(value, time="mean", factor=value.factor * value.count, count=0)
    if value.time == "mean" and not linear:
        raise rec.refuse(
            "an op behind the mean over T that is not linear",
            "take the mean over T at the end of the net: fc(x).mean(0)",
        )
    return value


def materialise(rec: Recorder, value: Value, rank: int | None) -> fx.Node:
    """Return a node whose shape is the value's feature axes: flattened where the value is, scaled where it is a sum."""
    from spikewright.export.foreign.arithmetic import scale_node

    if value.pending is not None:
        value = alone(rec, value)
    if value.factor != 1:
        return scale_node(rec, replace(value, factor=1.0), np.full((), value.factor), None)
    groups, shape = value.feature_groups(), rec.shapes[value.node]
    seen = sizes(groups)
    if seen == shape and value.in_order():
        return value.node
    if rank is None and not value.in_order():  # element by element: the order of the axes is no matter
        return value.node
    if not value.in_order():
        raise LayoutError(f"its feature axes {seen} are in another order than {shape}")
    if rank is None and len(seen) != 1:
        return value.node
    if len(seen) == 1 and prod(shape) == seen[0]:
        return flat_node(rec, value)
    raise LayoutError(f"features of shape {shape} are seen as {seen}")


def flat_node(rec: Recorder, value: Value) -> fx.Node:
    """Return the flattened node of a value."""
    size = prod(rec.shapes[value.node])
    mark, source = value.flattened, value.node
    if mark is not None and mark.target:
        rec.modules.setdefault(mark.target, nn.Flatten(2))
        node = rec.emit("call_module", mark.target, (source,), (), (size,), "still", mark.scope)
    else:
        node = rec.emit("call_function", torch.flatten, (source,), (2,), (size,), "still", mark.scope if mark else None)
    if mark is not None and mark.stack:
        node.stack_trace = mark.stack
    rec.later(node, lambda values: values[source].flatten(2))
    return node


# ------------------------------------------------------------------------------------------- over time
def spiking_state(rec: Recorder, name: str, value: Value, wanted: int | None, *, keeps: bool) -> None:
    """Check where time is in what a neuron or block reads, and that it sees steps 0, 1, 2, ... in order."""
    _check_axis(rec, value, wanted)
    if value.time != "whole":
        count = rec.counts.get(name, 0)
        if isinstance(value.time, int) and value.time != count:
            raise rec.refuse(f"is called at step {value.time} as call number {count}", "call it once a step, in order")
        rec.counts[name] = count + 1
    elif keeps:
        if name in rec.counts:
            raise rec.refuse("keeps its state and is called twice", "make one neuron for each place in the net")
        rec.counts[name] = 0


def _check_axis(rec: Recorder, value: Value, wanted: int | None) -> None:
    whole = value.time == "whole"
    steps = [i for i, group in enumerate(value.axes) if rec.steps is not None and group == (rec.steps,)]
    if value.time in ("mean", "sum"):
        raise rec.refuse("a neuron behind the mean over T", "take the mean over T at the end of the net")
    if wanted == -2:
        if not whole or value.axes[:1] != ((rec.batch, rec.steps),):
            raise LayoutError("it takes batch and time as one axis, (B T, ...)")
        steps, wanted = [0], 0
    if whole and wanted == -1:
        raise rec.refuse(
            "takes one step a call and is given all T", "set its step mode to 'm', or call it step by step"
        )
    rec.guessed |= whole and wanted is None
    if whole and (not steps or (wanted is not None and wanted not in steps)):
        raise LayoutError(f"it takes time on axis {wanted}, time is on axis {steps[0] if steps else 'none of its own'}")
    if not whole and wanted is not None and wanted >= 0:
        one = value.time == "still" and wanted < len(value.axes) and value.axes[wanted] == () and rec.time_atom(1)
        if not one:
            raise LayoutError(f"it takes time on axis {wanted} and is given one step")


def block(
    rec: Recorder, name: str, made: nn.Module, value: Value, y: Tensor, *, spiking: bool, node_of: fx.Node | None = None
) -> Value:
    """Note a neuron or block over time: one node, whether called with all steps or with one after the other."""
    operand = materialise(rec, value, None) if node_of is None else node_of
    time: Any = value.time
    if time == "still":
        time = rec.counts[name] - 1 if rec.counts.get(name) else "still"
    sizes = _sent(value, y)
    same = sizes == tuple(a.size for a in value.features)
    node = emit_module(rec, name, made, operand, time, rec.shapes[operand] if same else sizes)
    features = rec.atoms(node, sizes)
    fresh = dict(zip(value.features, features, strict=True))
    axes: Axes = tuple(tuple(fresh.get(a, a) for a in g) for g in value.axes)
    out = Value(node, axes, features, time)
    rec.store(out, y)
    rec.track(y, out)
    if spiking and node not in rec.neurons:
        rec.neurons.append(node)
    return out


def _sent(value: Value, y: Tensor) -> tuple[int, ...]:
    """Return the sizes of the features a block sends: of what it reads, but for one that joins parts of its channels."""
    own = [axis for axis, group in enumerate(value.axes) if group and not any(a.name for a in group)]
    if y.ndim == len(value.axes) and [value.axes[axis] for axis in own] == [(a,) for a in value.features]:
        return tuple(int(y.shape[axis]) for axis in own)
    return tuple(a.size for a in value.features)


def site(rec: Recorder, value: Value) -> Site:
    """Return what a maker may ask for."""
    shape = rec.shapes[value.node]
    groups = value.feature_groups()
    if value.in_order() and len(groups) == 1:
        shape = sizes(groups)
    return Site(shape, rec.steps.size if rec.steps else 0, rec.place())


def alone(rec: Recorder, value: Value) -> Value:
    """Make an attention that no neuron follows a node of its own."""
    pending = value.pending
    assert pending is not None
    bare = replace(pending.value, pending=None)
    here = site(rec, bare)
    here.need(
        pending.module is not None and pending.target not in rec.counts,
        f"{type(pending.module).__name__} is read twice",
        "let one neuron read its output",
    )
    if pending.target not in rec.modules:
        rec.modules[pending.target] = fused(pending, None, here)
    y = torch.relu(pending.y) if pending.rectified else pending.y
    out = block(rec, pending.target, rec.modules[pending.target], bare, y, spiking=False)
    fresh = dict(zip(bare.features, out.features, strict=True))
    axes = tuple(tuple(fresh.get(a, a) for a in g) for g in value.axes)
    out = replace(out, axes=axes, time=value.time, factor=value.factor)
    return out


def fused(pending: Pending, neuron: nn.Module | None, here: Site) -> nn.Module:
    """Return an attention and the neuron that reads it as one module; without a neuron, the attention alone."""
    assert pending.row.fuse is not None
    attention: Any = pending.module
    here.need(
        not isinstance(neuron, NodeModule),
        f"{type(attention).__name__} in front of a neuron that is no LIF of ours",
        "use a neuron with one threshold and one decay for all channels",
    )
    attention.spikewright_rectified = pending.rectified
    return as_module(pending.row.fuse(attention, neuron, here), spiking=neuron is not None)


def _with_neuron(module: Any, neuron: Any, site: Site) -> nn.Module:
    """Fuse an attention of ours that may stand alone."""
    rectifier = "relu" if module.spikewright_rectified else None
    if neuron is not None:
        made: nn.Module = module.with_neuron(neuron, rectifier)
        return made
    site.need(
        rectifier is None or module.rectifier == "relu",
        f"a ReLU behind {type(module).__name__} that no neuron reads",
        "give the attention rectifier='relu'",
    )
    own: nn.Module = module
    return own


BARE = Row("", None, "an attention of ours", kind="attention", fuse=_with_neuron)


def _foreign(
    rec: Recorder, name: str, module: nn.Module, row: Row, values: list[Value], known: Any, result: Any
) -> None:
    value = values[0]
    original = rec.original_of(name, module)
    outputs = [x for x in pytree.tree_leaves(result) if isinstance(x, Tensor)]
    y = outputs[0]
    here = site(rec, value)
    if row.make is None and row.fuse is None:
        raise rec.refuse(f"{type(module).__name__} has no equal here: {row.equation}", row.help or OTHERWISE)
    if row.kind == "layer":
        _foreign_layer(rec, name, module, row, here, value, y)
        return
    if row.kind == "attention":
        spiking_state(rec, name, value, row.axis(module), keeps=False)
        rec.track(y, replace(value, pending=Pending(name, original, row, value, y)))
        return
    if row.kind == "gate" and len(values) == 2:
        _gate(rec, name, original, row, values, y)
        return
    spiking_state(rec, name, value, row.axis(module), keeps=row.keeps_state)
    _check_states(rec, name, known)
    if row.front is not None:
        value = _front(rec, name, row.front(original, here), value, known[0][0])
        here = site(rec, value)
    pending = value.pending
    bare = replace(value, pending=None)
    assert row.make is not None
    if name not in rec.modules:
        made = row.make(original, here)
        if pending is not None:
            made = fused(pending, as_module(made, spiking=True), here)
        rec.modules[name] = as_module(made, spiking=True)
    if row.kind == "filter" and isinstance(result, list):
        _listed(rec, name, rec.modules[name], bare, result)
        return
    out = block(rec, name, rec.modules[name], bare, y, spiking=row.kind == "neuron")
    states = [x for x in outputs[1:] if x is not y]  # a read-out's state is what it sends
    _states(rec, name, states, None if row.membrane is None else partial(row.membrane, original, here), bare, out)


def _foreign_layer(rec: Recorder, name: str, module: nn.Module, row: Row, here: Site, value: Value, y: Tensor) -> None:
    assert row.make is not None
    made = row.make(rec.original_of(name, module), here)
    if isinstance(made, nn.Module) and not isinstance(made, NodeModule):
        layer(rec, name, module, made, value, y)
    else:
        elementwise(rec, name, as_module(made, spiking=False), value, y)


def _front(rec: Recorder, name: str, made: nn.Module, value: Value, x: Tensor) -> Value:
    """Note a linear map that a neuron's class holds in front."""
    rec.depth += 1
    y = copy.deepcopy(made).double()(x)
    rec.depth -= 1
    frames(rec, f"{name}.front", made, value, y, 1)
    found = rec.lookup(y)
    assert isinstance(found, Value)
    return found


def _states(rec: Recorder, name: str, states: list[Tensor], made: Any, value: Value, spikes: Value) -> None:
    """Note the states that a neuron hands out: no signals, but for a membrane that is a filter of what it reads."""
    reason, where = f"the state of the neuron {name!r} is no signal", rec.place()
    for state in states:
        rec.track(state, Opaque(reason, where, owner=name, help=f"answer with the spikes of {name!r}"))
    if made is not None and states:
        y = states[-1]
        rec.track(y, Membrane(reason, where, name, made=made, value=value, spikes=spikes, y=y))


def _listed(rec: Recorder, name: str, made: nn.Module, value: Value, steps: list[Tensor]) -> None:
    """Note a filter that answers with the list of its steps."""
    out = block(rec, name, made, value, torch.stack(steps), spiking=False)
    axes = tuple(g for g in out.axes if g != (rec.steps,))
    for t, x in enumerate(steps):
        rec.track(x, replace(out, axes=axes, time=t))


def _check_states(rec: Recorder, name: str, known: Any) -> None:
    """Refuse a neuron that starts from another state than zero, or continues another neuron's."""
    for x, found in known:
        if isinstance(found, Opaque) and found.owner != name:
            raise rec.refuse(f"reads {found.reason}", "give every neuron its own state")
        if found is None and x.numel() and rec.counts.get(name, 0) <= 1 and bool((x != 0).any()):
            raise rec.refuse("starts from a state that is not zero", "start from zero")


def _gate(rec: Recorder, name: str, module: nn.Module, row: Row, values: list[Value], y: Tensor) -> None:
    """Note a gate (current, spikes of that current) that becomes one node with its neuron."""
    assert row.fuse is not None
    current, spikes = values
    neuron = rec.modules.get(str(spikes.node.target)) if spikes.node.op == "call_module" else None
    if not isinstance(neuron, Neuron) or spikes.node.args[0] is not current.node:
        raise UnsupportedNodeError(
            f"{type(module).__name__} gates a signal that is not the spikes of the current it reads",
            where=rec.place(),
            help="call it as gate(x, neuron(x))",
        )
    spiking_state(rec, name, current, row.axis(module), keeps=row.keeps_state)
    if name not in rec.modules:
        rec.modules[name] = as_module(row.fuse(module, neuron, site(rec, current)), spiking=False)
    block(rec, name, rec.modules[name], current, y, spiking=False)
