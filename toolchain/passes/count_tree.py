"""Count in two levels what more neurons send than a core has axons for: partial counters, then the counter.

    W x,  W (O, N) with more than ``most`` columns   ->   W' (P x)      P (G, N): ones where a group's values are added,
                                                                        W' (O, G): the column that a group shares

Columns of W that are alike form groups of at most ``most`` / 2 values; a group's counter is a ``Relay``, which sends how many
came in this step. Exact, but what is counted arrives one synapse later: a gate on its way back to the neurons that are counted
needs a delay of that many steps. A map whose columns differ is left alone: its partial sums are no counts.

Whole channels are counted by a convolution with a window of the whole map: P then holds a one for each of N values, not G N.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Array, Conv, Delay, GateNeuron, Linear, Neuron, Op, Relay, Shape
from spikewright.toolchain.passes.base import Pass, in_place, sends_messages
from spikewright.toolchain.shapes import shapes


@dataclass(frozen=True)
class CountTree(Pass):
    """Put partial counters in front of counters that read too many neurons."""

    name: ClassVar[str] = "count-tree"
    most: int = 1 << 15
    """Axons of a core."""

    def __call__(self, graph: Graph) -> Graph:
        """Split all counters.

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
        """Split the counter at ``op``."""
        if not isinstance(op, Affine) or op.bias is not None or not sends_messages(graph, op.inputs[0]):
            return None
        read = np.flatnonzero(op.weight.any(axis=0))
        counted = all(
            isinstance(reader, Neuron) and reader.sends in ("gate", "value") for reader in graph.readers[op.name]
        )
        if len(read) <= self.most or not counted:
            return None
        kinds, kind = _alike(op.weight[:, read])
        shape = shapes(graph)[op.inputs[0]]
        groups = [
            (k, part)
            for k in range(kinds.shape[1])
            for members in [read[kind == k]]
            for part in np.split(members, _cuts(members.size, shape, -(-2 * members.size // self.most)))
        ]
        if len(groups) > self.most:
            return None
        groups.sort(key=lambda group: int(group[1][0]))
        partial = _counts(op, [members for _, members in groups], shape)
        grid = (len(groups), 1, 1) if isinstance(partial, Conv) else (len(groups),)
        counters = Relay(name=f"{op.name}.counts", inputs=(partial.name,), block=op.block, shape=grid)
        last = replace(op, inputs=(counters.name,), weight=kinds[:, [k for k, _ in groups]])
        return in_place(graph, op, [partial, counters, last])


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


def _counts(op: Affine, groups: list[NDArray[np.int64]], shape: Shape) -> Linear:
    """Return the map that adds up each group of the values of a map of ``shape``."""
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
            CountTree(most)(block.lowerings()["causal"](graph, {}))
