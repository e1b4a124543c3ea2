"""Count synaptic operations by walking events: each neuron's messages along its synapses, from the program alone.

A SOP is one message that arrives at one non-zero synapse inside the target's window; it falls in the chip step
``source.start + t + delay`` on the target neuron's core. Nothing of the engine's compiled counters is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Population, Program, Projection
from spikewright.toolchain.budget import BUDGET, slices

IntArray = NDArray[np.int64]
FEW = 256
"""Neurons that fire in a block up to which each is walked alone; of more, all synapses of a projection are walked at once."""
KINDS = ("binary", "graded", "gate")
"""What a message is: a spike, a spike with a payload, a gain level that changed."""


@dataclass(frozen=True, eq=False)
class Walked:
    """What the events caused.

    Args:
        sops: By kind of message, (chip steps, cores).
        projections: By projection name; synapses outside the cores count too.
        events: Messages sent, by population name.
    """

    sops: dict[str, IntArray]
    projections: dict[str, int]
    events: dict[str, int]


def messages(population: Population, out: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return which of a population's outputs (T, B, *shape) are messages, (T, B, n)."""
    return population.soma.messages(np.asarray(out).reshape(*out.shape[:2], -1))


class Walk:
    """Walks recorded messages along their synapses, block of steps by block.

    Args:
        program: What runs.
        steps: Local steps of the run.
        chip_steps: Chip steps of the run.
        cores: Number of cores.
    """

    def __init__(self, program: Program, steps: int, chip_steps: int, cores: int) -> None:
        self.program, self.steps, self.cores = program, steps, cores
        self.found = Walked(
            {kind: np.zeros((chip_steps, cores), np.int64) for kind in KINDS},
            dict.fromkeys((p.name for p in program.projections), 0),
            {},
        )
        self.before: dict[str, NDArray[np.generic]] = {}

    def add(self, out: Mapping[str, NDArray[np.generic]], first: int = 0) -> None:
        """Walk the messages of the steps from ``first`` on: what every population that sends some put out, (T', B, *shape)."""
        sent = {p.name: self._messages(p, out[p.name]) for p in self.program.populations if p.name in out}
        for name, events in sent.items():
            self.found.events[name] = self.found.events.get(name, 0) + int(events.sum())
        for projection in self.program.projections:
            if projection.source in sent:
                self._projection(projection, sent[projection.source], first)

    def _messages(self, population: Population, out: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Return the messages of a block; a level is one where it is not what it was one step before."""
        before = self.before.get(population.name, out[:0])
        self.before[population.name] = out[-1:].copy()
        return messages(population, np.concatenate([before, out]) if len(before) else out)[len(before) :]

    def _projection(self, projection: Projection, events: NDArray[np.bool_], first: int) -> None:
        """Add the SOPs of one projection."""
        source, target = self.program.population(projection.source), self.program.population(projection.target)
        sops = self.found.sops[source.kind if source.kind in KINDS else "binary"]
        heard = self.program.life(target, self.steps) - self.program.lag(projection)
        arriving = min(heard, self.program.life(source, self.steps))
        sent = np.count_nonzero(events[: max(0, arriving - first)], axis=1).astype(np.int64)
        start, fired = source.start + projection.delay + first, np.flatnonzero(sent.any(axis=0))
        few = projection.synapses.gate or fired.size <= FEW
        walk = self._one_by_one if few else self._all_at_once
        total, on_core = walk(projection, (source, target), sent, fired)
        self.found.projections[projection.name] += total
        sops[start : start + len(sent)] += on_core

    def _one_by_one(
        self, projection: Projection, ends: tuple[Population, Population], sent: IntArray, fired: IntArray
    ) -> tuple[int, IntArray]:
        """Return the SOPs of messages (T', n) in all, and by step and core: each neuron's along its own synapses."""
        source, target = ends
        total, on_core = 0, np.zeros((len(sent), self.cores), np.int64)
        for neuron in fired:
            where = target.cores[projection.synapses.targets(int(neuron), source.shape, target.shape)]
            total += where.size * int(sent[:, neuron].sum())
            on_core += sent[:, neuron, None] * np.bincount(where[where >= 0], minlength=self.cores)
        return total, on_core

    def _all_at_once(
        self, projection: Projection, ends: tuple[Population, Population], sent: IntArray, fired: IntArray
    ) -> tuple[int, IntArray]:
        """Return the same as ``_one_by_one``: synapses that all weigh 1 deliver to each target neuron how many arrive."""
        source, target = ends
        total, on_core = 0, np.zeros((len(sent), self.cores), np.int64)
        ones = projection.synapses.with_weights((projection.synapses.weights != 0).astype(np.int64))
        inside = target.cores >= 0
        for steps in slices(len(sent), max(1, BUDGET // (8 * max(source.size, target.size)))):
            arriving = ones.deliver(sent[steps], source.shape, target.shape)
            total += int(arriving.sum())
            for t, each in enumerate(arriving, start=steps.start):
                counts = np.bincount(target.cores[inside], weights=each[inside], minlength=self.cores)
                on_core[t] += counts.astype(np.int64)
        return total, on_core


def fan_out(program: Program, population: str, neuron: int) -> dict[str, int]:
    """Return how many non-zero synapses a neuron (flat index) has in each projection that leaves its population."""
    found = {}
    for p in program.projections:
        source, target = program.population(p.source), program.population(p.target)
        if p.source == population and prod(source.shape) > neuron:
            found[p.name] = int(p.synapses.targets(neuron, source.shape, target.shape).size)
    return found
