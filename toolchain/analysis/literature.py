"""The energy convention of SNN papers: 0.9 pJ an accumulate, 4.6 pJ a MAC. A convention, not a prediction for any chip.

    SNN = 0.9 (binary SOPs) + 4.6 (graded SOPs + host MACs) + 3.7 (gate multiplies)      ANN = 4.6 (MACs of one frame)

Horowitz, ISSCC 2014, 45 nm fp32: arithmetic only, no memory, routing, neuron update or leakage.
"""

from __future__ import annotations

from dataclasses import dataclass

MAC_PJ = 4.6
"""fp32 multiply and add, pJ; Horowitz, ISSCC 2014, 45 nm."""
AC_PJ = 0.9
"""fp32 add, pJ; same source."""
MULTIPLY_PJ = 3.7
"""fp32 multiply, pJ; same source."""
LABEL = "literature convention (Horowitz, ISSCC 2014, 45 nm fp32), not a chip prediction"


@dataclass(frozen=True)
class Literature:
    """Energies per sample by the papers' convention, J.

    Args:
        snn_j: The spiking net, with all its classes of operations.
        snn_accumulates_only_j: Binary SOPs alone: what most papers count.
        ann_j: A dense artificial net of the same shape, one frame.
        ann_macs: Its MACs.
        label: What these figures are.
    """

    snn_j: float
    snn_accumulates_only_j: float
    ann_j: float
    ann_macs: int
    label: str = LABEL


def literature(*, binary: float, graded: float, gate_multiplies: float, host_macs: float, ann_macs: int) -> Literature:
    """Return the convention's figures from counts per sample."""
    accumulates = binary * AC_PJ
    rest = (graded + host_macs) * MAC_PJ + gate_multiplies * MULTIPLY_PJ
    return Literature((accumulates + rest) * 1e-12, accumulates * 1e-12, ann_macs * MAC_PJ * 1e-12, ann_macs)
