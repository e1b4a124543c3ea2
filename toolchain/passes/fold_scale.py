"""Fold a ``Scale`` (a batch norm in inference form) into the linear map in front of it.

    s (W x + b) + c  ->  (s W) x + (s b + c)

Exact in real arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from toolchain.ir import Graph
from toolchain.ops import Affine, Array, Conv, Op, Scale
from toolchain.passes.base import Pass


def _vector(parameter: Array | None, n: int, default: float) -> Array:
    return np.full(n, default) if parameter is None else np.broadcast_to(np.asarray(parameter), (n,)).copy()


@dataclass(frozen=True)
class FoldScale(Pass):
    """Fold ``Scale`` into the ``Affine`` or ``Conv`` that feeds it."""

    name: ClassVar[str] = "fold-scale"

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Merge the pair at ``op``; see the module's equation."""
        match graph.producer(op), op:
            case (Affine() | Conv()) as linear, Scale(scale=s, shift=c) if np.ndim(s) <= 1:
                n = linear.weight.shape[0]
                scale = _vector(s, n, 1.0)
                weight = linear.weight * scale.reshape(-1, *(1,) * (linear.weight.ndim - 1))
                bias = scale * _vector(linear.bias, n, 0.0) + _vector(c, n, 0.0)
                folded = replace(linear, name=op.name, weight=weight, bias=bias)
                gone = (linear, op) if graph.feeds_only(linear, op) else (op,)
                return graph.replace(gone, folded)
            case _:
                return None
