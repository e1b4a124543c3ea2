"""Add up in two levels what comes from more neurons than a core has axons for: partial sums travel by relays.

    W x + b,  W (O, N) with more than ``most`` columns:

    W_1 x_1 + b + sum over k > 1 of (W_k x_k)      groups of columns; relays send the sums of all but the first
    W' (P x)                                       of gates and what counts for them: P (G, N) ones, W' (O, G), columns
                                                   that are alike in groups of at most ``most`` / 2

Exact in real arithmetic, counts in integers too; but what is added up so arrives one synapse later: a gate on its way back to
the neurons that are counted needs a delay of that many steps. Counters whose columns all differ are left alone.

Counts of whole channels are convolutions with a window of the whole map: P then holds a one for each of N values, not G N.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
    Affine,
    Array,
    Conv,
    Delay,
    GateNeuron,
    Lif,
    Linear,
    Neuron,
    Op,
    Output,
    Relay,
    Shape,
)
from spikewright.toolchain.passes.base import Pass, in_place, is_readout, sends_messages
from spikewright.toolchain.passes.linear_maps import LARGEST
from spikewright.toolchain.shapes import shapes


@dataclass(frozen=True)
class FanIn(Pass):
    """Put relays of partial sums in front of neurons that read too many others."""

    name: ClassVar[str] = "fan-in"
    most: int = 1 << 15
    """Axons of a core."""

    def __call__(self, graph: Graph) -> Graph:
        """Split all sums.

        Raises:
            GateLoweringError: A gate would come back to its neurons too late.
        """
        changed = super().__call__(graph)
        for op in changed if changed is not graph else ():
            if isinstance(op, Delay) and isinstance(changed.producer(op), GateNeuron):
                self._check_in_time(changed, op)
        return changed

    def _check_in_time(self, graph: Graph, delay: Delay) -> None:
        for neuron in graph.readers[delay.name]:
            way = _hops(graph, neuron.name, delay.inputs[0])
            if way is not None and way + 1 > delay.steps:
                raise GateLoweringError(
                    f"its gate counts more neurons than the {self.most:,} axons of a core, in two levels: from spike to gate "
                    f"it is {way + 1} synapses, one step each; gate_delay is {delay.steps}",
                    where=f"block {delay.block!r}",
                    help=f"train and deploy with gate_delay={way + 1}, or deploy with --gates {delay.block}=static",
                )

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Split the largest map that the neurons (or the answer) at ``op`` read, where all of them read too much."""
        if not isinstance(op, Neuron | Output):
            return None
        known = shapes(graph)
        read = [m for name in dict.fromkeys(op.inputs) if isinstance(m := graph[name], Affine | Conv)]
        read = [m for m in read if sends_messages(graph, m.inputs[0])]
        room = self.most - _others(graph, op, read)
        if sum(_fan_in(m, known) for m in read) <= room:
            return None
        for widest in sorted(read, key=lambda m: _fan_in(m, known), reverse=True):
            others = sum(_fan_in(m, known) for m in read if m is not widest)
            split = _split(graph, widest, known, room - others, self.most)
            if split is not None:
                return _put(graph, widest, split)
        return None


def _others(graph: Graph, op: Neuron | Output, read: Sequence[Linear]) -> int:
    """Return how many axons neurons need beside those of their maps: messages as they are, gates, a read-out's gain."""
    ports = op.ports if isinstance(op, Neuron) else 0
    direct = sum(sends_messages(graph, name) for name in op.inputs)
    answers = isinstance(op, Output) or is_readout(graph, op)
    return ports + direct + answers


def _fan_in(op: Linear, known: Mapping[str, Shape]) -> int:
    """Return how many messages the widest of the neurons behind a map reads."""
    most = int(np.count_nonzero(op.weight.reshape(op.weight.shape[0], -1), axis=1).max(initial=0))
    if isinstance(op, Conv):
        source = known[op.inputs[0]]
        return min(most, int(op.weight.shape[1]) * prod(source[1:]))
    return most


@dataclass(frozen=True)
class _Split:
    """A map apart: the ops in front, and the signals that are read in its place."""

    ops: list[Op]
    reads: tuple[str, ...]


def _split(graph: Graph, op: Linear, known: Mapping[str, Shape], room: int, most: int) -> _Split | None:
    """Return a map in two levels, of which the second needs at most ``room`` axons, if that is possible."""
    readers = graph.readers[op.name]
    if all(isinstance(reader, Lif | Relay | Output) or is_readout(graph, reader) for reader in readers):
        return _partial(op, known, room, most)
    counted = all(isinstance(reader, Neuron) and reader.sends in ("gate", "value") for reader in readers)
    if counted and isinstance(op, Affine) and op.bias is None:
        return _counted(op, known[op.inputs[0]], room, most)
    return None


def _put(graph: Graph, op: Linear, split: _Split) -> Graph:
    """Return the graph with a map in two levels, read in its place."""
    readers = {reader.name for reader in graph.readers[op.name]}

    def reread(other: Op) -> Op:
        if other.name not in readers:
            return other
        return replace(
            other, inputs=tuple(name for old in other.inputs for name in (split.reads if old == op.name else (old,)))
        )

    return in_place(graph, op, split.ops).map(reread)


# --------------------------------------------------------------------------------------- groups of any columns
def _partial(op: Linear, known: Mapping[str, Shape], room: int, most: int) -> _Split | None:
    """Return a map as one of its first columns, which keeps the bias, and relays of the others; None: that needs no less."""
    axis = op.weight.shape[1]
    columns = np.flatnonzero(np.moveaxis(op.weight, 1, 0).reshape(axis, -1).any(axis=1))
    each = _fan_in(op, known) / max(1, len(columns))
    second = {k: ceil(-(-len(columns) // k) * each) + k - 1 for k in range(2, len(columns) + 1)}
    fits = [k for k, axons in second.items() if axons <= min(room, most)]
    groups = fits[0] if fits else min(second, key=lambda k: second[k], default=0)
    if not groups or second[groups] >= _fan_in(op, known):
        return None
    first, *rest = (_only(op, part) for part in np.array_split(columns, groups))
    ops: list[Op] = []
    for k, part in enumerate(rest, 1):
        name = f"{op.name}.part{k}"
        ops.append(replace(part, name=f"{name}.map", bias=None))
        ops.append(Relay(name=name, inputs=(f"{name}.map",), block=op.block, shape=known[op.name]))
    return _Split([*ops, first], (op.name, *(part.name for part in ops if isinstance(part, Relay))))


def _only(op: Linear, columns: NDArray[np.int64]) -> Linear:
    """Return a map with some of its columns (input channels of each group), the others 0."""
    weight = np.zeros_like(op.weight)
    weight[:, columns] = op.weight[:, columns]
    return replace(op, weight=weight)


# --------------------------------------------------------------------------------- columns that share a count
def _counted(op: Affine, shape: Shape, room: int, most: int) -> _Split | None:
    """Return a map of sums of the values that it weighs alike; None: there are too many different ones."""
    read = np.flatnonzero(op.weight.any(axis=0))
    kinds, kind = _alike(op.weight[:, read])
    groups = [
        (k, part)
        for k in range(kinds.shape[1])
        for members in [read[kind == k]]
        for part in np.split(members, _cuts(members.size, shape, -(-2 * members.size // most)))
    ]
    if len(groups) > min(room, most):
        return None
    groups.sort(key=lambda group: int(group[1][0]))
    partial = _counts(op, [members for _, members in groups], shape)
    if partial is None:
        return None
    grid = (len(groups), 1, 1) if isinstance(partial, Conv) else (len(groups),)
    counters = Relay(name=f"{op.name}.counts", inputs=(partial.name,), block=op.block, shape=grid)
    last = replace(op, inputs=(counters.name,), weight=kinds[:, [k for k, _ in groups]])
    return _Split([partial, counters, last], (op.name,))


def _alike(weight: Array) -> tuple[Array, NDArray[np.int64]]:
    """Return the different columns of a matrix, and which of them each is; runs of equal ones are looked at once."""
    new = np.concatenate([[True], (weight[:, 1:] != weight[:, :-1]).any(axis=0)])
    kinds, kind = np.unique(weight[:, new], axis=1, return_inverse=True)
    return kinds, kind.reshape(-1)[np.cumsum(new) - 1]


def _cuts(size: int, shape: Shape, parts: int) -> NDArray[np.int64]:
    """Return where to cut ``size`` values of a map into at least so many parts: between channels, where that divides them."""
    channels = size // prod(shape[1:])
    even = next((n for n in range(parts, channels + 1) if channels % n == 0), parts)
    return np.cumsum([len(part) for part in np.array_split(np.arange(size), even)])[:-1]


def _counts(op: Affine, groups: list[NDArray[np.int64]], shape: Shape) -> Linear | None:
    """Return the map that adds up each group of the values of a map of ``shape``; None where its matrix is too large."""
    name, size = f"{op.name}.partial", prod(shape)
    each = size // len(groups)
    if (
        len(shape) == 3
        and shape[0] % len(groups) == 0
        and np.array_equal(np.concatenate(groups), np.arange(size))
        and all(len(members) == each for members in groups)
    ):
        ones = np.ones((len(groups), shape[0] // len(groups), *shape[1:]))
        return Conv(name=name, inputs=op.inputs, block=op.block, weight=ones, groups=len(groups))
    if len(groups) * size > LARGEST:
        return None
    ones = np.zeros((len(groups), size))
    for row, members in enumerate(groups):
        ones[row, members] = 1
    return Affine(name=name, inputs=op.inputs, block=op.block, weight=ones)


def _hops(graph: Graph, source: str, target: str) -> int | None:
    """Return how many neurons lie behind ``source`` on the longest way to ``target``, itself included; None: there is none."""
    if source == target:
        return 0
    op = graph[target]
    if isinstance(op, Delay):
        return None
    ways = [way for name in op.inputs if (way := _hops(graph, source, name)) is not None]
    return max(ways) + isinstance(op, Neuron) if ways else None


def check_counters(blocks: Sequence[AttentionBlock], graph: Graph, strategies: Mapping[str, str], most: int) -> None:
    """Refuse gates that count too many neurons to come back in time, before any data is read.

    Raises:
        GateLoweringError: The block, and the gate_delay that it needs.
    """
    for block in blocks:
        if strategies.get(block.block) == "causal" and prod(block.shape) > most:
            FanIn(most)(block.lowerings()["causal"](graph, {}))
