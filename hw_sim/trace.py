"""What a run did, in integers: counts per chip step and core, spikes per population, results, and the time of every step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.arrays import pack, read_arrays
from spikewright.hw_sim.errors import ProgramError
from spikewright.hw_sim.files import write_whole
from spikewright.hw_sim.timing.analytic import TERMS, Host
from spikewright.hw_sim.timing.cycle.record import CycleRecord, joined_records, record_of

Int = NDArray[np.int64]


@dataclass(frozen=True)
class ProjectionCount:
    """SOPs of one projection, summed over samples and steps.

    Args:
        kind: ``binary``, ``graded`` or ``gate``, as the source sends.
        sops: Arriving non-zero messages times their non-zero synapses.
        dense_sops: The same if every source neuron had fired in every step.
    """

    kind: str
    sops: int
    dense_sops: int


@dataclass(frozen=True)
class PopulationCount:
    """Activity of one population, summed over samples and steps.

    Args:
        neurons: Its size.
        spikes: Non-zero messages sent (gates: level changes).
        opportunities: neurons x steps x samples; ``spikes / opportunities`` is the spike rate.
        gate_multiplies: Gains applied: gate ports x neurons x steps x samples.
        wraps: How often a current u wrapped around 24 bits.
        clips: How often a voltage v was clipped to 24 bits.
    """

    neurons: int
    spikes: int
    opportunities: int
    gate_multiplies: int
    wraps: int
    clips: int


@dataclass(frozen=True, eq=False)
class Trace:
    """The record of one ``simulate`` call. Counts are summed over the B samples unless a B is in the shape.

    Args:
        chip: Name of the chip.
        steps: Local timesteps T.
        chip_steps: Chip steps S = T + latest start, or where the program halts before.
        samples: B.
        sops_binary, sops_graded, sops_gate: (S, cores) synaptic operations, in the chip step in which they take effect.
        synmem_reads: (S, cores) synaptic-memory words read.
        neuron_updates: (S, cores) every mapped neuron, every chip step (a chip updates a neuron outside its window too).
        gate_multiplies: (S, cores) gains applied, inside the windows.
        spikes_out: (S, cores) non-zero messages of the neurons of a core (one, however many cores it goes to).
        messages: (S, cores) messages sent: one per firing neuron and distinct destination core.
        messages_in: (S, cores) messages that reach a core, from cores and host.
        hops_east_west, hops_north_south: (S, cores) router-to-router crossings of the messages a core sends.
        host_messages: (S,) messages from the host into cores.
        chip_crossings: (L,) messages over each link that runs between two chips, 0 for others.
        links: (L,) links in use (``noc.Links``).  ``link_messages``: (L,) messages over each.
        projections, populations: Totals by name.
        latency_ns, term, place: (S, B) time of a step, what bounds it (``timing.analytic.TERMS``) and the core or link.
        timing: ``analytic`` or ``cycle``: the model behind latency_ns, term and place.
        host: ``lava`` or ``bare``: whose overhead is in every step (``timing.analytic.Host``).
        cycle: What the cycle timing saw, if it ran.
        outputs: (B, n) result of the read-out: v after the last step, or spike counts.
        spikes, v, u: (T, B, *shape) by population, if recorded; v and u after reset; 0 behind a halt.
    """

    chip: str
    steps: int
    chip_steps: int
    samples: int
    sops_binary: Int
    sops_graded: Int
    sops_gate: Int
    synmem_reads: Int
    neuron_updates: Int
    gate_multiplies: Int
    spikes_out: Int
    messages: Int
    messages_in: Int
    hops_east_west: Int
    hops_north_south: Int
    host_messages: Int
    links: Int
    link_messages: Int
    chip_crossings: Int
    projections: dict[str, ProjectionCount]
    populations: dict[str, PopulationCount]
    latency_ns: NDArray[np.float64]
    term: NDArray[np.int8]
    place: NDArray[np.int32]
    outputs: Int
    spikes: dict[str, NDArray[Any]] = field(default_factory=dict)
    v: dict[str, NDArray[Any]] = field(default_factory=dict)
    u: dict[str, NDArray[Any]] = field(default_factory=dict)
    timing: str = "analytic"
    host: Host = "bare"
    cycle: CycleRecord | None = None

    @property
    def sops(self) -> Int:
        """(S, cores) synaptic operations of all kinds."""
        return self.sops_binary + self.sops_graded + self.sops_gate

    @property
    def cores(self) -> int:
        """Number of logical cores."""
        return int(self.sops_binary.shape[1])

    @property
    def latency_s(self) -> NDArray[np.float64]:
        """(B,) seconds from the first to the last chip step of a sample."""
        return np.asarray(self.latency_ns.sum(axis=0) * 1e-9, np.float64)

    @property
    def wraps(self) -> dict[str, int]:
        """Wraps of u beyond 24 bits, by population, of all samples."""
        return {name: p.wraps for name, p in self.populations.items()}

    @property
    def clips(self) -> dict[str, int]:
        """Clips of v at 24 bits, by population, of all samples."""
        return {name: p.clips for name, p in self.populations.items()}

    def bottleneck(self) -> tuple[str, int, float]:
        """Return the (term, core or link) that bounds the most time, and its share of the time; -1 is no single place."""
        keys = self.term.astype(np.int64) * (1 << 32) + (self.place.astype(np.int64) + 1)
        found, inverse = np.unique(keys, return_inverse=True)
        times = np.bincount(inverse.ravel(), weights=self.latency_ns.ravel())
        best = int(times.argmax())
        term, place = divmod(int(found[best]), 1 << 32)
        return TERMS[term], place - 1, float(times[best] / times.sum())

    def save(self, path: str | Path) -> None:
        """Write the trace as one ``.npz`` (no pickle), atomically.

        Raises:
            OSError: The file cannot be written.
        """
        arrays: dict[str, NDArray[Any]] = {}
        plain: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, np.ndarray):
                arrays[f.name] = value
            elif f.name in ("spikes", "v", "u"):
                arrays.update({f"{f.name}/{name}": array for name, array in value.items()})
            elif isinstance(value, CycleRecord):
                arrays.update({f"cycle/{name}": array for name, array in value.arrays().items()})
            elif f.name in ("projections", "populations"):
                plain[f.name] = {name: vars(row) for name, row in value.items()}
            else:
                plain[f.name] = value
        arrays["json"] = np.frombuffer(json.dumps(plain).encode(), np.uint8)
        write_whole(path, pack(arrays))


def joined_traces(traces: Sequence[Trace]) -> Trace:
    """Return the traces of some samples and of others, of one program, as one of all; recordings are left out.

    Per-core counters (S, cores) are added; times (S, B) stand side by side.
    """
    first, *others = traces
    if not others:
        return first
    found: dict[str, Any] = {"samples": sum(t.samples for t in traces), "spikes": {}, "v": {}, "u": {}}
    for name in ADDED:
        found[name] = sum((getattr(t, name) for t in others), getattr(first, name))
    for name in ("latency_ns", "term", "place"):
        found[name] = np.concatenate([getattr(t, name) for t in traces], axis=1)
    found["outputs"] = np.concatenate([t.outputs for t in traces])
    for name in ("projections", "populations"):
        rows = {key: [getattr(t, name)[key] for t in traces] for key in getattr(first, name)}
        found[name] = {key: _added(counts) for key, counts in rows.items()}
    records = [t.cycle for t in traces if t.cycle is not None]
    return replace(first, **found, cycle=joined_records(records) if records else None)


def in_sequence(traces: Sequence[Trace]) -> Trace:
    """Return the traces of runs of the same samples, one run behind the other, as one run: its steps are those of all.

    What came out, and what was recorded, is the last run's.

    Per-core counters (S, cores) and times (S, B) stand behind each other along S.
    """
    *_, last = traces
    if len(traces) == 1:
        return last
    found: dict[str, Any] = {"chip_steps": sum(t.chip_steps for t in traces)}
    for name in (*STEPWISE, "latency_ns", "term", "place"):
        found[name] = np.concatenate([getattr(t, name) for t in traces])
    for name in ("link_messages", "chip_crossings"):
        found[name] = sum((getattr(t, name) for t in traces[1:]), getattr(traces[0], name))
    for name in ("projections", "populations"):
        rows = {key: [getattr(t, name)[key] for t in traces] for key in getattr(last, name)}
        found[name] = {key: _added(counts) for key, counts in rows.items()}
    records = [t.cycle for t in traces if t.cycle is not None]
    return replace(last, **found, cycle=joined_records(records) if records else None)


STEPWISE = (
    "sops_binary", "sops_graded", "sops_gate", "synmem_reads", "neuron_updates", "gate_multiplies", "spikes_out", "messages",
    "messages_in", "hops_east_west", "hops_north_south", "host_messages",
)  # fmt: skip
"""Counts by chip step."""
ADDED = (*STEPWISE, "link_messages", "chip_crossings")
"""Counts that are sums over samples."""


def _added(counts: Sequence[Any]) -> Any:
    """Add counts of one projection or population; its size and its kind stay."""
    kept = {name: value for name, value in vars(counts[0]).items() if name in ("kind", "neurons")}
    sums = {name: sum(vars(c)[name] for c in counts) for name in vars(counts[0]) if name not in kept}
    return replace(counts[0], **kept, **sums)


def load_trace(path: str | Path) -> Trace:
    """Read a trace that ``Trace.save`` wrote.

    Raises:
        ProgramError: The file is not one.
    """
    try:
        arrays: dict[str, Any] = dict(read_arrays(path))
        plain = json.loads(arrays.pop("json").tobytes().decode())
    except (OSError, ValueError, KeyError) as error:
        raise ProgramError(
            f"not a readable trace: {error}", where=str(path), help="write it with Trace.save"
        ) from error
    recorded: dict[str, Any] = {"spikes": {}, "v": {}, "u": {}, "cycle": {}}
    for key in [key for key in arrays if "/" in key]:
        part, name = key.split("/", 1)
        recorded[part][name] = arrays.pop(key)
    recorded["cycle"] = record_of(recorded["cycle"]) if recorded["cycle"] else plain.pop("cycle", None)
    projections = {name: ProjectionCount(**row) for name, row in plain.pop("projections").items()}
    populations = {name: PopulationCount(**row) for name, row in plain.pop("populations").items()}
    return Trace(**plain, **arrays, **recorded, projections=projections, populations=populations)
