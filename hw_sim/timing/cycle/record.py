"""What the cycle timing saw beside the time of each step: how long every stage worked, and its own count of every event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]

STAGES = ("axon_in", "synapse", "dendrite", "soma", "axon_out")
"""The pipeline of a neurocore: link out of the mesh, synaptic-memory reads, SOPs, neuron updates, link into the mesh."""


@dataclass(frozen=True, eq=False)
class CycleRecord:
    """Integers only; S chip steps, summed over the samples unless a B is in the shape.

    Args:
        cycle_ns: Length of a cycle; nominal, the chip has no clock.
        step_cycles: (S, B) length of every step.
        busy_cycles: (5, S, cores) cycles each of ``STAGES`` worked.
        stall_cycles: (S, cores) cycles a core's neurons waited for room in its axon-out queue.
        link_cycles: (L,) cycles each of ``Trace.links`` was busy.
        link_messages: (L,) messages that crossed it.
        sops, messages, messages_in, hops_east_west, hops_north_south: (S, cores) as in ``Trace``, but counted by walking
            every message through its core and over its links.
        host_messages: (S,) likewise.
    """

    cycle_ns: float
    step_cycles: Int
    busy_cycles: Int
    stall_cycles: Int
    link_cycles: Int
    link_messages: Int
    sops: Int
    messages: Int
    messages_in: Int
    hops_east_west: Int
    hops_north_south: Int
    host_messages: Int

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return every field as an array, for a file. Shapes as the fields say, the cycle's length in ns."""
        return {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}


def record_of(arrays: dict[str, NDArray[Any]]) -> CycleRecord:
    """Return the record that ``arrays`` came from."""
    return CycleRecord(**{**arrays, "cycle_ns": float(arrays["cycle_ns"])})  # type: ignore[arg-type]


def joined_records(records: Sequence[CycleRecord]) -> CycleRecord:
    """Return the records of some samples and of others as one of all.

    Step times (S, B) stand side by side along B; counts (S, cores) are added.
    """
    found = {f.name: [getattr(r, f.name) for r in records] for f in fields(CycleRecord) if f.name != "cycle_ns"}
    steps = np.concatenate(found.pop("step_cycles"), axis=1)
    return replace(records[0], step_cycles=steps, **{name: sum(rest, first) for name, (first, *rest) in found.items()})


def empty_record(cycle_ns: float, steps: int, samples: int, cores: int, links: int) -> CycleRecord:
    """Return a record of nothing, to be added to. Its step times are (S, B), its counters (S, cores)."""
    per_core = {
        name: np.zeros((steps, cores), np.int64)
        for name in ("stall_cycles", "sops", "messages", "messages_in", "hops_east_west", "hops_north_south")
    }
    return CycleRecord(
        cycle_ns=cycle_ns,
        step_cycles=np.zeros((steps, samples), np.int64),
        busy_cycles=np.zeros((len(STAGES), steps, cores), np.int64),
        link_cycles=np.zeros(links, np.int64),
        link_messages=np.zeros(links, np.int64),
        host_messages=np.zeros(steps, np.int64),
        **per_core,
    )
