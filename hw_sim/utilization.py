"""What each core of a program uses of each of its limits."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.chip import Chip
from spikewright.hw_sim.program import Population, Program
from spikewright.hw_sim.synaptic_memory import FanOut, fan_out, stored_bits

Int = NDArray[np.int64]

RESOURCES = ("max_neurons", "synapse_memory_bits", "max_axons_in", "max_axons_out", "max_fan_in", "max_fan_out")
"""Fields of ``chip.CoreLimits`` that cores use up; the last two are the largest of any one neuron on the core."""
_KNOWN: WeakKeyDictionary[Program, tuple[Chip, tuple[Use, ...]]] = WeakKeyDictionary()
"""What was counted last of a program, as long as it lives."""


@dataclass(frozen=True)
class Use:
    """How much of one resource one core uses."""

    core: int
    resource: str
    used: int
    limit: int

    @property
    def share(self) -> float:
        """Used over limit, a share of 1."""
        return self.used / self.limit if self.limit else 0.0


def utilization(program: Program, chip: Chip) -> tuple[Use, ...]:
    """Return (core, resource, used, limit) for every core in use and every resource, in this order.

    Memory is in bits, all else a count. Asked again for the same program and chip, as a mapper, its checks and reports do, it
    counts nothing again.
    """
    known = _KNOWN.get(program)
    if known is None or known[0] is not chip:
        known = _KNOWN[program] = (chip, _counted(program, chip))
    return known[1]


def _counted(program: Program, chip: Chip) -> tuple[Use, ...]:
    table = _Table(1 + max((int(p.core.max(initial=-1)) for p in program.populations), default=-1))
    reached: dict[str, list[FanOut]] = {p.name: [] for p in program.populations}
    fan_in = {p.name: np.zeros(p.size, np.int64) for p in program.populations}
    for projection in program.projections:
        source, target = program.population(projection.source), program.population(projection.target)
        fan = fan_out(projection, source, target)
        fan_in[target.name] += fan.fan_in
        reached[source.name].append(fan)
        inside = fan.cores >= 0
        table.use["synapse_memory_bits"][fan.cores[inside]] += stored_bits(fan, chip.core)[inside]
    for population in program.populations:
        table.neurons(population, fan_in[population.name])
        table.axons(population, reached[population.name])
    return tuple(
        Use(core, resource, int(table.use[resource][core]), int(getattr(chip.core, resource)))
        for core in range(table.cores)
        if table.use["max_neurons"][core]
        for resource in RESOURCES
    )


def fullest(uses: tuple[Use, ...]) -> dict[str, Use]:
    """Return the largest use of each resource over all cores."""
    found: dict[str, Use] = {}
    for use in uses:
        if use.resource not in found or use.share > found[use.resource].share:
            found[use.resource] = use
    return found


class _Table:
    """Sums by resource and core."""

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.use = {resource: np.zeros(cores, np.int64) for resource in RESOURCES}

    def neurons(self, population: Population, fan_in: Int) -> None:
        of = population.cores
        mapped = of >= 0
        self.use["max_neurons"] += np.bincount(of[mapped], minlength=self.cores)
        np.maximum.at(self.use["max_fan_in"], of[mapped], fan_in[mapped])

    def axons(self, population: Population, reached: list[FanOut]) -> None:
        """Count distinct (neuron, core) pairs: an entry on the sending and one on the receiving core."""
        synapses, sent = np.zeros(population.size, np.int64), np.zeros(population.size, np.int64)
        columns, times = np.unique(np.concatenate([fan.cores for fan in reached] or [synapses[:0]]), return_counts=True)
        twice = columns[times > 1]  # cores that several projections reach: only there a pair may come again
        keys = [synapses[:0]]
        for fan in reached:
            inside, several = fan.cores >= 0, np.isin(fan.cores, twice)
            entries = np.diff(fan.reached.start)
            once = inside & ~several
            self.use["max_axons_in"][fan.cores[once]] += entries[once]
            all_synapses, all_parts = fan.reached.sums
            synapses[: all_synapses.size] += all_synapses
            if once.all():
                sent[: all_parts.size] += all_parts
                continue
            sent += np.bincount(fan.source[np.repeat(once, entries)], minlength=population.size)
            for column in np.flatnonzero(inside & several):
                part = fan.source[fan.reached.start[column] : fan.reached.start[column + 1]]
                keys.append(part.astype(np.int64) + fan.cores[column] * population.size)
        hit = distinct(np.concatenate(keys))
        self.use["max_axons_in"] += np.bincount(hit // population.size, minlength=self.cores)
        sent += np.bincount(hit % population.size, minlength=population.size)
        of = population.cores
        mapped = of >= 0
        np.add.at(self.use["max_axons_out"], of[mapped], sent[mapped])
        np.maximum.at(self.use["max_fan_out"], of[mapped], synapses[mapped])


def distinct(keys: Int) -> Int:
    """Return the different ones of many numbers, ascending; sorting is faster than numpy's hashing where they are many."""
    found = np.sort(keys)
    return found[np.concatenate([[True], found[1:] != found[:-1]])] if found.size else found
