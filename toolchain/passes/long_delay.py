"""Let delays beyond a chip's longest go over relays: neurons that send on, step for step, what they get.

    delay(x, s)  ->  delay(relay(delay(x, d)), s - d)        d: half of the chip's longest delay, so that room is left to align

Exact; costs a neuron for every value delayed, and a spike for every spike. Delays of one signal share their relays.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from spikewright.toolchain.ir import Graph, fresh
from spikewright.toolchain.ops import Delay, Lif, Op, Relay, Shape
from spikewright.toolchain.passes.base import Pass, sends_binary, sends_messages
from spikewright.toolchain.shapes import shapes


@dataclass(frozen=True)
class LongDelay(Pass):
    """Split what is delayed for longer than ``longest`` chip steps, the one of sending among them."""

    name: ClassVar[str] = "long-delay"
    longest: int = 63

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with relays; the same one if none is needed."""
        long = [op for op in graph if isinstance(op, Delay) and self._is_long(graph, op)]
        return graph if not long else _Relays(graph, max(1, self.longest // 2), shapes(graph)).graph_of(long)

    def _is_long(self, graph: Graph, op: Delay) -> bool:
        return op.steps >= self.longest and not op.initial and sends_messages(graph, op.inputs[0])


@dataclass
class _Relays:
    """``found``: by signal and step, the relay that sends it so much later."""

    graph: Graph
    hop: int
    known: dict[str, Shape]
    found: dict[tuple[str, int], Op] = field(default_factory=dict)

    def graph_of(self, long: list[Delay]) -> Graph:
        names = {op.name for op in long}
        ops: list[Op] = []
        for op in self.graph:
            ops += self._split(op) if isinstance(op, Delay) and op.name in names else [op]
        return self.graph.with_ops(ops)

    def _split(self, op: Delay) -> list[Op]:
        source = op.inputs[0]
        made: list[Op] = []
        for late in range(self.hop, op.steps, self.hop):
            before = self.found.get((source, late - self.hop), self.graph[source])
            if (source, late) not in self.found:
                made += self._relay(op, source, before.name, late)
        last = (op.steps - 1) // self.hop * self.hop
        return [*made, replace(op, inputs=(self.found[source, last].name,), steps=op.steps - last)]

    def _relay(self, op: Delay, source: str, before: str, late: int) -> list[Op]:
        name = fresh(f"{source}.relay{late}", self.graph)
        step = Delay(name=fresh(f"{name}.delay", self.graph), inputs=(before,), block=op.block, steps=self.hop)
        shape = self.known[source]
        sent: Op = Relay(name=name, inputs=(step.name,), block=op.block, shape=shape)
        if sends_binary(self.graph[source]):
            sent = Lif(
                name=name,
                inputs=(step.name,),
                block=op.block,
                shape=shape,
                beta=np.zeros(()),
                v_threshold=np.full((), 0.5),
            )
        self.found[source, late] = sent
        return [step, sent]
