"""Count in two levels what more neurons send than a core has axons for: partial counters, then the counter.

    W x,  W (O, N) with more than ``most`` columns   ->   W' (P x)      P (G, N): ones where a group's values are added,
                                                                        W' (O, G): the column that a group shares

Columns of W that are alike form groups of at most ``most`` / 2 values; a group's counter is a ``Relay``, which sends how many
came in this step. Exact, but what is counted arrives one synapse later: a gate on its way back to the neurons that are counted
needs a delay of that many steps. A map whose columns differ is left alone: its partial sums are no counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import numpy as np

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Delay, GateNeuron, Neuron, Op, Relay
from spikewright.toolchain.passes.base import Pass, in_place, sends_messages


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
        kinds, kind = np.unique(op.weight[:, read], axis=1, return_inverse=True)
        groups = [
            (k, part)
            for k in range(kinds.shape[1])
            for members in [read[kind.reshape(-1) == k]]
            for part in np.array_split(members, -(-2 * len(members) // self.most))
        ]
        if len(groups) > self.most:
            return None
        ones = np.zeros((len(groups), op.weight.shape[1]))
        for row, (_, members) in enumerate(groups):
            ones[row, members] = 1
        partial = Affine(name=f"{op.name}.partial", inputs=op.inputs, block=op.block, weight=ones)
        counters = Relay(name=f"{op.name}.counts", inputs=(partial.name,), block=op.block, shape=(len(groups),))
        last = replace(op, inputs=(counters.name,), weight=kinds[:, [k for k, _ in groups]])
        return in_place(graph, op, [partial, counters, last])


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
