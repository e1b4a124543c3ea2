"""Weights that lie on the chip's grid already: the unit S that leaves every one of them, and all sums, exactly as they are.

W = w 2^e S,   w even, all of them whole numbers:   S = 1;  else a power of two;  else one step of the rows' common grid
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor, log2

import numpy as np

from spikewright.toolchain.ops import Array
from spikewright.toolchain.passes import scales as sc

WHOLE = 1e-6
"""How far from a whole number a weight in units of S may be, relative to it: float32 rounds to 6e-8."""
PROBED = 12
"""Weights of a row that are looked at first: real-valued rows fail there."""
POWERS = 32
"""Powers of two, up and down, that are tried for S."""

Fits = Callable[[Array], bool]


def whole(values: Array) -> bool:
    """Say whether all values are whole numbers, but for rounding."""
    return bool((np.abs(values - np.round(values)) <= WHOLE * np.maximum(1.0, np.abs(values))).all())


def grid_unit(
    branches: list[sc.Branch], chip: sc.ChipGrid, fits: Fits, usual: Array, *, per_channel: bool
) -> Array | None:
    """Return the unit in which all weights are even integers of the chip, or None.

    Args:
        branches: All that meets in the neurons.
        chip: Whose weights they become.
        fits: Whether a unit leaves thresholds, resets and biases as they are.
        usual: What is taken for weights off the grid; where it does not change them, it is as good.
        per_channel: Whether output channels may differ.
    """
    rows = [_rows(branch) for branch in branches]
    if not any(r.any() for r in rows) or not all(_may_lie_on_a_grid(r, chip) for r in rows):
        return None
    for unit in (np.ones(1), usual, *_powers_of_two(rows, chip)):
        if all(_kept(r, unit, chip) for r in rows) and fits(unit):
            return unit
    return _finest(rows, chip, fits, per_channel=per_channel and len({len(r) for r in rows}) == 1)


def _rows(branch: sc.Branch) -> Array:
    """Return the effective weights as (Co, n)."""
    relative = sc.relative_weights(branch, np.ones(1))
    return relative.reshape(relative.shape[0], -1)


def _may_lie_on_a_grid(rows: Array, chip: sc.ChipGrid) -> bool:
    """Say whether the first row's first weights have a common step at all."""
    for row in rows:
        if row.any():
            return _step(row[np.abs(row) > 0][:PROBED], chip) > 0
    return True


def _step(row: Array, chip: sc.ChipGrid, finer: int = 0) -> float:
    """Return the largest g of which all weights of a row are whole multiples up to the chip's largest; 0: there is none.

    With ``finer`` the multiples may go so many bits further: weights of several branches have exponents of their own.
    """
    top, most = float(np.abs(row).max(initial=0.0)), sc.levels(chip.weight_bits) // 2 << finer
    if top == 0:
        return 1.0
    counts = np.arange(1, most + 1)
    few = np.abs(row[np.abs(row) > 0][:PROBED, None]) * counts / top
    hopeful = (np.abs(few - np.round(few)) <= WHOLE * np.maximum(1.0, few)).all(axis=0)
    return next((top / m for m in counts[hopeful] if whole(row * m / top)), 0.0)


def _powers_of_two(rows: list[Array], chip: sc.ChipGrid) -> list[Array]:
    """Return the powers of two from coarse to fine that can hold the largest and the smallest weight."""
    sizes = np.concatenate([np.abs(r[r != 0]) for r in rows])
    coarse = min(POWERS, floor(log2(float(sizes.min()) / 2) + WHOLE))
    finest = ceil(log2(float(sizes.max()) / sc.levels(chip.weight_bits)) - WHOLE) - chip.exponent_max
    return [np.array([2.0**k]) for k in range(coarse, max(finest, -POWERS) - 1, -1)]


def _kept(rows: Array, unit: Array, chip: sc.ChipGrid) -> bool:
    """Say whether weights are even integers with one exponent in units of S (a value, or one a row)."""
    halves = rows / (2 * unit[:, None])
    top = float(np.abs(halves).max(initial=0.0))
    exponent = max(0, ceil(log2(2 * top / sc.levels(chip.weight_bits)) - WHOLE)) if top > 0 else 0
    return exponent <= chip.exponent_max and whole(halves / 2.0**exponent)


def _finest(rows: list[Array], chip: sc.ChipGrid, fits: Fits, *, per_channel: bool) -> Array | None:
    """Return the units of the grids that all branches share, a channel or all: as coarse as fits.

    They are as fine as 8 bits allow, or finer where the state asks for it.
    """
    shared = np.concatenate(rows, axis=1) if per_channel else np.concatenate([r.reshape(1, -1) for r in rows], axis=1)
    steps = np.array([_step(row, chip, chip.exponent_max if len(rows) > 1 else 0) for row in shared])
    if not (steps > 0).all():
        return None
    tops = np.abs(shared).max(axis=1)
    spare = np.where(tops > 0, sc.levels(chip.weight_bits) * (steps / 2) / np.maximum(tops, 1e-300), 1.0)
    unit = steps / 2 / 2.0 ** np.floor(np.log2(np.maximum(spare, 1.0)) + WHOLE)
    for finer in range(chip.exponent_max + 1):
        tried = np.asarray(unit / 2.0**finer, np.float64)
        if all(_kept(r, tried, chip) for r in rows) and fits(tried):
            return tried
    return None
