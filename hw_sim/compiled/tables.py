"""Tables of weights, their rows padded to whole vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.compiled import vectors

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
