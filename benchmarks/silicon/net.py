"""PilotNet LIF as Intel ran it: from the ``.net`` file alone, on a given partition or on one of our own mapper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.netx import import_net
from hw_sim import Chip, Lif, Population, Program
from toolchain.int_ops import IntLif
from toolchain.mapping import assemble, map_graph
from toolchain.passes.align import Align

RESET_INTERVAL = 16
"""Steps between two resets of every neuron (``LIFReset``), as in lava-dl's pilotnet_snn/benchmark.ipynb."""

SLICES = {"0.input": 16, "1.conv": 4, "2.conv": 4, "3.conv": 8, "4.conv": 8, "5.conv": 16}
"""Columns of the image that one core holds, per layer: 3168, 3072, 2160, 2688, 2048 and 2048 neurons (same notebook)."""
DENSE_CORES = {"7.dense": 12, "8.dense": 1, "9.dense": 1, "10.dense": 1}
"""Cores of the dense layers (same notebook); the 100 neurons on 12 cores are 8 or 9 each, which ones is not said."""


def intel_partition(path: Path) -> dict[str, NDArray[np.int32]]:
    """Return the core of every neuron under the partition of Intel's compiler, cores numbered from the output back."""
    shapes = {op.name: op.shape for op in import_net(path) if isinstance(op, IntLif)}
    cores: dict[str, NDArray[np.int32]] = {}
    first = 0
    for name, shape in reversed(shapes.items()):
        if name in SLICES:
            column = np.broadcast_to(np.arange(shape[-1]), shape)
            part = (column // SLICES[name]).reshape(-1)
        else:
            size = int(np.prod(shape))
            part = np.arange(size) * DENSE_CORES[name] // size
        cores[name] = (first + part).astype(np.int32)
        first += int(part.max()) + 1
    return cores


def program(path: Path, chip: Chip, cores: dict[str, NDArray[np.int32]] | None) -> Program:
    """Return the net on a chip.

    Args:
        path: The ``.net`` file.
        chip: Target.
        cores: Core of every neuron by layer; None: our own mapper.
    """
    graph = Align()(import_net(path))
    mapped = map_graph(graph, chip) if cores is None else assemble(graph, chip.name, cores)
    populations = tuple(replace(p, soma=_resetting(p)) if isinstance(p.soma, Lif) else p for p in mapped.populations)
    return replace(mapped, populations=populations)


def unfed(whole: Program) -> Program:
    """Return the net without its host input: the biases of its layers drive it, as they did on silicon."""
    host = whole.populations[0].name
    return replace(
        whole,
        populations=whole.populations[1:],
        projections=tuple(p for p in whole.projections if p.source != host),
    )


def _resetting(population: Population) -> Lif:
    assert isinstance(population.soma, Lif)
    return replace(population.soma, reset_interval=RESET_INTERVAL, reset_phase=0)
