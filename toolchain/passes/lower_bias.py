"""Drive a bias in front of a synaptic filter, or of a delay, by a neuron that always fires: a chip's bias enters behind both.

    u = alpha u + (W x + b)[t - d]   ->   u = alpha u + (W x)[t - d] + b s[t - d],   s = 1 at every step

Exact; costs one neuron and one synapse per biased neuron.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import numpy as np

from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Array, Delay, Lif, Linear, Neuron, Op, Output
from spikewright.toolchain.passes.base import Pass, is_readout
from spikewright.toolchain.shapes import shapes


@dataclass(frozen=True)
class LowerBias(Pass):
    """Move biases in front of a delay, a current-based ``Lif``, or a leaky read-out, to synapses of an always-firing neuron."""

    name: ClassVar[str] = "lower-bias"

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Lower the biases of the maps that ``op`` reads."""
        if not (isinstance(op, Neuron | Output) and (not isinstance(op, Neuron) or op.fires or is_readout(graph, op))):
            return None
        behind = isinstance(op, Neuron) and op.filters
        currents = op.currents if isinstance(op, Neuron) else op.inputs
        read = [(steps, m) for m, steps in (_late(graph, name) for name in currents) if isinstance(m, Linear)]
        biased = [(steps, m) for steps, m in read if m.bias is not None and (behind or steps)]
        if not biased:
            return None
        free = {m.name: replace(m, bias=None) for _, m in biased}
        shape = shapes(graph)[op.inputs[0]] if isinstance(op, Output) else op.shape
        graph = graph.map(lambda other: free.get(other.name, other))
        totals: dict[int, Array] = {}
        for steps, m in biased:
            assert m.bias is not None
            totals[steps] = totals.get(steps, np.zeros(prod(shape))) + np.repeat(m.bias, prod(shape) // m.bias.size)
        made = _clocked(op, {steps: total for steps, total in totals.items() if total.any()})
        if not made:
            return graph
        drives = tuple(drive.name for drive in made if isinstance(drive, Affine))
        current = replace(graph[op.name], inputs=(*currents, *drives, *op.inputs[len(currents) :]))
        return graph.replace((graph[op.name],), (*made, current))


def _late(graph: Graph, name: str) -> tuple[Op, int]:
    """Return what a signal is in front of its delays, and how many steps they take."""
    steps = 0
    while isinstance(op := graph[name], Delay):
        steps, name = steps + op.steps, op.inputs[0]
    return op, steps


def _clocked(op: Op, totals: dict[int, Array]) -> list[Op]:
    """Return a neuron that always fires, and its synapses: one map for every delay of biases, which arrive as late."""
    if not totals:
        return []
    clock = Lif(
        name=f"{op.name}.on",
        block=op.block,
        shape=(1,),
        beta=np.zeros(()),
        leak=np.ones(()),
        v_threshold=np.full((), 0.5),
    )
    made: list[Op] = [clock]
    for steps, total in totals.items():
        source, end = clock.name, f".{steps}" if steps else ""
        if steps:
            late = Delay(name=f"{op.name}.on{end}", block=op.block, inputs=(clock.name,), steps=steps)
            made.append(late)
            source = late.name
        made.append(Affine(name=f"{op.name}.bias{end}", inputs=(source,), block=op.block, weight=total[:, None]))
    return made
