"""Latency: time of a sample from the machine's step times, what bounds it, and the band of the price table.

The band is the same timing model with every coefficient at its low or high end, on the mean loads of a step, applied as a
ratio: a chip file read later gives the same figure from a saved trace.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Chip, Cost, Trace
from spikewright.hw_sim.costs import Basis, worst_basis
from spikewright.hw_sim.noc import Links
from spikewright.hw_sim.timing.analytic import TERMS, Loads, step_times
from spikewright.toolchain.analysis.quantity import Quantity

EVENTS_OF = {
    "neuron": ("neuron_update", "gate_multiply", "spike"),
    "synapse": ("synaptic_op", "graded_synaptic_op", "gate_synaptic_op"),
    "memory": ("synapse_memory_read",),
    "link": ("link_crossing", "chip_crossing"),
    "host": ("host_message",),
    "barrier": ("barrier",),
    "overhead": ("step_overhead",),
}
"""Prices behind each term of the timing model."""


@dataclass(frozen=True)
class Bottleneck:
    """What bounds the most time.

    Args:
        term: One of ``timing.analytic.TERMS``.
        place: Core or link that sets it, in words; empty for host and barrier.
        share: Share of all time.
    """

    term: str
    place: str
    share: float

    def __str__(self) -> str:
        return f"{self.place}: {self.term}" if self.place else self.term


@dataclass(frozen=True)
class Latency:
    """Time of a run.

    Args:
        per_sample: Mean over samples, s.
        fastest_s, slowest_s: Over samples.
        per_step_s: Mean time of a chip step.
        chip_steps: T + depth.
        bottleneck: What bounds the most time.
        shares: Share of the time bound by each term.
        steps: Mean time of every chip step, s, and the term that bounds it in most samples.
    """

    per_sample: Quantity
    fastest_s: float
    slowest_s: float
    per_step_s: float
    chip_steps: int
    bottleneck: Bottleneck
    shares: dict[str, float]
    steps: tuple[tuple[float, str], ...]


def latency(trace: Trace, chip: Chip) -> Latency:
    """Return the latency of a run, with its bottleneck named. Times are in s, per sample."""
    times = trace.latency_s
    mean = float(times.mean())
    band = [mean * _scaled(trace, chip, end) / _scaled(trace, chip, "nominal") for end in ("low", "high")]
    whole = float(trace.latency_ns.sum())
    shares = {term: float(trace.latency_ns[trace.term == index].sum()) / whole for index, term in enumerate(TERMS)}
    term, place, share = trace.bottleneck()
    return Latency(
        per_sample=Quantity(mean, "s", _basis(trace, chip), min(band[0], mean), max(band[1], mean)),
        fastest_s=float(times.min()),
        slowest_s=float(times.max()),
        per_step_s=mean / trace.chip_steps,
        chip_steps=trace.chip_steps,
        bottleneck=Bottleneck(term, _place(term, place, chip), share),
        shares=shares,
        steps=tuple(
            (float(ns.mean()) * 1e-9, TERMS[int(np.bincount(terms, minlength=len(TERMS)).argmax())])
            for ns, terms in zip(trace.latency_ns, trace.term.astype(np.int64), strict=True)
        ),
    )


def _place(term: str, place: int, chip: Chip) -> str:
    if place < 0:
        return ""
    return Links(chip.mesh).name(place) if term == "link" else f"core {place}"


def _basis(trace: Trace, chip: Chip) -> Basis:
    """Return the worst basis of the coefficients that set any step's time; simulated at best."""
    counts = {
        "gate_multiply": trace.gate_multiplies,
        "spike": trace.spikes_out,
        "synaptic_op": trace.sops_binary,
        "graded_synaptic_op": trace.sops_graded,
        "gate_synaptic_op": trace.sops_gate,
    }
    bases: list[Basis] = ["simulated"]
    if trace.host == "lava":
        bases.append(chip.costs["step_overhead"].latency.basis)
    for index in np.unique(trace.term):
        for event in EVENTS_OF[TERMS[int(index)]]:
            if event not in counts or counts[event].any():
                bases.append(chip.costs[event].latency.basis)
    return worst_basis(bases)


def _scaled(trace: Trace, chip: Chip, end: str) -> float:
    """Return the time of all steps of a mean sample, ns, with every coefficient at one end of its band."""
    costs = {event: _at(cost, end) for event, cost in chip.costs.items()}
    return float(step_times(replace(chip, costs=costs), _mean_loads(trace), trace.host).latency_ns.sum())


def _at(cost: Cost, end: str) -> Cost:
    value = float(getattr(cost.latency, end))
    return replace(cost, latency=replace(cost.latency, low=value, nominal=value, high=value))


def _mean_loads(trace: Trace) -> Loads:
    """Return the loads of a mean sample; link loads are known over all steps only and are spread evenly."""

    def mean(counter: NDArray[np.int64]) -> NDArray[Any]:
        return (counter / trace.samples)[:, None]  # real-valued means; the timing model only multiplies and compares

    spread: NDArray[Any] = trace.link_messages / (trace.samples * trace.chip_steps)
    return Loads(
        neurons=trace.neuron_updates // trace.samples,
        gates=trace.gate_multiplies // trace.samples,
        spikes=mean(trace.spikes_out),
        sops={"binary": mean(trace.sops_binary), "graded": mean(trace.sops_graded), "gate": mean(trace.sops_gate)},
        words=mean(trace.synmem_reads),
        link_messages=np.broadcast_to(spread, (trace.chip_steps, 1, trace.links.size)),
        links=trace.links,
        host_messages=mean(trace.host_messages),
    )
