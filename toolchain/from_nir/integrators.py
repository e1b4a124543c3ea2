"""Bring integrators (I, LI, CubaLI) to where a chip has them: the output reads them, or a neuron has them as its filter.

M v = v' of M x       v' = decay v' + M x: where the neurons that M adds up keep alike; delays and sums of integrators, too
LIF of v              u = decay u + x,  v = beta v + gain u: an LI in front of a LIF is its filter, both are a CubaLIF
Threshold of v        fires where v does; v goes on: a reset that subtracts 0

Exact. An integrator that something else reads is left standing, and refused by name (``verify``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spikewright.toolchain.interpret.floats import apply
from spikewright.toolchain.ir import Graph, fresh
from spikewright.toolchain.ops import (
    Accumulator,
    Add,
    Array,
    Conv,
    Delay,
    Flatten,
    Lif,
    Linear,
    Op,
    Output,
    Scale,
    Shape,
    SumPool,
)
from spikewright.toolchain.parameters import grid, least
from spikewright.toolchain.shapes import shapes

KEPT = ("decay", "alpha")
"""What a neuron keeps of v and of u in a step."""
Places = dict[str, list[Op]]
"""Ops by the name of the one in whose place they stand."""


def integrators_at_ends(graph: Graph) -> Graph:
    """Return a graph whose integrators are read by the output, where that can be; the same one where it is so already."""
    while (changed := _changed_once(graph)) is not None:
        graph = changed
    return graph


def _changed_once(graph: Graph) -> Graph | None:
    for op in graph:
        read = [source for name in op.inputs if _is_integrator(source := graph[name])]
        places: Places | None = None
        if len(read) == len(op.inputs) == 1:
            places = _filter(op, read[0]) if isinstance(op, Lif | Accumulator) else _map(graph, op, read[0])
        elif len(read) == len(op.inputs) > 1 and isinstance(op, Add | Output):
            places = _sum(graph, op, read)
        if places is not None:
            made = graph.with_ops(new for old in graph for new in places.get(old.name, [old]))
            unread = {source.name for source in read if not made.readers[source.name]}
            return made.with_ops(one for one in made if one.name not in unread)
    return None


def _is_integrator(op: Op) -> bool:
    return isinstance(op, Accumulator) and not op.rectify and len(op.inputs) == 1


# ------------------------------------------------------------------------------------ neurons that read one
def _filter(op: Lif | Accumulator, source: Op) -> Places | None:
    """Return a neuron that has the integrator in front of it in itself; None: it has none."""
    assert isinstance(source, Accumulator)
    if isinstance(op, Lif) and _is_threshold(op):
        state: dict[str, Any] = {name: np.asarray(vars(source)[name], np.float64) for name in ("alpha", "leak")}
        beta = np.asarray(source.decay, np.float64)
        goes_on = replace(op, inputs=source.inputs, beta=beta, reset="subtract", v_subtract=np.zeros(()), **state)
        return {op.name: [goes_on]}
    if not _takes_a_filter(op) or np.any(source.alpha) or np.any(source.leak):
        return None
    if isinstance(op, Accumulator):
        return {op.name: [replace(op, inputs=source.inputs, alpha=source.decay)]}
    return {op.name: [replace(op, inputs=source.inputs, alpha=np.asarray(source.decay, np.float64))]}


def _takes_a_filter(op: Op) -> bool:
    plain = len(op.inputs) == 1 and (_is_integrator(op) or (isinstance(op, Lif) and op.gates == 0 and not op.rectify))
    return plain and not np.any(vars(op)["alpha"])


def _is_threshold(op: Lif) -> bool:
    """Say whether a neuron has no memory: it compares what comes in with its threshold."""
    plain = op.gates == 0 and op.max_spikes == 1 and op.refractory == 1 and op.v_min is None
    moves = np.any(op.beta) or op.filters or np.any(op.leak)
    return plain and not moves and bool(np.all(np.asarray(op.gain) * op.gain_u == 1))


# ---------------------------------------------------------------------------------------- maps that read one
def _map(graph: Graph, op: Op, source: Op) -> Places | None:
    """Return a map of the integrator's current and an integrator behind it, whose readers take what the map adds."""
    assert isinstance(source, Accumulator)
    known = shapes(graph)
    before, after = known[source.name], known[op.name]
    kept = _kept(op, source, before, after)
    if kept is None or not isinstance(op, Linear | Scale | SumPool | Flatten | Delay):
        return None
    bare = _without_constant(op)
    constant = np.asarray(apply(op, [np.zeros((1, *before))])[0]) if bare is not op else np.zeros(())
    readers = graph.readers[op.name]
    takes = all(isinstance(one, Lif) and _takes_a_filter(one) for one in readers) and not np.any(source.alpha)
    stuck = not takes and all(isinstance(one, Lif) and not _is_threshold(one) for one in readers)
    if stuck or (np.any(constant) and not takes) or (np.any(source.leak) and isinstance(op, Delay)):
        return None
    front = replace(bare, name=fresh(f"{op.name}.in", {one.name for one in graph}), inputs=source.inputs)
    leak = np.asarray(source.leak, np.float64)
    if np.any(leak):
        leak = np.asarray(apply(bare, [np.broadcast_to(grid(leak, before), (1, *before))])[0]).reshape(after)
    behind = _integrator(op.name, front.name, after, op.block, kept, leak)
    return {op.name: [front, behind]} | {one.name: [_leaking(one, constant)] for one in readers if np.any(constant)}


def _without_constant(op: Op) -> Op:
    match op:
        case Linear(bias=b) if b is not None:
            return replace(op, bias=None)
        case Scale(shift=b) if b is not None:
            return replace(op, shift=None)
        case _:
            return op


def _leaking(op: Op, constant: Array) -> Op:
    """Return a neuron that adds a constant current itself."""
    assert isinstance(op, Lif)
    drive = grid(op.gain, op.shape) * grid(op.gain_u, op.shape) * constant.reshape(op.shape)
    return replace(op, leak=least(np.asarray(grid(op.leak, op.shape) + drive), op.shape))


def _kept(op: Op, source: Accumulator, shape: Shape, after: Shape) -> dict[str, Array] | None:
    """Return what the neurons behind a map keep in a step; None: it adds up some that keep unlike."""
    found = {}
    for name in KEPT:
        value = np.asarray(vars(source)[name], np.float64)
        depthwise = isinstance(op, SumPool) or (isinstance(op, Conv) and op.groups == shape[0])
        if value.ndim == 0:
            found[name] = value
        elif isinstance(op, Scale | Delay | Flatten):
            found[name] = np.broadcast_to(grid(value, shape), shape).reshape(after)
        elif depthwise and value.ndim == 1 < len(shape):
            found[name] = np.repeat(value, op.weight.shape[0] // shape[0]) if isinstance(op, Conv) else value
        else:
            return None
    return found


def _sum(graph: Graph, op: Op, read: list[Op]) -> Places | None:
    """Return a sum of currents and one integrator behind it; None: they keep unlike."""
    sources = [source for source in read if isinstance(source, Accumulator)]
    first, *others = sources
    if any(not np.array_equal(vars(first)[name], vars(other)[name]) for other in others for name in KEPT):
        return None
    taken = {one.name for one in graph}
    front = Add(name=fresh(f"{op.name}.in", taken), inputs=tuple(one.inputs[0] for one in sources), block=op.block)
    name = op.name if isinstance(op, Add) else fresh(f"{op.name}.v", taken)
    leak = sum((grid(np.asarray(one.leak), first.shape) for one in others), grid(np.asarray(first.leak), first.shape))
    kept = {key: np.asarray(vars(first)[key], np.float64) for key in KEPT}
    behind = _integrator(name, front.name, first.shape, op.block, kept, np.asarray(leak))
    return {op.name: [front, behind] if isinstance(op, Add) else [front, behind, replace(op, inputs=(name,))]}


def _integrator(name: str, reads: str, shape: Shape, block: str, kept: dict[str, Array], leak: Array) -> Accumulator:
    found: dict[str, Any] = {key: least(grid(value, shape), shape) for key, value in (*kept.items(), ("leak", leak))}
    plain = {key: value if value.ndim else float(value) for key, value in found.items()}
    return Accumulator(name=name, inputs=(reads,), shape=shape, block=block, rectify=False, **plain)
