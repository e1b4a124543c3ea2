"""Fixed mapping: a placement that is given, checked against the chip as any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spikewright.hw_sim import Chip, Program, drc
from spikewright.toolchain.errors import MappingError
from spikewright.toolchain.integer import neurons_of
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping.assemble import assemble
from spikewright.toolchain.mapping.partition import Cores


@dataclass(frozen=True, eq=False)
class Fixed:
    """The logical core of every neuron, by neuron op, flat in C order."""

    name: ClassVar[str] = "fixed"
    cores: Cores

    def __call__(self, graph: Graph, chip: Chip) -> Program:
        """Return the program.

        Raises:
            MappingError: A population is missing, unknown, or has another number of neurons.
            CapacityError: As found by the design rule check.
        """
        sizes = {op.name: op.size for op in neurons_of(graph)}
        for name in sorted(sizes.keys() ^ self.cores.keys()):
            known = ", ".join(sizes)
            raise MappingError(
                "has no place in the partition" if name in sizes else f"is no layer of the net; there are {known}",
                where=f"layer {name!r}",
                help="give one core number for every neuron of every layer",
            )
        for name, core in self.cores.items():
            if core.shape != (sizes[name],):
                raise MappingError(
                    f"the partition places {core.size} neurons; the layer has {sizes[name]}",
                    where=f"layer {name!r}",
                    help="give one core number for every neuron, flat in C order",
                )
        program = assemble(graph, chip.name, {name: core.astype(np.int32) for name, core in self.cores.items()})
        drc.check(program, chip)
        return program
