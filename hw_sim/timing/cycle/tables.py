"""What every neuron sends and where: messages by destination core, synapses by core, and its place in its core's sweep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.compiled.stages import Compiled, Stage
from spikewright.hw_sim.program import Projection
from spikewright.hw_sim.synaptic_memory import FanOut, words_read
from spikewright.hw_sim.timing.cycle.fabric import Fabric, fabric
from spikewright.hw_sim.timing.cycle.service import Service

Int = NDArray[np.int64]
Index = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Synapses:
    """One projection: message of neuron i -> entries ``start[i] : start[i + 1]`` of ``core``, ``words``, ``sops``.

    Messages of local steps from ``heard`` on find the target past its window.
    """

    projection: Projection
    heard: int
    kind: str
    start: Int
    core: Index
    words: Index
    sops: Index


@dataclass(frozen=True, eq=False)
class Sender:
    """One population: neuron i is on core ``own[i]`` (-1: the host), as number ``rank[i]`` of this population there.

    Its messages go to cores ``target[start[i] : start[i + 1]]``; ``pair`` is their route in the fabric, -1 from the host.
    ``on_core`` (cores,) counts its neurons on each core; ``gates`` multiplies are done for each of them inside the window, and
    its program runs ``updates`` times in every step.
    """

    name: str
    first_step: int
    life: int
    gates: int
    updates: int
    own: Index
    rank: Index
    start: Int
    target: Index
    pair: Index
    on_core: Int
    synapses: tuple[Synapses, ...]


@dataclass(frozen=True, eq=False)
class Tables:
    """A compiled program as the cycle timing reads it; senders in the order in which a core sweeps its neurons."""

    senders: tuple[Sender, ...]
    fabric: Fabric


def tables(compiled: Compiled, times: Service, steps: int) -> Tables:
    """Build the tables of a program that runs ``steps`` local steps."""
    reach = {name: _reach(compiled, stage) for name, stage in compiled.stages.items()}
    keys = {
        name: np.repeat(stage.core, np.diff(reach[name][0])) * compiled.chip.mesh.cores + reach[name][1]
        for name, stage in compiled.stages.items()
    }
    pairs = np.unique(np.concatenate(list(keys.values())))
    pairs = pairs[pairs >= 0]  # a key is negative where the host sends
    cores = compiled.chip.mesh.cores
    routes = fabric(compiled.chip.mesh, pairs // cores, pairs % cores, compiled.cores, times.link, times.chip_link)
    senders = []
    for name, stage in compiled.stages.items():
        start, target = reach[name]
        pair = np.where(keys[name] >= 0, np.searchsorted(pairs, keys[name]), -1)
        senders.append(_sender(compiled, stage, steps, start, target, pair))
    return Tables(tuple(senders), routes)


def _reach(compiled: Compiled, stage: Stage) -> tuple[Int, Int]:
    """Return the distinct cores that each neuron's message goes to, ascending, as (start, target)."""
    cores = max(compiled.cores, 1)
    found = [np.zeros(0, np.int64)]
    for projection in _outgoing(compiled, stage):
        fan = compiled.fan_out[projection.name]
        inside = (fan.cores >= 0)[fan.column]
        found.append(fan.source[inside] * cores + fan.cores[fan.column[inside]])
    key = np.unique(np.concatenate(found))
    return np.searchsorted(key // cores, np.arange(stage.population.size + 1)), key % cores


def _outgoing(compiled: Compiled, stage: Stage) -> list[Projection]:
    if not stage.emitters:  # it sends no messages
        return []
    return [p for p in compiled.program.projections if p.source == stage.population.name]


def _sender(compiled: Compiled, stage: Stage, steps: int, start: Int, target: Int, pair: Int) -> Sender:
    population = stage.population
    placed = stage.core >= 0
    order = np.argsort(stage.core, kind="stable")
    ranked = stage.core[order]
    rank = np.zeros(population.size, np.int64)
    rank[order] = np.arange(population.size) - np.searchsorted(ranked, ranked)
    return Sender(
        name=population.name,
        first_step=population.start,
        life=compiled.program.life(population, steps),
        gates=len(stage.gates),
        updates=population.soma.updates,
        own=stage.core.astype(np.int32),
        rank=rank.astype(np.int32),
        start=start.astype(np.int64),
        target=target.astype(np.int32),
        pair=pair.astype(np.int32),
        on_core=np.bincount(stage.core[placed], minlength=compiled.cores).astype(np.int64),
        synapses=tuple(_synapses(compiled, p, steps, compiled.fan_out[p.name]) for p in _outgoing(compiled, stage)),
    )


def _synapses(compiled: Compiled, projection: Projection, steps: int, fan: FanOut) -> Synapses:
    chosen = np.flatnonzero((fan.cores >= 0)[fan.column])
    chosen = chosen[np.argsort(fan.source[chosen], kind="stable")]
    neuron, column = fan.source[chosen], fan.column[chosen]
    program = compiled.program
    size, target = program.population(projection.source).size, program.population(projection.target)
    return Synapses(
        projection=projection,
        heard=max(0, program.life(target, steps) - program.lag(projection)),
        kind=program.population(projection.source).soma.sends,
        start=np.searchsorted(neuron, np.arange(size + 1)).astype(np.int64),
        core=fan.cores[column].astype(np.int32),
        words=words_read(fan, compiled.chip.core)[chosen],
        sops=fan.synapses[chosen],
    )
