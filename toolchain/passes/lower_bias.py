"""Drive a bias through a synaptic filter with a neuron that always fires: chip biases enter behind the filter, these before it.

    u = alpha u + (W x + b)   ->   u = alpha u + (W x + b s),   s = 1 at every step

Exact; costs one neuron and one synapse per biased neuron.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Accumulator, Affine, Array, Conv, Lif, Op, Output
from spikewright.toolchain.passes.base import Pass


@dataclass(frozen=True)
class LowerBias(Pass):
    """Move biases in front of a current-based ``Lif``, or of a leaky read-out, to synapses of an always-firing neuron."""

    name: ClassVar[str] = "lower-bias"

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Lower the biases of the maps that ``op`` reads."""
        if not isinstance(op, Lif | Accumulator) or not _filters(graph, op):
            return None
        maps = [m for name in op.inputs if isinstance(m := graph[name], Affine | Conv) and m.bias is not None]
        if not maps:
            return None
        total = sum((per_neuron(m, op) for m in maps), np.zeros(int(np.prod(op.shape))))
        free = {m.name: replace(m, bias=None) for m in maps}
        graph = graph.map(lambda other: free.get(other.name, other))
        if not total.any():
            return graph
        clock = Lif(
            name=f"{op.name}.on",
            block=op.block,
            shape=(1,),
            beta=np.zeros(()),
            leak=np.ones(()),
            v_threshold=np.full((), 0.5),
        )
        drive = Affine(name=f"{op.name}.bias", inputs=(clock.name,), block=op.block, weight=total[:, None])
        currents = len(op.inputs) - (op.gates if isinstance(op, Lif) else 0)
        inputs = (*op.inputs[:currents], drive.name, *op.inputs[currents:])
        return graph.replace((op,), (clock, drive, replace(op, inputs=inputs)))


def _filters(graph: Graph, op: Lif | Accumulator) -> bool:
    """Say whether a neuron (or a non-spiking one that is the read-out) keeps its synaptic input for later steps."""
    if isinstance(op, Lif):
        return bool(np.asarray(op.alpha).any())
    return op.decay > 0 and all(isinstance(reader, Output) for reader in graph.readers[op.name])


def per_neuron(linear: Affine | Conv, op: Lif | Accumulator) -> Array:
    """Return a map's bias for every neuron, flat in C order."""
    assert linear.bias is not None
    return np.repeat(linear.bias, int(np.prod(op.shape)) // linear.bias.size)
