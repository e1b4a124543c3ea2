"""Lower max pooling of binary spikes to OR neurons.

    max over a window of spikes  =  [sum over the window > 1/2]

    max(g s)  =  g max(s)        for a gate g >= 0 that is one for the window (TCJA's)

Exact for binary spikes; a map of graded spikes is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import AttentiveLif, Conv, Input, JointGate, Lif, MaxPool, Op, StaaLif
from spikewright.toolchain.passes.base import Pass, drop_unread
from spikewright.toolchain.shapes import shapes


@dataclass(frozen=True)
class LowerMaxPool(Pass):
    """Replace ``MaxPool`` by a depthwise ``Conv`` of ones and a memoryless ``Lif``."""

    name: ClassVar[str] = "lower-max-pool"
    binary_input: bool = True
    """Whether the net's input is binary spikes."""

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Lower the pool at ``op``."""
        if not isinstance(op, MaxPool):
            return None
        source = graph[op.inputs[0]]
        if isinstance(source, JointGate):
            return _pool_first(graph, source, op)
        binary = isinstance(source, AttentiveLif) or (isinstance(source, Input) and self.binary_input)
        binary = binary or (isinstance(source, Lif) and not source.output_gate)
        binary = binary or (isinstance(source, StaaLif) and source.variant == "causal")
        if not binary:
            raise UnsupportedNodeError(
                f"max pooling of {type(source).__name__} {source.name!r}, which is not binary spikes",
                where=f"op {op.name!r}",
                help="put the max pool behind a spiking neuron, or use average pooling",
            )
        known = shapes(graph)
        window = Conv(
            name=f"{op.name}.window",
            inputs=op.inputs,
            block=op.block,
            weight=np.ones((known[source.name][0], 1, *op.kernel)),
            stride=op.stride,
            padding=op.padding,
            groups=known[source.name][0],
        )
        fires = Lif(
            name=op.name,
            inputs=(window.name,),
            block=op.block,
            shape=known[op.name],
            beta=np.zeros(()),
            v_threshold=np.full((), 0.5),
        )
        return graph.replace((op,), (window, fires))


def pool_first(graph: Graph) -> Graph:
    """Move every max pool behind a TCJA gate in front of it; the same graph if there is none."""
    for op in graph:
        if isinstance(op, MaxPool) and isinstance(gate := graph[op.inputs[0]], JointGate):
            return pool_first(drop_unread(_pool_first(graph, gate, op)))
    return graph


def _pool_first(graph: Graph, gate: JointGate, op: MaxPool) -> Graph:
    """Gate the pooled spikes; what is counted stays what it was."""
    pool = replace(op, name=f"{op.name}.spikes", inputs=gate.inputs[-1:])
    pooled = replace(gate, name=op.name, inputs=(gate.inputs[0], pool.name), shape=shapes(graph)[op.name])
    return graph.replace((op,), (pool, pooled))
