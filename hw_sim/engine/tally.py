"""Sums the counters of a batch: per chip step and core over samples for the trace, per sample for the timing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.compiled.counters import Columns
from spikewright.hw_sim.compiled.stages import Compiled
from spikewright.hw_sim.jit import Threads
from spikewright.hw_sim.timing.analytic import Host, Loads, StepTimes, step_times
from spikewright.hw_sim.timing.cycle.timer import CycleTimer

Int = NDArray[np.int64]

PER_CORE = (
    "sops_binary", "sops_graded", "sops_gate", "synmem_reads", "neuron_updates", "gate_multiplies", "spikes_out",
    "messages", "messages_in", "hops_east_west", "hops_north_south",
)  # fmt: skip
SENDING = {
    "spikes": "spikes_out",
    "messages": "messages",
    "messages_in": "messages_in",
    "hops_x": "hops_east_west",
    "hops_y": "hops_north_south",
}


class Tally:
    """Counters of a whole run; ``begin`` and ``finish`` bracket one block of samples; a ``timer`` times the steps instead."""

    def __init__(
        self, compiled: Compiled, steps: int, threads: Threads, host: Host, timer: CycleTimer | None = None
    ) -> None:
        program = compiled.program
        self.compiled = compiled
        self.steps = steps
        self.threads = threads
        self.host_kind = host
        self.lags = {p.name: program.lag(p) for p in program.projections}
        self.lives = {p.name: program.life(p, steps) for p in program.populations}
        self.chip_steps = program.chip_steps(steps)
        self.per_core = {name: np.zeros((self.chip_steps, compiled.cores), np.int64) for name in PER_CORE}
        self.host = np.zeros(self.chip_steps, np.int64)
        self.link_messages = np.zeros(compiled.links.size, np.int64)
        self.sops = dict.fromkeys((p.name for p in program.projections), 0)
        self.spikes = dict.fromkeys((p.name for p in program.populations), 0)
        self.times: list[StepTimes] = []
        self.timer = timer
        self._fixed()

    def _fixed(self) -> None:
        """Fill what does not depend on activity, for one sample."""
        for stage in self.compiled.stages.values():
            mapped = stage.core[stage.core >= 0]
            neurons = np.bincount(mapped, minlength=self.compiled.cores)
            self.per_core["neuron_updates"] += neurons * stage.population.soma.updates
            if stage.gates:
                window = slice(stage.population.start, stage.population.start + self.lives[stage.population.name])
                self.per_core["gate_multiplies"][window] += neurons * len(stage.gates)

    def begin(self, batch: int) -> None:
        """Start a block of samples."""
        if self.timer is not None:
            self.timer.begin(batch)
        shape = (self.chip_steps, batch, self.compiled.cores)
        self.block_sops = {kind: np.zeros(shape, np.int64) for kind in ("binary", "graded", "gate")}
        self.block_words = np.zeros(shape, np.int64)
        self.block_spikes = np.zeros(shape, np.int64)
        self.block_links = np.zeros((self.chip_steps, batch, self.compiled.links.size), np.int64)
        self.block_host = np.zeros((self.chip_steps, batch), np.int64)

    def add(self, name: str, first_step: int, events: NDArray[np.generic]) -> None:
        """Count the messages ``events`` (T', B, n) that a population sent from local step ``first_step`` on."""
        stage = self.compiled.stages[name]
        events = events[: max(0, self.lives[name] - first_step)]
        if not stage.emitters or not len(events):
            return
        if self.timer is not None:
            self.timer.add(name, events)
        start = stage.population.start + first_step
        for emitter in stage.emitters:
            counts = emitter.count(events, self.threads)
            for run in emitter.runs:
                part = counts[:, :, run.start : run.stop]
                if run.projection is not None:
                    self._arrive(run, first_step, start, part)
                else:
                    self._send(name, run, slice(start, start + part.shape[0]), part)

    def _send(self, name: str, run: Columns, window: slice, part: Int) -> None:
        if run.kind == "links":
            self.block_links[window, :, np.searchsorted(self.compiled.links, run.ids)] += part
            return
        if run.kind == "host":
            self.block_host[window] += part[:, :, 0]
            return
        if run.kind == "spikes":
            self.spikes[name] += int(part.sum())
        inside = run.ids >= 0
        ids = run.ids[inside]
        self.per_core[SENDING[run.kind]][window, ids] += part[:, :, inside].sum(axis=1)
        if run.kind == "spikes":
            self.block_spikes[window, :, ids] += part[:, :, inside]

    def _arrive(self, run: Columns, first_step: int, start: int, part: Int) -> None:
        projection = run.projection
        assert projection is not None
        arriving = min(part.shape[0], self.lives[projection.target] - self.lags[projection.name] - first_step)
        if arriving <= 0:
            return
        part = part[:arriving]
        window = slice(start + projection.delay, start + projection.delay + arriving)
        inside = run.ids >= 0
        cores = run.ids[inside]
        if run.kind == "reads":
            self.block_words[window, :, cores] += part[:, :, inside]
            return
        self.sops[projection.name] += int(part.sum())
        sops = self.block_sops[self.compiled.stages[projection.source].population.soma.sends]
        sops[window, :, cores] += part[:, :, inside]

    def finish(self) -> None:
        """Sum the block into the run and time its steps."""
        for kind, sops in self.block_sops.items():
            self.per_core[f"sops_{kind}"] += sops.sum(axis=1)
        self.per_core["synmem_reads"] += self.block_words.sum(axis=1)
        self.host += self.block_host.sum(axis=1)
        self.link_messages += self.block_links.sum(axis=(0, 1))
        if self.timer is not None:
            self.times.append(self.timer.finish())
            return
        loads = Loads(
            neurons=self.per_core["neuron_updates"],
            gates=self.per_core["gate_multiplies"],
            spikes=self.block_spikes,
            sops={kind: sops for kind, sops in self.block_sops.items() if sops.any()},
            words=self.block_words,
            link_messages=self.block_links,
            links=self.compiled.links,
            host_messages=self.block_host,
        )
        self.times.append(step_times(self.compiled.chip, loads, self.host_kind))
