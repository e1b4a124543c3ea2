"""The form of a graph's ops: ranks, sizes and counts of their fields, before any shape is inferred from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from math import prod
from typing import Any

import numpy as np

from spikewright.hw_sim.ranges import LARGEST, Wrong, sizes
from spikewright.hw_sim.synapses import MisfitError, gate_axes
from spikewright.toolchain import integer as i
from spikewright.toolchain import ops as f
from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.ir import Graph

MAX_STEPS = 1 << 20
"""T at most."""
HELP = "export or deploy the net again"


def malformed(graph: Graph) -> Iterator[tuple[str, Wrong]]:
    """Yield where a graph, or an op of it, has a form that no net has, and what is wrong."""
    if not 0 <= graph.timesteps <= MAX_STEPS or not 0 < graph.dt_s < 1e6:
        what = f"{graph.timesteps} steps of {graph.dt_s} s; allowed 0 .. {MAX_STEPS}, and more than 0 s"
        yield "graph", Wrong(what, HELP)
    for kind, word in ((f.AnyInput, "input"), (f.AnyOutput, "output")):
        count = sum(isinstance(op, kind) for op in graph)
        if count != 1:
            yield "graph", Wrong(f"has {count} {word}s; one is allowed", HELP)
    for op in graph:
        for wrong in _op(op):
            yield f"op {op.name!r}", wrong


def _op(op: f.Op) -> Iterator[Wrong]:
    """Yield what is wrong with one op."""
    shape = getattr(op, "shape", None)
    if shape is not None:
        yield from sizes("shape", shape, 1)
        if prod(int(n) for n in shape) > LARGEST:
            yield Wrong(f"shape {shape} has more than {LARGEST:,} neurons", HELP)
    yield from next((rule(op) for kind, rule in _RULES.items() if isinstance(op, kind)), ())


def _integer(op: i.IntInput | i.IntNeuron) -> Iterator[Wrong]:
    yield from op.soma.malformed(prod(op.shape))
    yield from sizes("start", (op.start,), 0)
    if isinstance(op, i.IntInput):
        yield from sizes("stop", (op.stop,), 0)
    yield from _scale(op.scale, prod(op.shape))


def _connection(op: i.IntConnection) -> Iterator[Wrong]:
    yield from op.synapses.malformed()
    yield from sizes("lag", (op.lag,), 0)
    yield from sizes("delay", (op.delay,), 0)
    yield from sizes("exponent", (op.exponent,), -31, 31)


def _pool(op: f.SumPool | f.MaxPool) -> Iterator[Wrong]:
    for name, low in (("kernel", 1), ("stride", 1), ("padding", 0)):
        yield from sizes(name, getattr(op, name), low)


def _linear(op: f.Linear) -> Iterator[Wrong]:
    ranks = {f.Affine: 2, f.Conv: 4}
    yield from _rank("weight", op.weight, next((ranks[kind] for kind in type(op).__mro__ if kind in ranks), None))
    if op.bias is not None:
        yield from _rank("bias", op.bias, 1)
    if isinstance(op, f.Conv):
        for name, low in (("stride", 1), ("padding", 0), ("dilation", 1)):
            yield from sizes(name, getattr(op, name), low)
        yield from sizes("groups", (op.groups,), 1)


def _neuron(op: f.Neuron) -> Iterator[Wrong]:
    if not 0 <= op.ports <= len(op.inputs):
        yield Wrong(f"{op.ports} gates and {len(op.inputs)} operands", HELP)
    for field in fields(op):
        value = getattr(op, field.name)
        if isinstance(value, np.ndarray) and value.size not in (1, prod(op.shape)) and not _spreads(value, op.shape):
            yield Wrong(f"{field.name} has shape {value.shape}; the neurons have {op.shape}", HELP)


def _spreads(value: np.ndarray[tuple[int, ...], np.dtype[np.float64]], shape: f.Shape) -> bool:
    """Say whether a parameter has one value, one a neuron, one a channel, or axes of 1 in between."""
    try:
        gate_axes(value.shape, shape)
    except MisfitError:
        return value.shape == shape[len(shape) - value.ndim :] if value.ndim < len(shape) else False
    return True


def _block(op: AttentionBlock) -> Iterator[Wrong]:
    if op.neuron is not None:
        yield from _neuron_of_block(op.neuron)
    elif type(op).spiking:
        yield Wrong(f"a {type(op).__name__} without its neuron", HELP)


def _neuron_of_block(neuron: f.Lif) -> Iterator[Wrong]:
    yield from sizes("shape", neuron.shape, 1)
    for field in fields(neuron):
        value = getattr(neuron, field.name)
        fits = not isinstance(value, np.ndarray) or value.size in (1, prod(neuron.shape))
        if not fits and not _spreads(value, neuron.shape):
            yield Wrong(f"{field.name} of its neuron has shape {value.shape}; the neurons have {neuron.shape}", HELP)


def _rank(name: str, value: object, rank: int | None, *, more: bool = False) -> Iterator[Wrong]:
    found = np.asarray(value)
    if rank is not None and (found.ndim < rank or (found.ndim > rank and not more) or not found.size):
        yield Wrong(f"{name} has shape {found.shape}; expected {rank} axes{' or more' if more else ''}", HELP)


def _scale(value: object, size: int) -> Iterator[Wrong]:
    found = np.asarray(value, np.float64)
    if found.size not in (1, size) or not np.isfinite(found).all() or bool((found == 0).any()):
        yield Wrong(f"scale has {found.size} values, {found.min(initial=0):g} at least; expected finite ones", HELP)


_RULES: dict[type[f.Op], Callable[[Any], Iterator[Wrong]]] = {
    f.Linear: _linear,
    f.SumPool: _pool,
    f.MaxPool: _pool,
    f.Delay: lambda op: sizes("steps", (op.steps,), 0),
    f.Neuron: _neuron,
    f.GateTable: lambda op: _rank("table", op.table, 2, more=True),
    AttentionBlock: _block,
    i.IntInput: _integer,
    i.IntNeuron: _integer,
    i.IntConnection: _connection,
    i.IntOutput: lambda op: _scale(op.scale, 1),
}
