"""What an op on a followed tensor means: most only move axes; sums join; constants scale; the rest is opaque."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from spikewright.export.foreign import calls
from spikewright.export.foreign.axes import Atom, Axes, Group, LayoutError, permuted, refine, regroup, sizes
from spikewright.export.foreign.node import NodeModule
from spikewright.export.foreign.record import Recorder
from spikewright.export.foreign.values import Flattened, Opaque, Time, Tracked, Value
from spikewright.toolchain import nirx
from spikewright.toolchain.errors import UnsupportedNodeError

SAME = frozenset(
    {
        "contiguous",
        "clone",
        "detach",
        "detach_",
        "double",
        "to",
        "type",
        "type_as",
        "cpu",
        "requires_grad_",
        "data",
        "alias",
        "positive",
    }
)
RESHAPES = frozenset(
    {
        "view",
        "reshape",
        "flatten",
        "unflatten",
        "view_as",
        "reshape_as",
        "ravel",
        "squeeze",
        "squeeze_",
        "unsqueeze",
        "unsqueeze_",
    }
)
PERMUTES = frozenset(
    {"permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "T", "mT", "transpose_"}
)
MAKERS = frozenset(
    {
        "zeros_like",
        "ones_like",
        "full_like",
        "empty_like",
        "rand_like",
        "randn_like",
        "new_zeros",
        "new_ones",
        "new_full",
        "new_empty",
        "new_tensor",
    }
)
DROPOUTS = frozenset({"dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "alpha_dropout"})


def note(rec: Recorder, name: str, func: Any, args: Any, kwargs: Any, result: Any) -> None:
    """Note one op whose operands hold at least one followed tensor."""
    if name in MAKERS or not any(isinstance(x, Tensor) for x in pytree.tree_leaves(result)):
        if name == "__setitem__":
            _set_item(rec, *args)
        return
    key = name.strip("_")
    try:
        out = _apply(rec, name, key, func, args, kwargs, result)
    except LayoutError as error:
        out = Opaque(f"the op {key!r}: {error}", rec.place())
    if out is None:
        return
    if isinstance(out, list):
        for x, value in zip(result, out, strict=True):
            rec.track(x, value)
    elif isinstance(result, Tensor):
        rec.track(result, out)
    else:
        assert isinstance(out, Opaque)
        rec.blind(result, out.reason)


def _apply(
    rec: Recorder, name: str, key: str, func: Any, args: Any, kwargs: Any, result: Any
) -> Tracked | list[Tracked] | None:
    leaves = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    known = [rec.lookup(x) for x in leaves]
    opaque = next((k for k in known if isinstance(k, Opaque)), None)
    if opaque is not None:
        return opaque
    rule = RULES.get(key) or RULES.get(name)
    first = args[0] if args else next(iter(kwargs.values()))
    if key in SAME or (key in DROPOUTS and not _training(args, kwargs)):
        value = rec.lookup(first)
        return value if isinstance(result, Tensor) and tuple(result.shape) == tuple(leaves[0].shape) else None
    if rule is not None:
        return rule(rec, key, args, kwargs, result)
    value = known[0]
    if isinstance(value, Value) and isinstance(first, Tensor) and rec.lookup(first) is value:
        if name in RESHAPES or key in RESHAPES:
            return reshaped(rec, value, tuple(result.shape), "", key, args, kwargs)
        if key in PERMUTES:
            return value.moved(permuted(value.axes, _order(func, first, args, kwargs)))
    return Opaque(f"the op {key!r} has no meaning in NIR", rec.place())


def _training(args: Any, kwargs: Any) -> bool:
    return bool(kwargs.get("training", args[2] if len(args) > 2 else True))


# ------------------------------------------------------------------------------------------- axes only
def reshaped(
    rec: Recorder, value: Value, shape: tuple[int, ...], target: str, key: str = "", args: Any = (), kwargs: Any = None
) -> Value:
    """Return a value after a reshape, squeeze, unsqueeze or flatten."""
    axes = list(value.axes)
    if key == "unsqueeze":
        dim = int(args[1] if len(args) > 1 else kwargs["dim"])
        axes.insert(dim % (len(axes) + 1), ())
        return value.moved(tuple(axes))
    if key == "squeeze":
        return _squeezed(rec, value, shape, args, kwargs or {})
    moved, split = regroup(value.axes, shape)
    features = refine(value.features, split)
    flattened = value.flattened
    if len(shape) < len(axes):
        file, line, text = rec.line()
        flattened = Flattened(target, rec.scopes[-1], f'File "{file}", line {line}, in forward\n    {text}')
    return replace(value, axes=moved, features=features, flattened=flattened)


def _squeezed(rec: Recorder, value: Value, shape: tuple[int, ...], args: Any, kwargs: dict[str, Any]) -> Value:
    dims = args[1] if len(args) > 1 else kwargs.get("dim")
    n = len(value.axes)
    chosen = range(n) if dims is None else [int(d) % n for d in (dims if isinstance(dims, tuple | list) else (dims,))]
    gone = [i for i in chosen if sizes(value.axes)[i] == 1]
    lost = [a for i in gone for a in value.axes[i]]
    if any(a.name == "B" for a in lost):
        raise LayoutError("a squeeze of the batch; give an example with at least 2 samples")
    axes = tuple(g for i, g in enumerate(value.axes) if i not in gone)
    time = 0 if any(a.name == "T" for a in lost) else value.time
    return replace(value, axes=axes, time=time, flattened=value.flattened or Flattened("", rec.scopes[-1], ""))


def _order(func: Any, x: Tensor, args: Any, kwargs: Any) -> list[int]:
    primes = (2, 3, 5, 7, 11, 13, 17, 19)
    stand_in = torch.empty(primes[: x.ndim], device="meta")
    moved = func(
        *(stand_in if a is x else a for a in args), **{k: stand_in if a is x else a for k, a in kwargs.items()}
    )
    return [primes.index(n) for n in moved.shape]


def _get_item(rec: Recorder, key: str, args: Any, kwargs: Any, result: Tensor) -> Tracked:
    value = rec.lookup(args[0])
    assert isinstance(value, Value)
    index = _full_index(args[1], len(value.axes))
    axes: list[Group] = []
    time, at = value.time, 0
    for part in index:
        if part is None:
            axes.append(())
            continue
        group = value.axes[at]
        at += 1
        size = prod(a.size for a in group)
        if isinstance(part, slice):
            start, stop, step = part.indices(size)
            if (start, stop, step) == (0, size, 1):
                axes.append(group)
                continue
            single = stop - start == 1 and step == 1
            axes.append(())
        else:
            start, single = int(part) % size, True
        if not single or rec.steps is None or group != (rec.steps,):
            return Opaque(f"takes a part of axis {at - 1} of {sizes(value.axes)}, which is not one step", rec.place())
        time = start
    return replace(value, axes=tuple(axes), time=time)


def _full_index(index: Any, rank: int) -> list[Any]:
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(isinstance(p, Tensor | list | bool) for p in parts):
        raise LayoutError("an index that is a tensor or a list")
    used = sum(1 for p in parts if p is not None and p is not Ellipsis)
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (rank - used)
    return parts + [slice(None)] * (rank - sum(1 for p in parts if p is not None))


def _unbind(rec: Recorder, key: str, args: Any, kwargs: Any, result: Any) -> list[Tracked]:
    value = rec.lookup(args[0])
    assert isinstance(value, Value)
    dim = int(kwargs.get("dim", args[1] if len(args) > 1 and key == "unbind" else (args[2] if len(args) > 2 else 0)))
    dim %= len(value.axes)
    at_steps = (
        rec.steps is not None
        and value.axes[dim] == (rec.steps,)
        and value.time == "whole"
        and len(result) == rec.steps.size
    )
    if not at_steps:
        return [Opaque(f"the op {key!r} takes parts of axis {dim} of {sizes(value.axes)}", rec.place())] * len(result)
    axes = list(value.axes)
    axes[dim : dim + 1] = [] if key == "unbind" else [()]
    return [replace(value, axes=tuple(axes), time=t) for t in range(len(result))]


def _select(rec: Recorder, key: str, args: Any, kwargs: Any, result: Tensor) -> Tracked:
    dim, start = (
        int(kwargs.get(n, args[i] if len(args) > i else 0))
        for i, n in ((1, "dim"), (2, "index" if key == "select" else "start"))
    )
    length = int(kwargs.get("length", args[3] if len(args) > 3 else 1))
    part: Any = start if key == "select" else slice(start, start + length)
    dim %= args[0].ndim
    return _get_item(rec, key, (args[0], (*[slice(None)] * dim, part)), {}, result)


def _stack(rec: Recorder, key: str, args: Any, kwargs: Any, result: Tensor) -> Tracked:
    """``stack``, or ``cat`` along an axis of one: all steps of a signal become its axis of time."""
    parts = [rec.lookup(x) for x in args[0]]
    dim = int(kwargs.get("dim", args[1] if len(args) > 1 else 0)) % result.ndim
    joined = _joined(rec, parts)
    if joined is None:
        return Opaque(f"the op {key!r} joins signals that are not steps 0 .. T - 1 of one", rec.place())
    axes = list(joined.axes)
    if key != "stack":
        if axes[dim] != ():
            return Opaque(f"the op {key!r} joins along an axis that is no axis of time", rec.place())
        del axes[dim]
    axes.insert(dim, (rec.time_atom(len(parts)),))
    return replace(joined, axes=tuple(axes), time="whole")


def _joined(rec: Recorder, parts: Sequence[Tracked | None]) -> Value | None:
    first = parts[0]
    if not isinstance(first, Value) or (rec.steps is not None and len(parts) != rec.steps.size):
        return None
    for t, part in enumerate(parts):
        if not isinstance(part, Value) or part.node is not first.node or part.axes != first.axes:
            return None
        if part.time != "still" and part.time != t:
            return None
    return first


def _repeat(rec: Recorder, key: str, args: Any, kwargs: Any, result: Tensor) -> Tracked:
    value = rec.lookup(args[0])
    assert isinstance(value, Value)
    old, new = args[0].shape, result.shape
    axes: list[Group] = [()] * (len(new) - len(old)) + list(value.axes)
    for i, n in enumerate(new):
        size = prod(a.size for a in axes[i])
        if n == size:
            continue
        if value.time != "still" or (key.startswith("expand") and size != 1):
            return Opaque(f"the op {key!r} repeats a signal that is no still input", rec.place())
        atom = rec.time_atom(n // size)
        axes[i] = (*axes[i], atom) if key == "repeat_interleave" else (atom, *axes[i])
        value = replace(value, time="whole")
    return replace(value, axes=tuple(axes))


def _set_item(rec: Recorder, buffer: Tensor, index: Any, part: Any) -> None:
    """Fill a buffer step by step: ``out[:, t] = spikes``; full, it is the signal over all steps."""
    value = rec.lookup(part)
    if value is None:
        if isinstance(rec.lookup(buffer), Value):
            rec.track(buffer, Opaque("a part of it is overwritten", rec.place()))
        return
    place: list[tuple[int, int]] = []
    try:
        for i, p in enumerate(_full_index(index, buffer.ndim)):
            if isinstance(p, int):
                place.append((i, p % buffer.shape[i]))
            elif p is None or p.indices(buffer.shape[i]) != (0, buffer.shape[i], 1):
                raise LayoutError("a slice")
    except (LayoutError, TypeError):
        place = []
    whole = not place and isinstance(value, Value) and tuple(part.shape) == tuple(buffer.shape)
    if whole or isinstance(value, Opaque) or len(place) != 1:
        rec.track(
            buffer, value if whole or isinstance(value, Opaque) else Opaque("a part of it is overwritten", rec.place())
        )
        return
    ((dim, t),) = place
    slots = rec.buffers.setdefault(id(buffer), {})
    rec.keep.append(buffer)
    slots[t] = value
    parts: list[Tracked | None] = [slots.get(i) for i in range(buffer.shape[dim])]
    joined = None if None in parts else _joined(rec, parts)
    if joined is None:
        rec.track(
            buffer, Opaque("a buffer that is filled in part, or not by steps 0 .. T - 1 of one signal", rec.place())
        )
        return
    axes = list(joined.axes)
    axes.insert(dim, (rec.time_atom(len(parts)),))
    rec.track(buffer, replace(joined, axes=tuple(axes), time="whole"))
    slots.clear()


# ------------------------------------------------------------------------------------------- arithmetic
def _sides(rec: Recorder, args: Any, kwargs: Any) -> tuple[Any, Any]:
    left = args[0] if args else kwargs["input"]
    right = args[1] if len(args) > 1 else kwargs.get("other")
    return left, right


def _add(rec: Recorder, key: str, args: Any, kwargs: Any, result: Tensor) -> Tracked:
    left, right = _sides(rec, args, kwargs)
    minus, swap = key in ("sub", "isub", "rsub", "subtract"), key == "rsub"
    a, b = rec.lookup(left), rec.lookup(right)
    alpha = kwargs.get("alpha", 1)
    if isinstance(a, Value) and isinstance(b, Value) and not minus and alpha == 1:
        return _join(rec, key, a, b, result)
    if isinstance(a, Value) and isinstance(b, Value):
        factor = np.full((), -float(alpha) if minus else float(alpha))
        other = scaled(rec, b if not swap else a, factor, None, right if not swap else left)
        return _join(rec, key, a if not swap else b, other, result)
    value, constant, tensor = (a, right, left) if isinstance(a, Value) else (b, left, right)
    assert isinstance(value, Value)
    shift = _constant(rec, constant, value, tensor)
    if minus:  # value - c, or c - value
        negative = (value is b) != swap
        return scaled(rec, value, np.full((), -1.0 if negative else 1.0), shift if negative else -shift, tensor)
    return scaled(rec, value, np.ones(()), shift * alpha, tensor)


def _join(rec: Recorder, key: str, a: Value, b: Value, result: Tensor) -> Tracked:
    if a.node is b.node and a.axes == b.axes and isinstance(b.time, int):
        done = a.count if a.time == "sum" else (1 if a.time == 0 else -1)
        if done == b.time and a.time != b.time:
            return replace(a, time="sum", count=done + 1)
    if a.axes != b.axes and sizes(a.axes) != sizes(b.axes):
        return Opaque(
            f"a sum of shapes {sizes(a.axes)} and {sizes(b.axes)}: bring both branches to one shape", rec.place()
        )
    if not _same_place(a, b):
        return Opaque("a sum of different axes or steps", rec.place())
    times = {a.time, b.time} - {"still"}
    if "sum" in times or "mean" in times:
        a, b = calls.averaged(rec, a, linear=True), calls.averaged(rec, b, linear=True)
    time: Time = next(iter(times), "still")
    nodes = [calls.materialise(rec, v, None) for v in (a, b)]
    if rec.shapes[nodes[0]] != rec.shapes[nodes[1]]:
        return Opaque(f"a sum of shapes {rec.shapes[nodes[0]]} and {rec.shapes[nodes[1]]}", rec.place())
    import operator

    node = rec.emit("call_function", operator.add, nodes, (), rec.shapes[nodes[0]], time)
    features = rec.atoms(node, [x.size for x in a.features])
    fresh = dict(zip(a.features, features, strict=True))
    base = a if a.time != "still" else replace(b, features=b.features)
    if base is b:
        fresh = dict(zip(b.features, features, strict=True))
    out = Value(
        node, tuple(tuple(fresh.get(x, x) for x in g) for g in base.axes), features, time, flattened=a.flattened
    )
    if time in ("mean", "sum"):
        rec.later(node, lambda values: values[nodes[0]] + values[nodes[1]])
    else:
        rec.store(out, result)
    return out


def _same_place(a: Value, b: Value) -> bool:
    """Whether two values have time, batch and features at the same axes, at the same step."""
    if a.time != b.time and "still" not in (a.time, b.time):
        return False
    names = dict(zip(a.features, b.features, strict=False))
    renamed = tuple(tuple(names.get(x, x) for x in g) for g in a.axes)
    return len(a.features) == len(b.features) and _plain(renamed) == _plain(b.axes)


def _plain(axes: Axes) -> Axes:
    return tuple(tuple(x for x in g if x.size > 1) for g in axes)


def _scale(rec: Recorder, key: str, args: Any, kwargs: Any, result: Tensor) -> Tracked:
    left, right = _sides(rec, args, kwargs)
    a, b = rec.lookup(left), rec.lookup(right)
    if key == "neg":
        assert isinstance(a, Value)
        return scaled(rec, a, np.full((), -1.0), None, left)
    divides = key in ("div", "truediv", "itruediv", "true_divide", "divide")
    if (
        (isinstance(a, Value) and isinstance(b, Value))
        or (divides and isinstance(b, Value))
        or kwargs.get("rounding_mode")
    ):
        return Opaque("a product of two signals has no meaning in NIR", rec.place())
    value, constant, tensor = (a, right, left) if isinstance(a, Value) else (b, left, right)
    assert isinstance(value, Value)
    if value.time in ("mean", "sum") and not isinstance(constant, Tensor):
        factor = (
            Fraction(value.factor) / Fraction(float(constant))
            if divides
            else Fraction(value.factor) * Fraction(float(constant))
        )
        if value.time == "sum":
            rec.claims.append((value.count, rec.place()))
            factor *= value.count
        return replace(value, time="mean", factor=float(factor), count=0)
    s = _constant(rec, constant, value, tensor)
    return scaled(rec, value, 1 / s if divides else s, None, tensor)


def _constant(rec: Recorder, constant: Any, value: Value, tensor: Tensor) -> Any:
    """Return a constant as a number, one value a channel, or in full, in the shape of the value's node."""
    if not isinstance(constant, Tensor):
        return np.full((), float(constant))
    rec.constants.append(constant.detach().clone())
    if constant.numel() and bool((constant == constant.reshape(-1)[0]).all()):
        return np.full((), float(constant.detach().reshape(-1)[0]))
    aligned = constant.detach().double().reshape((1,) * (tensor.ndim - constant.ndim) + tuple(constant.shape))
    picked: list[Any] = []
    for i, group in enumerate(value.axes):
        if any(a.name for a in group):
            if aligned.shape[i] != 1:
                raise LayoutError("a constant that differs between steps or samples")
            picked.append(1)
        else:
            picked.append(-1)
    if not value.in_order():
        raise LayoutError("a constant over permuted features")
    own = [i for i, p in enumerate(picked) if p == -1 and value.axes[i]]
    array = aligned.reshape([aligned.shape[i] for i in own]).numpy()
    shape = sizes(value.feature_groups())
    full = np.broadcast_to(array, shape)
    if len(shape) > 1 and all(n == 1 for n in array.shape[1:]):
        return array.reshape(-1)
    return full.copy()


def scaled(rec: Recorder, value: Value, scale: Any, shift: Any, tensor: Tensor) -> Value:
    """Return scale x + shift, per channel or for all."""
    if (shift is None or not np.any(shift)) and np.all(scale == 1):
        return value
    if (shift is None or not np.any(shift)) and value.time == "mean" and scale.ndim == 0:
        return replace(value, factor=value.factor * float(scale))
    value = calls.averaged(rec, value, linear=True)
    node = scale_node(rec, value, scale, shift)
    features = rec.atoms(node, [a.size for a in value.features])
    fresh = dict(zip(value.features, features, strict=True))
    return replace(
        value,
        node=node,
        axes=tuple(tuple(fresh.get(x, x) for x in g) for g in value.axes),
        features=features,
        factor=1.0,
    )


def scale_node(rec: Recorder, value: Value, scale: Any, shift: Any) -> fx.Node:
    """Return a node scale x + shift: a Scale, or a batch norm that says the same."""
    operand = calls.materialise(rec, value, None)
    shape = rec.shapes[operand]
    key = ("scale", operand, scale.tobytes(), None if shift is None else shift.tobytes())
    if key in rec.rolled:
        return rec.rolled[key]
    if shift is not None and max(scale.ndim, shift.ndim) > 1:
        raise rec.refuse("adds a constant that differs between pixels", "add one value a channel")
    name = rec.fresh(f"{rec.scopes[-1]}.scale" if rec.scopes[-1] else "scale")
    s = np.asarray(scale, np.float64)
    full = np.broadcast_to(s.reshape(s.shape + (1,) * (len(shape) - s.ndim)) if s.ndim else s, shape)
    if shift is None or not np.any(shift):
        array = full.copy()
        made: Callable[..., nir.NIRNode] = lambda *_: nir.Scale(array)  # noqa: E731
        b = np.zeros(())
    else:
        c, b = shape[:1], np.asarray(shift, np.float64)
        weight, bias = np.broadcast_to(s, c).copy(), np.broadcast_to(b, c).copy()
        made = lambda *_: nirx.BatchNorm(np.zeros(c), np.ones(c), weight, bias, 0.0, shape)  # noqa: E731
    node = calls.emit_module(rec, name, NodeModule(made), operand, "whole", shape)
    column = torch.from_numpy(
        np.broadcast_to(b.reshape(b.shape + (1,) * (len(shape) - b.ndim)) if b.ndim else b, shape).copy()
    )
    factor = torch.from_numpy(full.copy())
    rec.later(node, lambda values: values[operand] * factor + column)
    rec.rolled[key] = node
    return node


# ------------------------------------------------------------------------------------------- means
def _mean(rec: Recorder, key: str, args: Any, kwargs: Any, result: Tensor) -> Tracked:
    value = rec.lookup(args[0])
    assert isinstance(value, Value)
    dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    chosen = (
        list(range(len(value.axes)))
        if dims is None
        else [int(d) % len(value.axes) for d in (dims if isinstance(dims, tuple | list) else (dims,))]
    )
    chosen.sort()
    kept = bool(kwargs.get("keepdim", args[2] if len(args) > 2 else False))
    if key == "sum":
        if any(rec.steps is None or value.axes[i] != (rec.steps,) for i in chosen):
            return Opaque("a sum over features has no meaning in NIR: take the mean", rec.place())
        out = mean(rec, value, chosen, kept, result)
        return replace(out, factor=out.factor * rec.time_atom(rec.steps.size if rec.steps else 1).size)
    return mean(rec, value, chosen, kept, result)


def mean(rec: Recorder, value: Value, dims: list[int], kept: bool, y: Tensor) -> Value:
    """Return the mean over axes: T, H and W, or votes."""
    averages: Group = tuple(a for i in dims for a in value.axes[i])
    time = [a for a in averages if a.name == "T"]
    own = [a for a in averages if not a.name]
    if any(a.name == "B" for a in averages):
        raise rec.refuse(
            "a mean over the samples of a batch", "keep the batch as it is; was the layout found? give layout="
        )
    whole = value.features
    if own:
        if (
            len(own) == len([a for a in whole if a in own])
            and tuple(own) == whole[-len(own) :]
            and len(rec.shapes[value.node]) == 3
        ):
            value = _spatial(rec, value, dims, kept, own)
        elif (
            len(rec.shapes[calls.materialise(rec, replace(value, factor=1.0), None)]) == 1
            or len(rec.shapes[value.node]) == 1
        ):
            value = _votes(rec, value, own, dims, kept)
        else:
            raise rec.refuse(
                f"a mean over axes {sorted(dims)} of {sizes(value.axes)}",
                "take means over H and W, x.mean((-2, -1)), over votes, or over T at the end, x.mean(0)",
            )
        dims = [i for i in dims if any(a.name for a in value.axes[i])] if kept else []
        time_axis = [i for i, g in enumerate(value.axes) if any(a.name == "T" for a in g)] if time else []
        dims = time_axis
    if time:
        if value.pending is not None or any(len(value.axes[i]) != 1 for i in dims):
            raise rec.refuse("a mean over T and another axis at once", "keep T an axis of its own")
        axes = tuple(() if i in dims else g for i, g in enumerate(value.axes) if kept or i not in dims)
        value = replace(value, axes=axes, time="mean")
    return value


def _spatial(rec: Recorder, value: Value, dims: list[int], kept: bool, own: list[Atom]) -> Value:
    value = calls.averaged(rec, value, linear=True)
    operand = calls.materialise(rec, value.moved(_lead(value) + tuple((a,) for a in value.features)), 3)
    shape = rec.shapes[operand]
    node = rec.emit(
        "call_function",
        torch.mean,
        (operand,),
        ((3, 4), True) if kept else ((3, 4),),
        (shape[0], 1, 1) if kept else shape[:1],
        value.time,
    )
    features = rec.atoms(node, rec.shapes[node])
    channel = features[0]
    rec.later(node, lambda values: values[operand].mean((3, 4), keepdim=kept))
    axes: list[Group] = []
    ones = list(features[1:])
    for group in value.axes:
        if any(a in own for a in group):
            if kept:
                axes.append((ones.pop(0),) if ones else ())
            continue
        axes.append(tuple(channel if a is value.features[0] else a for a in group))
    return replace(value, node=node, axes=tuple(axes), features=features)


def _lead(value: Value) -> Axes:
    return tuple(g for g in value.axes if any(a.name for a in g))


def _votes(rec: Recorder, value: Value, own: list[Atom], dims: list[int], kept: bool) -> Value:
    """A mean over groups of neighbours is a linear map."""
    value = calls.averaged(rec, value, linear=True)
    groups = value.features
    flat = replace(value, axes=(*_lead(value), groups))
    operand = calls.materialise(rec, flat, 1)
    shape = tuple(a.size for a in groups)
    axis = tuple(i for i, a in enumerate(groups) if a in own)
    eye = np.eye(prod(shape)).reshape(prod(shape), *shape)
    weight = eye.mean(axis=tuple(i + 1 for i in axis)).reshape(prod(shape), -1).T
    name = rec.fresh(f"{rec.scopes[-1]}.vote" if rec.scopes[-1] else "vote")
    node = _linear_node(rec, name, operand, weight)
    left = rec.atoms(node, [a.size for a in groups if a not in own] or [1])
    fresh = dict(zip([a for a in groups if a not in own], left, strict=False))
    axes: list[Group] = []
    for group in value.axes:
        if any(a in own for a in group) and all(a in own for a in group):
            if kept:
                axes.append(())
            continue
        axes.append(tuple(fresh.get(a, a) for a in group if a not in own))
    if not any(a in fresh for a in groups):
        axes.append(left)
    return replace(value, node=node, axes=tuple(axes), features=left, flattened=None)


def _linear_node(rec: Recorder, name: str, operand: fx.Node, weight: Any) -> fx.Node:
    key = ("linear", operand, weight.tobytes())
    if key in rec.rolled:
        return rec.rolled[key]
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    made.weight = nn.Parameter(torch.from_numpy(np.ascontiguousarray(weight)), requires_grad=False)
    node = calls.emit_module(rec, name, made, operand, "whole", (weight.shape[0],))
    matrix = torch.from_numpy(np.ascontiguousarray(weight.T))
    rec.later(node, lambda values: values[operand] @ matrix)
    rec.rolled[key] = node
    return node


def vote(rec: Recorder, value: Value, votes: int, y: Tensor) -> Value:
    """AvgPool1d over the last axis, kernel = stride = votes: the mean of neighbouring outputs."""
    last = value.axes[-1]
    n = prod(a.size for a in last)
    if any(a.name for a in last) or n % votes or y.shape[-1] * votes != n:
        raise LayoutError("a 1-d average pooling that is no vote")
    split, _ = regroup((*value.axes,), (*sizes(value.axes)[:-1], n // votes, votes))
    features = tuple(a for g in split for a in g if not a.name)
    return _votes(rec, replace(value, axes=split, features=features), list(split[-1]), [len(split) - 1], False)


# ------------------------------------------------------------------------------------------- layers as functions
def _function(rec: Recorder, key: str, args: Any, kwargs: Any, result: Tensor) -> Tracked | None:
    """A layer called as a function, with constant weights: the module that says the same."""
    value = rec.lookup(args[0] if args else kwargs["input"])
    if not isinstance(value, Value):  # a constant times a signal
        return Opaque(f"the op {key!r}, called so, has no meaning in NIR", rec.place())
    made = _made(key, args, kwargs, rec)
    if made is None:
        return Opaque(f"the op {key!r}, called so, has no meaning in NIR", rec.place())
    name = rec.scopes[-1] or key
    owner = rec.net.get_submodule(name) if rec.scopes[-1] and name in dict(rec.net.named_modules()) else rec.net
    known = (rec.scopes[-1], *_weights_key(key, args, kwargs))
    if known in rec.functions:
        name = rec.functions[known]
    elif name in rec.modules or any(True for _ in owner.children()):
        name = rec.fresh(f"{rec.scopes[-1]}.{key}" if rec.scopes[-1] else key)
    rec.functions[known] = name
    calls.layer(rec, name, made, made, value, result)
    return None


def _weights_key(key: str, args: Any, kwargs: Any) -> tuple[Any, ...]:
    """Return what tells one layer called as a function from another: its options and the content of its weights."""
    parts = [*args[1:], *(v for k, v in sorted(kwargs.items()) if k != "input")]
    return (key, *(hash(p.detach().numpy().tobytes()) if isinstance(p, Tensor) else str(p) for p in parts))


def _made(  # noqa: C901 - one case a function
    key: str, args: Any, kwargs: Any, rec: Recorder
) -> nn.Module | None:
    def arg(i: int, name: str, default: Any = None) -> Any:
        return args[i] if len(args) > i else kwargs.get(name, default)

    def weights(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
        rec.constants.extend(x.detach().clone() for x in (weight, bias) if x is not None)
        layer.weight = nn.Parameter(_exact(weight), requires_grad=False)
        layer.register_parameter("bias", None if bias is None else nn.Parameter(_exact(bias), requires_grad=False))
        return layer.eval()

    weight = arg(1, "weight", arg(1, "other", arg(1, "mat2")))
    if key in ("matmul", "mm") and (not isinstance(weight, Tensor) or weight.ndim != 2):
        return None
    if key in ("conv2d", "linear", "matmul", "mm") and (
        not isinstance(weight, Tensor) or rec.lookup(weight) is not None
    ):
        return None
    match key:
        case "conv2d":
            groups = int(arg(6, "groups", 1))
            conv = nn.Conv2d(
                weight.shape[1] * groups,
                weight.shape[0],
                tuple(weight.shape[2:]),
                arg(3, "stride", 1),
                arg(4, "padding", 0),
                arg(5, "dilation", 1),
                groups,
                device="meta",
            )
            return weights(conv, weight, arg(2, "bias"))
        case "matmul" | "mm":
            return weights(nn.Linear(weight.shape[0], weight.shape[1], device="meta"), weight.T.contiguous(), None)
        case "linear":
            return weights(nn.Linear(weight.shape[1], weight.shape[0], device="meta"), weight, arg(2, "bias"))
        case "batch_norm":
            mean, var, gamma, beta = arg(1, "running_mean"), arg(2, "running_var"), arg(3, "weight"), arg(4, "bias")
            if mean is None or var is None or arg(5, "training", False):
                return None
            norm = nn.BatchNorm2d(len(mean), float(arg(7, "eps", 1e-5)))
            norm.running_mean, norm.running_var = _exact(mean), _exact(var)
            one = torch.ones(len(mean))
            return weights(norm, one if gamma is None else gamma, one * 0 if beta is None else beta)
        case "avg_pool2d":
            return nn.AvgPool2d(
                arg(1, "kernel_size"),
                arg(2, "stride"),
                arg(3, "padding", 0),
                bool(arg(4, "ceil_mode", False)),
                bool(arg(5, "count_include_pad", True)),
                arg(6, "divisor_override"),
            )
        case "max_pool2d":
            return nn.MaxPool2d(
                arg(1, "kernel_size"),
                arg(2, "stride"),
                arg(3, "padding", 0),
                arg(4, "dilation", 1),
                False,
                bool(arg(5, "ceil_mode", False)),
            )
        case "adaptive_avg_pool2d":
            return nn.AdaptiveAvgPool2d(arg(1, "output_size"))
        case "adaptive_avg_pool3d":
            size = arg(1, "output_size")
            return nn.AdaptiveAvgPool2d(tuple(size[1:])) if isinstance(size, tuple | list) and size[0] is None else None
        case "avg_pool1d":
            return nn.AvgPool1d(arg(1, "kernel_size"), arg(2, "stride"))
        case "relu":
            return nn.ReLU()
    return None


def _exact(x: Tensor) -> Tensor:
    """Return a tensor in float32 where that loses nothing."""
    x = x.detach()
    return x.float().clone() if torch.equal(x.float().double(), x.double()) else x.double().clone()


Rule = Callable[[Recorder, str, Any, Any, Any], "Tracked | list[Tracked] | None"]
RULES: dict[str, Rule] = {
    "getitem": _get_item,
    **dict.fromkeys(("unbind", "split", "chunk", "tensor_split"), _unbind),
    **dict.fromkeys(("select", "narrow"), _select),
    **dict.fromkeys(("stack", "cat", "concat", "concatenate"), _stack),
    **dict.fromkeys(("repeat", "expand", "expand_as", "tile", "repeat_interleave", "broadcast_to"), _repeat),
    **dict.fromkeys(("add", "iadd", "radd", "sub", "isub", "rsub", "subtract"), _add),
    **dict.fromkeys(
        ("mul", "imul", "rmul", "multiply", "neg", "div", "truediv", "itruediv", "true_divide", "divide", "rtruediv"),
        _scale,
    ),
    **dict.fromkeys(("mean", "sum"), _mean),
    **dict.fromkeys(
        (
            "conv2d",
            "linear",
            "matmul",
            "mm",
            "batch_norm",
            "avg_pool2d",
            "max_pool2d",
            "adaptive_avg_pool2d",
            "adaptive_avg_pool3d",
            "avg_pool1d",
            "relu",
        ),
        _function,
    ),
}


# ------------------------------------------------------------------------------------------- the answer
_LOGITS = "return the logits: it is the same decision, and the loss can hold the softmax"
_MEAN = "answer with the mean over all steps, x.mean(0): a chip counts, it keeps no single step"
ADVICE: dict[str, str] = {
    **dict.fromkeys(("softmax", "log_softmax", "sigmoid", "argmax"), _LOGITS),
    **dict.fromkeys(("cumsum", "max", "amax", "topk"), _MEAN),
    **dict.fromkeys(("cat", "concat"), "join branches by a sum: fc(cat([a, b])) is fc_a(a) + fc_b(b)"),
    **dict.fromkeys(
        ("gt", "ge", "lt", "le", "heaviside", "where"),
        "a neuron of your own? Say what its class is: register(...) of spikewright.export.foreign",
    ),
}
"""What to do instead of an op without a meaning."""


def output(rec: Recorder, result: Any) -> None:
    """Make what forward returns the output; of several tensors, the first signal."""
    tensors = [x for x in pytree.tree_leaves(result) if isinstance(x, Tensor)]
    if not tensors:
        raise rec.refuse(f"forward returns a {type(result).__name__}", "return one tensor", rec.where)
    found = rec.lookup(tensors[0])
    if len(tensors) > 1:
        rec.notes.append(f"of the {len(tensors)} tensors that forward returns, the first is taken as the answer")
    if found is None:
        raise rec.refuse(
            "the answer does not depend on the input in a way that can be followed",
            "return a signal of the net",
            rec.where,
        )
    if isinstance(found, Opaque):
        raise UnsupportedNodeError(
            found.reason,
            where=found.where,
            help=next((help for op, help in ADVICE.items() if f"the op {op!r}" in found.reason), "")
            or "supported are layers, neurons with a row in a table of spikewright.export.foreign, +, "
            "means over H and W, flatten, moves of axes, loops over T; or register(...) of spikewright.export.foreign",
        )
    if found.time == "sum":
        found = calls.averaged(rec, found, linear=True)
    if isinstance(found.time, int):
        raise rec.refuse(f"the answer is of step {found.time} alone", "answer with the mean over all steps", rec.where)
    if isinstance(rec.fixed_steps(), int) and found.time == "still" and rec.counts:
        raise rec.refuse("the answer does not change over time", "return a signal of the net", rec.where)
    try:
        node = calls.materialise(rec, found, len(found.feature_groups()))
    except LayoutError as error:
        raise rec.refuse(f"the answer: {error}", "return (B, K) or (T, B, K)", rec.where) from error
    if found.time == "mean":
        y = tensors[0].detach()
        mean_node = rec.emit("call_function", torch.mean, (node,), (0,), rec.shapes[node], "whole")
        answer = found.arranged(y, (rec.batch,)).reshape(rec.batch.size, *rec.shapes[node])
        rec.later(mean_node, lambda values: answer)
        out = rec.graph.output(mean_node)
        rec.later(out, lambda values: answer)
    else:
        whole = found.arranged(
            tensors[0].detach(), (rec.steps, rec.batch) if rec.steps and found.time == "whole" else (rec.batch,)
        )
        lead = (rec.steps.size, rec.batch.size) if rec.steps and found.time == "whole" else (1, rec.batch.size)
        answer = whole.reshape(*lead, *rec.shapes[node])
        out = rec.graph.output(node)
        rec.later(
            out,
            lambda values: (
                answer if answer.shape[0] == rec.fixed_steps() else answer.expand(rec.fixed_steps(), *answer.shape[1:])
            ),
        )
