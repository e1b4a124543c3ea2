"""How many cycles each stage takes for each event: the nominal latencies of ``analytic``, in whole cycles of the chip file."""

from __future__ import annotations

from dataclasses import dataclass

from spikewright.hw_sim.chip import Chip
from spikewright.hw_sim.timing.analytic import Host, overhead_ns


@dataclass(frozen=True)
class Service:
    """Cycles per event, and the buffers.

    A latency that is no whole number of cycles is rounded to the nearest (at least 1 if it is above 0): at most half a cycle
    an event from ``analytic``. The chip files that ship choose ``cycle_ns`` so that nothing is rounded.
    """

    neuron: int
    gate: int
    spike: int
    sops: dict[str, int]
    word: int
    link: int
    chip_link: int
    host: int
    barrier: int
    overhead: int
    router_buffer: int
    axon_out_buffer: int


def service(chip: Chip, host: Host = "lava") -> Service:
    """Return the service times of a chip under a host. All are whole numbers of cycles, in cycles of ``cycle_ns``."""

    def cycles(ns: float) -> int:
        return max(round(ns / chip.timing.cycle_ns), 1 if ns > 0 else 0)

    ns = {event: cost.latency.nominal for event, cost in chip.costs.items()}
    return Service(
        neuron=cycles(ns["neuron_update"]),
        gate=cycles(ns["gate_multiply"]),
        spike=cycles(ns["spike"]),
        sops={
            "binary": cycles(ns["synaptic_op"]),
            "graded": cycles(ns["graded_synaptic_op"]),
            "gate": cycles(ns["gate_synaptic_op"]),
        },
        word=cycles(ns["synapse_memory_read"]),
        link=cycles(ns["link_crossing"]),
        chip_link=cycles(max(ns["link_crossing"], ns["chip_crossing"])),
        host=cycles(ns["host_message"]),
        barrier=cycles(ns["barrier"]),
        overhead=cycles(overhead_ns(chip, host)),
        router_buffer=chip.timing.router_buffer,
        axon_out_buffer=chip.timing.axon_out_buffer,
    )
