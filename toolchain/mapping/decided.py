"""What decided how many cores a net takes: the limit that is the fullest on most of them, and the count at other values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from spikewright.hw_sim import Chip, Program
from spikewright.hw_sim.drc import Use, utilization
from spikewright.toolchain.errors import ToolchainError
from spikewright.toolchain.integer import neurons_of, separated
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping.partition import coarsest, cores_used, fit

FULL = 0.5
"""A core is full of what it uses more than half of: with half as many cores it would have too much."""
MAPPED_AGAIN = 1 << 19
"""Neurons up to which a net is mapped once more to count its cores at other values; above, that takes its time."""


@dataclass(frozen=True)
class Decided:
    """What decided the number of cores.

    Args:
        cores: All cores.
        resource: The limit that is the fullest on most of the full cores; "": none is full, each layer has cores of its own.
        limit: Its value, and
        basis: how that is known.
        full: The cores on which it is.
        neurons_alone: Cores that the neurons alone would fill.
        others: (value, cores) where the limit is assumed: half of it and twice; None: one neuron is too much for it.
    """

    cores: int
    resource: str
    limit: int
    basis: str
    full: int
    neurons_alone: int
    others: tuple[tuple[int, int | None], ...] = ()

    def __str__(self) -> str:
        if not self.resource:
            return f"{self.cores} cores: no limit is half used on any, each layer has its own"
        found = [
            f"{'none' if cores is None else f'{cores:,}'} at {value:,}"
            + (" (one neuron is too much)" if cores is None else "")
            for value, cores in self.others
        ]
        other = f"; {', '.join(found)} as greedy maps" if found else ""
        if self.basis == "assumed" and not found:
            other = f"; not mapped again at other values: it has more than {MAPPED_AGAIN:,} neurons"
        return (
            f"{self.cores:,} cores, decided by {self.resource} = {self.limit:,} [{self.basis}], the fullest on {self.full:,}; "
            f"the neurons alone would take {self.neurons_alone:,}{other}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "cores": self.cores,
            "limit": self.resource,
            "value": self.limit,
            "basis": self.basis,
            "full_cores": self.full,
            "cores_of_neurons_alone": self.neurons_alone,
            "cores_at": {str(value): cores for value, cores in self.others},
        }


def decided(program: Program, chip: Chip, graph: Graph, *, largest: int = MAPPED_AGAIN) -> Decided:
    """Return what decided the cores of a program, of an aligned integer graph.

    Args:
        program: As mapped.
        chip: For this chip.
        graph: What was mapped.
        largest: Neurons up to which the count is found at other values.
    """
    worst: dict[int, Use] = {}
    for use in utilization(program, chip):
        if use.core not in worst or use.share > worst[use.core].share:
            worst[use.core] = use
    neurons = sum(op.size for op in neurons_of(graph))
    alone = -(-neurons // chip.core.max_neurons)
    full = Counter(use.resource for use in worst.values() if use.share > FULL)
    if not full:
        return Decided(len(worst), "", 0, "", 0, alone)
    resource, count = full.most_common(1)[0]
    limit, basis = int(getattr(chip.core, resource)), chip.facts[f"core.{resource}"].basis
    values = (limit // 2, limit * 2) if basis == "assumed" and neurons <= largest else ()
    others = tuple((value, _cores_at(graph, chip, resource, value)) for value in values)
    return Decided(len(worst), resource, limit, basis, count, alone, others)


def _cores_at(graph: Graph, chip: Chip, resource: str, value: int) -> int | None:
    """Return how many cores greedy takes at another value of a limit; None: no cut fits."""
    boundless = replace(chip.mesh, chips_x=1 << 6, chips_y=1 << 6)
    other = replace(chip, mesh=boundless, core=replace(chip.core, **{resource: value}))
    whole = separated(graph)
    try:
        return cores_used(fit(whole, other, coarsest(whole, other))[0])
    except ToolchainError:
        return None
