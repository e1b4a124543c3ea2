"""The unit S of a LIF's synapses: as fine as 8-bit weights are, so coarse that no sum leaves 24 bits, exact where weights are.

u = 64 U / S,  v = 64 V / S:   S > 64 max(U, V) / 2^23,   U, V the largest that any input, or data times a headroom, causes
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite, log2, prod

import numpy as np

from spikewright.hw_sim.fixed_point import STATE_LIMIT
from spikewright.toolchain.ops import Array, Lif, Shape
from spikewright.toolchain.passes import scales as sc
from spikewright.toolchain.passes.on_grid import grid_unit, whole

EXACT_HEADROOM = 1.25
"""Integers that are on the grid as they are lose by a coarser unit, so other data is given less room than elsewhere."""
ROOM = 1.01
"""Rounded weights sum up to a little more than the real ones."""


@dataclass(frozen=True, eq=False)
class Reach:
    """How far the states of a ``Lif`` went on calibration data, in units of its synaptic input (before the gain).

    Args:
        current: Largest |u| of every neuron, (n,).
        voltage: Largest |v| before reset, (n,).
    """

    current: Array
    voltage: Array


@dataclass(frozen=True, eq=False)
class State:
    """What a ``Lif`` compares and adds, (1,) or (n,), in units of its synaptic input."""

    threshold: Array
    reset: Array
    constant: Array
    """Bias and leak."""
    tallest: float
    """Largest level that v is compared with, held at or starts from."""


@dataclass(frozen=True, eq=False)
class Unit:
    """A choice of S.

    Args:
        size: S, (1,) or (Co,).
        shift: Bits that sums may lose, where S is coarser than 8-bit weights ask for: the weights keep theirs.
        low: Whether a second projection holds what the first one leaves of the weights.
        exact: Whether every weight is an integer in it as it is.
    """

    size: Array
    shift: int | None = None
    low: bool = False
    exact: bool = False


@dataclass(frozen=True, eq=False)
class Choice:
    """One LIF whose unit is chosen.

    Args:
        op: The neurons.
        branches: What they read.
        state: What they compare and add.
        chip: Whose integers they become.
        reach: How far data took them; None: any input counts.
        headroom: By how much other data may go further.
        steps: T.
    """

    op: Lif
    branches: list[sc.Branch]
    state: State
    chip: sc.ChipGrid
    reach: Reach | None
    headroom: float
    steps: int

    def unit(self, *, refine: bool) -> Unit:
        """Return S; ``refine``: as fine as the state allows, with a second projection."""
        joined = any(b.linear is None for b in self.branches)
        found = sc.unit_of(self.branches, self.chip, per_channel=not joined, floor=self.fields())
        kept = grid_unit(self.branches, self.chip, self.keeps, found, per_channel=not joined)
        exact = kept is not None
        found = found if kept is None else kept
        needed = self.needed(found.size, EXACT_HEADROOM if exact else self.headroom)
        if exact and lattice(self.op):  # one bit costs nothing: sums of even weights are even
            needed = np.maximum(needed, np.minimum(self.needed(found.size, np.inf), 2 * found))
        if bool((found < needed).any()):
            raised = found * 2.0 ** np.maximum(0, np.ceil(np.log2(np.maximum(needed, 1e-300) / found)))
            even = exact and float((raised / found).max()) <= 2
            return Unit(raised, shift=-self.chip.exponent_min, low=refine and not even, exact=even)
        if not refine or exact:
            return Unit(found, exact=exact)
        spare = float(np.log2(found / np.maximum(needed, found * 1e-9)).min())
        finer = max(0, min(self.chip.exponent_max - self.exponent(found), int(spare)))
        return Unit(found / 2.0**finer, low=True)

    def exponent(self, unit: Array) -> int:
        """Return the largest exponent that a branch needs in a unit."""
        tops = [float(np.abs(sc.relative_weights(b, unit)).max(initial=0.0)) for b in self.branches]
        return max(0, ceil(log2(max(max(tops, default=0.0) / sc.levels(self.chip.weight_bits), 1e-300)) - 1e-9))

    def fields(self) -> float:
        """Return the smallest S for which threshold and bias still fit their registers."""
        threshold = self.state.tallest / (self.chip.threshold_max // 4)
        constant = float(np.abs(self.state.constant).max()) / self.chip.bias_max
        return max(threshold, constant) * sc.STATE_UNIT

    def needed(self, channels: int, headroom: float) -> Array:
        """Return the smallest S, (1,) or (channels,), for which neither the fields nor u and v overflow."""
        sums = self.largest(headroom) * ROOM * sc.STATE_UNIT / STATE_LIMIT
        per = sums.reshape(channels, -1).max(axis=1) if channels > 1 else sums.max(keepdims=True)
        return np.asarray(np.maximum(per, self.fields()), np.float64)

    def largest(self, headroom: float) -> Array:
        """Return the largest |u| or |v| to make room for, (n,): what any input can cause, or what data did with headroom."""
        op, n = self.op, prod(self.op.shape)
        arriving = sum((_spread(sc.largest_sum(b), op.shape) for b in self.branches), np.zeros(n))
        current = arriving * _sums(sc.flat(op.alpha, op.shape), self.steps)
        ends = np.maximum(self.state.tallest, np.abs(self.state.reset))
        drive = current + np.abs(self.state.constant)
        voltage = drive * _sums(sc.flat(op.beta, op.shape), self.steps) + ends
        if self.reach is not None and isfinite(headroom):  # without a bound, of silent neurons too, any input counts
            current = np.minimum(current, headroom * _at_least_typical(self.reach.current))
            voltage = np.minimum(voltage, headroom * _at_least_typical(self.reach.voltage) + ends)
        both: Array = np.maximum(current, voltage)
        return both

    def keeps(self, unit: Array) -> bool:
        """Say whether a unit leaves thresholds, resets and biases as they are."""
        current = sc.spread_unit(unit, self.op.shape) / sc.STATE_UNIT
        step = current * (sc.STATE_UNIT if self.op.comparison == ">" else 1)
        biases = self.state.constant / current
        return (
            whole(self.state.threshold / step)
            and whole(self.state.reset / current)
            and whole(biases)
            and float(np.abs(biases).max()) <= self.chip.bias_max
            and bool((sc.integer_bias(biases, self.op.name, self.chip) == np.round(biases)).all())
        )


def lattice(op: Lif) -> bool:
    """Say whether v only takes sums of the weights: nothing decays but all or nothing, so a threshold between them is exact."""
    keeps: Array = np.asarray(op.beta)
    rare = op.max_spikes != 1 or op.v_min is not None or bool(np.any(op.v_start))
    return not rare and not np.any(op.alpha) and bool(((keeps == 0) | (keeps == 1)).all()) and op.gates == 0


def _sums(keep: Array, steps: int) -> Array:
    """Return sum of keep^k over the steps: by how much a state that keeps some of itself outgrows its input."""
    lasting = np.minimum(keep, 1 - 1e-12)
    return np.asarray(np.minimum(steps, (1 - lasting**steps) / (1 - lasting)), np.float64)


def _at_least_typical(seen: Array) -> Array:
    """Return what was seen, of neurons that saw little as much as of the median one."""
    return np.maximum(seen, np.median(seen))


def _spread(values: Array, shape: Shape) -> Array:
    return np.repeat(values, prod(shape) // values.size)
