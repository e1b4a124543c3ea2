"""Who did how much: SOPs by class, gains, neuron updates and spikes per layer; the same per core with its traffic. Run totals.

A layer is all populations of one block of the user's net; the SOPs of a projection belong to the layer it drives.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Population, Program, Trace
from spikewright.hw_sim.somas import Soma
from spikewright.toolchain.ir import Graph

Kind = Literal["binary", "graded", "gate"]


@dataclass(frozen=True)
class Sops:
    """Synaptic operations by class; ``total`` leaves gate deliveries out (they end at a gain, not at a weight).

    Args:
        binary: Binary spike x weight: an accumulate (class A).
        graded: Payload x weight: a multiply-accumulate (class B).
        gate: Gate levels delivered to neurons.
        dense: Binary and graded, if every source neuron fired in every step.
    """

    binary: int = 0
    graded: int = 0
    gate: int = 0
    dense: int = 0

    @property
    def total(self) -> int:
        """Binary and graded."""
        return self.binary + self.graded

    def __add__(self, other: Sops) -> Sops:
        return Sops(
            self.binary + other.binary, self.graded + other.graded, self.gate + other.gate, self.dense + other.dense
        )


@dataclass(frozen=True)
class Layer:
    """Totals of one layer over samples and steps.

    Args:
        name: The block.
        populations: Its populations by name, in order.
        fed_by: Projections that drive it.
        neurons: Neurons on cores.
        cores: Logical cores that hold them.
        sops: What arrives here.
        attention: Those of ``sops`` that drive gates and their hidden rectifiers, not spiking neurons.
        gate_multiplies: Gains applied inside neurons (class C).
        neuron_updates: Neurons on cores x chip steps x samples.
        spikes: Spikes of its spiking neurons (of the input: non-zero payloads).
        gate_messages: Changes sent by its gate neurons and their hidden rectifiers.
        firing: Spiking neurons x steps x samples.
        wraps, clips: Saturations of u and v at 24 bits.
    """

    name: str
    populations: tuple[str, ...]
    fed_by: tuple[str, ...]
    neurons: int
    cores: tuple[int, ...]
    sops: Sops
    attention: Sops
    gate_multiplies: int
    neuron_updates: int
    spikes: int
    gate_messages: int
    firing: int
    wraps: int
    clips: int

    @property
    def attention_sops(self) -> int:
        """SOPs of ``attention``, of all classes."""
        return self.attention.total + self.attention.gate

    @property
    def spike_rate(self) -> float | None:
        """Spikes per spiking neuron, a step; None where nothing can fire (a read-out)."""
        return self.spikes / self.firing if self.firing else None


@dataclass(frozen=True)
class Core:
    """Totals of one neurocore over samples and steps.

    Args:
        core: Its number.
        layers: Those with neurons on it.
        slices: What of each of these lies on it, in words (``slice_of``).
        sops_by_step: SOPs of all samples in each chip step; () of a run of more than ``MOST_STEPS``.
    """

    core: int
    layers: tuple[str, ...]
    slices: tuple[str, ...]
    neurons: int
    sops: Sops
    synmem_reads: int
    neuron_updates: int
    gate_multiplies: int
    spikes: int
    messages: int
    messages_in: int
    hops: int
    sops_by_step: tuple[int, ...] = ()


MOST_STEPS = 1024
"""Chip steps up to which the SOPs of every step and core are kept beside their sums."""


def slice_of(shape: tuple[int, ...], held: NDArray[np.int64]) -> str:
    """Return which neurons of a population (flat indices) a core holds: ranges of its axes where they are a box of the grid.

    Axes of a grid are called C, H, W; a range of a whole axis is left out.
    """
    axes = [np.unique(axis) for axis in np.unravel_index(held, shape)]
    box = prod(axis.size for axis in axes) == held.size
    if not box or any(axis.size != axis[-1] - axis[0] + 1 for axis in axes):
        return f"{held.size:,} of {prod(shape):,} neurons"
    names = "CHW" if len(shape) == 3 else "n" if len(shape) == 1 else "".join(map(str, range(len(shape))))
    parts = [
        f"{name} {axis[0]}–{axis[-1]}" if axis.size > 1 else f"{name} {axis[0]}"
        for name, axis, whole in zip(names, axes, shape, strict=True)
        if axis.size < whole
    ]
    return ", ".join(parts) or "all"


@dataclass(frozen=True)
class Activity:
    """Totals of a run, by layer and by core; both sum to the same whole.

    Args:
        samples, steps, chip_steps: B, T and T + depth.
        host_messages: Messages from the host into cores.
        layers: In evaluation order; the first one may be the input, which lies outside the cores.
        cores: Cores in use.
    """

    samples: int
    steps: int
    chip_steps: int
    host_messages: int
    layers: tuple[Layer, ...]
    cores: tuple[Core, ...]

    @property
    def sops(self) -> Sops:
        """All SOPs."""
        return sum((layer.sops for layer in self.layers), Sops())

    @property
    def spike_rate(self) -> float:
        """Spikes per neuron, a step, over all spiking neurons on cores."""
        on_chip = [layer for layer in self.layers if layer.neurons]
        firing = sum(layer.firing for layer in on_chip)
        return sum(layer.spikes for layer in on_chip) / firing if firing else 0.0

    def total(self, field: str) -> int:
        """Return the sum of one counter over all cores, e.g. ``messages``, ``hops``, ``neuron_updates``.

        Of all samples, not per sample.
        """
        return sum(int(getattr(core, field)) for core in self.cores)


def activity(graph: Graph, program: Program, trace: Trace) -> Activity:
    """Collect the counters of a run by layer and core.

    Args:
        graph: The integer graph, for the names of its blocks.
        program: What was run.
        trace: Its record, fresh or loaded.
    """
    blocks: dict[str, list[Population]] = {}
    for population in program.populations:
        blocks.setdefault(block_of(graph, population.name), []).append(population)
    layers = tuple(_layer(name, rows, program, trace) for name, rows in blocks.items())
    return Activity(
        trace.samples, trace.steps, trace.chip_steps, int(trace.host_messages.sum()), layers, _cores(blocks, trace)
    )


def block_of(graph: Graph, population: str) -> str:
    """Return the user's name of the layer a population came from."""
    return graph[population].block if population in graph else population


def _layer(name: str, rows: list[Population], program: Program, trace: Trace) -> Layer:
    names = {p.name for p in rows}
    gates = {p.name for p in rows if p.kind in ("graded", "gate") and p.soma.integrates and not _spikes_on(p.soma)}
    drives = [p for p in program.projections if p.target in names]
    sops = sum((_projection_sops(trace, p.name) for p in drives), Sops())
    counts = {p.name: trace.populations[p.name] for p in rows}
    firing = [p.name for p in rows if _spikes(p) or p.name in program.sources]
    gating = [p.name for p in rows if p.kind in ("graded", "gate") and p.name not in firing]
    held = np.concatenate([p.core for p in rows])
    on_core = held[held >= 0]
    return Layer(
        name=name,
        populations=tuple(p.name for p in rows),
        fed_by=tuple(p.name for p in drives),
        neurons=int(on_core.size),
        cores=tuple(int(core) for core in np.unique(on_core)),
        sops=sops,
        attention=sum((_projection_sops(trace, p.name) for p in drives if p.target in gates), Sops()),
        gate_multiplies=sum(c.gate_multiplies for c in counts.values()),
        neuron_updates=sum(int((p.core >= 0).sum()) * p.soma.updates for p in rows) * trace.chip_steps * trace.samples,
        spikes=sum(counts[n].spikes for n in firing),
        gate_messages=sum(counts[n].spikes for n in gating),
        firing=sum(counts[n].opportunities for n in firing),
        wraps=sum(c.wraps for c in counts.values()),
        clips=sum(c.clips for c in counts.values()),
    )


def _spikes_on(soma: Soma) -> bool:
    """Say whether what a neuron sends is the net's own, not a gate's."""
    return soma.takes_gates or soma.counts_as_spikes


def _spikes(population: Population) -> bool:
    return population.kind != "none" and population.soma.counts_as_spikes


def _projection_sops(trace: Trace, name: str) -> Sops:
    count = trace.projections[name]
    match count.kind:
        case "gate":
            return Sops(gate=count.sops)
        case "graded":
            return Sops(graded=count.sops, dense=count.dense_sops)
        case _:
            return Sops(binary=count.sops, dense=count.dense_sops)


def _cores(blocks: dict[str, list[Population]], trace: Trace) -> tuple[Core, ...]:
    layers: dict[int, list[str]] = {}
    slices: dict[int, list[str]] = {}
    neurons = np.zeros(trace.cores, np.int64)
    for name, rows in blocks.items():
        held = np.concatenate([p.core for p in rows])
        held = held[held >= 0]
        neurons += np.bincount(held, minlength=trace.cores)
        for core in np.unique(held):
            layers.setdefault(int(core), []).append(name)
        for core, parts in _slices(rows).items():
            slices.setdefault(core, []).append("; ".join(parts))
    return tuple(
        Core(
            core=core,
            layers=tuple(layers[core]),
            slices=tuple(slices[core]),
            neurons=int(neurons[core]),
            sops=Sops(*(int(x[:, core].sum()) for x in (trace.sops_binary, trace.sops_graded, trace.sops_gate))),
            synmem_reads=int(trace.synmem_reads[:, core].sum()),
            neuron_updates=int(trace.neuron_updates[:, core].sum()),
            gate_multiplies=int(trace.gate_multiplies[:, core].sum()),
            spikes=int(trace.spikes_out[:, core].sum()),
            messages=int(trace.messages[:, core].sum()),
            messages_in=int(trace.messages_in[:, core].sum()),
            hops=int(trace.hops_east_west[:, core].sum() + trace.hops_north_south[:, core].sum()),
            sops_by_step=tuple(trace.sops[:, core].tolist()) if trace.chip_steps <= MOST_STEPS else (),
        )
        for core in sorted(layers)
    )


def _slices(rows: list[Population]) -> dict[int, list[str]]:
    """Return what of each population of a layer every core holds; its name stands in front where there are several."""
    found: dict[int, list[str]] = {}
    for p in rows:
        order = np.argsort(p.cores, kind="stable")
        cores, first = np.unique(p.cores[order], return_index=True)
        for core, held in zip(cores.tolist(), np.split(order, first[1:]), strict=True):
            name = f"{p.name} " if len(rows) > 1 else ""
            found.setdefault(core, []).append(name + slice_of(p.shape, held))
    return {core: found[core] for core in found if core >= 0}
