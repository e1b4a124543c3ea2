"""Drive a bias through a synaptic filter with a neuron that always fires: chip biases enter behind the filter, these before it.

    u = alpha u + (W x + b)   ->   u = alpha u + (W x + b s),   s = 1 at every step

Exact; costs one neuron and one synapse per biased neuron.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import numpy as np

from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Lif, Linear, Neuron, Op, Shape
from spikewright.toolchain.passes.base import Pass, is_readout


@dataclass(frozen=True)
class LowerBias(Pass):
    """Move biases in front of a current-based ``Lif``, or of a leaky read-out, to synapses of an always-firing neuron."""

    name: ClassVar[str] = "lower-bias"

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Lower the biases of the maps that ``op`` reads."""
        if not (isinstance(op, Neuron) and op.filters and (op.fires or is_readout(graph, op))):
            return None
        maps = [m for name in op.inputs if isinstance(m := graph[name], Linear) and m.bias is not None]
        if not maps:
            return None
        n = prod(op.shape)
        total = sum((np.repeat(m.bias, n // m.bias.size) for m in maps if m.bias is not None), np.zeros(n))
        free = {m.name: replace(m, bias=None) for m in maps}
        graph = graph.map(lambda other: free.get(other.name, other))
        if not total.any():
            return graph
        clock = always_on(f"{op.name}.on", op.block)
        drive = Affine(name=f"{op.name}.bias", inputs=(clock.name,), block=op.block, weight=total[:, None])
        inputs = (*op.currents, drive.name, *op.inputs[len(op.currents) :])
        return graph.replace((op,), (clock, drive, replace(op, inputs=inputs)))


def always_on(name: str, block: str, shape: Shape = (1,)) -> Lif:
    """Return neurons that fire at every step."""
    return Lif(name=name, block=block, shape=shape, beta=np.zeros(()), leak=np.ones(()), v_threshold=np.full((), 0.5))
