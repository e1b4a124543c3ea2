"""Weights as lava-dl's loader leaves them in a Dense synapse, and the form this chip's synapses take.

The loader (``netx.utils.optimize_weight_bits``, lava-dl 0.6.0) clips mixed weights to -256 .. 254, moves the largest weight to
the top of 8 bits (``w << k``, exponent ``-k``) and counts bits; Lava's Dense then clips by sign and drops low bits. The result
is ``w`` again, but where a matrix without positive weights holds -2^n: its largest weight is then rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log2

import numpy as np

from spikewright.toolchain.integer import IntArray

BITS = 8
MIXED = (-256, 254)
"""Weights of both signs that the loader keeps; it clips others."""


class LostError(ValueError):
    """Weights that the loader shifts by a negative amount, which leaves nothing of them."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Integer weights and the exponent they share: what arrives is ``(weight x) << exponent``."""

    weight: IntArray
    exponent: int = 0


def loaded(*parts: IntArray) -> list[Weights]:
    """Return what the loader makes of matrices that share bits and exponent (``weight`` and ``weight_rec``), in chip form.

    Raises:
        LostError: The loader would leave nothing of them.
    """
    whole = np.hstack(parts)
    low, high = int(whole.min()), int(whole.max())
    if low == high == 0:  # the loader divides by zero here; nothing is meant
        return [Weights(part) for part in parts]
    if (high > MIXED[1] and low < 0) or (low < MIXED[0] and high > 0):
        parts = tuple(np.clip(part, *MIXED) for part in parts)
        whole = np.hstack(parts)
        low, high = int(whole.min()), int(whole.max())
    signed = low < 0 <= high
    up = _shift(low, high, signed)
    if up < 0:
        raise LostError(f"weights run from {low} to {high}; 8 bits hold -255 .. 0 or 0 .. 255")
    bits = BITS - up - (_zeros(whole) - signed)
    return [_chip_form(_held(part << up, bits), up) for part in parts]


def _shift(low: int, high: int, signed: bool) -> int:
    """Return by how many bits the loader moves weights up."""
    if signed:
        return floor(log2(min(127 / high if high else np.inf, -128 / low))) + 1
    scale = -256 / low if high < 0 else 255 / high
    return floor(log2(scale))


def _zeros(weight: IntArray) -> int:
    """Return how many low bits are zero in every weight, at most 8."""
    return next((n for n in range(BITS, 0, -1) if not np.any(weight % (1 << n))), 0)


def _held(weight: IntArray, bits: int) -> IntArray:
    """Return weights after Lava's ``clip_weights`` and ``truncate_weights``; its sign mode is that of this matrix alone."""
    low, high = int(weight.min()), int(weight.max())
    mixed = low < 0 < high
    sign = -1 if high <= 0 and low < 0 else 1
    clipped = np.clip(sign * weight, -256 if mixed else 0, 255)
    drop = BITS - bits + mixed
    if drop < 0:
        raise LostError(f"odd weights from {low} to {high} take 9 bits")
    return sign * ((clipped >> drop) << drop)


def _chip_form(weight: IntArray, up: int) -> Weights:
    """Return ``(weight x) >> up`` with as small a shift as the chip's weights allow."""
    if np.any(weight % (1 << up)):
        return Weights(weight, -up)
    return chip_form(weight >> up)


def chip_form(weight: IntArray) -> Weights:
    """Return integer weights as 8-bit weights and an exponent where that is possible, else as they are.

    Mixed signs are even on the chip: odd ones of up to 7 bits go in twice as large, with exponent -1.
    """
    low, high = int(weight.min()), int(weight.max())
    exponent = 0
    while (low < -256 or high > 255) and not np.any(weight % 2):
        weight, exponent = weight >> 1, exponent + 1
        low, high = low >> 1, high >> 1
    if low < 0 < high and exponent == 0 and np.any(weight % 2) and low >= -128 and high <= 127:
        return Weights(weight * 2, -1)
    return Weights(weight, exponent)


def effective(weight: IntArray, exponent: int) -> IntArray | None:
    """Return the integers ``weight << exponent``, or None where that is no integer matrix."""
    if exponent >= 0:
        return weight << exponent
    return None if np.any(weight % (1 << -exponent)) else weight >> -exponent
