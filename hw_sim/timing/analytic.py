"""Analytic timing: a chip step lasts as long as its slowest part.

::

    work_ns = max( max_core(neurons * t_neuron + gate_multiplies * t_gate + spikes * t_spike),
                   max_core(sops * t_sop), max_core(memory_words * t_word),
                   max_link(messages * t_link),          (t_link: longer between two chips)
                   host_messages * t_host )
    step_ns = max( work_ns + t_overhead, t_barrier )     (t_overhead: 0 with a bare host, step_overhead with Lava's)

Form after Timcheck, Pierro, Shrestha (arXiv:2601.10035) and the Floorline model (arXiv:2511.21549): per-core maxima,
not totals, set the time. Coefficients are the nominal latencies of the chip's price table. What this assumes: all stages and
links overlap perfectly, so that only the busiest one is seen; ``timing.cycle`` simulates how far that holds.
The overhead of a Lava host holds the barrier and is added to the work, not a floor under it: each spike of two neurons on
silicon (NECOTIS 2025, 18 means) takes 5.4 +- 1.8 ns, which a floor of 1.16 us would hide. Either way is right to 1 % there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.chip import Chip
from spikewright.hw_sim.noc import Links

Int = NDArray[np.int64]

TERMS = ("neuron", "synapse", "memory", "link", "host", "barrier", "overhead")
"""What a step can be bound by; the place is a core (first three), a link (``link``), or nothing (-1). ``overhead``: the Lava
host takes longer than the work of the step."""
BARRIER, OVERHEAD = TERMS.index("barrier"), TERMS.index("overhead")

Host = Literal["lava", "bare"]
"""Who steps the chip: Lava's runtime, which adds its ``step_overhead``, or nobody (the chip alone, at its barrier)."""
HOSTS: tuple[Host, ...] = ("lava", "bare")


def overhead_ns(chip: Chip, host: Host) -> float:
    """Return what the host adds to every chip step.

    In ns; 1,160 nominally on Loihi 2 (NECOTIS 2025, doi 10.1088/2634-4386/add293), 0 with a bare host; it is paid
    once a step.
    """
    return chip.costs["step_overhead"].latency.nominal if host == "lava" else 0.0


@dataclass(frozen=True, eq=False)
class Loads:
    """What happens in each chip step of each sample.

    Args:
        neurons: (S, cores) neuron updates, the same for every sample.
        gates: (S, cores) gate multiplies, the same for every sample.
        spikes: (S, B, cores) spikes sent.
        sops: By kind (``binary``, ``graded``, ``gate``): (S, B, cores); a kind that does not occur may be absent.
        words: (S, B, cores) synaptic-memory words read.
        link_messages: (S, B, links) messages over each link in use.
        links: (links,) their numbers (``noc.Links``).
        host_messages: (S, B) messages from the host.
    """

    neurons: Int
    gates: Int
    spikes: Int
    sops: dict[str, Int]
    words: Int
    link_messages: Int
    links: Int
    host_messages: Int


@dataclass(frozen=True, eq=False)
class StepTimes:
    """Time of each chip step of each sample (S, B): ns, index into ``TERMS``, and the core or link that sets it."""

    latency_ns: NDArray[np.float64]
    term: NDArray[np.int8]
    place: NDArray[np.int32]


def step_times(chip: Chip, loads: Loads, host: Host = "lava") -> StepTimes:
    """Return how long each chip step takes under a host and what bounds it.

    Returns times in ns, (S, B) chip steps of samples.
    """
    ns = {event: cost.latency.nominal for event, cost in chip.costs.items()}
    neuron = (loads.neurons * ns["neuron_update"] + loads.gates * ns["gate_multiply"])[:, None, :]
    price = {"binary": "synaptic_op", "graded": "graded_synaptic_op", "gate": "gate_synaptic_op"}
    synapse = np.zeros(loads.words.shape)
    for kind, sops in loads.sops.items():
        synapse += sops * ns[price[kind]]
    shape = loads.host_messages.shape
    parts = [
        _largest(neuron + loads.spikes * ns["spike"], shape),
        _largest(synapse, shape),
        _largest(loads.words * ns["synapse_memory_read"], shape),
        _largest(loads.link_messages * link_ns(chip, loads.links), shape),
        (loads.host_messages * ns["host_message"], np.full(shape, -1)),
    ]
    if loads.links.size:
        parts[3] = (parts[3][0], loads.links[parts[3][1]])
    latency, term, place = whole_step(parts, overhead_ns(chip, host), ns["barrier"])
    return StepTimes(latency, term.astype(np.int8), place.astype(np.int32))


def whole_step(
    parts: Sequence[tuple[NDArray[Any], Int]], overhead: float, barrier: float
) -> tuple[NDArray[Any], Int, Int]:
    """Return the time of steps, which of ``TERMS`` bounds them, and its place.

    Args:
        parts: (time, place) of the work, by term; equal ones: the first.
        overhead: What the host adds; of the time's own unit and type.
        barrier: What no step undercuts.

    The arrays are (S, B).
    """
    work, term, place = _slowest_part(parts)
    waits = (overhead > 0) & (overhead >= work)
    time = np.maximum(work + overhead, barrier)
    held = time > work + overhead
    term = np.where(held, BARRIER, np.where(waits, OVERHEAD, term))
    return time, term, np.where(held | waits, -1, place)


def _slowest_part(parts: Sequence[tuple[NDArray[Any], Int]]) -> tuple[NDArray[Any], Int, Int]:
    times = np.stack([time for time, _ in parts])
    term = times.argmax(axis=0)
    places = np.stack([place for _, place in parts])
    return np.take_along_axis(times, term[None], 0)[0], term, np.take_along_axis(places, term[None], 0)[0]


def link_ns(chip: Chip, links: Int) -> NDArray[np.float64]:
    """Return how long one message occupies each link, (links,), in ns; longer between two chips."""
    crossing = chip.costs["link_crossing"].latency.nominal
    between = Links(chip.mesh).between_chips(links)
    return np.where(between, max(crossing, chip.costs["chip_crossing"].latency.nominal), crossing)


def _largest(times: NDArray[np.floating[Any]], shape: tuple[int, ...]) -> tuple[NDArray[np.float64], Int]:
    """Return the largest of (S, B, parts) and where it is; of no parts: zero, nowhere."""
    if times.shape[-1] == 0:
        return np.zeros(shape), np.full(shape, -1)
    full = np.broadcast_to(np.asarray(times, np.float64), (*shape, times.shape[-1]))
    place = full.argmax(axis=-1)
    return np.take_along_axis(full, place[..., None], -1)[..., 0], place
