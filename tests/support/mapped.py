"""What a backend reads of a deployment, for nets that tests compile by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from spikewright.hw_sim import Chip, Program, load_chip
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.ir import Graph


@dataclass(frozen=True, eq=False)
class Mapped:
    """An integer graph, its program and its chip."""

    integer: Graph
    program: Any
    chip: Any


def mapped(integer: Graph, program: Program | None = None) -> Deployment:
    """Return what a backend takes; without a program only for backends that read the graph."""
    chip: Chip | None = None if program is None else load_chip(program.chip)
    return cast(Deployment, Mapped(integer, program, chip))
