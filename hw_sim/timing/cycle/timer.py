"""Times the chip steps of a run by simulating cores and mesh: collects who spiked, and works off whole chip steps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.compiled.stages import Compiled
from spikewright.hw_sim.jit import Threads
from spikewright.hw_sim.timing.analytic import Host, StepTimes
from spikewright.hw_sim.timing.cycle.block import Block
from spikewright.hw_sim.timing.cycle.record import CycleRecord, empty_record
from spikewright.hw_sim.timing.cycle.service import service
from spikewright.hw_sim.timing.cycle.spikes import Spikes
from spikewright.hw_sim.timing.cycle.tables import Sender, tables

Int = NDArray[np.int64]

PENDING = 1 << 24
"""Spikes held back (4 bytes each) before the steps that are complete are worked off."""
BLOCK_BYTES = 64 << 20
"""Room for the counters and messages of one block of chip steps."""
MESSAGE_BYTES, CORE_BYTES, LINK_BYTES = 64, 120, 8
"""Per message; per row and core; per row and link."""


class CycleTimer:
    """Timing of a whole run; ``begin`` and ``finish`` bracket one block of samples, as in ``engine.tally``."""

    def __init__(self, compiled: Compiled, steps: int, samples: int, threads: Threads, host: Host = "lava") -> None:
        self.times = service(compiled.chip, host)
        self.tables = tables(compiled, self.times, steps)
        self.threads = threads
        self.chip_steps = compiled.program.chip_steps(steps)
        links = self.tables.fabric.link.size
        self.record: CycleRecord = empty_record(
            compiled.chip.timing.cycle_ns, self.chip_steps, samples, compiled.cores, links
        )
        self.row_bytes = CORE_BYTES * compiled.cores + LINK_BYTES * links
        self.silent = {name for name, stage in compiled.stages.items() if not stage.emitters}
        self.samples = slice(0, 0)

    def begin(self, batch: int) -> None:
        """Start the next block of samples."""
        self.samples = slice(self.samples.stop, self.samples.stop + batch)
        self.spikes = {s.name: Spikes(batch) for s in self.tables.senders}
        self.next_step = 0
        self.done: list[StepTimes] = []

    def add(self, name: str, events: NDArray[np.generic]) -> None:
        """Take in what a population sent in its next local steps (T', B, n)."""
        if name in self.silent:
            return
        self.spikes[name].append(events)
        if sum(s.count for s in self.spikes.values()) > PENDING:
            self._work_off()

    def finish(self) -> StepTimes:
        """Work off the rest and return the times (S, B) of this block of samples."""
        self._work_off()
        assert self.next_step == self.chip_steps, "a population has sent nothing for some steps"
        return StepTimes(
            np.concatenate([t.latency_ns for t in self.done]),
            np.concatenate([t.term for t in self.done]),
            np.concatenate([t.place for t in self.done]),
        )

    def _complete(self) -> int:
        """Return the chip step up to which all spikes are known."""
        stops = [self._stop(sender) for sender in self.tables.senders]
        return min([self.chip_steps, *stops])

    def _stop(self, sender: Sender) -> int:
        known = self.spikes[sender.name].stop
        ended = sender.name in self.silent or known == sender.life
        return self.chip_steps if ended else sender.first_step + known

    def _work_off(self) -> None:
        for spikes in self.spikes.values():
            spikes.merge()
        stop = self._complete()
        if stop <= self.next_step:
            return
        batch = self.samples.stop - self.samples.start
        whole = Block(self.tables, self.times, self.spikes, self.next_step, stop, batch, self.threads)
        cost = MESSAGE_BYTES * whole.count_messages().reshape(-1, batch).sum(axis=1) + self.row_bytes * batch
        for first, last in _cut(cost, BLOCK_BYTES):
            a, b = self.next_step + first, self.next_step + last
            block = Block(self.tables, self.times, self.spikes, a, b, batch, self.threads)
            self.done.append(block.run(self.record, self.samples))
        for sender in self.tables.senders:
            delay = max((s.projection.delay for s in sender.synapses), default=0)
            self.spikes[sender.name].forget(stop - sender.first_step - delay)
        self.next_step = stop


def _cut(cost: Int, limit: int) -> list[tuple[int, int]]:
    """Cut steps into runs that cost at most ``limit``, or are one step."""
    runs, first, total = [], 0, 0
    for k, each in enumerate(cost.tolist()):
        if k > first and total + each > limit:
            runs.append((first, k))
            first, total = k, 0
        total += each
    return [*runs, (first, cost.size)]
