"""Give a factor on spikes that no linear map took up synapses of its own, one a neuron: ``s x  ->  diag(s) x``."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Conv, Delay, Op, Scale
from spikewright.toolchain.parameters import grid
from spikewright.toolchain.passes.base import Pass, sends_messages
from spikewright.toolchain.passes.fold_scale import vector
from spikewright.toolchain.shapes import shapes

WIDEST = 4096
"""Neurons in a row that a factor on spikes may have its own synapses for (a matrix of this size squared)."""


@dataclass(frozen=True)
class LowerScale(Pass):
    """Replace a ``Scale`` that reads messages, delayed or not, by a diagonal map."""

    name: ClassVar[str] = "lower-scale"

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Lower the ``Scale`` at ``op``."""
        if (
            not isinstance(op, Scale)
            or op.shift is not None
            or not sends_messages(graph, _undelayed(graph, op.inputs[0]))
        ):
            return None
        shape = shapes(graph)[op.name]
        if len(shape) > 1 and np.ndim(op.scale) <= 1:
            weight = vector(op.scale, shape[0], 1.0).reshape(-1, 1, 1, 1)
            made: Op = Conv(name=op.name, inputs=op.inputs, block=op.block, weight=weight, groups=shape[0])
        elif prod(shape) <= WIDEST:
            diagonal = np.broadcast_to(grid(op.scale, shape), shape).reshape(-1)
            made = Affine(name=op.name, inputs=op.inputs, block=op.block, weight=np.diag(diagonal))
        else:
            return None
        return graph.replace((op,), made)


def _undelayed(graph: Graph, name: str) -> str:
    while isinstance(op := graph[name], Delay):
        name = op.inputs[0]
    return name
