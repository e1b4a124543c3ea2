"""Which sums of a residual stream become relays: by what one step costs and how many cores it takes, for each set of them.

    energy = sum over readers n_r sum over terms rate fan-in E_sop    +    sum over relays n (E_neuron + density E_message)
    price  = energy cores DENSE_PRICE^min(1, density / DENSE_FROM)         density: of the densest relay; 0 without one

A term is a map from messages; without a relay in between, every reader has all terms in front of it for itself: synapses,
and axons, of which a core has a limited number (``core_estimate``). A relay that sends from ``DENSE_FROM`` of its neurons and
steps is dense, and no event-driven stream: `check` says so. A set without one that the chip, with all chips of its board, has
room for comes before any with one, whatever the price; a set that there is no room for comes last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Chip
from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.interpret.floats import float_blocks
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.limits import DENSE_FROM, DENSE_PRICE
from spikewright.toolchain.ops import (
    AdaptivePool,
    Add,
    Affine,
    Conv,
    Flatten,
    Linear,
    Neuron,
    Op,
    Output,
    Scale,
    Shape,
    SumPool,
)
from spikewright.toolchain.passes.base import sends_messages
from spikewright.toolchain.passes.core_estimate import Window, cores_of
from spikewright.toolchain.passes.relay import constants, restorable
from spikewright.toolchain.shapes import shapes

PJ_PER_UJ = 1e6
NOISE = 1e-9
"""A sum this near to its constant, as a share of the largest, has not moved."""
MAPS = (Add, Linear, SumPool, AdaptivePool, Scale, Flatten)
"""What currents are made of."""
ROUNDS = 64
"""Most changes of the set that a search makes."""


@dataclass(frozen=True)
class Prices:
    """Energy in pJ of a synaptic operation with a spike and with a payload, a neuron's update, and a message."""

    sop: float
    graded_sop: float
    neuron: float
    message: float

    @staticmethod
    def of(chip: Chip) -> Prices:
        """Return a chip's nominal ones."""
        events = ("synaptic_op", "graded_synaptic_op", "neuron_update", "message")
        return Prices(*(chip.costs[event].energy.nominal for event in events))


def sums(graph: Graph) -> tuple[str, ...]:
    """Return the sums that can be relays: read more than once or by a map, with a constant that readers can hold."""
    constant = constants(graph)
    return tuple(
        name
        for name in travelling(graph)
        if restorable(constant(name)) and all(_takes(graph, r, constant(name)) for r in graph.readers[name])
    )


def travelling(graph: Graph) -> tuple[str, ...]:
    """Return the sums of messages that more than one reader, or a map, takes: the residual streams of membranes."""
    found = (op for op in graph if isinstance(op, Add | Linear) and _is_stream(graph, op))
    return tuple(op.name for op in found if _linear(graph, op.name))


def _is_stream(graph: Graph, op: Op) -> bool:
    readers = graph.readers[op.name]
    if not isinstance(op, Add):  # a map of a map, where both in one have more synapses; what a sum reads is the sum's
        return any(isinstance(reader, Linear | SumPool | AdaptivePool) for reader in readers)
    return len(readers) > 1 or any(isinstance(reader, Add | Linear | SumPool) for reader in readers)


def _linear(graph: Graph, name: str) -> bool:
    """Say whether a signal is made of messages by linear maps alone."""
    op = graph[name]
    if sends_messages(graph, name):
        return True
    return isinstance(op, MAPS) and all(_linear(graph, operand) for operand in op.inputs)


def _takes(graph: Graph, reader: Op, constant: NDArray[np.float64]) -> bool:
    """Say whether a reader can take messages, and the constant beside them."""
    match reader:
        case Neuron() | AttentionBlock() | Add():
            return True
        case Conv():
            return (reader.padding == (0, 0) and reader.groups == 1) or not constant.any()
        case Affine():
            return True
        case SumPool() | AdaptivePool():
            return not constant.any()
        case Scale() | Flatten():
            return True
        case _:
            return False


@dataclass(frozen=True)
class Cost:
    """What a set of relays costs: energy of a step in pJ of all that reads currents, estimated cores, the highest density."""

    energy: float
    cores: int
    density: float
    fits: bool

    @property
    def dense(self) -> bool:
        """Whether a relay is dense."""
        return self.density >= DENSE_FROM

    @property
    def price(self) -> float:
        """Energy times cores, the more the denser."""
        return float(self.energy * self.cores * DENSE_PRICE ** min(1.0, self.density / DENSE_FROM))

    @property
    def rank(self) -> tuple[int, float]:
        """What is compared: a set that fits comes first, and of these one that stays event-driven; then the price."""
        return (1 if self.dense else 0) if self.fits else 2, self.price

    def __str__(self) -> str:
        return f"an estimated {self.energy / PJ_PER_UJ:.2g} uJ a step and {self.cores:,} cores"


@dataclass(frozen=True, eq=False)
class Streams:
    """A graph with its candidates, and how often its messages come.

    Args:
        graph: With ``Add`` s.
        candidates: Those that can be relays.
        rates: Share of the neurons that send in a step, by message and by candidate.
        chip: What events cost, and what a core holds.
    """

    graph: Graph
    candidates: tuple[str, ...]
    rates: Mapping[str, float]
    chip: Chip
    known: dict[frozenset[str], Cost] = field(default_factory=dict)

    @cached_property
    def prices(self) -> Prices:
        """Of the chip."""
        return Prices.of(self.chip)

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Shapes of all signals."""
        return shapes(self.graph)

    def cost(self, relays: Collection[str]) -> Cost:
        """Return what a step, and the cores for it, cost with these relays."""
        chosen = frozenset(relays)
        if chosen not in self.known:
            cores = self.cores(chosen)
            densest = max((self.rates[name] for name in chosen), default=0.0)
            self.known[chosen] = Cost(self.energy(chosen), cores, densest, cores <= self.chip.mesh.cores)
        return self.known[chosen]

    def populations(self, relays: Collection[str]) -> Iterator[Op]:
        """Yield what is neurons: those that read currents, and relays."""
        for op in self.graph:
            if isinstance(op, Neuron | AttentionBlock | Output) or op.name in relays:
                yield op

    def energy(self, relays: Collection[str]) -> float:
        """Return the energy of a step in pJ, of all that reads currents."""
        total = 0.0
        for op in self.populations(relays):
            total += sum(self.arriving(name, relays) for name in op.inputs)
            if op.name in relays:
                n, p = prod(self.shapes[op.name]), self.prices
                total += n * (p.neuron + self.rates[op.name] * p.message)
        return total

    def cores(self, relays: Collection[str]) -> int:
        """Return about how many cores all neurons take."""
        found = 0
        for op in self.populations(relays):
            shape = self.shapes[op.inputs[0] if isinstance(op, Output) else op.name]
            windows = tuple(window for name in op.inputs for window in self.windows(name, relays))
            found += self._held(shape, windows)
        return found

    @cached_property
    def _counted(self) -> dict[tuple[Shape, tuple[Window, ...]], int]:
        return {}

    def _held(self, shape: Shape, windows: tuple[Window, ...]) -> int:
        if (shape, windows) not in self._counted:
            self._counted[shape, windows] = cores_of(shape, windows, self.chip.core)
        return self._counted[shape, windows]

    def windows(self, name: str, relays: Collection[str]) -> list[Window]:
        """Return what a value of a signal sees of every message in front of it."""
        op = self.graph[name]
        if name in relays or sends_messages(self.graph, name):
            return [Window(self.shapes[name])]
        found = [window for operand in op.inputs for window in self.windows(operand, relays)]
        return [window.through(op, self.shapes[name]) for window in found]

    def arriving(self, name: str, relays: Collection[str]) -> float:
        """Return the energy of a step of all synapses in front of one reader of a signal."""
        return prod(self.shapes[name]) * sum(rate * fan * price for rate, fan, price in self.terms(name, relays))

    def terms(self, name: str, relays: Collection[str]) -> list[tuple[float, float, float]]:
        """Return what a value of a signal sums: (rate, synapses, price of one) of every map from messages."""
        op = self.graph[name]
        if name in relays:
            return [(self.rates[name], 1.0, self.prices.graded_sop)]
        if sends_messages(self.graph, name):
            graded = not (isinstance(op, Neuron) and op.sends == "binary")
            return [(self.rates.get(name, 1.0), 1.0, self.prices.graded_sop if graded else self.prices.sop)]
        found = [term for operand in op.inputs for term in self.terms(operand, relays)]
        first, more = _fan(op)
        return [(rate, first if fan == 1.0 else fan * more, price) for rate, fan, price in found]

    @cached_property
    def ends(self) -> tuple[frozenset[str], ...]:
        """The sets of relays that single changes of none, of the sparse, and of all lead to."""
        sparse = frozenset(name for name in self.candidates if self.rates[name] < DENSE_FROM)
        starts = ((frozenset[str](), sparse), (sparse, sparse), (frozenset(self.candidates), None))
        return tuple(self._improved(start, allowed) for start, allowed in starts)

    def choice(self, how: str) -> tuple[tuple[str, ...], tuple[Diagnostic, ...]]:
        """Return the relays, in order, and what to say of them: all candidates (``relay``), or those of the first rank."""
        relays = frozenset(self.candidates) if how == "relay" else min(self.ends, key=lambda end: self.cost(end).rank)
        return tuple(name for name in self.candidates if name in relays), (self._said(relays, how),)

    def _said(self, relays: frozenset[str], how: str) -> Diagnostic:
        """Return what was picked, what it costs, what the other ways would, and what decided."""
        where, here, apart = "residual streams", self.cost(relays), self.cost(())
        if not relays:
            code, what = "distributed", f"every reader has its own synapses: {self._of(())}"
        else:
            code = "relays"
            what = (
                f"{len(relays)} of {len(self.candidates)} sums travel by relays, signed graded payloads, which send in "
                f"{self._densities(relays)} of all neurons and steps: {self._of(relays)}; with synapses of its own for "
                f"every reader {self._of(())}"
            )
        if here.dense:
            count = sum(self.rates[name] >= DENSE_FROM for name in relays)
            what += f". `check` calls {count} of them dense, with {DENSE_FROM:g} or more"
            if how == "auto":
                return Diagnostic(code, where, what, self._way_out(apart), "note")
            return Diagnostic(code, where, what, "--streams auto weighs that", "note")
        other = min(
            (end for end in (*self.ends, frozenset(self.candidates)) if end), key=lambda end: self.cost(end).price
        )
        if other != relays and (not relays or self.cost(other).price < here.price):
            kind = "all" if len(other) == len(self.candidates) else f"{len(other)}"
            dense = (
                f", but be dense ({self._densities(other)}): no event-driven stream" if self.cost(other).dense else ""
            )
            what += f"; relays of {kind} sums would take {self._of(other)}{dense}"
        return Diagnostic(code, where, what, "", "note")

    def _way_out(self, apart: Cost) -> str:
        """Return what helps where ``auto`` had to take dense relays."""
        larger = "" if apart.fits else f", and a board with {apart.cores:,} cores has room for that (--chip)"
        return f"--streams distribute leaves no relay{larger}"

    def _of(self, relays: Collection[str]) -> str:
        """Return what a set costs, and if there is no room for it, how much there is."""
        cost, mesh = self.cost(relays), self.chip.mesh
        return str(cost) if cost.fits else f"{cost}, of which {self.chip.name!r} has {mesh.cores:,}"

    def _densities(self, names: Collection[str]) -> str:
        rates = sorted(self.rates[name] for name in names)
        return f"{rates[0]:.2f} to {rates[-1]:.2f}"

    def _improved(self, relays: frozenset[str], allowed: frozenset[str] | None) -> frozenset[str]:
        """Return where single changes lead; ``allowed``: the sums that may change (None: all)."""
        rank = self.cost(relays).rank
        for _ in range(ROUNDS):
            changed = (relays ^ {name} for name in (self.candidates if allowed is None else allowed))
            best = min(changed, key=lambda one: self.cost(one).rank, default=relays)
            if self.cost(best).rank >= rank:
                break
            relays, rank = best, self.cost(best).rank
        return relays


def _fan(op: Op) -> tuple[float, float]:
    """Return the synapses of a map on messages, and the factor by which it multiplies those of a map in front."""
    match op:
        case Conv():
            taps = prod(op.weight.shape[2:])
            return np.count_nonzero(op.weight) / op.weight.shape[0], float(taps)
        case Affine():
            return float(op.weight.shape[1]), 1.0
        case SumPool():
            return float(prod(op.kernel)), float(prod(op.kernel))
        case _:
            return 1.0, 1.0


def measured(graph: Graph, candidates: Collection[str], x: NDArray[np.generic]) -> dict[str, float]:
    """Return how often messages come, and how often candidates move away from their constant, on data (T, B, *shape)."""
    constant = constants(graph)
    keep = {op.name for op in graph if sends_messages(graph, op.name)} | set(candidates)
    moved, seen = dict.fromkeys(keep, 0), dict.fromkeys(keep, 0)
    for _, _, _, signals in float_blocks(graph, x, keep=keep):
        for name in keep:
            still = constant(name) if name in candidates else 0.0
            away = np.abs(signals[name] - still)
            moved[name] += int((away > NOISE * max(1.0, float(away.max(initial=0.0)))).sum())
            seen[name] += signals[name].size
    return {name: moved[name] / max(1, seen[name]) for name in keep}
