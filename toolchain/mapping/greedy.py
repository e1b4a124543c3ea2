"""Greedy mapping: few cores, in the order of the graph; a part that does not fit its core is halved until it does.

A population is cut by channels where synaptic memory is short (each core then stores its own kernels only), else by space (each
core then reads fewer axons). Small populations share a core.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw_sim import Chip, Program, drc
from toolchain.errors import MappingError
from toolchain.int_ops import IntDeltaRelu, IntGate, IntLif
from toolchain.ir import Graph
from toolchain.mapping.assemble import assemble

SMALL = 128
"""Neurons up to which a population shares its core with its neighbours."""

NeuronOp = IntLif | IntDeltaRelu | IntGate


@dataclass
class _Cut:
    """Into how many parts a population is cut, along channels and along space, and whether it may share a core."""

    shape: tuple[int, ...]
    channels: int = 1
    space: int = 1
    shares: bool = False

    @property
    def parts(self) -> int:
        return self.channels * self.space

    def part_of(self) -> NDArray[np.int64]:
        """Return the part of every neuron, flat in C order."""
        c, rest = self.shape[0], int(np.prod(self.shape[1:]))
        channel = np.arange(c) * self.channels // c
        place = np.arange(rest) * self.space // rest
        return (channel[:, None] * self.space + place[None, :]).reshape(-1)

    def halve(self, resource: str) -> bool:
        """Cut once more; say whether that was possible."""
        self.shares = False
        c, rest = self.shape[0], int(np.prod(self.shape[1:]))
        if (resource in ("synapse_memory_bits", "max_fan_in") or self.space >= rest) and self.channels < c:
            self.channels = min(c, self.channels * 2)
        elif self.space < rest:
            self.space = min(rest, self.space * 2)
        elif self.channels < c:
            self.channels = min(c, self.channels * 2)
        else:
            return False
        return True


def map_graph(graph: Graph, chip: Chip) -> Program:
    """Return the program of an aligned integer graph on a chip.

    Raises:
        MappingError: The net does not fit; names layer, core, limit and by how much.
        CapacityError: As found by the design rule check.
    """
    cuts = {op.name: _Cut(op.shape, shares=int(np.prod(op.shape)) <= SMALL) for op in graph if isinstance(op, NeuronOp)}
    for cut in cuts.values():
        while int(np.bincount(cut.part_of()).max()) > chip.core.max_neurons and cut.halve("max_neurons"):
            continue
    while True:
        program = assemble(graph, chip.name, _place(cuts, chip.core.max_neurons))
        crowded = _crowded(program, chip)
        if not crowded:
            drc.check(program, chip)
            return program
        for core, resource, used, limit in crowded:
            names = [p.name for p in program.populations if (p.core == core).any()]
            shared = [name for name in names if cuts[name].shares]
            if len(names) > 1 and shared:
                for name in shared:
                    cuts[name].shares = False
            elif not cuts[names[0]].halve(resource):
                raise MappingError(
                    f"one neuron alone needs {used} of {resource} on its core; chip {chip.name!r} has {limit}",
                    where=f"layer {names[0]!r}",
                    help="split the layer's input into groups, or choose a chip with more",
                )


def _place(cuts: dict[str, _Cut], max_neurons: int) -> dict[str, NDArray[np.int32]]:
    """Number the cores in the order of the populations."""
    placed: dict[str, NDArray[np.int32]] = {}
    core, room = -1, 0
    for name, cut in cuts.items():
        size = int(np.prod(cut.shape))
        if cut.shares and size <= room:
            placed[name] = np.full(size, core, np.int32)
            room -= size
            continue
        placed[name] = (core + 1 + cut.part_of()).astype(np.int32)
        core += cut.parts
        room = max_neurons - size if cut.shares else 0
    return placed


def _crowded(program: Program, chip: Chip) -> list[tuple[int, str, int, int]]:
    """Return the first exceeded resource of every core that is too full: (core, resource, used, limit)."""
    found = {}
    for row in drc.utilization(program, chip):
        if row.used > row.limit and row.core not in found:
            found[row.core] = (row.core, row.resource, row.used, row.limit)
    return list(found.values())
