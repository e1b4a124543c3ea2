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


def emitter(
    population: Population, outgoing: list[tuple[Projection, FanOut, NDArray[np.int32]]], mesh: Mesh
) -> Emitter | None:
    """Build the counter rows of a population from its projections' fan-out and words read; None if it sends nothing."""
    if population.soma.sends == "gate" and population.soma.on_host:
        return None
    own = population.cores[layout.order(population)]
    parts: list[NDArray[np.signedinteger[Any]]] = [own[:, None]]
    for _, fan, words in outgoing:
        parts += [fan.synapses, words]
    class_of, first = _classes(np.hstack(parts).astype(np.int64))
    blocks: list[tuple[Kind, Index, NDArray[np.int64], Projection | None]] = []
    for projection, fan, words in outgoing:
        blocks.append(("sops", fan.cores, fan.synapses[first].astype(np.int64), projection))
        blocks.append(("reads", fan.cores, words[first].astype(np.int64), projection))
    blocks += _traffic(own[first], [(fan.cores, fan.synapses[first]) for _, fan, _ in outgoing], mesh)
    runs, start = [], 0
    for kind, ids, matrix, of in blocks:
        runs.append(Columns(kind, start, ids, of))
        start += matrix.shape[1]
    table = np.hstack([matrix for _, _, matrix, _ in blocks])
    rows, columns = np.nonzero(table)
    indptr = np.zeros(first.size + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=first.size), out=indptr[1:])
    amounts = table[rows, columns].astype(np.int32)
    return Emitter(class_of, indptr, columns.astype(np.int32), amounts, tuple(runs), start)


def _classes(rows: Index) -> tuple[NDArray[np.int32], Index]:
    """Return the class of each row and the first row of each class; equal rows share a class."""
    mix = np.random.default_rng(1).integers(1, 1 << 62, size=rows.shape[1]) | 1
    with np.errstate(over="ignore"):
        keys = (rows * mix).sum(axis=1)
    _, first, class_of = np.unique(keys, return_index=True, return_inverse=True)
    if not np.array_equal(rows[first][class_of], rows):  # two different rows with one key: sort the rows themselves
        _, first, class_of = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return class_of.ravel().astype(np.int32), first


def _traffic(
    own: Index, reached: list[tuple[Index, NDArray[np.int32]]], mesh: Mesh
) -> list[tuple[Kind, Index, NDArray[np.int64], Projection | None]]:
    """Return spikes, messages, hops and links of each class; a message goes once to each distinct core."""
    own_cores, own_column = np.unique(own, return_inverse=True)
    placed = own_cores >= 0

    def by_own_core(amount: Index) -> NDArray[np.int64]:
        table = np.zeros((own.size, own_cores.size), np.int64)
        table[np.arange(own.size), own_column] = amount
        return table

    blocks: list[tuple[Kind, Index, NDArray[np.int64], Projection | None]] = [
        ("spikes", own_cores, by_own_core(np.ones(own.size, np.int64)), None)
    ]
    cores = np.unique(np.concatenate([ids for ids, _ in reached] or [own[:0]]))
    cores = cores[cores >= 0]
    reach = np.zeros((own.size, cores.size), bool)
    for ids, synapses in reached:
        inside = ids >= 0
        reach[:, np.searchsorted(cores, ids[inside])] |= synapses[:, inside] > 0
    if not cores.size:
        return blocks
    sent = reach.sum(axis=1)
    blocks.append(("messages_in", cores, reach.astype(np.int64), None))
    blocks.append(("host", np.zeros(1, np.int64), np.where(own < 0, sent, 0)[:, None], None))
    if placed.any():
        across, along = hops(mesh, np.maximum(own, 0)[:, None], cores[None, :])
        on_chip = reach & (own >= 0)[:, None]
        blocks.append(("messages", own_cores[placed], by_own_core(sent)[:, placed], None))
        blocks.append(("hops_x", own_cores[placed], by_own_core((across * on_chip).sum(axis=1))[:, placed], None))
        blocks.append(("hops_y", own_cores[placed], by_own_core((along * on_chip).sum(axis=1))[:, placed], None))
        blocks.append(("links", *_link_table(own, cores, on_chip, mesh), None))
    return blocks


def _link_table(own: Index, cores: Index, on_chip: NDArray[np.bool_], mesh: Mesh) -> tuple[Index, NDArray[np.int64]]:
    """Return the links in use and how often one firing of each class crosses them (classes, links)."""
    links = Links(mesh)
    rows, targets = np.nonzero(on_chip)
    pairs, pair = np.unique(own[rows] * mesh.cores + cores[targets], return_inverse=True)
    routes = [links.route(int(p // mesh.cores), int(p % mesh.cores)) for p in pairs]
    lengths = np.array([len(route) for route in routes], np.int64)
    used, column = np.unique(np.array([x for route in routes for x in route], np.int64), return_inverse=True)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    table = np.zeros((own.size, used.size), np.int64)
    repeats = lengths[pair]
    row = np.repeat(rows, repeats)
    offset = np.arange(row.size) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    np.add.at(table, (row, column[np.repeat(starts[pair], repeats) + offset]), 1)
    return used, table
