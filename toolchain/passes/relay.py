"""Let a current travel by relays, signed linear neurons, where it is read more than once or by a map.

    y = sum of A_k x_k + c,  read by r    ->   relay = sum of A_k x_k,   r reads relay + c      (c as a bias of what r reads)

Its readers get messages, and no copy of the synapses in front. Exact in real arithmetic; which sums, ``streams`` says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import ClassVar

import numpy as np

from spikewright.toolchain.errors import PassError
from spikewright.toolchain.interpret.floats import apply
from spikewright.toolchain.ir import Graph, rename_operands
from spikewright.toolchain.ops import Add, Affine, Array, Conv, Linear, Op, Relay, Scale, Shape
from spikewright.toolchain.passes.base import Pass, drop_unread, sends_messages
from spikewright.toolchain.passes.linear_maps import WIDEST
from spikewright.toolchain.shapes import shapes


@dataclass(frozen=True)
class Relays(Pass):
    """Replace current nodes by relays."""

    name: ClassVar[str] = "relay"
    sums: tuple[str, ...] = ()
    """The sums and maps to replace, in order."""

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with relays."""
        for name in self.sums:
            graph = drop_unread(_relayed(graph, name))
        return graph


def constants(graph: Graph) -> Constants:
    """Return what signals are where no message comes."""
    return Constants(graph)


@dataclass(frozen=True, eq=False)
class Constants:
    """What every current of a graph is without a message: the constants of the maps in front."""

    graph: Graph

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Shapes of all signals."""
        return shapes(self.graph)

    @cached_property
    def _known(self) -> dict[str, Array]:
        return {}

    def __call__(self, name: str) -> Array:
        """Return the constant of a signal, of its shape."""
        if name not in self._known:
            op = self.graph[name]
            if sends_messages(self.graph, name):
                found = np.zeros(self.shapes[name])
            else:
                found = apply(op, [self(operand)[None] for operand in op.inputs])[0]
            self._known[name] = found
        return self._known[name]


def per_channel(constant: Array) -> Array | None:
    """Return a constant as one value a channel, or of a vector one a value; None where a channel is not constant."""
    if constant.ndim == 1:
        return constant
    first = constant.reshape(constant.shape[0], -1)[:, 0]
    return first if np.allclose(constant, first.reshape(-1, *(1,) * (constant.ndim - 1)), rtol=0, atol=1e-12) else None


def restorable(constant: Array) -> bool:
    """Say whether readers can be given a constant back by synapses of their own."""
    vector = per_channel(constant)
    return not constant.any() or (vector is not None and (constant.ndim > 1 or constant.size <= WIDEST))


def _relayed(graph: Graph, name: str) -> Graph:
    """Return the graph with one current as a relay."""
    total = graph[name]
    constant = constants(graph)(name)
    if not restorable(constant):
        raise PassError(
            "its maps leave a constant that differs along the map, which no bias of a channel holds",
            where=f"current {name!r}",
            help="distribute it (--streams distribute)",
        )
    moved: list[Op] = []
    summed = total.inputs if isinstance(total, Add) else (name,)
    inputs = tuple(_stripped(graph, operand, name, moved) for operand in summed)
    relay = Relay(name=name, block=total.block, inputs=inputs, shape=constant.shape)
    fresh: list[Op] = [*moved, relay]
    renamed: dict[str, Op] = {}
    if constant.any():
        bias = per_channel(constant)
        assert bias is not None
        restored = _identity(relay, f"{name}.constant", bias)
        fresh.append(restored)
        for reader in graph.readers[name]:
            renamed[reader.name] = _restored(reader, name, restored, bias)
    return _with(graph, total, fresh, renamed)


def _with(graph: Graph, old: Op, fresh: list[Op], renamed: dict[str, Op]) -> Graph:
    ops: list[Op] = []
    for op in graph:
        ops += fresh if op is old else [renamed.get(op.name, op)]
    return graph.with_ops(ops)


def _stripped(graph: Graph, name: str, reader: str, moved: list[Op]) -> str:
    """Return a signal without its constant: copies of the ops between messages and here are put into ``moved``."""
    op = graph[name]
    if sends_messages(graph, name):
        return name
    inputs = tuple(_stripped(graph, operand, reader, moved) for operand in op.inputs)
    if isinstance(graph.producer(op), Relay) and _is_identity(op):
        return inputs[0]
    made = replace(op, name=f"{name}@{reader}", inputs=inputs, block=op.block)
    if isinstance(made, Linear):
        made = replace(made, bias=None)
    if isinstance(made, Scale):
        made = replace(made, shift=None)
    moved.append(made)
    return made.name


def _identity(relay: Relay, name: str, bias: Array) -> Linear:
    """Return a map that adds a constant to what a relay sends."""
    if len(relay.shape) > 1:
        ones = np.ones((relay.shape[0], 1, 1, 1))
        return Conv(name=name, block=relay.block, inputs=(relay.name,), weight=ones, bias=bias, groups=relay.shape[0])
    n = prod(relay.shape)
    return Affine(name=name, block=relay.block, inputs=(relay.name,), weight=np.eye(n), bias=bias)


def _is_identity(op: Op) -> bool:
    """Say whether a map only adds a constant."""
    match op:
        case Conv(weight=weight, groups=groups):
            return weight.shape == (groups, 1, 1, 1) and op.stride == (1, 1) and bool((weight == 1).all())
        case Affine(weight=weight):
            return weight.shape[0] == weight.shape[1] and bool((weight == np.eye(len(weight))).all())
        case _:
            return False


def _restored(reader: Op, name: str, restored: Op, bias: Array) -> Op:
    """Return a reader of a relay that gets the constant, too: an unpadded map in its own bias, others by synapses."""
    if isinstance(reader, Conv) and reader.padding == (0, 0) and reader.groups == 1:
        own = np.zeros(reader.weight.shape[0]) if reader.bias is None else reader.bias
        return replace(reader, bias=own + reader.weight.sum(axis=(2, 3)) @ bias)
    if isinstance(reader, Affine):
        own = np.zeros(reader.weight.shape[0]) if reader.bias is None else reader.bias
        return replace(reader, bias=own + reader.weight @ bias)
    return rename_operands(reader, {name: restored.name})
