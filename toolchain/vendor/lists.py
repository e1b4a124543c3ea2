"""Synapse lists: the words that a core's share of one connection takes, by kind.

    dense    Σ over inputs                       ceil64(n (wb + 12) + h)
    sparse   Σ over inputs that reach the core   ceil64(nnz (wb + 12) + h)
    conv     Σ over (input channel, kernel position) and powers of two 2^k of the channels   ceil64(2^k wb + h)

ceil64(b) = ceil(b / 64); n targets on the core, wb bits of a weight, h = 6 bits of header. Dense: 10 of 10 printed rows (nine
with public weights; the QUBO row's wb = 1 is fitted). Conv: 15 of 15, ten of them with wb taken from the row (no weights
public); that channels are cut into powers of two (24 = 16 + 8) is inferred from the rows of PilotNet, the format itself is not
published. Sparse and grouped convolutions: the same lists for the pattern; no printed row has both pattern and words (basis:
assumed).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, inf, log2

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.vendor.numbers import HEADER_BITS, INDEX_BITS, MIN_PIECE, WEIGHT_FIELD, WORD_BITS

TOP_BITS = 8


def weight_bits(weight: NDArray[np.integer]) -> int:
    """Return the bits of a weight in memory, by range, sign and common factor of two.

    wb = 8 - s - (z - signed), s = floor(log2(min(127 / max, -128 / min))) + 1 for mixed signs, floor(log2(255 / max)) for
    none negative, floor(log2(-256 / min)) for all negative; z low bits are zero in every weight. That is the count of the open
    loader (lava-dl 0.6.0, ``netx.utils.optimize_weight_bits``); for mixed weights in steps of 2, as lava-dl exports them, it is
    the range alone. It is then raised to what the chip's weight field holds (7 becomes 8). Zeros only: 0 bits, as lava-nc's
    function of the same name says (the loader divides by zero there).
    """
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    if low == high == 0:
        return 0
    return in_field(bits_by_range(weight))


def bits_by_range(weight: NDArray[np.integer]) -> int:
    """Return the bits as the loader counts them, before the weight field; some weight is not zero."""
    low, high = int(weight.min()), int(weight.max())
    signed = low < 0 <= high
    if signed:
        up = floor(log2(min(127 / high if high else inf, -128 / low))) + 1
    else:
        up = floor(log2(-256 / low if high < 0 else 255 / high))
    common = int(np.bitwise_or.reduce(np.abs(weight.astype(np.int64)), axis=None))
    zeros = min((common & -common).bit_length() - 1, TOP_BITS)
    return TOP_BITS - up - (zeros - signed)


def in_field(bits: int) -> int:
    """Return the fewest bits, at least so many, that the weight field can say; 8 is the most."""
    return next((allowed for allowed in WEIGHT_FIELD if allowed >= bits), TOP_BITS)


def ceil_words(bits: int) -> int:
    """Return the words that hold so many bits."""
    return -(-bits // WORD_BITS)


def pieces(channels: int) -> tuple[int, ...]:
    """Return a number of channels as powers of two, largest first: 24 = 16 + 8."""
    return tuple(1 << k for k in reversed(range(channels.bit_length())) if channels >> k & 1)


def axon_pieces(channels: int) -> int:
    """Return the axons of one position of a grid with so many channels on the core: ``pieces``, none smaller than 4."""
    return len(pieces(-(-channels // MIN_PIECE) * MIN_PIECE))


@dataclass(frozen=True)
class Dense:
    """All-to-all synapses from ``inputs`` sources with weights of ``bits``."""

    inputs: int
    bits: int

    def words(self, first: int, last: int) -> int:
        """Return the words of targets ``first`` .. ``last`` - 1."""
        return self.inputs * ceil_words((last - first) * (self.bits + INDEX_BITS) + HEADER_BITS)

    def axons_in(self, first: int, last: int) -> int:
        """Return the axons that arrive at these targets."""
        return self.inputs


@dataclass(frozen=True, eq=False)
class Sparse:
    """Synapse i reaches target ``targets[i]``, in rising order, from input ``sources[i]``; weights of ``bits``."""

    targets: NDArray[np.integer]
    sources: NDArray[np.integer]
    bits: int

    def words(self, first: int, last: int) -> int:
        """Return the words of targets ``first`` .. ``last`` - 1."""
        held = self._lengths(first, last) * (self.bits + INDEX_BITS) + HEADER_BITS
        return int((-(-held // WORD_BITS)).sum())

    def axons_in(self, first: int, last: int) -> int:
        """Return the axons that arrive at these targets."""
        return len(self._lengths(first, last))

    def _lengths(self, first: int, last: int) -> NDArray[np.int64]:
        """Return the synapses of each list that these targets need: (inputs that reach them,)."""
        start, stop = np.searchsorted(self.targets, (first, last))
        counts: NDArray[np.int64] = np.unique(self.sources[start:stop], return_counts=True)[1].astype(np.int64)
        return counts


@dataclass(frozen=True)
class OneToOne:
    """Neuron i to neuron i: a sparse pattern of one synapse a list."""

    bits: int

    def words(self, first: int, last: int) -> int:
        """Return the words of targets ``first`` .. ``last`` - 1."""
        return (last - first) * ceil_words(self.bits + INDEX_BITS + HEADER_BITS)

    def axons_in(self, first: int, last: int) -> int:
        """Return the axons that arrive at these targets."""
        return last - first


@dataclass(frozen=True)
class Conv:
    """A kernel of ``area`` positions on ``inputs`` channels; ``outputs`` channels in ``groups`` groups; weights of ``bits``."""

    inputs: int
    area: int
    bits: int
    outputs: int
    groups: int = 1

    def words(self, channels: int) -> int:
        """Return the words of a slice of so many output channels, wherever it lies in the image."""
        fan = self.outputs // self.groups
        groups = -(-channels // fan)
        each = sum(ceil_words(piece * self.bits + HEADER_BITS) for piece in pieces(min(channels, fan)))
        return self.inputs // self.groups * groups * self.area * each


@dataclass(frozen=True)
class FromHost:
    """The host sets biases: one axon, no synapse (PilotNet's input row)."""


OnList = Dense | Sparse | OneToOne
Connection = OnList | Conv | FromHost
