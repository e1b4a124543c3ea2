"""Tabulate a monotone gate function h as integer thresholds: level = levels[count(acc + bias >= thresholds)].

level k of 2^bits is reached at  h(x) >= (k - 1/2) / 2^bits,   x = acc S
"""

from __future__ import annotations

import numpy as np

from spikewright.hw_sim.fixed_point import STATE_MAX
from spikewright.toolchain.integer import IntArray
from spikewright.toolchain.interpret.gates import POW2_LEVELS


def gate_levels(function: str, unit: float, bits: int) -> tuple[IntArray, IntArray]:
    """Return (thresholds (K,), levels (K + 1,)) of a gate function in units of S = ``unit``."""
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
    steps = np.ceil(np.clip(x / unit, -2.0 * STATE_MAX, 2.0 * STATE_MAX) - 1e-9).astype(np.int64)
    return steps, np.asarray(levels).astype(np.int64)
