"""PilotNet LIF as Intel ran it: from the ``.net`` file alone, on the partition of Intel's compiler or on our own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikewright.export.netx import import_net
from spikewright.hw_sim import Chip, Lif, Population, Program, Source
from spikewright.toolchain.integer import IntNeuron
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping import Fixed, Greedy, map_graph
from spikewright.toolchain.passes.align import Align

RESET_INTERVAL = 16
"""Steps between two resets of every neuron (``LIFReset``): lava-dl 0.6.0, pilotnet_snn/benchmark.ipynb."""
INPUT = "0.input"
SLICES = {INPUT: 16, "1.conv": 4, "2.conv": 4, "3.conv": 8, "4.conv": 8, "5.conv": 16}
"""Columns of the image on one core, by layer: 3168, 3072, 2160, 2688, 2048 and 2048 neurons (same notebook)."""
COMPILER_NEURONS = 4096
"""Intel's compiler keeps below this on one core and cuts 2**k columns: inferred, since that rule alone gives ``SLICES`` for all
six layers. (Intel's brief says 8192 neurons a core. The dense layer of 100 takes 12 cores by another limit: the notebooks
name a register ``SynMem`` of 12,000.)"""
DENSE_CORES = {"7.dense": 12, "8.dense": 1, "9.dense": 1, "10.dense": 1}
"""Cores of the dense layers (same notebook); the 100 neurons on 12 cores are 8 or 9 each, which ones is not said."""


def graph(path: Path) -> Graph:
    """Return the aligned integer graph of the file."""
    return Align()(import_net(path))


def intel_partition(net: Graph) -> Fixed:
    """Return the partition of Intel's compiler; cores are numbered from the output back, as the chip's counters are."""
    cores: dict[str, NDArray[np.int32]] = {}
    first = 0
    for op in reversed(net.ops):
        if not isinstance(op, IntNeuron):
            continue
        size = int(np.prod(op.shape))
        if op.name in SLICES:
            part = (np.broadcast_to(np.arange(op.shape[-1]), op.shape) // SLICES[op.name]).reshape(-1)
        else:
            part = np.arange(size) * DENSE_CORES[op.name] // size
        cores[op.name] = (first + part).astype(np.int32)
        first += int(part.max()) + 1
    return Fixed(cores)


def compiler_columns(shape: tuple[int, ...]) -> int:
    """Return how many columns of a grid (C, H, W) the rule of ``COMPILER_NEURONS`` puts on one core."""
    columns = 1
    while 2 * columns * int(np.prod(shape[:-1])) < COMPILER_NEURONS:
        columns *= 2
    return columns


def as_on_silicon(net: Graph, chip: Chip, strategy: Fixed | Greedy) -> Program:
    """Return the net with periodic resets and without input: the biases of its layers drive it, as they did on the chip.

    The notebook sets ``neuron.bias``, which its input neurons do not have (theirs is ``bias_mant``), so they never fired: the
    chip's counters show no spikes of these cores.
    """
    mapped = map_graph(net, chip, strategy)
    host = {p.name for p in mapped.populations if isinstance(p.soma, Source)}
    return replace(
        mapped,
        populations=tuple(_resetting(p) for p in mapped.populations if p.name not in host),
        projections=tuple(p for p in mapped.projections if p.source not in host),
    )


def fed_with_spikes(program: Program) -> Program:
    """Return the net with its input neurons replaced by spikes from the host."""
    populations = tuple(
        replace(p, soma=Source(1), core=np.full(p.size, -1, np.int32)) if p.name == INPUT else p
        for p in program.populations
    )
    return replace(program, populations=populations)


def _resetting(population: Population) -> Population:
    assert isinstance(population.soma, Lif)
    return replace(population, soma=replace(population.soma, reset_interval=RESET_INTERVAL, reset_phase=0))
