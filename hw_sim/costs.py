"""Prices per event: energy in pJ and latency in ns, each low/nominal/high with its unit, basis and source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Basis = Literal["measured", "simulated", "secondary", "assumed"]

BASES: tuple[Basis, ...] = ("measured", "simulated", "secondary", "assumed")
"""How a number is known, best first; a sum carries the worst basis of its parts."""

EVENTS: tuple[str, ...] = (
    "synaptic_op",
    "graded_synaptic_op",
    "gate_synaptic_op",
    "synapse_memory_read",
    "neuron_update",
    "gate_multiply",
    "spike",
    "message",
    "hop_east_west",
    "hop_north_south",
    "link_crossing",
    "chip_crossing",
    "host_message",
    "barrier",
    "step_overhead",
)
"""What is priced; one event each of the counter of the same meaning in a ``Trace``. ``barrier``: one chip step;
``step_overhead``: one
chip step under a Lava host, what its runtime takes with nothing to do."""


@dataclass(frozen=True)
class Fact:
    """One limit of a chip."""

    value: float
    unit: str
    basis: Basis
    source: str
    note: str = ""


@dataclass(frozen=True)
class Price:
    """One price with its band."""

    low: float
    nominal: float
    high: float
    unit: str
    basis: Basis
    source: str
    note: str = ""


@dataclass(frozen=True)
class Cost:
    """What one event costs: ``energy`` in pJ, ``latency`` in ns."""

    energy: Price
    latency: Price


def worst_basis(bases: list[Basis]) -> Basis:
    """Return the basis a sum of such numbers has; of nothing: ``measured``."""
    return max(bases, key=BASES.index, default="measured")
