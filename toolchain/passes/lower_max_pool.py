"""Lower max pooling of binary spikes to OR neurons.

    max over a window of spikes  =  [sum over the window > 1/2]

    max(g s)  =  g max(s)        for an attention block's gate g >= 0 that is one for the window

Exact for binary spikes; a map of graded spikes is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Conv, Lif, MaxPool, Op
from spikewright.toolchain.passes.base import Pass, drop_unread, sends_binary
from spikewright.toolchain.shapes import shapes


@dataclass(frozen=True)
class LowerMaxPool(Pass):
    """Replace ``MaxPool`` by a depthwise ``Conv`` of ones and a memoryless ``Lif``."""

    name: ClassVar[str] = "lower-max-pool"

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Lower the pool at ``op``.

        Raises:
            UnsupportedNodeError: What it pools is not binary spikes.
        """
        if not isinstance(op, MaxPool):
            return None
        source = graph[op.inputs[0]]
        if isinstance(source, AttentionBlock) and (moved := source.behind_pool(graph, op)) is not None:
            return moved
        if not sends_binary(source):
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
    """Move every max pool in front of an attention block where that is exact; the same graph if there is none."""
    for op in graph:
        if isinstance(op, MaxPool) and isinstance(block := graph[op.inputs[0]], AttentionBlock):
            moved = block.behind_pool(graph, op)
            if moved is not None:
                return pool_first(drop_unread(moved))
    return graph
