"""When neurons of a ``.net`` file fire: above their threshold, as on the chip, or at it, as they were trained.

v >= k   is   v > k - 1      k, v: integers
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spikewright.hw_sim.fixed_point import STATE_MAX
from spikewright.hw_sim.somas import Lif
from spikewright.toolchain.integer import IntNeuron, neurons_of
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op
from spikewright.toolchain.options import SPELLED


def firing(graph: Graph) -> list[str]:
    """Return the names of the neurons that some state makes fire."""
    return [op.name for op in neurons_of(graph) if isinstance(op.soma, Lif) and np.any(op.soma.threshold < STATE_MAX)]


def compared(graph: Graph, comparison: str | None) -> Graph:
    """Return the graph whose neurons fire as ``--comparison`` says; None: as they are, above their threshold."""
    if SPELLED.get(comparison or "", comparison) != ">=":
        return graph
    fires = set(firing(graph))

    def at_threshold(op: Op) -> Op:
        if op.name not in fires or not isinstance(op, IntNeuron) or not isinstance(op.soma, Lif):
            return op
        threshold = np.where(op.soma.threshold < STATE_MAX, op.soma.threshold - 1, STATE_MAX)
        return replace(op, soma=replace(op.soma, threshold=threshold))

    return graph.map(at_threshold)
