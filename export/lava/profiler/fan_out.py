"""How many messages each core sends if all its neurons fire once, to its own chip and to others, and over how many cores.

A neuron sends one message to each core that holds a non-zero synapse of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Chip, Program
from spikewright.hw_sim.synaptic_memory import fan_out

Int = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Reach:
    """Per core in use: messages to its own chip and to others; cores on other chips that one neuron reaches."""

    local: Int
    remote: Int
    fewest_remote: Int
    most_remote: Int


def reach(program: Program, chip: Chip, cores: Int) -> Reach:
    """Return who reaches where, over all populations, for the logical ``cores`` in use."""
    per_chip = chip.mesh.usable_cores_per_chip
    width = int(cores.max(initial=-1)) + 1
    chip_of = np.arange(width) // per_chip
    local, remote = np.zeros(width, np.int64), np.zeros(width, np.int64)
    fewest, most = np.full(width, np.iinfo(np.int64).max), np.zeros(width, np.int64)
    for population in program.populations:
        home = population.cores
        hit = np.zeros((population.size, width), bool)
        for projection in program.projections:
            if projection.source == population.name:
                fan = fan_out(projection, population, program.population(projection.target))
                inside = (fan.cores >= 0)[fan.column]
                hit[fan.source[inside], fan.cores[fan.column[inside]]] = True
        hit, home = hit[home >= 0], home[home >= 0]
        away = (hit & (chip_of[None, :] != chip_of[home][:, None])).sum(axis=1)
        np.add.at(local, home, hit.sum(axis=1) - away)
        np.add.at(remote, home, away)
        np.minimum.at(fewest, home, away)
        np.maximum.at(most, home, away)
    return Reach(*(found[cores] for found in (local, remote, fewest, most)))
