"""Counters by linear algebra: what one firing of each neuron adds to every counter, and the sum of that over a block of events.

Every counter is linear in the events: ``counter[t, b, c] = sum_neurons event[t, b, neuron] * row[neuron, c]``. Neurons with
equal rows (most neurons of a convolution) form one class, so a block of events is first counted per class.

SOPs and memory reads fall in the chip step in which the message takes effect (``delay`` after it is sent) and only if that is
inside the target's window; messages, hops, link loads and spikes fall in the chip step of sending.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.chip import Mesh
from spikewright.hw_sim.compiled import count_kernels, layout, vectors
from spikewright.hw_sim.jit import Threads
from spikewright.hw_sim.noc import Links, hops
from spikewright.hw_sim.program import Population, Projection
from spikewright.hw_sim.somas import GateTable
from spikewright.hw_sim.synaptic_memory import FanOut

Index = NDArray[np.int64]
ENTRY_NS, LANE_NS = 1.0, 0.03
"""Cost of one entry of a sparse row, and of one of a row taken whole (measured, as in ``synapses``)."""
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
        """The rows (classes, padded width), as wide as the largest count; None where walking their entries is cheaper."""
        classes = self.indptr.size - 1
        padded = -(-self.width // vectors.lanes(4)) * vectors.lanes(4)
        if self.columns.size * ENTRY_NS < classes * padded * LANE_NS:
            return None
        rows = np.zeros((classes, padded), np.int64)
        rows[np.repeat(np.arange(classes), np.diff(self.indptr)), self.columns] = self.amounts
        most = np.bincount(self.class_of, minlength=classes) @ rows
        return rows.astype(np.int32) if int(most.max(initial=0)) < 1 << 31 else rows


@dataclass(frozen=True, eq=False)
class _Entries:
    """Entries of a table: row (a neuron or a class), column, amount."""

    row: Index
    column: Index
    amount: Index


def emitter(
    population: Population, outgoing: list[tuple[Projection, FanOut, NDArray[np.int32]]], mesh: Mesh
) -> Emitter | None:
    """Build the counter rows of a population from its projections' fan-out and words read; None if it sends nothing."""
    if isinstance(population.soma, GateTable):
        return None
    own = population.cores[layout.order(population)]
    fans = [fan for _, fan, _ in outgoing]
    counts = [(fan.source, fan.column, fan.synapses.astype(np.int64)) for fan in fans]
    reads = [(fan.source, fan.column, words.astype(np.int64)) for _, fan, words in outgoing]
    class_of, first = _classes(own, _beside([part for pair in zip(counts, reads, strict=True) for part in pair], fans))
    number = np.full(own.size, -1, np.int64)
    number[first] = np.arange(first.size)
    blocks: list[tuple[Kind, Index, _Entries, Projection | None]] = []
    reached = []
    for (projection, fan, words), (source, column, synapses) in zip(outgoing, counts, strict=True):
        chosen = np.flatnonzero(number[source] >= 0)
        row, column = number[source[chosen]], column[chosen]
        blocks.append(("sops", fan.cores, _Entries(row, column, synapses[chosen]), projection))
        blocks.append(("reads", fan.cores, _Entries(row, column, words[chosen].astype(np.int64)), projection))
        reached.append((row, fan.cores[column]))
    targets = np.unique(np.concatenate([fan.cores for fan in fans] or [own[:0]]))
    blocks += _traffic(own[first], reached, targets[targets >= 0], mesh)
    runs, start, parts = [], 0, []
    for kind, ids, entries, of in blocks:
        runs.append(Columns(kind, start, ids, of))
        parts.append((entries.row, entries.column + start, entries.amount))
        start += ids.size
    row, columns, amounts = (np.concatenate(found) for found in zip(*parts, strict=True))
    order = np.lexsort((columns, row))
    order = order[amounts[order] != 0]
    indptr = np.zeros(first.size + 1, np.int64)
    np.cumsum(np.bincount(row[order], minlength=first.size), out=indptr[1:])
    return Emitter(
        class_of, indptr, columns[order].astype(np.int32), amounts[order].astype(np.int32), tuple(runs), start
    )


def _beside(parts: list[tuple[Index, Index, Index]], fans: list[FanOut]) -> _Entries:
    """Put tables beside each other: two for each fan-out."""
    start, rows, columns, amounts = 0, [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for k, (row, column, amount) in enumerate(parts):
        rows.append(row)
        columns.append(column + start)
        amounts.append(amount)
        start += fans[k // 2].cores.size
    return _Entries(np.concatenate(rows), np.concatenate(columns), np.concatenate(amounts))


def _classes(own: Index, table: _Entries) -> tuple[NDArray[np.int32], Index]:
    """Return the class of each neuron and the first neuron of each class; equal core and equal rows share a class."""
    order = np.argsort(table.row, kind="stable")
    columns, amounts = table.column[order], table.amount[order]
    lengths = np.bincount(table.row, minlength=own.size)
    start = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    for seed in range(1, 1 << 16):
        mix = np.random.default_rng(seed).integers(1, 1 << 62, size=int(columns.max(initial=0)) + 3) | 1
        with np.errstate(over="ignore"):
            keys = own * mix[-1] + mix[-2]
            filled = np.flatnonzero(lengths)
            if filled.size:
                keys[filled] += np.add.reduceat(amounts * mix[columns], start[filled])
        _, first, class_of = np.unique(keys, return_index=True, return_inverse=True)
        class_of = class_of.ravel()
        like = first[class_of]
        same = np.array_equal(own[like], own) and np.array_equal(lengths[like], lengths)
        if same:
            twin = np.repeat(start[like] - start[:-1], lengths) + np.arange(columns.size)
            same = np.array_equal(columns[twin], columns) and np.array_equal(amounts[twin], amounts)
        if same:
            return class_of.astype(np.int32), first
    raise AssertionError("65,536 draws of keys gave two different rows one key")


def _traffic(
    own: Index, reached: list[tuple[Index, Index]], cores: Index, mesh: Mesh
) -> list[tuple[Kind, Index, _Entries, Projection | None]]:
    """Return spikes, messages, hops and links of each class; a message goes once to each distinct core."""
    own_cores, own_column = np.unique(own, return_inverse=True)
    own_column, rows = own_column.ravel().astype(np.int64), np.arange(own.size)
    placed = np.flatnonzero(own_cores >= 0)
    blocks: list[tuple[Kind, Index, _Entries, Projection | None]] = [
        ("spikes", own_cores, _Entries(rows, own_column, np.ones(own.size, np.int64)), None)
    ]
    row = np.concatenate([r for r, _ in reached] or [rows[:0]])
    core = np.concatenate([c for _, c in reached] or [rows[:0]])
    if not cores.size:
        return blocks
    pairs = np.unique(row[core >= 0] * cores.size + np.searchsorted(cores, core[core >= 0]))
    row, column = pairs // cores.size, pairs % cores.size
    sent = np.bincount(row, minlength=own.size)
    blocks.append(("messages_in", cores, _Entries(row, column, np.ones(row.size, np.int64)), None))
    from_host = np.flatnonzero(own < 0)
    blocks.append(("host", np.zeros(1, np.int64), _Entries(from_host, 0 * from_host, sent[from_host]), None))
    if not placed.size:
        return blocks
    on_chip = own[row] >= 0
    row, target = row[on_chip], cores[column[on_chip]]
    across, along = hops(mesh, own[row], target)
    inside = np.flatnonzero(own >= 0)
    home = own_column[inside] - placed[0]
    for kind, amount in (("messages", sent), ("hops_x", across), ("hops_y", along)):
        whole = amount if kind == "messages" else np.bincount(row, weights=amount, minlength=own.size).astype(np.int64)
        blocks.append((kind, own_cores[placed], _Entries(inside, home, whole[inside]), None))  # type: ignore[arg-type]
    blocks.append(("links", *_link_table(own, row, target, mesh), None))
    return blocks


def _link_table(own: Index, rows: Index, targets: Index, mesh: Mesh) -> tuple[Index, _Entries]:
    """Return the links in use and how often one firing of each class crosses them."""
    links = Links(mesh)
    pairs, pair = np.unique(own[rows] * mesh.cores + targets, return_inverse=True)
    routes = [links.route(int(p // mesh.cores), int(p % mesh.cores)) for p in pairs]
    lengths = np.array([len(route) for route in routes], np.int64)
    used, column = np.unique(np.array([x for route in routes for x in route], np.int64), return_inverse=True)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    repeats = lengths[pair]
    row = np.repeat(rows, repeats)
    offset = np.arange(row.size) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    crossed = column.ravel()[np.repeat(starts[pair], repeats) + offset]
    keys, times = np.unique(row * max(used.size, 1) + crossed, return_counts=True)
    return used, _Entries(keys // max(used.size, 1), keys % max(used.size, 1), times)
