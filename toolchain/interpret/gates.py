"""Gate functions h, from a real argument to a gain in [0, 1]."""

from __future__ import annotations

import numpy as np

from spikewright.toolchain.ops import Array

POW2_LEVELS = np.array([0.0, 0.125, 0.25, 0.5, 1.0])
"""Gains that are shifts."""


def hard(x: Array) -> Array:
    """Return clip(x / 4 + 1/2, 0, 1)."""
    return np.clip(x / 4 + 0.5, 0, 1)


def gate_function(name: str, x: Array) -> Array:
    """Return h(x) for ``hard``, ``sigmoid``, ``pow2`` or ``binary``."""
    match name:
        case "hard":
            return hard(x)
        case "sigmoid":
            return np.asarray(np.exp(-np.logaddexp(0, -x)))
        case "pow2":
            middles = (POW2_LEVELS[1:] + POW2_LEVELS[:-1]) / 2
            return POW2_LEVELS[np.searchsorted(middles, hard(x), side="right")]
        case _:
            return (hard(x) >= 0.5).astype(np.float64)
