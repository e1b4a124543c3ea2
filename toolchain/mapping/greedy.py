"""Greedy mapping: few cores, in the order of the graph; a part that does not fit its core is halved until it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spikewright.hw_sim import Chip, Program
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping.partition import coarsest, fit


@dataclass(frozen=True)
class Greedy:
    """As few cores as the limits allow; core numbers follow the order of the layers."""

    name: ClassVar[str] = "greedy"

    def __call__(self, graph: Graph, chip: Chip) -> Program:
        """Return the program."""
        return fit(graph, chip, coarsest(graph, chip))[0]
