"""A number with its unit, its basis and, where known, its band: ``sum`` adds values and bands and takes the worst basis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spikewright.hw_sim.costs import Basis, worst_basis


@dataclass(frozen=True)
class Quantity:
    """One figure.

    Args:
        value: Nominal.
        unit: ``J``, ``s``, ``W``, ``pJ``, ``count``, or empty for a share.
        basis: How it is known; of a sum, the worst of its parts.
        low: Lower end of the band; None: no band is known.
        high: Upper end.
    """

    value: float
    unit: str
    basis: Basis
    low: float | None = None
    high: float | None = None

    def times(self, factor: float) -> Quantity:
        """Return the figure and its band times a factor >= 0."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return Quantity(self.value * factor, self.unit, self.basis, low, high)


def total(parts: Iterable[Quantity], unit: str) -> Quantity:
    """Return the sum of figures of one unit; a part without a band counts as known exactly. Of nothing: 0, ``measured``."""
    found = list(parts)
    bases: list[Basis] = [part.basis for part in found]
    value = sum(part.value for part in found)
    low = sum(part.value if part.low is None else part.low for part in found)
    high = sum(part.value if part.high is None else part.high for part in found)
    return Quantity(value, unit, worst_basis(bases), low, high)
