"""Set small weights to zero: ``w -> 0 where |w| < share max|w|``. A zero weight costs no synaptic operation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Conv, Op
from spikewright.toolchain.passes.base import Check, Pass


@dataclass(frozen=True)
class PruneSmall(Pass):
    """Set weights below a tenth of their layer's largest to zero."""

    name: ClassVar[str] = "prune-small"
    after: ClassVar[str] = "lower-bias"
    check: ClassVar[Check] = "drift"
    share: float = 0.1

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Prune the map at ``op``; None once nothing small is left."""
        if not isinstance(op, Affine | Conv):
            return None
        small = np.abs(op.weight) < self.share * np.abs(op.weight).max()
        if not op.weight[small].any():
            return None
        return graph.replace((op,), replace(op, weight=np.where(small, 0.0, op.weight)))
