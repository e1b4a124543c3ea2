"""Count synaptic operations by walking events: each message along its synapses, one by one, from the program alone.

A SOP is one message that arrives at one non-zero synapse inside the target's window; it falls in the chip step
``source.start + t + delay`` on the target neuron's core. Nothing of the engine's compiled counters is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.program import (
    ConvSynapses,
    DenseSynapses,
    Gate,
    GateLink,
    GateTable,
    IdentitySynapses,
    Population,
    Program,
    Projection,
    SparseSynapses,
)

IntArray = NDArray[np.int64]
KINDS = ("binary", "graded", "gate")
"""What a message is: a spike, a spike with a payload, a gain level that changed."""


@dataclass(frozen=True, eq=False)
class Walked:
    """What the events caused.

    Args:
        sops: By kind of message, (chip steps, cores).
        projections: By projection name; synapses outside the cores count too.
        events: Messages sent, by population name.
    """

    sops: dict[str, IntArray]
    projections: dict[str, int]
    events: dict[str, int]


@dataclass(frozen=True, eq=False)
class Synapses:
    """The non-zero synapses of one projection, found neuron by neuron."""

    projection: Projection
    source: Population
    target: Population

    def targets(self, neuron: int) -> IntArray:
        """Return the target neurons that ``neuron`` reaches by a non-zero synapse (or scales, for a gate), flat."""
        match self.projection.synapses:
            case DenseSynapses(weight=weight):
                return np.flatnonzero(weight[:, neuron])
            case IdentitySynapses(weight=weight):
                return np.array([neuron] if weight else [], np.int64)
            case SparseSynapses():
                rows, columns = self._lists
                return np.asarray(rows[columns == neuron])
            case ConvSynapses() as conv:
                return self._conv(conv, neuron)
            case GateLink():
                spread = np.arange(self.source.size).reshape(self.source.shape)
                return np.flatnonzero(np.broadcast_to(spread, self.target.shape).ravel() == neuron)

    @cached_property
    def _lists(self) -> tuple[IntArray, IntArray]:
        lists = self.projection.synapses
        assert isinstance(lists, SparseSynapses)
        keep = lists.weight != 0
        return np.repeat(np.arange(self.target.size), np.diff(lists.indptr))[keep], lists.indices[keep]

    def _conv(self, conv: ConvSynapses, neuron: int) -> IntArray:
        """Find the windows that cover a pixel: y = (pixel + padding - k dilation) / stride, where that is whole and inside."""
        channel, *pixel = np.unravel_index(neuron, self.source.shape)
        out, per_group, *kernel = conv.weight.shape
        group, inner = divmod(int(channel), per_group)
        members = np.arange(out).reshape(conv.groups, -1)[group]
        found = [np.zeros(0, np.int64)]
        for tap in np.ndindex(*kernel):
            shifted = [int(pixel[k]) + conv.padding[k] - tap[k] * conv.dilation[k] for k in (0, 1)]
            if any(s % conv.stride[k] for k, s in enumerate(shifted)):
                continue
            y, x = (s // conv.stride[k] for k, s in enumerate(shifted))
            if 0 <= y < self.target.shape[1] and 0 <= x < self.target.shape[2]:
                reached = members[conv.weight[members, inner, tap[0], tap[1]] != 0]
                found.append((reached * self.target.shape[1] + y) * self.target.shape[2] + x)
        return np.concatenate(found)


def synapses_of(program: Program) -> dict[str, Synapses]:
    """Return the synapses of every projection, by name."""
    by_name = {p.name: p for p in program.populations}
    return {p.name: Synapses(p, by_name[p.source], by_name[p.target]) for p in program.projections}


def messages(population: Population, out: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return which of a population's outputs (T, B, *shape) are messages, (T, B, n)."""
    flat = np.asarray(out).reshape(*out.shape[:2], -1)
    if isinstance(population.soma, GateTable):
        return np.zeros(flat.shape, bool)
    if isinstance(population.soma, Gate):
        first = np.full_like(flat[:1], 1 << population.soma.gate_bits)
        return np.asarray(flat != np.concatenate([first, flat[:-1]]))
    return np.asarray(flat != 0)


def walk(program: Program, out: dict[str, NDArray[np.generic]], chip_steps: int, cores: int) -> Walked:
    """Walk every recorded message along its synapses.

    Args:
        program: What ran.
        out: What every population that sends messages put out, (T, B, *shape).
        chip_steps: Chip steps of the run.
        cores: Number of cores.
    """
    sops = {kind: np.zeros((chip_steps, cores), np.int64) for kind in KINDS}
    sent = {p.name: messages(p, out[p.name]) for p in program.populations if p.name in out}
    totals = {}
    for name, synapses in synapses_of(program).items():
        kind = synapses.source.kind if synapses.source.kind in KINDS else "binary"
        events = sent[synapses.source.name] if synapses.source.name in sent else np.zeros((0, 0, 0), bool)
        totals[name] = _walk_projection(synapses, program.lag(synapses.projection), events, sops[kind])
    return Walked(sops, totals, {name: int(events.sum()) for name, events in sent.items()})


def _walk_projection(synapses: Synapses, lag: int, events: NDArray[np.bool_], sops: IntArray) -> int:
    """Add the SOPs of one projection; return how many there are."""
    reached: dict[int, IntArray] = {}
    core = synapses.target.core if synapses.target.core.size else np.full(synapses.target.size, -1)
    first = synapses.source.start + synapses.projection.delay
    total = 0
    for t, _, neuron in np.argwhere(events[: max(0, events.shape[0] - lag)]):
        if neuron not in reached:
            reached[neuron] = synapses.targets(int(neuron))
        where = core[reached[neuron]]
        total += where.size
        np.add.at(sops[first + t], where[where >= 0], 1)
    return total


def fan_out(program: Program, population: str, neuron: int) -> dict[str, int]:
    """Return how many non-zero synapses a neuron (flat index) has in each projection that leaves its population."""
    return {
        name: int(synapses.targets(neuron).size)
        for name, synapses in synapses_of(program).items()
        if synapses.source.name == population and prod(synapses.source.shape) > neuron
    }
