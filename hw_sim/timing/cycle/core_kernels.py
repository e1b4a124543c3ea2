"""The stages of a neurocore, message by message: synapse and dendrite on one side, soma and axon out on the other.

Rows are (chip step, sample), step-major. Within a core, stage k + 1 may start an event in the cycle in which stage k did, but
not so early that it would finish first (``start >= start_before + max(0, service_before - service)``).
"""

from __future__ import annotations

import numpy as np

from spikewright.hw_sim.compiled.synapse_kernels import find
from spikewright.hw_sim.jit import kernel
from spikewright.hw_sim.timing.cycle.mesh_kernels import COUNTERS, DONE, HEAP_PER_LINK, LAST, run


@kernel
def gather(events, neurons, start):  # type: ignore[no-untyped-def]
    """Write the neurons that fire in each row of ``events`` (R, n): row r is ``neurons[start[r] : start[r + 1]]``."""
    found = np.empty(events.shape[1], np.int32)
    place = 0
    for r in range(events.shape[0]):
        start[r] = place
        count = find(events[r], found)
        neurons[place : place + count] = found[:count]
        place += count
    start[events.shape[0]] = place


@kernel
def count_messages(start, neurons, degree, shift, sent, a, b):  # type: ignore[no-untyped-def]
    """Add the messages of one population to ``sent`` (rows); row r of the block is row ``r - shift`` of its spikes."""
    for r in range(max(a, shift), min(b, shift + start.size - 1)):
        for k in range(start[r - shift], start[r - shift + 1]):
            sent[r] += degree[neurons[k] + 1] - degree[neurons[k]]


@kernel
def arrive(  # type: ignore[no-untyped-def]
    start, neurons, shift, entry, core, words, sops, t_word, t_sop, read, done, words_busy, sops_busy, counted, a, b
):
    """Walk the messages of one projection through the synapse stage (``read``) and the dendrite stage (``done``) of each core.

    ``read``, ``done``: (rows, cores) when each stage is free; ``words_busy``, ``sops_busy``: cycles worked; ``counted``: SOPs.
    """
    for r in range(max(a, shift), min(b, shift + start.size - 1)):
        for k in range(start[r - shift], start[r - shift + 1]):
            for j in range(entry[neurons[k]], entry[neurons[k] + 1]):
                c = core[j]
                fetch, add = words[j] * t_word, sops[j] * t_sop
                ready = read[r, c] + max(0, fetch - add)
                read[r, c] += fetch
                done[r, c] = max(done[r, c], ready) + add
                words_busy[r, c] += fetch
                sops_busy[r, c] += add
                counted[r, c] += sops[j]


@kernel
def sweep(  # type: ignore[no-untyped-def]
    start, neurons, shift, own, rank, degree, target, pair, t_neuron, t_spike, t_inlet, slowest, clock, host,
    arrived, messages, filled, cores, a, b,
):  # fmt: skip
    """Update the neurons of one population, and append the messages of those that fire to their cores' lists.

    ``clock``: (rows, cores) when the core's sweep reaches this population, kept with the time for spikes so far;
    ``host``: (rows,) messages from the host; ``arrived``: (rows, cores) those that reach a core, without the mesh;
    ``messages[filled[r]]`` is the next free record of row r; ``cores`` (rows, cores) holds first and last of each list,
    counted from the row's first record (``filled`` before the first population).
    """
    for r in range(max(a, shift), min(b, shift + start.size - 1)):
        for k in range(start[r - shift], start[r - shift + 1]):
            i = neurons[k]
            c = own[i]
            if c < 0:
                host[r] += degree[i + 1] - degree[i]
                for j in range(degree[i], degree[i + 1]):
                    arrived[r, target[j]] += 1
                continue
            begin = clock[r, c] + rank[i] * t_neuron
            due = begin + t_neuron + t_spike
            clock[r, c] += t_spike
            longest = (degree[i + 1] - degree[i]) * t_inlet[c]
            for j in range(degree[i], degree[i + 1]):
                longest = max(longest, slowest[pair[j]])
            release = max(begin, due - longest)
            for j in range(degree[i], degree[i + 1]):
                m = filled[r, 1] - filled[r, 0]
                record = messages[filled[r, 1]]
                record.pair = pair[j]
                record.release = release
                record.due = due
                record.after = -1
                if cores[r, c].first < 0:
                    cores[r, c].first = m
                else:
                    messages[filled[r, 0] + cores[r, c].last].after = m
                cores[r, c].last = m
                filled[r, 1] += 1


@kernel
def deliver_rows(  # type: ignore[no-untyped-def]
    links, cores, messages, filled, inlet, feed, source, start, route, room, depth, loads, ended, place, a, b
):
    """Run the mesh for rows ``a`` to ``b``, each on its own: ``loads`` (rows, links) messages over each link.

    ``ended`` (rows,): cycle of the last delivery, -1 if a message is missing; ``place`` (rows,): the busiest link on the last
    message's route. ``links`` is copied: its state is this call's own.
    """
    mine = links.copy()
    heap, todo = np.empty(HEAP_PER_LINK * mine.size, np.int64), np.empty(mine.size + 1, np.int32)
    left, count = np.zeros((cores.shape[1], max(depth, 1)), np.int64), np.zeros(COUNTERS, np.int64)
    for r in range(a, b):
        mail = messages[filled[r, 0] : filled[r, 1]]
        run(mine, cores[r], mail, inlet, feed, source, start, route, room, depth, left, heap, todo, count)
        for k in range(mine.size):
            loads[r, k] = mine[k].crossed
        ended[r] = 0
        if count[DONE] != mail.size:
            ended[r] = -1
        elif mail.size > 0:
            last = mail[count[LAST]]
            ended[r] = last.delivered
            best = -1
            for k in range(start[last.pair], start[last.pair + 1]):
                work = mine[route[k]].crossed * mine[route[k]].service
                if work > best or (work == best and route[k] < place[r]):
                    best = work
                    place[r] = route[k]
