"""Vendor mapping: cuts and places as the closed Loihi 2 compiler does; see ``toolchain.vendor``.

Every layer has cores of its own, numbered from the last layer back, as the board's counters are: lists in full chunks and a
rest, grids in slices, x fastest, then y, then channels (the order of slices of more than x is assumed).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Chip, Program
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping.fixed import Fixed
from spikewright.toolchain.vendor.layers import Layer, layers_of
from spikewright.toolchain.vendor.memory import did_not_converge
from spikewright.toolchain.vendor.numbers import compiler_called
from spikewright.toolchain.vendor.partition import Cut, partition


@dataclass(frozen=True)
class Vendor:
    """The cores the vendor's compiler would use; ``compiler``: 2022 or 2023."""

    name: ClassVar[str] = "vendor"
    compiler: str = "2023"

    def __call__(self, graph: Graph, chip: Chip) -> Program:
        """Return the checked program.

        Raises:
            MappingError: A layer does not converge, or no printed table shows its like.
            CapacityError: As found by the design rule check: too many cores, or a core too full in the chip file's own terms.
        """
        cores: dict[str, NDArray[np.int32]] = {}
        first = 0
        for layer in reversed(layers_of(graph)):
            cut = partition(layer, compiler_called(self.compiler))
            if cut.cores is None:
                raise did_not_converge(layer, cut)
            cores[layer.name] = (first + core_of(layer, cut)).astype(np.int32)
            first += cut.cores
        return Fixed(cores)(graph, chip)


def core_of(layer: Layer, cut: Cut) -> NDArray[np.int64]:
    """Return the core of every neuron, counted inside the layer, flat in C order. Returns (n,)."""
    if cut.chunk is not None:
        return np.arange(layer.size, dtype=np.int64) // cut.chunk
    assert cut.slice is not None
    (_, h, w), (x, y, c) = layer.grid_shape, cut.slice
    channel, row, column = np.indices(layer.grid_shape, dtype=np.int64)
    part: NDArray[np.int64] = (channel // c * -(-h // y) + row // y) * -(-w // x) + column // x
    return part.reshape(-1)
