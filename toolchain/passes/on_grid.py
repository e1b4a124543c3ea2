"""Weights that lie on the chip's grid already: the unit S that leaves every one of them, and all sums, exactly as they are.

W = w 2^e S,   w the chip's integers, even where signs differ:   S = 1;  else a power of two;  else the rows' own step
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor, log2

import numpy as np

from spikewright.toolchain.ops import Array
from spikewright.toolchain.passes import scales as sc

PROBED = 12
"""Weights of a row that are looked at first: real-valued rows fail there."""
POWERS = 32
"""Powers of two, up and down, that are tried for S."""

Fits = Callable[[Array], bool]


def grid_unit(
    branches: list[sc.Branch], chip: sc.ChipGrid, fits: Fits, usual: Array, *, per_channel: bool
) -> Array | None:
    """Return the unit in which all weights are integers of the chip, or None.

    Args:
        branches: All that meets in the neurons.
        chip: Whose weights they become.
        fits: Whether a unit leaves thresholds, resets and biases as they are.
        usual: What is taken for weights off the grid; where it does not change them, it is as good.
        per_channel: Whether output channels may differ; a single row never does.
    """
    rows = [_rows(branch) for branch in branches]
    if not any(r.any() for r in rows) or not all(_may_lie_on_a_grid(r, chip) for r in rows):
        return None
    for unit in (np.ones(1), usual, *_powers_of_two(rows, chip)):
        if all(sc.held(r / unit[:, None], chip) is not None for r in rows) and fits(unit):
            return unit
    if len(rows) == 1 and (per_channel or len(rows[0]) == 1):
        return _finest(rows[0], chip, fits)
    return _shared(rows, chip, fits, per_channel=per_channel and len({len(r) for r in rows}) == 1)


def _rows(branch: sc.Branch) -> Array:
    """Return the effective weights as (Co, n)."""
    relative = sc.relative_weights(branch, np.ones(1))
    return relative.reshape(relative.shape[0], -1)


def _may_lie_on_a_grid(rows: Array, chip: sc.ChipGrid) -> bool:
    """Say whether the first row's first weights have a common step at all."""
    for row in rows:
        if row.any():
            return _step(row[np.abs(row) > 0][:PROBED], chip, one=sc.one_sign(rows)) > 0
    return True


def _step(row: Array, chip: sc.ChipGrid, *, one: bool, finer: int = 0) -> float:
    """Return the largest g of which all weights of a row are whole multiples that the chip has; 0: there is none.

    A weight is a multiple of g, or where signs differ of 2 S = g: -128 .. 127 of them; with ``finer`` so many bits more, as
    branches that meet in a neuron have exponents of their own.
    """
    top = float(np.abs(row).max(initial=0.0))
    if top == 0:
        return 1.0
    below, above = (end >> (not one) << finer for end in sc.ends(chip.weight_bits, one=one))
    counts = np.arange(1, max(below, above) + 1)
    fits = (row.max() / top * counts <= above + sc.WHOLE) & (-row.min() / top * counts <= below + sc.WHOLE)
    few = np.abs(row[np.abs(row) > 0][:PROBED, None]) * counts / top
    hopeful = fits & (np.abs(few - np.round(few)) <= sc.WHOLE * np.maximum(1.0, few)).all(axis=0)
    return next((top / m for m in counts[hopeful] if sc.whole(row * m / top)), 0.0)


def _powers_of_two(rows: list[Array], chip: sc.ChipGrid) -> list[Array]:
    """Return the powers of two from coarse to fine that can hold the largest and the smallest weight."""
    sizes = np.concatenate([np.abs(r[r != 0]) for r in rows])
    coarse = min(POWERS, floor(log2(float(sizes.min())) + sc.WHOLE))
    finest = ceil(log2(float(sizes.max()) / (1 << chip.weight_bits)) - sc.WHOLE) - chip.exponent_max
    return [np.array([2.0**k]) for k in range(coarse, max(finest, -POWERS) - 1, -1)]


def _finest(rows: Array, chip: sc.ChipGrid, fits: Fits) -> Array | None:
    """Return the rows' own units where they are as fine as 8 bits allow; finer ones where the state asks for it."""
    one = sc.one_sign(rows)
    steps = np.array([_step(row, chip, one=one) for row in rows])
    if not (steps > 0).all():
        return None
    unit = steps if one else steps / 2
    below, above = sc.ends(chip.weight_bits, one=one)
    most = np.maximum(rows.max(axis=1) / above, -rows.min(axis=1) / below) / unit
    unit = unit / 2.0 ** np.where(most > 0, np.floor(-np.log2(np.maximum(most, 1e-300)) + sc.WHOLE), 0.0)
    for finer in range(chip.exponent_max + 1):
        if fits(unit / 2.0**finer):
            return np.asarray(unit / 2.0**finer)
    return None


def _shared(rows: list[Array], chip: sc.ChipGrid, fits: Fits, *, per_channel: bool) -> Array | None:
    """Return the units of the grids that branches share, a channel or all; finer ones where weights or state ask."""
    joined = np.concatenate(rows, axis=1) if per_channel else np.concatenate([r.reshape(1, -1) for r in rows], axis=1)
    steps = np.array([_step(row, chip, one=False, finer=chip.exponent_max) for row in joined])
    if not (steps > 0).all():
        return None
    for finer in range(chip.exponent_max + 1):
        unit = np.asarray(steps / 2.0 ** (1 + finer), np.float64)
        if all(sc.held(r / unit[:, None], chip) is not None for r in rows) and fits(unit):
            return unit
    return None
