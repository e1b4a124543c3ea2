"""Compiled synapses: each format in internal order, able to add a block of events to a drive and to walk its own fan-out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.compiled import layout, synapse_kernels, vectors
from spikewright.hw_sim.compiled.conv import ConvKernel, prepare_conv
from spikewright.hw_sim.compiled.tables import padded
from spikewright.hw_sim.jit import Threads
from spikewright.hw_sim.linear import EXACT_FLOAT32, EXACT_FLOAT64
from spikewright.hw_sim.program import Population, Projection
from spikewright.hw_sim.synapses import ConvSynapses, DenseSynapses, Entries, IdentitySynapses

AnyInt = NDArray[Any]
Index = NDArray[np.int64]

SLAB_BYTES = 1 << 19
"""Half of the L2 cache of a server core."""
LEAST_ROWS = 8
EVENT_NS, ADD_NS, PRODUCT_NS, CONVERT_NS = 1.5, 0.012, 0.03, 1.0
"""Cost per event, per added byte of weights, per multiplied weight and per converted entry (ns, measured on one core with
AVX-512): only the choice between two exact ways depends on them."""


@dataclass(frozen=True, eq=False)
class DenseRows:
    """``weight`` (n_source, n_target); ``peak`` is the largest input it can give, which decides what a float product holds."""

    weight: AnyInt
    peak: int = 1 << 62

    def add(self, x: AnyInt, drive: AnyInt, threads: Threads) -> None:
        """Add the input of events ``x`` (R, n_source) to ``drive`` (R, n_target)."""
        if self._worth_a_product(x):
            drive += (x.astype(self.floats.dtype) @ self.floats).astype(drive.dtype)
            return
        table = self.table
        threads.split(
            lambda a, b: synapse_kernels.dense(x, x.itemsize == 1, table, drive, a, b),
            x.shape[0],
            x.size + 16 * drive.size,
        )

    @cached_property
    def table(self) -> AnyInt:
        """The weights by slabs of columns (slabs, n_source, columns): a slab fits the cache, its rows are whole vectors."""
        whole = padded(self.weight, self.peak)
        sources, width = whole.shape
        lane = vectors.lanes(whole.itemsize)
        columns = max(4 * lane, SLAB_BYTES // max(sources * whole.itemsize, 1) // lane * lane)
        slabs = max(1, -(-width // columns))
        columns = min(columns, width)
        table = np.zeros((slabs, sources, columns), whole.dtype)
        for k in range(slabs):
            part = whole[:, k * columns : (k + 1) * columns]
            table[k, :, : part.shape[1]] = part
        return table

    @cached_property
    def floats(self) -> NDArray[Any]:
        """The weights as floats that hold every partial sum exactly."""
        return self.weight.astype(np.float32 if self.peak < EXACT_FLOAT32 else np.float64)

    def _worth_a_product(self, x: AnyInt) -> bool:
        """Whether a matrix product is exact and cheaper than walking this block's events."""
        if self.peak >= EXACT_FLOAT64 or x.shape[0] < LEAST_ROWS:
            return False
        n = self.weight.shape[1]
        per_entry = (1 if self.peak < EXACT_FLOAT32 else 2) * (CONVERT_NS + PRODUCT_NS * n)
        per_event = EVENT_NS + ADD_NS * n * self.table.itemsize
        return per_event > per_entry and bool(np.count_nonzero(x) * per_event > x.size * per_entry)


@dataclass(frozen=True, eq=False)
class SparseLists:
    """Synapse lists per source: ``indptr`` (n_source + 1), ``targets``, ``weight``; no zero weights."""

    indptr: Index
    targets: NDArray[np.int32]
    weight: AnyInt
    n_target: int

    def add(self, x: AnyInt, drive: AnyInt, threads: Threads) -> None:
        """Add the input of events ``x`` (R, n_source) to ``drive`` (R, n_target)."""

        def piece(a: int, b: int) -> None:
            synapse_kernels.sparse(x, self.indptr, self.targets, self.weight, drive, a, b)

        threads.split(piece, x.shape[0], x.size + drive.size)


@dataclass(frozen=True, eq=False)
class Diagonal:
    """One synapse a neuron, source i to target i in internal order, ``weight`` (n)."""

    weight: AnyInt

    def add(self, x: AnyInt, drive: AnyInt, threads: Threads) -> None:
        """Add the input of events ``x`` (R, n) to ``drive`` (R, n)."""

        def piece(a: int, b: int) -> None:
            synapse_kernels.diagonal(x, self.weight, drive, a, b)

        threads.split(piece, x.shape[0], x.size)


Compiled = ConvKernel | DenseRows | SparseLists | Diagonal


def prepare(projection: Projection, source: Population, target: Population) -> Compiled:
    """Bring one projection's synapses into internal order (weights still int64, exponent not applied)."""
    match projection.synapses:
        case ConvSynapses() as conv:
            return prepare_conv(conv, source, target)
        case DenseSynapses(weight=weight):
            rows = weight[np.ix_(layout.order(target), layout.order(source))].T
            return DenseRows(np.ascontiguousarray(rows, np.int64))
        case IdentitySynapses(weight=value) if np.array_equal(layout.order(source), layout.order(target)):
            return Diagonal(np.full(target.size, value, np.int64))
        case listed:
            return _by_source(listed.entries(source.shape, target.shape), source, target)


def cast(synapses: Compiled, word: type[np.signedinteger[Any]], payload: int) -> Compiled:
    """Return synapses with weights of the drive's width, and the bounds that let sums of it be narrower.

    Args:
        synapses: As prepared, the exponent in the weights.
        word: The integers of the drive.
        payload: The largest message they are given.
    """
    narrow: Compiled = replace(synapses, weight=np.ascontiguousarray(synapses.weight, word))
    match narrow:
        case DenseRows():
            return replace(narrow, peak=int(np.abs(synapses.weight).sum(axis=0).max(initial=0)) * payload)
        case ConvKernel():
            return replace(narrow, payload=payload)
        case _:
            return narrow


def _by_source(entries: Entries, source: Population, target: Population) -> SparseLists:
    targets, sources, weights = entries
    inner_source = layout.inverse(layout.order(source))[sources]
    inner_target = layout.inverse(layout.order(target))[targets]
    sort = np.lexsort((inner_target, inner_source))
    indptr = np.zeros(source.size + 1, np.int64)
    np.cumsum(np.bincount(inner_source, minlength=source.size), out=indptr[1:])
    return SparseLists(indptr, inner_target[sort].astype(np.int32), weights[sort], target.size)
