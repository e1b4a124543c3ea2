"""Energy: counts times price table, as three lines that sum to the whole; recomputable from a saved trace and any chip file.

::

    dynamic = sum count(event) energy(event);   static = static_power chips latency;   host = IO messages + host MACs
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Chip, Price, Trace
from spikewright.hw_sim.costs import Basis, worst_basis
from spikewright.toolchain.analysis.latency import Latency
from spikewright.toolchain.analysis.quantity import Quantity, total

HOST_MAC = Price(
    low=4.6,
    nominal=13.4,
    high=74.6,
    unit="pJ",
    basis="assumed",
    source="horowitz-2014",
    note="fp32 multiply and add at 45 nm: 4.6 pJ alone (low), with the 70 pJ of an instruction shared by 8 lanes (nominal) "
    "or not (high); not a figure of any particular host",
)
HOST_SOURCES = {"horowitz-2014": "Horowitz, Computing's energy problem, ISSCC 2014, 45 nm"}
PICO = 1e-12
REPEAT = 0.24
"""How far silicon is from itself: the dynamic energy of one net measured six times over days has a standard deviation of 24 %
(lava-dl, PilotNet LIF at six commits; its last three runs: 6 %). No energy has a narrower band."""


@dataclass(frozen=True)
class Item:
    """One term of a line: ``count`` events of one sample at ``price`` each (static: seconds at W)."""

    event: str
    count: float
    price: Price
    energy: Quantity


@dataclass(frozen=True)
class Line:
    """One line of the energy: its items sum to ``energy``."""

    name: str
    items: tuple[Item, ...]

    @property
    def energy(self) -> Quantity:
        """Sum of the items, J per sample."""
        return total((item.energy for item in self.items), "J")


@dataclass(frozen=True)
class Energy:
    """Energy of one sample (mean over the run)."""

    dynamic: Line
    static: Line
    host: Line

    @property
    def lines(self) -> tuple[Line, ...]:
        """The three lines. In J, per sample."""
        return self.dynamic, self.static, self.host

    @property
    def total(self) -> Quantity:
        """Sum of the three lines. In J, per sample."""
        return total((line.energy for line in self.lines), "J")

    @property
    def assumed(self) -> tuple[str, ...]:
        """Events whose price is assumed."""
        return tuple(i.event for line in self.lines for i in line.items if i.price.basis == "assumed")


def core_counters(trace: Trace) -> dict[str, NDArray[np.int64]]:
    """Return the counters (chip step, core) of the priced events that cores cause."""
    return {
        "synaptic_op": trace.sops_binary,
        "graded_synaptic_op": trace.sops_graded,
        "gate_synaptic_op": trace.sops_gate,
        "synapse_memory_read": trace.synmem_reads,
        "neuron_update": trace.neuron_updates,
        "gate_multiply": trace.gate_multiplies,
        "spike": trace.spikes_out,
        "message": trace.messages,
        "hop_east_west": trace.hops_east_west,
        "hop_north_south": trace.hops_north_south,
    }


def event_counts(trace: Trace) -> dict[str, int]:
    """Return how often each priced event of the chip happened, over all samples."""
    counters = core_counters(trace) | {
        "link_crossing": trace.link_messages,
        "chip_crossing": trace.chip_crossings,
        "host_message": trace.host_messages,
    }
    steps = trace.chip_steps * trace.samples
    each_step = {"barrier": steps} | ({"step_overhead": steps} if trace.host == "lava" else {})
    return {event: int(c.sum()) for event, c in counters.items()} | each_step


def energy(trace: Trace, chip: Chip, time: Latency, host_macs: int = 0) -> Energy:
    """Price a run.

    Args:
        trace: Its counters.
        chip: The price table.
        time: Its latency (static power runs that long; all chips in use are on).
        host_macs: MACs of the encoder per sample.
    """
    counts = {event: count / trace.samples for event, count in event_counts(trace).items() if count}
    priced = {event: _item(event, count, chip.costs[event].energy) for event, count in counts.items()}
    on_host = [priced.pop("host_message")] if "host_message" in priced else []
    if host_macs:
        on_host.append(_item("host_mac", host_macs, HOST_MAC))
    chips = -(-max(trace.cores, 1) // chip.mesh.usable_cores_per_chip)
    return Energy(
        Line("dynamic", tuple(item for item in priced.values() if item.price.high > 0)),
        Line("static", (_static(chip.static_power, time.per_sample, chips),)),
        Line("host", tuple(on_host)),
    )


def _item(event: str, count: float, price: Price) -> Item:
    joules = banded(price.nominal * PICO, worst_basis(["simulated", price.basis]), price.low * PICO, price.high * PICO)
    return Item(event, count, price, joules.times(count))


def banded(value: float, basis: Basis, low: float, high: float) -> Quantity:
    """Return an energy whose band is at least as wide as silicon's own repeats.

    The band is 24 % at least, what one net on one board took on other days (PilotNet LIF, six public runs).
    """
    return Quantity(value, "J", basis, min(low, value * (1 - REPEAT)), max(high, value * (1 + REPEAT)))


def _static(power: Price, time: Quantity, chips: int) -> Item:
    low, high = time.low or 0.0, time.high or time.value
    basis = worst_basis([power.basis, time.basis])
    joules = banded(power.nominal * time.value, basis, power.low * low, power.high * high).times(chips)
    return Item("static_power", time.value * chips, power, joules)
