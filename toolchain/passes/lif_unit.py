"""The unit S of a LIF's synapses: as fine as 8-bit weights are, so coarse that no sum leaves 24 bits, exact where weights are.

u = 64 U / S,  v = 64 V / S:   S > 64 max(U, V) / 2^23,   U, V the largest that any input, or data times a headroom, causes
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, log2, prod

import numpy as np

from spikewright.hw_sim.fixed_point import STATE_LIMIT
from spikewright.toolchain.limits import EXACT_HEADROOM
from spikewright.toolchain.ops import Array, Lif, Shape
from spikewright.toolchain.passes import scales as sc
from spikewright.toolchain.passes.on_grid import grid_unit

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
    tallest: Array
    """Largest level that v is compared with, held at or starts from."""
    never: Array = field(default_factory=lambda: np.zeros(1, bool))
    """Whether no input brings v to its threshold, which is then any level above what inputs can cause."""


@dataclass(frozen=True, eq=False)
class Unit:
    """A choice of S.

    Args:
        size: S, (1,) or (Co,).
        shift: Bits that sums may lose, where S is coarser than 8-bit weights ask for: the weights keep theirs.
        low: Share of a row's weight from which a second projection holds what the first one leaves; None: there is none.
        exact: Whether every weight is an integer in it as it is.
    """

    size: Array
    shift: int | None = None
    low: float | None = None
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

    def unit(self, *, refine: float | None) -> Unit:
        """Return S; ``refine``: as fine as the state allows, with second projections of rows that lose more than this share.

        It is (1,), or (C,) where each channel has its own.
        """
        joined = any(b.linear is None for b in self.branches) or self.op.pooled is not None
        found = self.weighed(per_channel=not joined)
        kept = self.on_grid(found, per_channel=not joined)
        exact = kept is not None
        found = found if kept is None else kept
        needed = self.needed(found.size, EXACT_HEADROOM if exact else self.headroom)
        spare = exact and self.even(found)  # one bit costs nothing: sums of even weights are even
        if spare and lattice(self.op):
            needed = np.maximum(needed, np.minimum(self.needed(found.size, np.inf), 2 * found))
        if bool((found < needed).any()):
            factor = 2.0 ** np.maximum(0, np.ceil(np.log2(np.maximum(needed, 1e-300) / found)))
            if exact and self.holds(found * factor.max()):
                return Unit(found * factor.max(), exact=True)
            raised = found * factor
            even = spare and float((raised / found).max()) <= 2
            return Unit(raised, shift=-self.chip.exponent_min, low=None if even else refine, exact=even)
        if refine is None or exact:
            return Unit(found, exact=exact)
        room = float(np.log2(found / np.maximum(needed, found * 1e-9)).min())
        finer = max(0, min(self.chip.exponent_max - self.exponent(found), int(room)))
        return Unit(found / 2.0**finer, low=refine)

    def holds(self, unit: Array) -> bool:
        """Say whether all weights are integers of the chip in a unit."""
        return all(sc.held(sc.relative_weights(b, unit), self.chip) is not None for b in self.branches)

    def even(self, unit: Array) -> bool:
        """Say whether all weights, exact in a unit, are even integers."""
        kept = [sc.held(sc.relative_weights(b, unit), self.chip) for b in self.branches]
        return all(found is not None and not (found[0] << found[1] & 1).any() for found in kept)

    def exponent(self, unit: Array) -> int:
        """Return the largest exponent that a branch needs in a unit."""
        tops = [float(np.abs(sc.relative_weights(b, unit)).max(initial=0.0)) for b in self.branches]
        return max(0, ceil(log2(max(max(tops, default=0.0) / sc.levels(self.chip.weight_bits), 1e-300)) - 1e-9))

    def weighed(self, *, per_channel: bool) -> Array:
        """Return the S that the weights ask for, or the fields; channels without a weight take one that thresholds ask for.

        Returns (1,) or (C,).
        """
        found = sc.unit_of(self.branches, self.chip, per_channel=per_channel, floor=0.0)
        state = np.maximum(self.state.tallest, np.abs(self.state.constant))
        own = self.by_channel(found.size, state) / sc.levels(self.chip.weight_bits)
        if self.weight() or not self.keeps(np.ones(1)):
            tops = self.branches[0].magnitudes() if found.size > 1 else np.full(1, self.weight())
            found = np.where((tops == 0) & (own > 0), 2.0 ** np.ceil(np.log2(np.maximum(own, 1e-300))), found)
        return np.asarray(np.maximum(found, self.by_channel(found.size, self.fields())), np.float64)

    def weight(self) -> float:
        """Return the largest weight of all."""
        return max((float(b.magnitudes().max(initial=0.0)) for b in self.branches), default=0.0)

    def fields(self) -> Array:
        """Return the smallest S, (1,) or (n,), for which threshold and bias still fit their registers."""
        threshold = self.state.tallest / (self.chip.threshold_max // 4)
        constant = np.abs(self.state.constant) / self.chip.bias_max
        return np.asarray(np.maximum(threshold, constant) * sc.STATE_UNIT, np.float64)

    def by_channel(self, channels: int, values: Array) -> Array:
        """Return the largest of (1,) or (n,) values in each of so many channels."""
        if values.size == 1 or channels == 1:
            return np.full(1, values.max())
        found: Array = values.reshape(channels, -1).max(axis=1)
        return found

    def needed(self, channels: int, headroom: float) -> Array:
        """Return the smallest S, (1,) or (channels,), for which neither the fields nor u and v overflow."""
        sums = self.largest(headroom) * ROOM * sc.STATE_UNIT / STATE_LIMIT
        return np.maximum(self.by_channel(channels, sums), self.by_channel(channels, self.fields()))

    def largest(self, headroom: float) -> Array:
        """Return the largest |u| or |v| to make room for, (n,): what any input can cause, or what data did with headroom."""
        current, voltage = worst(self.op, self.branches, self.state.constant, self.steps)
        ends = np.maximum(self.state.tallest, np.abs(self.state.reset))
        voltage = voltage + ends
        if self.reach is not None and np.isfinite(headroom) and self.reach.voltage.any():
            current = np.minimum(current, headroom * _at_least_typical(self.reach.current))
            voltage = np.minimum(voltage, headroom * _at_least_typical(self.reach.voltage) + ends)
        both: Array = np.maximum(current, voltage)
        return both

    def on_grid(self, usual: Array, *, per_channel: bool) -> Array | None:
        """Return a unit in which all integers are as they are; a threshold on a lattice may lie between two of them.

        Takes and returns (1,) or (C,).
        """
        exact = grid_unit(self.branches, self.chip, self.keeps, usual, per_channel=per_channel)
        if exact is None and lattice(self.op):
            return grid_unit(self.branches, self.chip, self.keeps_sums, usual, per_channel=per_channel)
        return exact

    def keeps(self, unit: Array) -> bool:
        """Say whether a unit leaves thresholds, resets and biases as they are."""
        current = sc.spread_unit(unit, self.op.shape) / sc.STATE_UNIT
        step = current * (sc.STATE_UNIT if self.op.comparison == ">" else 1)
        levels = np.where(self.state.never, 0.0, self.state.threshold / step)
        return sc.whole(levels) and self.keeps_sums(unit)

    def keeps_sums(self, unit: Array) -> bool:
        """Say whether a unit leaves resets and biases as they are, and so all that v can be."""
        current = sc.spread_unit(unit, self.op.shape) / sc.STATE_UNIT
        biases = self.state.constant / current
        return (
            sc.whole(self.state.reset / current)
            and sc.whole(biases)
            and float(np.abs(biases).max()) <= self.chip.bias_max + 1
            and bool((sc.integer_bias(biases, self.op.name, self.chip) == np.round(biases)).all())
        )


def worst(op: Lif, branches: list[sc.Branch], constant: Array, steps: int) -> tuple[Array, Array]:
    """Return the largest |u| and |v| that any input causes in a neuron that never fires, (n,), in units of its input."""
    n = prod(op.shape)
    arriving = sum((_spread(sc.largest_sum(b), op.shape) for b in branches), np.zeros(n))
    current = arriving * _sums(sc.flat(op.alpha, op.shape), steps)
    return current, (current + np.abs(constant)) * _sums(sc.flat(op.beta, op.shape), steps)


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
