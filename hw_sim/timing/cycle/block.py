"""One block of chip steps: core by core and link by link, what happens in each step of each sample, and how long it takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.jit import Threads
from spikewright.hw_sim.timing.analytic import StepTimes, whole_step
from spikewright.hw_sim.timing.cycle import core_kernels
from spikewright.hw_sim.timing.cycle.fabric import Records
from spikewright.hw_sim.timing.cycle.mesh_kernels import CORE, MESSAGE
from spikewright.hw_sim.timing.cycle.record import STAGES, CycleRecord
from spikewright.hw_sim.timing.cycle.service import Service
from spikewright.hw_sim.timing.cycle.spikes import Spikes
from spikewright.hw_sim.timing.cycle.tables import Sender, Tables

Int = NDArray[np.int64]

WORK = 16
"""Elements of work (``jit.WORTH_SPLITTING``) that one spike counts for, roughly."""


@dataclass(frozen=True, eq=False)
class _Arrivals:
    """The receiving side, (rows, cores): when synapse and dendrite stage are done, cycles each worked, SOPs."""

    read: Int
    done: Int
    words_busy: Int
    sops_busy: Int
    sops: Int


@dataclass(frozen=True, eq=False)
class _Departures:
    """The sending side.

    ``soma`` (rows, cores): cycles of neuron updates and spikes; ``host`` (rows,), ``from_host`` (rows, cores): messages from
    the host; ``messages`` into the mesh, ``cores`` with the list of each, ``filled`` (rows, 2): the records of each row.
    """

    soma: Int
    host: Int
    from_host: Int
    messages: Records
    cores: Records
    filled: Int


class Block:
    """Chip steps ``first`` to ``last`` of ``batch`` samples; row = (step - first) * batch + sample."""

    def __init__(
        self,
        tables: Tables,
        times: Service,
        spikes: dict[str, Spikes],
        first: int,
        last: int,
        batch: int,
        threads: Threads,
    ) -> None:
        self.tables = tables
        self.times = times
        self.spikes = spikes
        self.first = first
        self.last = last
        self.batch = batch
        self.threads = threads
        self.rows = (last - first) * batch
        self.shape = (self.rows, tables.fabric.inlet.size)

    def count_messages(self) -> Int:
        """Return the messages into the mesh and from the host, per row."""
        sent = np.zeros(self.rows, np.int64)
        for sender in self.tables.senders:
            held = self.spikes[sender.name]
            shift = self._shift(sender, 0)
            core_kernels.count_messages(held.start, held.neurons, sender.start, shift, sent, 0, self.rows)
        return sent

    def run(self, record: CycleRecord, samples: slice) -> StepTimes:
        """Simulate the block, add what happened to ``record`` and return the times (steps, batch)."""
        came = self._arrive()
        left = self._sweep()
        loads, ended, place = self._deliver(left)
        stall = left.cores["stall"]
        self._note(record, came, left, loads, stall)
        link = np.maximum(ended, np.where(stall > 0, left.soma + stall, 0).max(axis=1, initial=0))
        by_words = came.words_busy > came.sops_busy
        parts = (
            _latest(left.soma),
            _latest(np.where(by_words, 0, came.done)),
            _latest(np.where(by_words, came.done, 0)),
            (link, place),
            (left.host * self.times.host, np.full(self.rows, -1)),
        )
        cycles, term, where = whole_step(parts, self.times.overhead, self.times.barrier)
        record.step_cycles[self.first : self.last, samples] = cycles.reshape(-1, self.batch)
        shape = (self.last - self.first, self.batch)
        return StepTimes(
            (cycles * record.cycle_ns).reshape(shape),
            term.astype(np.int8).reshape(shape),
            where.astype(np.int32).reshape(shape),
        )

    def _shift(self, sender: Sender, delay: int) -> int:
        """Return the row of this block in which the first held spike of a population is sent, or takes effect."""
        return (self.spikes[sender.name].base + sender.first_step + delay - self.first) * self.batch

    def _arrive(self) -> _Arrivals:
        came = _Arrivals(*(np.zeros(self.shape, np.int64) for _ in range(5)))
        for sender in self.tables.senders:
            held = self.spikes[sender.name]
            for to in sender.synapses:
                heard = max(0, to.heard - held.base) * self.batch
                start, shift = held.start[: heard + 1], self._shift(sender, to.projection.delay)
                t_sop = self.times.sops[to.kind]

                def piece(a: int, b: int, to=to, held=held, start=start, shift=shift, t_sop=t_sop) -> None:  # type: ignore[no-untyped-def]
                    core_kernels.arrive(
                        start, held.neurons, shift, to.start, to.core, to.words, to.sops, self.times.word, t_sop,
                        came.read, came.done, came.words_busy, came.sops_busy, came.sops, a, b,
                    )  # fmt: skip

                self.threads.split(piece, self.rows, WORK * held.neurons.size)
        return came

    def _sweep(self) -> _Departures:
        total = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.count_messages())])
        left = _Departures(
            soma=np.zeros(self.shape, np.int64),
            host=np.zeros(self.rows, np.int64),
            from_host=np.zeros(self.shape, np.int64),
            messages=np.zeros(int(total[-1]), MESSAGE),
            cores=np.zeros(self.shape, CORE),
            filled=np.stack([total[:-1], total[:-1]], axis=1),
        )
        left.cores["first"] = -1
        routes = self.tables.fabric
        inlet, _ = routes.axon_service(self.shape[1])
        step = np.arange(self.first, self.last).repeat(self.batch)
        for sender in self.tables.senders:
            held = self.spikes[sender.name]
            plain = self.times.neuron * sender.updates
            gated = plain + sender.gates * self.times.gate

            def piece(a: int, b: int, sender=sender, held=held, gated=gated) -> None:  # type: ignore[no-untyped-def]
                core_kernels.sweep(
                    held.start, held.neurons, self._shift(sender, 0), sender.own, sender.rank, sender.start, sender.target,
                    sender.pair, gated, self.times.spike, inlet, routes.slowest, left.soma, left.host, left.from_host,
                    left.messages, left.filled, left.cores, a, b,
                )  # fmt: skip

            self.threads.split(piece, self.rows, WORK * held.neurons.size)
            inside = (step >= sender.first_step) & (step < sender.first_step + sender.life)
            left.soma[:] += np.where(inside, gated, plain)[:, None] * sender.on_core
        return left

    def _deliver(self, left: _Departures) -> tuple[Int, Int, Int]:
        """Run the mesh; return the load of each link (rows, links), the last delivery and the link that held it up (rows,)."""
        routes = self.tables.fabric
        loads = np.zeros((self.rows, routes.link.size), np.int64)
        ended, place = np.zeros(self.rows, np.int64), np.zeros(self.rows, np.int64)

        def piece(a: int, b: int) -> None:
            core_kernels.deliver_rows(
                routes.links, left.cores, left.messages, left.filled, routes.inlet, routes.feed, routes.source,
                routes.start, routes.route, self.times.router_buffer, self.times.axon_out_buffer, loads, ended, place, a, b,
            )  # fmt: skip

        self.threads.split(piece, self.rows, WORK * WORK * left.messages.size)
        assert (ended >= 0).all(), "a message was lost, or the mesh is deadlocked"
        return loads, ended, routes.link[place] if routes.link.size else place - 1

    def _note(self, record: CycleRecord, came: _Arrivals, left: _Departures, loads: Int, stall: Int) -> None:
        """Add what happened to the record, samples summed."""
        routes, steps = self.tables.fabric, slice(self.first, self.last)
        into, out_of = routes.axon_service(self.shape[1])
        sent, arrived = np.zeros(self.shape, np.int64), left.from_host.copy()
        entries, exits = routes.links["injects"], routes.links["ejects"]
        sent[:, entries[entries >= 0]] = loads[:, entries >= 0]
        from_mesh = np.zeros(self.shape, np.int64)
        from_mesh[:, exits[exits >= 0]] = loads[:, exits >= 0]
        arrived += from_mesh

        def by_step(array: Int) -> Int:
            return np.asarray(array.reshape(-1, self.batch, *array.shape[1:]).sum(axis=1), np.int64)

        busy = (from_mesh * out_of, came.words_busy, came.sops_busy, left.soma, sent * into)
        for stage, array in zip(range(len(STAGES)), busy, strict=True):
            record.busy_cycles[stage, steps] += by_step(array)
        record.stall_cycles[steps] += by_step(stall)
        record.sops[steps] += by_step(came.sops)
        record.messages[steps] += by_step(sent)
        record.messages_in[steps] += by_step(arrived)
        record.hops_east_west[steps] += by_step(left.cores["across"])
        record.hops_north_south[steps] += by_step(left.cores["along"])
        record.host_messages[steps] += by_step(left.host)
        record.link_messages[:] += loads.sum(axis=0)
        record.link_cycles[:] += loads.sum(axis=0) * routes.links["service"]


def _latest(ends: Int) -> tuple[Int, Int]:
    """Return, per row, the largest of (rows, cores) and the core it is; of no cores: zero, nowhere."""
    if ends.shape[1] == 0:
        return np.zeros(ends.shape[0], np.int64), np.full(ends.shape[0], -1)
    core = ends.argmax(axis=1)
    return np.take_along_axis(ends, core[:, None], 1)[:, 0], core
