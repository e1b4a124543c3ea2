"""Choosing integers: 8-bit even weights with a power-of-two exponent, one unit for all synapses that meet in a neuron.

W ~ w 2^e S,   w even in -256 .. 254 (8-bit mixed-sign weights drop their lowest bit: nir_lava.md 4.2);
               of one sign 0 .. 255 or -255 .. 0, where the weights are integers of this form as they are
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, inf, log2, prod
from typing import Self

import numpy as np

from spikewright.hw_sim.chip import CoreLimits
from spikewright.hw_sim.fixed_point import (
    BIAS_EXPONENT_MAX,
    BIAS_MANTISSA,
    CURRENT_SHIFT,
    DECAY_ONE,
    STATE_MAX,
    shifted_bound,
)
from spikewright.toolchain.errors import PassError
from spikewright.toolchain.integer import IntArray
from spikewright.toolchain.ops import Array, Linear, Shape
from spikewright.toolchain.parameters import grid

BIAS_MAX = BIAS_MANTISSA[1] << BIAS_EXPONENT_MAX
"""Largest bias of a 13-bit mantissa with its exponent, in state units."""
GATED_SHIFT = 6
"""Bits of payload sums that synapses behind gated spikes drop (of 8): weights keep their bits, sums the range of spikes'."""
WHOLE = 1e-6
"""How far from a whole number a value may be, relative to it: float32 rounds to 6e-8."""
EDGE = 1e-9
"""How far above a power of two the largest weight may lie and still take its exponent."""
STATE_UNIT = 1 << CURRENT_SHIFT
"""State units per unit of synaptic input."""


@dataclass(frozen=True)
class ChipGrid:
    """The fields of a chip that integers must fit.

    Args:
        weight_bits: Of a weight, sign included.
        exponent_min: Smallest weight exponent, and
        exponent_max: the largest; weights that are smaller than others by more lose bits instead.
        bias_max: Largest bias, in state units.
        threshold_max: Largest threshold and reset, in state units.
    """

    weight_bits: int = 8
    exponent_min: int = -8
    exponent_max: int = 7
    bias_max: int = BIAS_MAX
    threshold_max: int = STATE_MAX

    @classmethod
    def of(cls, core: CoreLimits, weight_bits: int) -> Self:
        """Return those of a chip, with weights of so many bits."""
        return cls(
            weight_bits,
            core.weight_exponent_min,
            core.weight_exponent_max,
            min(BIAS_MAX, (1 << (core.bias_bits - 1)) - 1),
            (1 << (core.threshold_bits - 1)) - 1,
        )

    @property
    def gated_shift(self) -> int:
        """Bits that sums of gated payloads may lose."""
        return min(GATED_SHIFT, -self.exponent_min)


@dataclass(frozen=True, eq=False)
class Branch:
    """One operand of a neuron: a linear map (or None: identity) from a message, with what one payload unit is worth."""

    source: str
    lag: int
    linear: Linear | None
    unit: float
    largest: int
    """Largest payload magnitude a message of the source can have."""
    shift: int = 0
    """Bits that sums of payloads may lose: an exponent down to -shift keeps all bits of the weights where S is coarse."""
    signed: bool = False
    """Whether payloads can be negative."""

    def magnitudes(self) -> Array:
        """Return the largest effective weight of each output channel (one value for an identity), ``shift`` bits up.

        Returns (Co,) or (1,).
        """
        worth = abs(self.unit) * 2.0**self.shift
        if self.linear is None:
            return np.array([worth])
        weight = self.linear.weight
        rows: Array = np.abs(weight.reshape(weight.shape[0], -1)).max(axis=1) * worth
        return rows


def levels(bits: int) -> int:
    """Return the largest even weight magnitude of ``bits``-bit mixed-sign weights (8: 254)."""
    return (1 << bits) - 2


def unit_of(branches: list[Branch], chip: ChipGrid, *, per_channel: bool, floor: float) -> Array:
    """Return S, the worth of one unit of synaptic input: (1,), or (Co,) where each output channel may have its own.

    Args:
        branches: All that meets in the neuron.
        chip: Whose weights they become.
        per_channel: Whether channels may differ.
        floor: Smallest S for which threshold and bias still fit their registers.
    """
    scales = [b.magnitudes() / levels(chip.weight_bits) for b in branches]
    if per_channel and len(branches) == 1 and branches[0].linear is not None:
        unit = scales[0]
        unit = np.where(unit > 0, unit, unit.max(initial=0.0))
    else:
        tops = [s.max(initial=0.0) for s in scales if s.max(initial=0.0) > 0]
        finest = max(tops, default=0.0) / 2**chip.exponent_max
        unit = np.array([max(min(tops, default=0.0), finest)])
    unit = np.where(unit > 0, unit, 1.0)
    return np.maximum(unit, floor)


def dividing(whole: float, least: float) -> float:
    """Return the smallest unit from ``least`` on that is a whole part of a value; ``least`` where the value is none such."""
    return whole / floor(whole / least) if least <= whole < inf else least


def power_of_two(least: float) -> float:
    """Return the smallest power of two that is at least so large; of nothing, 1."""
    return 2.0 ** ceil(log2(least) - 1e-9) if least > 0 else 1.0


def stream_unit(branches: list[Branch], chip: ChipGrid, payload: float) -> float:
    """Return S, a power of two: as fine as the weights of all maps are, at most what a payload of the stream is worth."""
    tops = [float(b.magnitudes().max(initial=0.0)) / 2.0**b.shift for b in branches if b.linear is not None]
    tops = [top / levels(chip.weight_bits) for top in tops if top > 0]
    direct = [b.unit / ends(chip.weight_bits, one=True)[1] for b in branches if b.linear is None]
    finest = max([*tops, *direct], default=0.0) / 2.0**chip.exponent_max
    return max(power_of_two(min([*tops, payload])), power_of_two(finest) if finest else 0.0)


def relative_weights(branch: Branch, unit: Array) -> Array:
    """Return the weights of a branch in units of S, of the shape of its map."""
    weight = np.ones((1, 1)) if branch.linear is None else branch.linear.weight
    scaled: Array = weight * branch.unit / unit.reshape(-1, *(1,) * (weight.ndim - 1))
    return scaled


def whole(values: Array) -> bool:
    """Say whether all values are whole numbers, but for rounding."""
    return bool((np.abs(values - np.round(values)) <= WHOLE * np.maximum(1.0, np.abs(values))).all())


def one_sign(values: Array) -> bool:
    """Say whether no two values have different signs: such weights need no bit for it."""
    return bool((values >= 0).all() or (values <= 0).all())


def ends(bits: int, *, one: bool) -> tuple[int, int]:
    """Return the most that weights of ``bits`` bits reach below and above 0: of ``one`` sign any, else even ones."""
    return ((1 << bits) - 1, (1 << bits) - 1) if one else (1 << bits, levels(bits))


def held(relative: Array, chip: ChipGrid, lowest: int = 0) -> tuple[IntArray, int] | None:
    """Return (w, e) with ``relative = w 2^e``, exactly, where the chip has such integers; else None.

    Args:
        relative: Weights in units of S.
        chip: Whose weights they are.
        lowest: Smallest exponent; below 0 sums lose bits.
    """
    one = one_sign(relative)
    exponent = max(lowest, _exponent(relative, *ends(chip.weight_bits, one=one)))
    steps = relative / 2.0 ** (exponent + (not one))
    if exponent > chip.exponent_max or not whole(steps):
        return None
    return np.round(steps).astype(np.int64) << (not one), exponent


def _exponent(relative: Array, below: int, above: int) -> int:
    """Return the smallest exponent, of either sign, with which weights lie between the ends."""
    most = max(float(relative.max(initial=0.0)) / above, -float(relative.min(initial=0.0)) / below)
    return ceil(log2(most) - EDGE) if most > 0 else 0


def integer_weights(
    branch: Branch, unit: Array, chip: ChipGrid, where: str, *, shift: int | None = None
) -> tuple[IntArray, int]:
    """Return (w, e) with ``unit_in * W ~ w 2^e S``; e is at least ``-shift`` (None: the branch's own).

    What the chip holds as it is stays so; else weights are rounded to even ones.

    Raises:
        PassError: The exponent would be larger than the chip's.
    """
    relative, lowest = relative_weights(branch, unit), -(branch.shift if shift is None else shift)
    kept = held(relative, chip, lowest)
    if kept is not None:
        return kept
    full = levels(chip.weight_bits)
    exponent = max(lowest, _exponent(relative, full, full))
    if exponent > chip.exponent_max:
        raise PassError(
            f"its weights are 2^{exponent} times larger than others that meet in the same neuron; "
            f"2^{chip.exponent_max} is allowed",
            where=where,
            help="rescale the layers that are added together (batch norm before the sum does)",
        )
    w = 2 * np.round(relative / (2.0 * 2.0**exponent)).astype(np.int64)
    return np.clip(w, -full, full), exponent


def low_weights(
    branch: Branch, unit: Array, chip: ChipGrid, high: tuple[IntArray, int], lowest: int, beyond: float
) -> tuple[IntArray, int] | None:
    """Return the second projection (w, e): what the first one leaves of the weights; None where that is nothing.

    ``W = (w_high 2^e_high + w 2^e) S``: the machine adds both sums exactly, so 8-bit weights become 15 bits wide. Only rows
    whose weights lose more on average than the share ``beyond`` of their median get one: a weight of 0 is no synapse.
    """
    w_high, e_high = high
    relative = relative_weights(branch, unit)
    rest = relative - w_high * 2.0**e_high
    exponent = max(lowest, e_high - chip.weight_bits + 1)
    if exponent >= e_high:
        return None
    rows, gone = (np.abs(one.reshape(one.shape[0], -1)) for one in (relative, rest))
    # of the median: the largest weight hides what all others lose
    typical = np.array([np.median(row[row > 0]) if row.any() else 0.0 for row in rows])
    rest[gone.mean(axis=1) <= beyond * typical] = 0.0
    w = 2 * np.round(rest / (2.0 * 2.0**exponent)).astype(np.int64)
    w = np.clip(w, -levels(chip.weight_bits), levels(chip.weight_bits))
    return (w, exponent) if w.any() else None


def largest_sum(branch: Branch) -> Array:
    """Return the largest |synaptic input| that any message can cause at each output channel, in the net's units, (Co,)."""
    if branch.linear is None:
        return np.array([abs(branch.unit) * branch.largest])
    rows = branch.linear.weight.reshape(branch.linear.weight.shape[0], -1)
    if branch.signed:
        worst = np.abs(rows).sum(axis=1)
    else:
        worst = np.maximum(np.maximum(rows, 0).sum(axis=1), np.maximum(-rows, 0).sum(axis=1))
    return np.asarray(worst * abs(branch.unit) * branch.largest, np.float64)


def worst_sum(branches: list[Branch], unit: Array, chip: ChipGrid) -> int:
    """Return the largest |a| one step can bring: every source sends its largest payload with the worst sign."""
    total = 0
    for branch in branches:
        w, e = integer_weights(branch, unit, chip, f"map from {branch.source!r}")
        row = int(np.abs(w.reshape(w.shape[0], -1)).sum(axis=1).max(initial=0)) * branch.largest
        total += shifted_bound(row, e)
    return total


def decay_amount(keep: Array) -> IntArray:
    """Return the 12-bit decay of a factor in [0, 1]: round(4096 (1 - keep))."""
    return np.round(DECAY_ONE * (1 - np.asarray(keep, np.float64))).astype(np.int64)


def integer_bias(wanted: Array, where: str, chip: ChipGrid) -> IntArray:
    """Return biases (in state units) on the chip's grid: a 12-bit mantissa with one exponent (0 .. 7) for the population."""
    top = float(np.abs(wanted).max(initial=0.0))
    low, high = BIAS_MANTISSA
    below, above = -float(wanted.min(initial=0.0)), float(wanted.max(initial=0.0))
    exponent = max(0, ceil(log2(max(below / -low, above / high, 1 / high)) - EDGE))
    if exponent > BIAS_EXPONENT_MAX or top > chip.bias_max + 1:
        raise PassError(
            f"bias of {top:.0f} state units; {chip.bias_max} fit",
            where=where,
            help="scale the layer's weights up: its bias is far larger than its synaptic input",
        )
    mantissa: IntArray = np.round(wanted / 2**exponent).astype(np.int64)
    least, most = -(chip.bias_max + 1) >> exponent, chip.bias_max >> exponent
    return np.clip(mantissa, max(low, least), min(high, most)) << exponent


def flat(parameter: Array, shape: Shape) -> Array:
    """Return a scalar, per-channel or full parameter as (1,) where uniform, else (n,) in C order."""
    p = np.asarray(parameter, np.float64)
    if p.size == 1 or np.all(p == p.reshape(-1)[0]):
        return p.reshape(-1)[:1]
    return np.broadcast_to(grid(p, shape), shape).reshape(-1)


def spread_unit(unit: Array, shape: Shape) -> Array:
    """Return S per neuron: (1,), or (n,) from one value a channel (or a neuron)."""
    return unit if unit.size == 1 else np.repeat(unit, prod(shape) // unit.size)


def check_state(value: float, where: str, what: str, most: int) -> None:
    """Refuse an integer that leaves its field.

    Raises:
        PassError: It does; weights that are tiny beside the threshold cause that.
    """
    if abs(value) > most:
        raise PassError(
            f"{what} of {value:.0f} state units; the chip's field holds {most}",
            where=where,
            help="its synaptic weights are tiny beside its threshold: check the layer's scale, or use fewer --weight-bits",
        )
