"""Counters by linear algebra: what one firing of each neuron adds to every counter, and the sum of that over a block of events.

Every counter is linear in the events: ``counter[t, b, c] = sum_neurons event[t, b, neuron] * row[neuron, c]``. Neurons with
equal rows (most neurons of a convolution) form one class, so a block of events is first counted per class.

SOPs and memory reads fall in the chip step in which the message takes effect (``delay`` after it is sent) and only if that is
inside the target's window; messages, hops, link loads and spikes fall in the chip step of sending.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.chip import Chip, Mesh
from spikewright.hw_sim.compiled import count_kernels, layout, vectors
from spikewright.hw_sim.jit import Threads
from spikewright.hw_sim.noc import Links, hops
from spikewright.hw_sim.program import Population, Projection
from spikewright.hw_sim.somas import GateTable
from spikewright.hw_sim.synaptic_memory import FanOut, words_read

Index = NDArray[np.int64]
Integers = NDArray[np.signedinteger[Any]]
ENTRY_NS, LANE_NS = 1.0, 0.03
"""Cost of one entry of a sparse row, and of one of a row taken whole (measured, as in ``synapses``)."""
SMALL = 1 << 12
"""Neurons up to which all counters are read off one class: walking the events twice then costs more than longer tables."""
CROSSINGS = 1 << 22
"""Counts of (class, link) that are found, and entries that are placed, at once (32 MiB)."""
WIDEST = 1 << 27
"""Counts of a table of whole rows, at most (512 MiB): larger ones are walked entry by entry, whatever is faster."""
Kind = Literal["sops", "reads", "spikes", "messages", "messages_in", "hops_x", "hops_y", "links", "host"]


@dataclass(frozen=True, eq=False)
class Columns:
    """A run of counter columns: ``ids`` are cores or links; ``projection`` is set for SOPs and reads."""

    kind: Kind
    start: int
    ids: Index
    projection: Projection | None = None

    @property
    def stop(self) -> int:
        """First column after the run."""
        return self.start + self.ids.size


@dataclass(frozen=True, eq=False)
class Emitter:
    """What the messages of one population count: per neuron its class, per class a sparse row of counters."""

    class_of: NDArray[np.int32]
    indptr: Index
    columns: NDArray[np.int32]
    amounts: NDArray[np.int32]
    runs: tuple[Columns, ...]
    width: int

    def count(self, events: NDArray[np.generic], threads: Threads) -> Index:
        """Return the counters (T, B, width) of events (T, B, n); any non-zero is one message."""
        steps, batch, n = events.shape
        rows = events.reshape(steps * batch, n)
        out, table = np.zeros((rows.shape[0], self.width), np.int64), self.table

        def piece(a: int, b: int) -> None:
            if table is None:
                count_kernels.count(rows, self.class_of, self.indptr, self.columns, self.amounts, out, a, b)
            else:
                count_kernels.count_wide(rows, self.class_of, table, out, a, b)

        threads.split(piece, rows.shape[0], rows.size + out.size)
        return out.reshape(steps, batch, self.width)

    @cached_property
    def table(self) -> NDArray[Any] | None:
        """The rows (classes, padded width), as wide as the largest count; None: it is too large, or walking entries cheaper."""
        classes = self.indptr.size - 1
        padded = -(-self.width // vectors.lanes(4)) * vectors.lanes(4)
        if self.columns.size * ENTRY_NS < classes * padded * LANE_NS or classes * padded > WIDEST:
            return None
        row = np.repeat(np.arange(classes), np.diff(self.indptr))
        times = np.bincount(self.class_of, minlength=classes)[row]
        most = np.bincount(self.columns, weights=times * self.amounts).max(initial=0)
        rows = np.zeros((classes, padded), np.int32 if most < 1 << 31 else np.int64)
        rows[row, self.columns] = self.amounts
        return rows


@dataclass(frozen=True, eq=False)
class _Entries:
    """Entries of a table: row (a class), column, amount; each (E,), of 32 bits where there are many."""

    row: Integers
    column: Integers
    amount: Integers


_Block = tuple[Kind, Index, _Entries, Projection | None]
"""A kind of counter, its cores or links, what each class counts there, and the projection of SOPs and reads."""


@dataclass(frozen=True, eq=False)
class _Table:
    """What source neurons have on cores: column k has entries ``start[k] : start[k + 1]``, one at most of each neuron.

    Args:
        cores: Of each column.
        start: (columns + 1,).
        source: (E,) source neuron.
        amounts: (E,) each.
    """

    cores: Index
    start: Index
    source: Integers
    amounts: tuple[NDArray[np.int32], ...]

    def parts(self) -> Iterator[slice]:
        """Yield the entries of each column."""
        for a, b in pairwise(self.start.tolist()):
            yield slice(a, b)

    def rows(self, leads: Index, neurons: int) -> tuple[Index, Index, Index]:
        """Return (class, column, entry) of what the first neuron of each class has."""
        number = np.full(neurons, -1, np.int64)
        number[leads] = np.arange(leads.size)
        found = [np.flatnonzero(number[self.source[part]] >= 0) + part.start for part in self.pieces()]
        chosen = np.concatenate([np.zeros(0, np.int64), *found])
        return number[self.source[chosen]], np.searchsorted(self.start, chosen, side="right") - 1, chosen

    def lengths(self, neurons: int) -> Index:
        """Return how many entries each neuron has: (neurons,)."""
        total = np.zeros(neurons, np.int64)
        for part in self.pieces():
            total += np.bincount(self.source[part], minlength=neurons)
        return total

    def pieces(self) -> Iterator[slice]:
        """Yield all entries, so many at a time that indices of 64 bits take little room."""
        for first in range(0, self.source.size, CROSSINGS):
            yield slice(first, first + CROSSINGS)


def emitters(population: Population, outgoing: list[tuple[Projection, FanOut]], chip: Chip) -> tuple[Emitter, ...]:
    """Build the counter rows of a population from the fan-out of its projections; none if it sends nothing.

    Neurons are alike in one projection much more often than in all: those that share no core are emitters of their own. And
    they reach the same cores more often than with as many synapses: of large populations the traffic is one of its own.
    """
    if isinstance(population.soma, GateTable):
        return ()
    own = population.cores[layout.order(population)]
    found: list[Emitter] = []
    for group in _together(outgoing) or [[]]:
        found += _group(own, group, chip, [] if found else [_spikes])
    return tuple(found)


def _together(outgoing: list[tuple[Projection, FanOut]]) -> list[list[tuple[Projection, FanOut]]]:
    """Return the projections in groups that share no core."""
    groups: list[tuple[set[int], list[tuple[Projection, FanOut]]]] = []
    for one in outgoing:
        cores, members, apart = set(one[1].cores.tolist()), [one], []
        for group in groups:
            if cores.isdisjoint(group[0]):
                apart.append(group)
            else:
                cores |= group[0]
                members = [*group[1], *members]
        groups = [*apart, (cores, members)]
    return [members for _, members in groups]


def _group(
    own: Index, outgoing: list[tuple[Projection, FanOut]], chip: Chip, more: list[Callable[[Index], _Block]]
) -> list[Emitter]:
    """Return the emitters of projections whose messages are counted together; ``more``: what a class's core counts."""
    counted = [
        _Table(fan.cores, fan.reached.start, fan.source, (fan.synapses, words_read(fan, chip.core)))
        for _, fan in outgoing
    ]
    links = [projection for projection, _ in outgoing]
    reach = _reach([fan for _, fan in outgoing])
    if own.size <= SMALL or not outgoing:
        class_of, leads = _classes(own, counted)
        traffic = [block(own[leads]) for block in more] + _traffic(own, leads, reach, chip.mesh)
        return [_joined(class_of, traffic + _counts(own, leads, links, counted))]
    class_of, leads = _classes(own, [reach])
    traffic = [block(own[leads]) for block in more] + _traffic(own, leads, reach, chip.mesh)
    of_counts, first = _classes(np.zeros_like(own), counted)
    return [_joined(class_of, traffic), _joined(of_counts, _counts(own, first, links, counted))]


def _counts(own: Index, leads: Index, projections: list[Projection], tables: list[_Table]) -> list[_Block]:
    """Return the synapses and the words read of each class."""
    blocks: list[_Block] = []
    for projection, table in zip(projections, tables, strict=True):
        row, column, chosen = table.rows(leads, own.size)
        synapses, words = (_Entries(row, column, amount[chosen].astype(np.int64)) for amount in table.amounts)
        blocks += [("sops", table.cores, synapses, projection), ("reads", table.cores, words, projection)]
    return blocks


def _reach(fans: list[FanOut]) -> _Table:
    """Return which cores each neuron's message goes to: once to each, however many projections end there."""
    ends: dict[int, list[tuple[FanOut, slice]]] = {}
    for fan in fans:
        start = fan.reached.start
        for column, core in enumerate(fan.cores.tolist()):
            if core >= 0:
                ends.setdefault(core, []).append((fan, slice(int(start[column]), int(start[column + 1]))))
    cores = np.array(sorted(ends), np.int64)
    parts = [np.zeros(0, np.int32)]
    for core in cores.tolist():
        found = [fan.source[part] for fan, part in ends[core]]
        parts.append(found[0] if len(found) == 1 else np.unique(np.concatenate(found)))
    source = np.concatenate(parts)
    once = np.broadcast_to(np.int32(1), source.shape)
    return _Table(cores, np.cumsum([part.size for part in parts]), source, (once,))


def _joined(class_of: NDArray[np.int32], blocks: list[_Block]) -> Emitter:
    """Put blocks of columns beside each other."""
    classes = 1 + int(class_of.max(initial=-1))
    runs, start, parts, filled = [], 0, [], np.zeros(classes + 1, np.int64)
    for kind, ids, entries, of in blocks:
        runs.append(Columns(kind, start, ids, of))
        parts.append((_sorted(entries), start))
        filled[1:] += np.bincount(parts[-1][0].row, minlength=classes)
        start += ids.size
    indptr = np.cumsum(filled)
    columns, amounts = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.int32)
    free = indptr[:-1].copy()
    for entries, offset in parts:  # a row has the blocks' entries behind each other
        times = np.bincount(entries.row, minlength=classes)
        ahead = free - (np.cumsum(times) - times)
        for a in range(0, entries.row.size, CROSSINGS):
            part = slice(a, min(a + CROSSINGS, entries.row.size))
            place = ahead[entries.row[part]] + np.arange(part.start, part.stop)
            columns[place] = entries.column[part] + offset
            amounts[place] = entries.amount[part]
        free += times
    return Emitter(class_of, indptr, columns, amounts, tuple(runs), start)


def _sorted(entries: _Entries) -> _Entries:
    """Return the entries that are not zero, by row and then by column."""
    row, column, amount = entries.row, entries.column, entries.amount
    if not amount.all():
        chosen = np.flatnonzero(amount)
        row, column, amount = row[chosen], column[chosen], amount[chosen]
    ahead = (row[1:] < row[:-1]) | ((row[1:] == row[:-1]) & (column[1:] < column[:-1]))
    if ahead.any():
        order = np.lexsort((column, row))
        row, column, amount = row[order], column[order], amount[order]
    return _Entries(row, column, amount)


def _classes(own: Index, tables: list[_Table]) -> tuple[NDArray[np.int32], Index]:
    """Return the class of each neuron and the first neuron of each class; equal ``own`` and equal rows share a class.

    Neurons whose rows have the same sum of random multiples are one class, if then every row is that of its class's first.
    """
    lengths = np.zeros(own.size, np.int64)
    for table in tables:
        lengths += table.lengths(own.size)
    columns = sum(len(table.amounts) * table.cores.size for table in tables)
    for seed in range(1, 1 << 16):
        mix = np.random.default_rng(seed).integers(1, 1 << 62, size=columns + 2) | 1
        keys, at = own * mix[-1] + mix[-2], 0
        for table in tables:
            for part in table.parts():
                for amount in table.amounts:
                    keys[table.source[part]] += amount[part] * mix[at]
                    at += 1
        _, first, found = np.unique(keys, return_index=True, return_inverse=True)
        class_of: NDArray[np.int32] = found.ravel().astype(np.int32)
        like = first[class_of]
        same = np.array_equal(own[like], own) and np.array_equal(lengths[like], lengths)
        if same and all(_alike(table, class_of, first) for table in tables):
            return class_of, first.astype(np.int64)
    raise AssertionError("65,536 draws of keys gave two different rows one key")


def _alike(table: _Table, class_of: NDArray[np.int32], first: Index) -> bool:
    """Say whether every entry is also one of the first neuron of its class; rows are then equal where they are as long."""
    is_first = np.zeros(class_of.size, bool)
    is_first[first] = True
    held = np.zeros((len(table.amounts), first.size), np.int32)
    for part in table.parts():
        source, found = table.source[part], np.stack([amount[part] for amount in table.amounts])
        kind, leads = class_of[source], is_first[source]
        held[:, kind[leads]] = found[:, leads]
        if not np.array_equal(held[:, kind], found):
            return False
        held[:, kind[leads]] = 0
    return True


def _spikes(own: Index) -> _Block:
    """Return what classes on these cores count as they fire."""
    cores, column = np.unique(own, return_inverse=True)
    return (
        "spikes",
        cores,
        _Entries(np.arange(own.size), column.ravel().astype(np.int64), np.ones(own.size, np.int64)),
        None,
    )


def _traffic(neurons: Index, leads: Index, reach: _Table, mesh: Mesh) -> list[_Block]:
    """Return messages, hops and links of each class; ``neurons``: the core of each."""
    if not reach.cores.size:
        return []
    own, cores = neurons[leads], reach.cores
    row, column, _ = reach.rows(leads, neurons.size)
    sent = np.bincount(row, minlength=own.size)
    from_host = np.flatnonzero(own < 0)
    blocks: list[_Block] = [
        ("messages_in", cores, _Entries(row, column, np.ones(row.size, np.int64)), None),
        ("host", np.zeros(1, np.int64), _Entries(from_host, 0 * from_host, sent[from_host]), None),
    ]
    own_cores, home = np.unique(own[own >= 0], return_inverse=True)
    if not own_cores.size:
        return blocks
    on_chip = own[row] >= 0
    row, target = row[on_chip], cores[column[on_chip]]
    across, along = hops(mesh, own[row], target)
    inside = np.flatnonzero(own >= 0)
    for kind, amount in (("messages", sent), ("hops_x", across), ("hops_y", along)):
        whole = amount if kind == "messages" else np.bincount(row, weights=amount, minlength=own.size).astype(np.int64)
        blocks.append((kind, own_cores, _Entries(inside, home.ravel().astype(np.int64), whole[inside]), None))  # type: ignore[arg-type]
    blocks.append(("links", *_link_table(own, row, target, mesh), None))
    return blocks


def _link_table(own: Index, rows: Index, targets: Index, mesh: Mesh) -> tuple[Index, _Entries]:
    """Return the links in use and how often one firing of each class crosses them, a block of classes at a time."""
    links = Links(mesh)
    pairs, pair = np.unique(own[rows] * mesh.cores + targets, return_inverse=True)
    starts, walked = links.routes(pairs // mesh.cores, pairs % mesh.cores)
    lengths, (used, column) = np.diff(starts), links.numbered(walked)
    order = np.argsort(rows, kind="stable")
    rows, pair = rows[order], pair.ravel()[order]
    found = [(np.zeros(0, np.int32),) * 3]
    classes = max(1, CROSSINGS // max(used.size, 1))
    for first in range(0, own.size, classes):
        here = slice(*np.searchsorted(rows, (first, first + classes)))
        repeats = lengths[pair[here]]
        offset = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        crossed = column[np.repeat(starts[pair[here]], repeats) + offset]
        times = np.bincount(np.repeat(rows[here] - first, repeats) * used.size + crossed)
        keys = np.flatnonzero(times)
        made = (keys // used.size + first, keys % used.size, times[keys])
        found.append(tuple(values.astype(np.int32) for values in made))  # type: ignore[arg-type]  # of three
    return used, _Entries(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
