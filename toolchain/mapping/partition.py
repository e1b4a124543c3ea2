"""Partition: into how many parts each population is cut, along channels and along space, and which parts share a core."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Chip, Program, drc
from spikewright.hw_sim.chip import list_chips, load_chip
from spikewright.toolchain.errors import MappingError
from spikewright.toolchain.integer import IntConnection, neurons_of
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping.assemble import assemble

SMALL = 128
"""Neurons up to which a population shares its core with its neighbours."""
HALO = 2
"""Rows, and columns, that windows of 3 x 3 see beyond their part."""
MEMORY_BOUND = ("synapse_memory_bits", "max_fan_in")
"""Resources that cutting by channels relieves: each core then stores its own kernels only."""

Cores = dict[str, NDArray[np.int32]]
"""Logical core of every neuron, by population."""


@dataclass(frozen=True)
class Partition:
    """How one population is cut; ``shares``: it may sit on the core of its neighbours.

    A map (C, H, W) is cut along space into slabs of rows, or ``tiled``, where a slab would be a row or less: what windows see
    beyond the border of a part is then least.
    """

    shape: tuple[int, ...]
    channels: int = 1
    space: int = 1
    shares: bool = False
    tiled: bool = False

    @property
    def tiles(self) -> tuple[int, int] | None:
        """Bands of rows and of columns, at least ``space`` tiles in all; None where space is cut in the order of its places."""
        if not self.tiled:
            return None
        high, wide = self.shape[1:]
        cuts = [(a, -(-self.space // a)) for a in range(1, high + 1) if -(-self.space // a) <= wide]
        return min(cuts, key=lambda cut: (-(-high // cut[0]) + HALO) * (-(-wide // cut[1]) + HALO))

    @property
    def parts(self) -> int:
        """Number of parts."""
        return self.channels * (self.space if self.tiles is None else prod(self.tiles))

    @property
    def size(self) -> int:
        """Number of neurons."""
        return prod(self.shape)

    def part_of(self) -> NDArray[np.int64]:
        """Return the part of every neuron, flat in C order. Returns (n,)."""
        c, rest = self.shape[0], prod(self.shape[1:])
        channel, tiles = np.arange(c) * self.channels // c, self.tiles
        if tiles is None:
            place, places = np.arange(rest) * self.space // rest, self.space
        else:
            row, column = (np.arange(n) * bands // n for n, bands in zip(self.shape[1:], tiles, strict=True))
            place, places = (row[:, None] * tiles[1] + column).reshape(-1), prod(tiles)
        return (channel[:, None] * places + place[None, :]).reshape(-1)

    def finer(self, resource: str = "max_neurons", factor: int = 2) -> Partition | None:
        """Return the population cut ``factor`` times finer, or None if every neuron is alone already."""
        c, rest = self.shape[0], prod(self.shape[1:])
        if self.channels < c and (resource in MEMORY_BOUND or self.space >= rest):
            return replace(self, channels=min(c, self.channels * factor), shares=False)
        if self.space < rest:
            space = min(rest, self.space * factor)
            tiled = len(self.shape) == 3 and space > max(1, self.shape[1] // 2)
            return replace(self, space=space, shares=False, tiled=tiled)
        return None


Partitions = dict[str, Partition]


def coarsest(graph: Graph, chip: Chip) -> Partitions:
    """Return the coarsest cuts that respect the neurons a core holds, and the shared kernels that it must hold."""
    cuts = {}
    for op in neurons_of(graph):
        cut = Partition(op.shape, shares=prod(op.shape) <= SMALL)
        if cut.size > chip.core.max_neurons:
            kernels = sum(
                link.synapses.weights.size
                for name in op.inputs
                if isinstance(link := graph[name], IntConnection) and link.synapses.storage == "conv"
            )
            groups = -(-kernels * chip.core.weight_bits // chip.core.synapse_memory_bits)
            cut = replace(cut, channels=min(op.shape[0], 1 << max(0, groups - 1).bit_length()))
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
    cuts = dict(cuts)
    while True:
        program = assemble(graph, chip.name, in_order(cuts, chip.core.max_neurons))
        crowded = _crowded(program, chip)
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
    finer = before[names[0]].finer(use.resource, _factor(use))
    if finer is None:
        raise MappingError(
            f"one neuron alone needs {use.used} of {use.resource} on core {use.core}; chip {chip.name!r} has "
            f"{use.limit} per neurocore, {use.used - use.limit} too few",
            where=f"layer {names[0]!r}",
            help=f"split the layer's input into {-(-use.used // use.limit)} groups, or choose a chip with a larger "
            f"core.{use.resource}",
        )
    cuts[names[0]] = finer


def _factor(use: drc.Use) -> int:
    """Return how many times finer to cut at once: as often as halving goes, for half of a cut still takes half at least."""
    return 1 << max(1, (-(-use.used // use.limit) - 1).bit_length())


def _crowded(program: Program, chip: Chip) -> list[drc.Use]:
    """Return the first exceeded resource of every core that is too full."""
    found: dict[int, drc.Use] = {}
    for use in drc.utilization(program, chip):
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
        help=f"choose a board with at least {used} cores: {_boards(used)}, or make the layers smaller",
    )


def _boards(cores: int) -> str:
    """Return the smallest chip that ships with so many cores, as an option."""
    found = sorted((chip.mesh.cores, chip.name) for chip in map(load_chip, list_chips()) if chip.mesh.cores >= cores)
    return f"--chip {found[0][1]}" if found else "none that ships is as large (see `spikewright chips`)"
