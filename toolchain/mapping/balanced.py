"""Balanced mapping: every core takes a slab of space of several layers, so that work is even and most messages stay at home.

Layers are grouped into consecutive stages; a stage's layers are cut into the same slabs of rows, and slab k of all of them
sits on core k of the stage. A convolution's messages then cross to a neighbour only at the border of a slab, and all cores of a
stage have the same work (Floorline, arXiv:2511.21549: per-core maxima set the runtime, not totals). Every number of stages
is measured on calibration payloads, against greedy too; the fastest is kept, and its cores are swapped while that lowers
messages times hops.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from spikewright.hw_sim import CapacityError, Chip, Program, Trace, drc, simulate
from spikewright.hw_sim import compile as load
from spikewright.toolchain.backends import IntArray
from spikewright.toolchain.integer import IntNeuron, neurons_of
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping.assemble import assemble
from spikewright.toolchain.mapping.greedy import Greedy
from spikewright.toolchain.mapping.partition import Cores, Partition, cores_used
from spikewright.toolchain.mapping.place import place

MEASURED_SAMPLES = 8
"""Calibration samples a candidate is timed on."""
MEASURED_NEURONS = 1 << 18
"""Neurons up to which candidates are measured; above, every one takes minutes and gigabytes, and greedy's cores stay."""
TINY = 32
"""Neurons up to which a layer is not cut into slabs."""


@dataclass(frozen=True, eq=False)
class Balanced:
    """Lower the bottleneck core and the traffic, measured on payloads ``x`` (T, B, *shape).

    Args:
        x: Calibration payloads.
        cores: Neurocores to use; None: as many as greedy.
    """

    name: ClassVar[str] = "balanced"
    x: IntArray
    cores: int | None = None

    def __call__(self, graph: Graph, chip: Chip) -> Program:
        """Return the fastest program found; greedy's, placed better, where no slabs fit."""
        best = Greedy()(graph, chip)
        if sum(p.size for p in best.populations) > MEASURED_NEURONS:
            return best
        trace = self.measure(best, chip)
        cores = min(self.cores or cores_used(best), chip.mesh.cores)
        work = {name: work_of(best, trace, name, chip) for name in trace.populations}
        layers = neurons_of(graph)
        for stages in range(1, len(layers) + 1):
            groups = stages_of(layers, [work[op.name] for op in layers], min(stages, cores))
            shares = shares_of(groups, work, cores, chip.core.max_neurons)
            if shares is None:
                continue
            program = assemble(graph, chip.name, slabs(groups, shares, work))
            try:
                drc.check(program, chip)
            except CapacityError:
                continue
            seen = self.measure(program, chip)
            if _time(seen) < _time(trace):
                best, trace = program, seen
        return place(best, chip, trace)

    def measure(self, program: Program, chip: Chip) -> Trace:
        """Return the trace of a few samples. The trace's counters are (S, cores)."""
        inputs = {name: self.x[:, :MEASURED_SAMPLES] for name in program.sources}
        return simulate(load(program, chip), inputs)


def _time(trace: Trace) -> float:
    return float(trace.latency_ns.sum())


def work_of(program: Program, trace: Trace, name: str, chip: Chip) -> float:
    """Return the time one core would spend on a population in one run, in ns: synaptic operations and neuron updates."""
    arriving = sum(trace.projections[p.name].sops for p in program.projections if p.target == name)
    updates = trace.populations[name].neurons * trace.chip_steps * trace.samples
    return arriving * chip.costs["synaptic_op"].latency.nominal + updates * chip.costs["neuron_update"].latency.nominal


def stages_of(layers: list[IntNeuron], work: list[float], stages: int) -> list[list[IntNeuron]]:
    """Return consecutive groups of layers of about the same work."""
    reached = np.cumsum(work) - np.asarray(work) / 2
    group = np.minimum((reached * stages / max(sum(work), 1)).astype(np.int64), stages - 1)
    return [found for g in range(stages) if (found := [op for op, at in zip(layers, group, strict=True) if at == g])]


def shares_of(groups: list[list[IntNeuron]], work: dict[str, float], cores: int, max_neurons: int) -> list[int] | None:
    """Return the cores of each stage, in proportion to its work; None if there are too few for the neurons."""
    total = [sum(work[op.name] for op in group) for group in groups]
    least = [-(-sum(prod(op.shape) for op in group) // max_neurons) for group in groups]
    return None if sum(least) > cores else _shares(total, least, cores)


def slabs(
    groups: list[list[IntNeuron]], shares: Sequence[int], work: dict[str, float], by_channel: Container[str] = ()
) -> Cores:
    """Return the core of every neuron: each core of a stage holds a slab of every layer of it.

    Args:
        groups: The layers of each stage.
        shares: Its cores.
        work: Of every layer.
        by_channel: Layers that are cut along channels; the others along space.

    Returns (n,) core numbers by layer.
    """
    placed: Cores = {}
    first = 0
    for group, share in zip(groups, shares, strict=True):
        load = np.zeros(share)
        for op in sorted(group, key=lambda op: prod(op.shape) <= TINY):
            part = _parts(op.shape, share, int(load.argmin()), op.name in by_channel)
            load += np.bincount(part, minlength=share) * (work[op.name] / part.size)
            placed[op.name] = (first + part).astype(np.int32)
        first += share
    return placed


def _parts(shape: tuple[int, ...], parts: int, idlest: int, by_channel: bool) -> IntArray:
    """Return the slab of every neuron; a layer too small to cut goes to the idlest core."""
    if prod(shape) <= TINY:
        return np.full(prod(shape), idlest, np.int64)
    if prod(shape[1:]) >= parts and not by_channel:
        return Partition(shape, space=parts).part_of()
    return Partition(shape, channels=min(parts, shape[0])).part_of()


def _shares(work: list[float], least: list[int], cores: int) -> list[int]:
    """Split cores in proportion to work, each stage at least its least, exactly ``cores`` in all."""
    shares = list(least)
    for _ in range(cores - sum(least)):
        busiest = max(range(len(work)), key=lambda g: work[g] / shares[g])
        shares[busiest] += 1
    return shares
