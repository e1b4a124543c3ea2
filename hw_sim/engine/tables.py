"""Tables of weights: their shape is checked, and their rows are padded to whole vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.engine import vectors
from spikewright.hw_sim.errors import ProgramError

AnyInt = NDArray[Any]

SHORT = 1 << 15
"""Sums below this in size fit 16 bits."""


def padded(rows: AnyInt, peak: int) -> AnyInt:
    """Return rows padded to whole vectors, in 16 bits where every sum stays below ``peak`` and that fits."""
    dtype = np.dtype(np.int16) if peak < SHORT else rows.dtype
    lane = vectors.lanes(dtype.itemsize)
    table = np.zeros((rows.shape[0], -(-rows.shape[1] // lane) * lane), dtype)
    table[:, : rows.shape[1]] = rows
    return table


def expect(name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Raise unless a projection's synapses have the shape that the populations ask for."""
    if tuple(found) != tuple(wanted):
        raise ProgramError(
            f"synapses of shape {tuple(found)} do not fit the populations; expected {tuple(wanted)}",
            where=f"projection {name!r}",
            help="give the weight as (target neurons, source neurons), or mend the population shapes",
        )
