"""Gate functions h, from a real score to a gain in [0, 1], and their form on a chip: integer thresholds.

    sigmoid  1 / (1 + exp(-x))
    hard     clip(x / 4 + 1/2, 0, 1)
    pow2     the nearest of {0, 1/8, 1/4, 1/2, 1} to hard(x), a tie upward: a shift on the chip
    binary   1 where hard(x) >= 1/2, else 0: a mask

All are monotone, so level = levels[count(acc + bias >= thresholds)]; of 2^bits levels the k-th is reached at
h(x) >= (k - 1/2) / 2^bits,  x = acc S.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.fixed_point import STATE_MAX

Array = NDArray[np.float64]
GateName = Literal["sigmoid", "hard", "pow2", "binary"]
GATES: tuple[str, ...] = get_args(GateName)
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


def gate_levels(
    function: str, unit: float, bits: int, *, largest: float | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (thresholds (K,), levels (K + 1,)) of a gate function in units of S = ``unit``; ``largest``: sum compared."""
    one = 1 << bits
    if function in ("hard", "sigmoid"):
        rise = (np.arange(1, one + 1) - 0.5) / one
        x = 4 * (rise - 0.5) if function == "hard" else np.log(rise / (1 - rise))
        levels = np.arange(one + 1)
    elif function == "pow2":
        middles = (POW2_LEVELS[1:] + POW2_LEVELS[:-1]) / 2
        x, levels = 4 * (middles - 0.5), POW2_LEVELS * one
    else:
        x, levels = np.zeros(1), np.array([0, one])
    far = 2.0 * STATE_MAX if largest is None else largest
    steps = np.ceil(np.clip(x / unit, -far, far) - 1e-9).astype(np.int64)
    return steps, np.asarray(levels).astype(np.int64)


def wide_levels(function: str, unit: float, bits: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (thresholds, levels) for sums of 62 bits instead of the 24 of a state."""
    return gate_levels(function, unit, bits, largest=float(1 << 62))
