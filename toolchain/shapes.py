"""Shape of every signal of a graph (T and B left out), and the checks that operands fit: ``shapes(graph)``.

pool:  n' = (n + 2 padding - k) // stride + 1;   of a linear map, its synapses say
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from spikewright.hw_sim.synapses import MisfitError, Synapses, gate_axes
from spikewright.toolchain import integer as i
from spikewright.toolchain import ops as f
from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.errors import VerifyError
from spikewright.toolchain.ir import Graph

Shape = tuple[int, ...]
Rule = Callable[[Any, list[Shape]], Shape]


def shapes(graph: Graph) -> dict[str, Shape]:
    """Infer the shape of every op's signal, by name, and check that each op's operands fit it.

    Raises:
        VerifyError: An operand is missing, of the wrong shape or number, or a loop leaves a shape open.
    """
    known = {op.name: shape for op in graph if (shape := declared(op)) is not None}
    _check_operands(graph)
    while True:
        before = len(known)
        for op in graph:
            _infer(op, known)
        if len(known) == len(graph):
            return {op.name: infer(op, [known[name] for name in op.inputs]) for op in graph}
        if len(known) == before:
            stuck = ", ".join(op.name for op in graph if op.name not in known)
            raise VerifyError(
                f"the shapes of {stuck} depend on each other only",
                where="graph",
                help="put a neuron, whose shape is declared, or an input into the loop",
            )


def declared(op: f.Op) -> Shape | None:
    """Return the shape an op states by itself, or None."""
    match op:
        case f.GateTable(table=table):
            return _ints(np.shape(table)[1:])
        case _:
            shape = getattr(op, "shape", None)
            return None if shape is None else _ints(shape)


def infer(op: f.Op, operands: list[Shape]) -> Shape:
    """Return the shape of one op's signal from those of its operands, and check them.

    Raises:
        VerifyError: They do not fit, or the op has no shape rule.
    """
    if isinstance(op, AttentionBlock):
        return _ints(op.shape_of(operands))
    rule = next((RULES[kind] for kind in type(op).__mro__ if kind in RULES), None)
    if rule is None:
        raise VerifyError(
            f"op type {type(op).__name__} has no shape rule", where=f"op {op.name!r}", help="use ops of the vocabulary"
        )
    return rule(op, operands)


def _infer(op: f.Op, known: dict[str, Shape]) -> None:
    operands = [known[name] for name in op.inputs if name in known]
    complete = len(operands) == len(op.inputs)
    if op.name in known or not (complete or (isinstance(op, f.Add) and operands)):
        return
    known[op.name] = infer(op, operands) if complete else operands[0]


def _check_operands(graph: Graph) -> None:
    if len(graph.by_name) != len(graph):
        names = [op.name for op in graph]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise VerifyError(
            f"two ops are called {', '.join(map(repr, twice))}", where="graph", help="give each op its own name"
        )
    for op in graph:
        for name in op.inputs:
            if name not in graph:
                raise VerifyError(
                    f"reads {name!r}, which no op is called", where=f"op {op.name!r}", help="name an op of the graph"
                )
        low, high = _arity(op)
        if not low <= len(op.inputs) <= high:
            raise VerifyError(
                f"{type(op).__name__} reads {len(op.inputs)} operands; takes {low}{'' if low == high else ' or more'}",
                where=f"op {op.name!r}",
                help="join several signals with Add",
            )


def _arity(op: f.Op) -> tuple[int, int]:
    many = 1 << 30
    match op:
        case f.Input() | f.GateTable() | i.IntInput():
            return 0, 0
        case f.Replayed() | i.IntReplay():
            return 1, many
        case f.Lif(gates=gates):
            return gates, many
        case i.IntNeuron(soma=soma):
            return (max(soma.ports, int(not soma.takes_gates)), many) if soma.integrates else (0, 0)
        case AttentionBlock():
            return op.operands
        case f.Add() | f.Multiply() | f.Output() | f.Neuron():
            return 1, many
        case _:
            return 1, 1


def _ints(shape: Any) -> Shape:
    return tuple(int(n) for n in shape)


def _mismatch(op: f.Op, found: object, allowed: object, help: str) -> VerifyError:
    return VerifyError(
        f"{type(op).__name__} reads shape {found}; it takes {allowed}", where=f"op {op.name!r}", help=help
    )


# ----------------------------------------------------------------------------------------- rules
def _linear(op: f.Linear, xs: list[Shape]) -> Shape:
    shape = _synapses(op, op.synapses(op.weight), xs[0])
    if op.bias is not None and np.shape(op.bias) != shape[:1]:
        raise VerifyError(
            f"bias has shape {np.shape(op.bias)}; the weight asks for ({shape[0]},)",
            where=f"op {op.name!r}",
            help="fix the bias",
        )
    return shape


def _synapses(op: f.Op, synapses: Synapses, x: Shape) -> Shape:
    try:
        return synapses.shape(x)
    except MisfitError as error:
        raise _mismatch(op, error.found, error.allowed, error.help) from None


def _pool(op: f.SumPool | f.MaxPool, xs: list[Shape]) -> Shape:
    if len(xs[0]) != 3:
        raise _mismatch(op, xs[0], "(C, H, W)", "pool before flattening")
    size = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(xs[0][1:], op.kernel, op.stride, op.padding, strict=True)]
    if min(size) < 1:
        raise _mismatch(op, xs[0], f"at least a {op.kernel[0]} x {op.kernel[1]} window", "use a smaller kernel")
    return (xs[0][0], int(size[0]), int(size[1]))


def _adaptive(op: f.AdaptivePool, xs: list[Shape]) -> Shape:
    if len(xs[0]) != 3:
        raise _mismatch(op, xs[0], "(C, H, W)", "pool before flattening")
    return (xs[0][0], *op.size)


def _scale(op: f.Scale, xs: list[Shape]) -> Shape:
    for values in (op.scale, op.shift):
        if values is not None and np.shape(values) not in ((), (1,), xs[0][:1], xs[0]):
            raise _mismatch(op, xs[0], f"{np.size(values)} channels on axis 0", "give one value a channel")
    return xs[0]


def _same(op: f.Op, xs: list[Shape]) -> Shape:
    for other in xs[1:]:
        if other != xs[0]:
            raise _mismatch(op, f"{xs[0]} beside {other}", "equal shapes", "bring both branches to one shape")
    return xs[0]


def _multiply(op: f.Multiply, xs: list[Shape]) -> Shape:
    try:
        return _ints(np.broadcast_shapes(*xs))
    except ValueError:
        raise _mismatch(op, " beside ".join(map(str, xs)), "shapes that broadcast", "add axes of length 1") from None


def _neuron(op: f.Neuron | i.IntNeuron, xs: list[Shape]) -> Shape:
    shape, ports = _ints(op.shape), op.soma.ports if isinstance(op, i.IntNeuron) else op.ports
    currents, gates = (xs[: len(xs) - ports], xs[len(xs) - ports :])
    _fits_size(op, shape, currents)
    for gate in gates:
        try:
            gate_axes(gate, shape)
        except MisfitError as error:
            raise _mismatch(op, f"{gate} at a gate", error.allowed, error.help) from None
    return shape


def _fits_size(op: f.Op, shape: Shape, currents: list[Shape]) -> None:
    for x in currents:
        if x != shape and not (
            prod(x) == prod(shape) and (len(x) == 1 or len(shape) == 1 or isinstance(op, f.GateNeuron | f.HeldSum))
        ):
            raise _mismatch(op, x, shape, "give the neurons the shape of their current")


def _declared(op: f.Op, xs: list[Shape]) -> Shape:
    shape = declared(op)
    assert shape is not None
    _fits_size(op, shape, xs)
    return shape


def _any(op: f.Op, xs: list[Shape]) -> Shape:
    return xs[0]


RULES: Mapping[type[f.Op], Rule] = {
    f.Linear: _linear,
    f.SumPool: _pool,
    f.MaxPool: _pool,
    f.AdaptivePool: _adaptive,
    f.Scale: _scale,
    f.Flatten: lambda op, xs: declared(op) or (prod(xs[0]),),
    f.Add: _same,
    f.Multiply: _multiply,
    f.Neuron: _neuron,
    **dict.fromkeys((f.Input, f.GateTable), _declared),
    **dict.fromkeys((f.Replayed, i.IntReplay), lambda op, xs: _ints(op.shape)),
    **dict.fromkeys((f.Output, f.Relu, f.Delay), _any),
    i.IntConnection: lambda op, xs: _synapses(op, op.synapses, xs[0]),
    i.IntNeuron: _neuron,
    i.IntInput: _declared,
    i.IntOutput: _any,
}
