"""The chip's integer arithmetic, one function each: decay, wrap, clip, gain, shift.

All functions take and return int64 arrays (any shape) and are exact. They are what lava-nc 0.10.0's fixed-point
models compute (``PyLifModelBitAcc``). Somas, interpreter and Lava's own processes all stand on them: if ``wrap_current`` is
wrong, all of ours are wrong together. What checks them from outside: brian2-loihi's vectors, and stock Lava's neurons.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]

STATE_BITS = 24
"""u and v are 24-bit signed (Loihi: Davies et al. 2018; lava-nc 0.10.0 ``lif/models.py``)."""
STATE_LIMIT = 1 << (STATE_BITS - 1)
"""Where a current wraps."""
STATE_MAX = STATE_LIMIT - 1
"""Largest voltage; a threshold of ``STATE_MAX`` is never crossed, so it marks a non-firing neuron."""
DECAY_BITS = 12
"""Bits of a decay."""
DECAY_ONE = 1 << DECAY_BITS
"""A state keeps ``(4096 - decay) / 4096`` of itself each step."""
WEIGHT_BITS = 8
"""Bits of a weight where no chip says otherwise: what every backend holds (lava-nc 0.10.0)."""
PAYLOAD_BITS = 24
"""Graded spikes carry up to 24 bits (Loihi 2 as lava-nc models it)."""
CURRENT_SHIFT = 6
"""Synaptic input enters the 24-bit state shifted left by 6 (Loihi; lava-nc ``a_in << 6``)."""
THRESHOLD_SHIFT = 6
"""Stock Loihi thresholds lie on the grid ``vth << 6``,"""
THRESHOLD_MANTISSA_MAX = (1 << 17) - 1
"""with a mantissa of 17 bits, unsigned."""
BIAS_MANTISSA = (-(1 << 12), (1 << 12) - 1)
"""Smallest and largest bias mantissa: 13 bits signed (lava-nc 0.10.0)."""
BIAS_EXPONENT_MAX = 7
"""Largest bias exponent (3 bits)."""


def decay(state: Int, amount: Int | int) -> Int:
    """Decay a state towards zero: ``sign(x) * ((|x| * (4096 - amount)) >> 12)``.

    As lava-nc 0.10.0 computes it, with 12-bit decays; of any shape (..., n).
    """
    amount = np.asarray(amount, np.int64)
    if (amount == DECAY_ONE).all():
        return np.zeros(np.broadcast_shapes(np.shape(state), amount.shape), np.int64)
    kept: Int = (np.abs(state) * (DECAY_ONE - amount)) >> 12
    return np.sign(state) * kept


def gain(value: Int, level: Int | int, bits: int) -> Int:
    """Scale a value by a gate level, towards zero: ``sign(x) * ((|x| * level) >> bits)``; ``level = 2**bits`` is 1.

    Of any shape (..., n).
    """
    scaled: Int = (np.abs(value) * np.asarray(level, np.int64)) >> bits
    return np.sign(value) * scaled


def wrap_current(u: Int) -> Int:
    """Wrap a current as lava-nc does: above 2^23 minus 2^24, at or below -2^23 plus 2^24 (+2^23 itself stays).

    A current has 24 bits.
    """
    if u.max(initial=0) <= STATE_LIMIT and u.min(initial=0) > -STATE_LIMIT:
        return u
    u = np.where(u > STATE_LIMIT, u - 2 * STATE_LIMIT, u)
    return np.where(u <= -STATE_LIMIT, u + 2 * STATE_LIMIT, u)


def clip_voltage(v: Int) -> Int:
    """Clip a voltage to +-(2^23 - 1). A voltage has 24 bits."""
    return np.clip(v, -STATE_MAX, STATE_MAX)


def shift(value: Int, exponent: int) -> Int:
    """Shift left by ``exponent``, or arithmetically right if it is negative.

    Of any shape (..., n); a right shift rounds down.
    """
    return value << exponent if exponent >= 0 else value >> -exponent


def shifted_bound(bound: int, exponent: int) -> int:
    """Return the largest size of a shifted value of at most ``bound``: a right shift rounds down, so -1 stays -1."""
    return bound << exponent if exponent >= 0 else (bound >> -exponent) + 1
