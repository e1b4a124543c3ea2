"""Mapping: integer graph -> program; partition (neurons to core-sized parts), place (parts to cores), assemble."""

from __future__ import annotations

from collections.abc import Callable

from spikewright.hw_sim import Chip, Program
from spikewright.toolchain.backends import IntArray
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.integer import separated
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping.assemble import assemble as assemble
from spikewright.toolchain.mapping.balanced import Balanced as Balanced
from spikewright.toolchain.mapping.fixed import Fixed as Fixed
from spikewright.toolchain.mapping.greedy import Greedy as Greedy
from spikewright.toolchain.mapping.search import Search as Search
from spikewright.toolchain.mapping.vendor import Vendor as Vendor

Strategy = Callable[[Graph, Chip], Program]
"""A way to map an aligned integer graph; raises MappingError or CapacityError where it does not fit."""


def strategy_called(
    name: str, payloads: IntArray | None, seed: int = 0, tell: Callable[[Diagnostic], None] | None = None
) -> Strategy:
    """Return a strategy; ``balanced`` and ``search`` measure on payloads (T, B, *shape): without any they are ``greedy``.

    ``tell`` gets what the search has to say beside its result.
    """
    if name == "vendor":
        return Vendor()
    if name == "search" and payloads is not None:
        return Search(payloads, seed, tell=tell)
    return Balanced(payloads) if name == "balanced" and payloads is not None else Greedy()


def map_graph(graph: Graph, chip: Chip, strategy: Strategy | None = None) -> Program:
    """Return the checked program of an aligned integer graph on a chip (greedy where no strategy is given)."""
    return (strategy or Greedy())(separated(graph), chip)
