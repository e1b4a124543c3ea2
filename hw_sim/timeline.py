"""A run as a timeline in the trace-event format, which Perfetto and chrome://tracing open: chip = process, core = thread.

::

    slices of a core in a chip step, all from its start, the longest outside:   (analytic: they overlap)
        synapse = max(SOPs t_sop, words t_word)    dendrite = updates t_neuron + gains t_gate
        soma = spikes t_spike                      axon = messages t_message
    NoC: messages of the core that sends most, times t_link
    chip steps: each named by what bounds it; at its end the barrier, where a Lava host adds its overhead

With the cycle timing a slice is as long as its stage worked, and the depth of the axon-out queues is a counter. Several samples
are shown as their mean. Source of the format: "Trace Event Format", catapult project (ph X: a slice, C: counters, M: names;
times in us). Its viewers count in whole ns and drop a slice that ends behind the one around it or begins before the last has
ended, so every border lies on a whole ns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.chip import Chip
from spikewright.hw_sim.timing.analytic import TERMS, overhead_ns
from spikewright.hw_sim.timing.cycle.record import STAGES
from spikewright.hw_sim.trace import Trace

LIMIT_BYTES = 20_000_000
"""Size that a viewer still opens at once; later chip steps are left out, and the file says how many."""
SLICES = ("synapse", "dendrite", "soma", "axon")
STEPS, NOC = 1_000_000, 1_000_001
"""Threads of a chip beside its cores."""
Float = NDArray[np.float64]
Event = dict[str, Any]


def timeline(trace: Trace, chip: Chip, layers: Mapping[int, str], limit: int = LIMIT_BYTES) -> str:
    """Return the JSON of a run; as many chip steps as ``limit`` bytes hold.

    Args:
        trace: The run.
        chip: Its chip.
        layers: What each core holds, in words.
        limit: Bytes.
    """
    head = [json.dumps(event) for event in _names(trace, chip, layers)]
    size, rows, shown = sum(map(len, head)) + 2 * len(head) + 400, head, 0
    for events in _steps(trace, chip):
        more = [json.dumps(event) for event in events]
        size += sum(map(len, more)) + 2 * len(more)
        if size > limit:
            break
        rows += more
        shown += 1
    about = {
        "chip": chip.name, "timing": trace.timing, "host": trace.host, "samples": trace.samples,
        "chip_steps": trace.chip_steps, "chip_steps_shown": shown,
    }  # fmt: skip
    tail = f'"displayTimeUnit": "ns", "otherData": {json.dumps(about)}'
    return '{"traceEvents": [\n' + ",\n".join(rows) + "\n], " + tail + "}\n"


def steps_shown(text: str) -> tuple[int, int]:
    """Return (chip steps shown, chip steps of the run) of a timeline."""
    about = json.loads("{" + text[text.rindex('"otherData"') :])["otherData"]
    return about["chip_steps_shown"], about["chip_steps"]


def _chip_of(core: int, chip: Chip) -> int:
    return core // chip.mesh.usable_cores_per_chip


def _names(trace: Trace, chip: Chip, layers: Mapping[int, str]) -> Iterator[Event]:
    def name(kind: str, text: str, pid: int, tid: int = 0) -> Event:
        return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": text}}

    for pid in range(_chip_of(max(trace.cores - 1, 0), chip) + 1):
        yield name("process_name", f"{chip.name}, chip {pid}", pid)
        yield name("thread_name", "NoC", pid, NOC)
    yield name("thread_name", "chip steps", 0, STEPS)
    for core in range(trace.cores):
        held = f": {layers[core]}" if core in layers else ""
        yield name("thread_name", f"core {core}{held}", _chip_of(core, chip), core)


def _steps(trace: Trace, chip: Chip) -> Iterator[list[Event]]:
    """Yield the events of each chip step."""
    lengths = trace.latency_ns.mean(axis=1)
    begins = np.rint(np.concatenate([[0.0], np.cumsum(lengths)])).astype(np.int64)
    busy = _busy_ns(trace, chip)
    noc = _noc_ns(trace, chip)
    held = _barrier_ns(trace, chip, busy, noc)
    sops = _by_chip(trace.sops, chip) / trace.samples
    waits = None if trace.cycle is None else trace.cycle.stall_cycles * trace.cycle.cycle_ns / trace.samples
    for step in range(trace.chip_steps):
        begin, end = int(begins[step]), int(begins[step + 1])
        bound = TERMS[int(np.bincount(trace.term[step].astype(np.int64), minlength=len(TERMS)).argmax())]
        events = [_slice(f"step {step}: {bound}", 0, STEPS, begin, end)]
        events += [_slice("barrier", 0, STEPS, max(begin, end - round(held[step])), end)] if held[step] >= 1 else []
        for core in range(trace.cores):
            at = _chip_of(core, chip)
            parts = [(busy[k, step, core], name) for k, name in enumerate(SLICES) if busy[k, step, core] >= 1]
            events += [_slice(name, at, core, begin, min(begin + round(ns), end)) for ns, name in sorted(parts)[::-1]]
        for pid in range(sops.shape[1]):
            if noc[step, pid] >= 1:
                events.append(_slice("NoC", pid, NOC, begin, min(begin + round(noc[step, pid]), end)))
            events.append(_counter("SOPs", pid, begin, float(sops[step, pid])))
            if waits is not None:
                depth = float(_by_chip(waits[step][None], chip)[0, pid] / lengths[step])
                events.append(_counter("messages waiting for axon-out (mean)", pid, begin, depth))
        yield events


def _busy_ns(trace: Trace, chip: Chip) -> Float:
    """Return how long each of ``SLICES`` works (4, S, cores), ns a sample."""
    if trace.cycle is not None:
        cycles = {name: trace.cycle.busy_cycles[k] for k, name in enumerate(STAGES)}
        synapse = np.maximum(cycles["synapse"], cycles["dendrite"])
        rows = [synapse, cycles["soma"], 0 * synapse, cycles["axon_out"]]
        return np.asarray(np.stack(rows) * trace.cycle.cycle_ns / trace.samples, np.float64)
    ns = {event: cost.latency.nominal for event, cost in chip.costs.items()}
    synapse = np.maximum(
        trace.sops_binary * ns["synaptic_op"]
        + trace.sops_graded * ns["graded_synaptic_op"]
        + trace.sops_gate * ns["gate_synaptic_op"],
        trace.synmem_reads * ns["synapse_memory_read"],
    )
    dendrite = trace.neuron_updates * ns["neuron_update"] + trace.gate_multiplies * ns["gate_multiply"]
    rows = [synapse, dendrite, trace.spikes_out * ns["spike"], trace.messages * ns["message"]]
    return np.asarray(np.stack(rows) / trace.samples, np.float64)


def _noc_ns(trace: Trace, chip: Chip) -> Float:
    """Return how long the core of each chip that sends most occupies its link, (S, chips), ns a sample."""
    sent = trace.messages * chip.costs["link_crossing"].latency.nominal / trace.samples
    chips = _chip_of(max(trace.cores - 1, 0), chip) + 1
    per = chip.mesh.usable_cores_per_chip
    parts = [sent[:, k * per : (k + 1) * per].max(axis=1, initial=0.0) for k in range(chips)]
    return np.asarray(np.stack(parts, axis=1), np.float64)


def _by_chip(counts: NDArray[Any], chip: Chip) -> Float:
    """Return the sums (S, chips) of counts (S, cores)."""
    starts = np.arange(0, max(counts.shape[1], 1), chip.mesh.usable_cores_per_chip)
    return np.asarray(
        np.add.reduceat(counts, starts, axis=1) if counts.shape[1] else np.zeros((len(counts), 1)), np.float64
    )


def _barrier_ns(trace: Trace, chip: Chip, busy: Float, noc: Float) -> Float:
    """Return how long each chip step waits at its end (S,), ns: for the host, or until the shortest step is over."""
    work = np.maximum(busy.max(axis=(0, 2), initial=0.0), noc.max(axis=1, initial=0.0))
    rest = np.minimum(trace.latency_ns.mean(axis=1) - work, chip.costs["barrier"].latency.nominal - work)
    return np.asarray(np.maximum(overhead_ns(chip, trace.host), rest), np.float64)


def _slice(name: str, pid: int, tid: int, begin: int, end: int) -> Event:
    return {"ph": "X", "name": name, "pid": pid, "tid": tid, "ts": begin / 1000, "dur": (end - begin) / 1000}


def _counter(name: str, pid: int, begin: int, value: float) -> Event:
    return {"ph": "C", "name": name, "pid": pid, "ts": begin / 1000, "args": {"value": round(value, 3)}}
