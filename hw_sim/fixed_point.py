"""The chip's integer arithmetic, one function each: decay, wrap, clip, gain, shift.

All functions take and return int64 arrays (any shape) and are exact. They are what lava-nc 0.10.0's fixed-point
models compute (``PyLifModelBitAcc``); the same functions serve the interpreter and the engine's reference path.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]

STATE_LIMIT = 1 << 23
"""u and v are 24-bit signed (Loihi: Davies et al. 2018; lava-nc 0.10.0 ``lif/models.py``)."""
STATE_MAX = STATE_LIMIT - 1
"""Largest voltage; a threshold of ``STATE_MAX`` is never crossed, so it marks a non-firing neuron."""
DECAY_ONE = 4096
"""Decays are 12-bit: a state keeps ``(4096 - decay) / 4096`` of itself each step."""
CURRENT_SHIFT = 6
"""Synaptic input enters the 24-bit state shifted left by 6 (Loihi; lava-nc ``a_in << 6``)."""
THRESHOLD_SHIFT = 6
"""Stock Loihi thresholds lie on the grid ``vth << 6`` (17-bit mantissa)."""


def decay(state: Int, amount: Int | int) -> Int:
    """Decay a state towards zero: ``sign(x) * ((|x| * (4096 - amount)) >> 12)``."""
    kept: Int = (np.abs(state) * (DECAY_ONE - np.asarray(amount, np.int64))) >> 12
    return np.sign(state) * kept


def gain(value: Int, level: Int | int, bits: int) -> Int:
    """Scale a value by a gate level, towards zero: ``sign(x) * ((|x| * level) >> bits)``; ``level = 2**bits`` is 1."""
    scaled: Int = (np.abs(value) * np.asarray(level, np.int64)) >> bits
    return np.sign(value) * scaled


def wrap_current(u: Int) -> Int:
    """Wrap a current as lava-nc does: above 2^23 minus 2^24, at or below -2^23 plus 2^24 (+2^23 itself stays)."""
    u = np.where(u > STATE_LIMIT, u - 2 * STATE_LIMIT, u)
    return np.where(u <= -STATE_LIMIT, u + 2 * STATE_LIMIT, u)


def clip_voltage(v: Int) -> Int:
    """Clip a voltage to +-(2^23 - 1)."""
    return np.clip(v, -STATE_MAX, STATE_MAX)


def shift(value: Int, exponent: int) -> Int:
    """Shift left by ``exponent``, or arithmetically right if it is negative."""
    return value << exponent if exponent >= 0 else value >> -exponent
