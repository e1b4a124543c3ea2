"""Let an ``Affine``, ``Flatten`` or the output read the map itself: all number its values in C order anyway.

Neurons behind a ``Flatten`` get the shape of the map, and the ``Flatten`` goes behind them. Exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from spikewright.toolchain.ir import Graph, rename_operands
from spikewright.toolchain.ops import Affine, Flatten, Lif, Op, Output, Shape
from spikewright.toolchain.passes.base import Pass
from spikewright.toolchain.shapes import shapes


@dataclass(frozen=True)
class DropFlatten(Pass):
    """Take ``Flatten`` away from in front of its readers."""

    name: ClassVar[str] = "drop-flatten"

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Bypass the ``Flatten`` in front of ``op``."""
        match graph.producer(op), op:
            case Flatten() as flat, Affine() | Flatten() | Output() if len(op.inputs) == 1:
                return graph.replace((op,), replace(op, inputs=flat.inputs))
            case Flatten() as flat, Lif(gates=0) if len(op.inputs) == 1:
                return _flatten_behind(graph, op, _unflattened(op, flat, shapes(graph)[flat.inputs[0]]))
            case _:
                return None


def _unflattened(op: Lif, flat: Flatten, shape: Shape) -> Lif:
    """Return the neurons in the shape of the map in front of ``flat``."""
    fields = ("beta", "v_threshold", "gain", "alpha", "gain_u", "leak", "v_reset", "v_min", "v_subtract", "v_start")
    grown = {name: value.reshape(shape) for name in fields if np.size(value := getattr(op, name)) > 1}
    return replace(op, inputs=flat.inputs, shape=shape, **grown)


def _flatten_behind(graph: Graph, op: Lif, neuron: Lif) -> Graph:
    """Put ``neuron`` in the place of ``op``; who read ``op`` reads it flattened."""
    flat = Flatten(name=f"{op.name}.flat", inputs=(op.name,), block=op.block)
    ops: list[Op] = []
    for other in graph:
        ops.extend((neuron, flat) if other is op else (rename_operands(other, {op.name: flat.name}),))
    return graph.with_ops(ops)
