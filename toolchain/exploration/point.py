"""A point: what one configuration costs and does, or why it is refused; means are per sample."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from spikewright.hw_sim.typed import build
from spikewright.toolchain.analysis import Quantity


@dataclass(frozen=True)
class Measured:
    """What a deployment does on the samples.

    Args:
        spike_driven: The verdict on what runs, its audit and its agreement with the captured net: all is well.
        violations: What is not, in words.
        causal: No block needs a later step.
        barrier: Neurons of some block wait for each other inside a step.
        cores: Neurocores in use.
        latency_s: Seconds a sample.
        bottleneck: What bounds them.
        sops_binary: Synaptic operations on spikes (class A).
        sops_graded: Those on graded spikes (class B).
        gate_multiplies: Gains applied in neurons (class C).
        host_macs: Multiply-accumulates of the host (class D).
        energy_j: Energy of a sample, in joules, with its
        energy_low_j: lower and
        energy_high_j: upper end, and
        energy_basis: the worst basis of a price in it.
        accuracy: Share of right answers; None without labels.
        float_accuracy: That of the net as trained, on the same samples.
        drop: What the chip loses of it; without labels, the share of answers that differ.
        drop_bound: The drop is not larger with 95 % confidence (exact binomial bounds).
        silent: Share of the SOPs that come without any input.
        warnings: Losses beyond the limits, in words.
        program: Digest of what runs: configurations with the same one were measured once.
    """

    spike_driven: bool
    violations: tuple[str, ...]
    causal: bool
    barrier: bool
    cores: int
    latency_s: float
    bottleneck: str
    sops_binary: float
    sops_graded: float
    gate_multiplies: float
    host_macs: int
    energy_j: float
    energy_low_j: float
    energy_high_j: float
    energy_basis: str
    accuracy: float | None
    float_accuracy: float | None
    drop: float
    drop_bound: float
    silent: float | None
    warnings: tuple[str, ...]
    program: str

    @property
    def energy(self) -> Quantity:
        """Energy with its band. In J, per sample."""
        basis: Any = self.energy_basis
        return Quantity(self.energy_j, "J", basis, self.energy_low_j, self.energy_high_j)


@dataclass(frozen=True)
class Refused:
    """Why a configuration cannot be deployed, as an error says it."""

    what: str
    where: str
    help: str


Point = Measured | Refused
KINDS = {"measured": Measured, "refused": Refused}


def to_text(point: Point) -> str:
    """Return a point as JSON."""
    kind = next(name for name, made in KINDS.items() if isinstance(point, made))
    return json.dumps({"kind": kind, **asdict(point)}, allow_nan=False)


def from_text(text: str) -> Point:
    """Return the point of ``to_text``.

    Raises:
        ValueError: It is none.
    """
    data = json.loads(text)
    if not isinstance(data, dict) or data.get("kind") not in KINDS:
        raise ValueError("is no point of an exploration")
    kind = data.pop("kind")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return build(Measured, values) if kind == "measured" else build(Refused, values)
