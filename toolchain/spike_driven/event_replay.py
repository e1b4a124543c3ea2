"""Count synaptic operations by walking events: each neuron's messages along its synapses, from the program alone.

A SOP is one message that arrives at one non-zero synapse inside the target's window; it falls in the chip step
``source.start + t + delay`` on the target neuron's core. Nothing of the engine's compiled counters is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Population, Program, Projection

IntArray = NDArray[np.int64]
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


def walk(program: Program, out: dict[str, NDArray[np.generic]], chip_steps: int, cores: int) -> Walked:
    """Walk every recorded message along its synapses.

    Args:
        program: What ran.
        out: What every population that sends messages put out, (T, B, *shape).
        chip_steps: Chip steps of the run.
        cores: Number of cores.
    """
    sops = {kind: np.zeros((chip_steps, cores), np.int64) for kind in KINDS}
    sent = {p.name: messages(p, out[p.name]) for p in program.populations if p.name in out}
    totals = {}
    for projection in program.projections:
        kind = population.kind if (population := program.population(projection.source)).kind in KINDS else "binary"
        events = sent.get(population.name, np.zeros((0, 0, 0), bool))
        totals[projection.name] = _walk_projection(program, projection, events, sops[kind])
    return Walked(sops, totals, {name: int(events.sum()) for name, events in sent.items()})


def _walk_projection(program: Program, projection: Projection, events: NDArray[np.bool_], sops: IntArray) -> int:
    """Add the SOPs of one projection; return how many there are."""
    source, target = program.population(projection.source), program.population(projection.target)
    first, cores = source.start + projection.delay, target.cores
    heard = max(0, program.life(target, events.shape[0]) - program.lag(projection))
    sent = np.count_nonzero(events[: min(heard, program.life(source, events.shape[0]))], axis=1)
    total = 0
    for neuron in np.flatnonzero(sent.any(axis=0)):
        where = cores[projection.synapses.targets(int(neuron), source.shape, target.shape)]
        total += where.size * int(sent[:, neuron].sum())
        on_core = np.bincount(where[where >= 0], minlength=sops.shape[1])
        sops[first : first + len(sent)] += sent[:, neuron, None] * on_core
    return total


def fan_out(program: Program, population: str, neuron: int) -> dict[str, int]:
    """Return how many non-zero synapses a neuron (flat index) has in each projection that leaves its population."""
    found = {}
    for p in program.projections:
        source, target = program.population(p.source), program.population(p.target)
        if p.source == population and prod(source.shape) > neuron:
            found[p.name] = int(p.synapses.targets(neuron, source.shape, target.shape).size)
    return found
