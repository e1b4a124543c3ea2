"""Which sums of a residual stream become relays: by what one step costs, for each set of them.

    cost = sum over readers n_r sum over terms rate fan-in E_sop    +    sum over relays n (E_neuron + density E_message)

A term is a map from messages; without a relay in between, every reader has all terms in front of it for itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.interpret.floats import float_blocks
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.limits import RELAYED_UP_TO
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


def sums(graph: Graph) -> tuple[str, ...]:
    """Return the sums that can be relays: read more than once or by a map, with a constant that readers can hold."""
    constant = constants(graph)
    found = []
    for op in graph:
        if not isinstance(op, Add | Linear) or not _is_stream(graph, op) or not _linear(graph, op.name):
            continue
        if restorable(constant(op.name)) and all(_takes(graph, r, constant(op.name)) for r in graph.readers[op.name]):
            found.append(op.name)
    return tuple(found)


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


@dataclass(frozen=True, eq=False)
class Streams:
    """A graph with its candidates, and how often its messages come.

    Args:
        graph: With ``Add`` s.
        candidates: Those that can be relays.
        rates: Share of the neurons that send in a step, by message and by candidate.
        prices: What events cost.
    """

    graph: Graph
    candidates: tuple[str, ...]
    rates: Mapping[str, float]
    prices: Prices

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Shapes of all signals."""
        return shapes(self.graph)

    def cost(self, relays: Collection[str]) -> float:
        """Return the energy of a step in pJ, of all that reads currents."""
        total = 0.0
        for op in self.graph:
            if isinstance(op, Neuron | AttentionBlock | Output):
                total += sum(self.arriving(name, relays) for name in op.inputs)
            elif op.name in relays:
                n, p = prod(self.shapes[op.name]), self.prices
                total += sum(self.arriving(name, relays) for name in op.inputs)
                total += n * (p.neuron + self.rates[op.name] * p.message)
        return total

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

    def cheapest(self, allowed: Collection[str]) -> frozenset[str]:
        """Return the set of relays, of those allowed, with the lowest cost that single changes lead to."""
        ends = [self._improved(frozenset(start), allowed) for start in ((), allowed)]
        return min(ends, key=self.cost)

    def choice(self, how: str) -> tuple[tuple[str, ...], tuple[Diagnostic, ...]]:
        """Return the relays, in order, and what to say of them: all candidates, or (``auto``) what is sparse and costs less."""
        sparse = [name for name in self.candidates if self.rates[name] <= RELAYED_UP_TO]
        relays = frozenset(self.candidates) if how == "relay" else self.cheapest(sparse)
        return tuple(name for name in self.candidates if name in relays), tuple(self._said(relays, how))

    def _said(self, relays: frozenset[str], how: str) -> Iterator[Diagnostic]:
        """Yield how dense relays are and what the other way would cost."""
        ours, apart = self.cost(relays) / PJ_PER_UJ, self.cost(()) / PJ_PER_UJ
        where = "residual streams"
        if relays:
            dense = sorted(self.rates[name] for name in relays)
            what = (
                f"{len(relays)} of {len(self.candidates)} sums travel by relays, signed graded payloads; they send in "
                f"{dense[0]:.2f} to {dense[-1]:.2f} of all neurons and steps. Estimated energy of a step {ours:.2g} uJ, "
                f"distributed {apart:.2g} uJ"
            )
            yield Diagnostic("relays", where, what, severity="note")
            return
        relayed = self.cost(self.cheapest(self.candidates)) / PJ_PER_UJ
        if how == "auto" and relayed < apart:
            what = (
                f"every reader has its own synapses: an estimated {apart:.2g} uJ a step; relays would take {relayed:.2g} uJ, "
                f"but are not sparse (they would send in more than {RELAYED_UP_TO:g} of all neurons and steps)"
            )
            help = "--streams relay takes them; `check` then calls them dense"
            yield Diagnostic("distributed", where, what, help, "note")

    def _improved(self, relays: frozenset[str], allowed: Collection[str]) -> frozenset[str]:
        cost = self.cost(relays)
        for _ in range(ROUNDS):
            best = min((relays ^ {name} for name in allowed), key=self.cost, default=relays)
            if self.cost(best) >= cost:
                break
            relays, cost = best, self.cost(best)
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
