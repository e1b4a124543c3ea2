"""Partition: into how many parts each population is cut, along channels and along space, and which parts share a core."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Chip, Program, drc
from spikewright.hw_sim.synaptic_memory import Known
from spikewright.toolchain.errors import MappingError
from spikewright.toolchain.integer import neurons_of
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping.assemble import assemble

SMALL = 128
"""Neurons up to which a population shares its core with its neighbours."""
MEMORY_BOUND = ("synapse_memory_bits", "max_fan_in")
"""Resources that cutting by channels relieves: each core then stores its own kernels only."""

Cores = dict[str, NDArray[np.int32]]
"""Logical core of every neuron, by population."""


@dataclass(frozen=True)
class Partition:
    """How one population is cut; ``shares``: it may sit on the core of its neighbours."""

    shape: tuple[int, ...]
    channels: int = 1
    space: int = 1
    shares: bool = False

    @property
    def parts(self) -> int:
        """Number of parts."""
        return self.channels * self.space

    @property
    def size(self) -> int:
        """Number of neurons."""
        return prod(self.shape)

    def part_of(self) -> NDArray[np.int64]:
        """Return the part of every neuron, flat in C order."""
        c, rest = self.shape[0], prod(self.shape[1:])
        channel = np.arange(c) * self.channels // c
        place = np.arange(rest) * self.space // rest
        return (channel[:, None] * self.space + place[None, :]).reshape(-1)

    def finer(self, resource: str = "max_neurons", factor: int = 2) -> Partition | None:
        """Return the population cut ``factor`` times finer, or None if every neuron is alone already."""
        c, rest = self.shape[0], prod(self.shape[1:])
        if self.channels < c and (resource in MEMORY_BOUND or self.space >= rest):
            return replace(self, channels=min(c, self.channels * factor), shares=False)
        if self.space < rest:
            return replace(self, space=min(rest, self.space * factor), shares=False)
        return None


Partitions = dict[str, Partition]


def coarsest(graph: Graph, chip: Chip) -> Partitions:
    """Return the coarsest cuts that respect the neurons a core holds."""
    cuts = {}
    for op in neurons_of(graph):
        cut = Partition(op.shape, shares=prod(op.shape) <= SMALL)
        while int(np.bincount(cut.part_of()).max()) > chip.core.max_neurons and (finer := cut.finer()) is not None:
            cut = finer
        cuts[op.name] = cut
    return cuts


def in_order(cuts: Partitions, max_neurons: int) -> Cores:
    """Number the cores in the order of the populations; small neighbours share one."""
    placed: Cores = {}
    core, room = -1, 0
    for name, cut in cuts.items():
        if cut.shares and cut.size <= room:
            placed[name] = np.full(cut.size, core, np.int32)
            room -= cut.size
            continue
        placed[name] = (core + 1 + cut.part_of()).astype(np.int32)
        core += cut.parts
        room = max_neurons - cut.size if cut.shares else 0
    return placed


def fit(graph: Graph, chip: Chip, cuts: Partitions) -> tuple[Program, Partitions]:
    """Cut finer until every core is within every limit; return the checked program and the cuts.

    Raises:
        MappingError: One neuron alone is too much for a core, or the chip has too few cores; says what would fit.
        CapacityError: As found by the design rule check.
    """
    cuts, known = dict(cuts), Known()
    while True:
        program = assemble(graph, chip.name, in_order(cuts, chip.core.max_neurons))
        crowded = _crowded(program, chip, known)
        if not crowded:
            _check_cores(program, chip)
            drc.check(program, chip)
            return program, cuts
        before = dict(cuts)
        for use in crowded:
            _relieve(program, before, cuts, use, chip)


def _relieve(program: Program, before: Partitions, cuts: Partitions, use: drc.Use, chip: Chip) -> None:
    """Give the populations of a full core more room; each is cut once a round, however many of its cores are full."""
    names = [p.name for p in program.populations if bool((p.core == use.core).any())]
    shared = [name for name in names if before[name].shares]
    if len(names) > 1 and shared:
        for name in shared:
            cuts[name] = replace(cuts[name], shares=False)
        return
    finer = before[names[0]].finer(use.resource)
    if finer is None:
        raise MappingError(
            f"one neuron alone needs {use.used} of {use.resource} on core {use.core}; chip {chip.name!r} has "
            f"{use.limit} per neurocore, {use.used - use.limit} too few",
            where=f"layer {names[0]!r}",
            help=f"split the layer's input into {-(-use.used // use.limit)} groups, or choose a chip with a larger "
            f"core.{use.resource}",
        )
    cuts[names[0]] = finer


def _crowded(program: Program, chip: Chip, known: Known) -> list[drc.Use]:
    """Return the first exceeded resource of every core that is too full."""
    found: dict[int, drc.Use] = {}
    for use in drc.utilization(program, chip, known):
        if use.used > use.limit:
            found.setdefault(use.core, use)
    return list(found.values())


def cores_used(program: Program) -> int:
    """Return how many neurocores a program uses."""
    return 1 + max(int(p.core.max(initial=-1)) for p in program.populations)


def _check_cores(program: Program, chip: Chip) -> None:
    """Refuse a net that needs more cores than there are, naming the layer that does not find room."""
    used, limit = cores_used(program), chip.mesh.cores
    if used <= limit:
        return
    layer = next(p for p in program.populations if int(p.core.max(initial=-1)) >= limit)
    raise MappingError(
        f"the net needs {used} neurocores; chip {chip.name!r} has {limit}, {used - limit} too few",
        where=f"layer {layer.name!r}, core {limit}",
        help=f"choose a board with at least {used} cores (see `spikewright chips`), or make the layers smaller",
    )
