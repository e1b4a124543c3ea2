"""Compiled synapses: each format in internal order, able to add a block of events to a drive and to walk its own fan-out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw_sim.engine import layout, synapse_kernels, vectors
from hw_sim.engine.jit import Threads
from hw_sim.errors import ProgramError
from hw_sim.program import (
    ConvSynapses,
    DenseSynapses,
    IdentitySynapses,
    Population,
    Projection,
    SparseSynapses,
)

AnyInt = NDArray[Any]
Index = NDArray[np.int64]

FLOAT32_EXACT, FLOAT64_EXACT = 1 << 24, 1 << 53
"""Integers below these in size, and all their partial sums, are exact in float32 and float64."""
SHORT = 1 << 15
"""Sums below this in size fit 16 bits."""
SLAB_BYTES = 1 << 19
"""Half of the L2 cache of a server core."""
LEAST_ROWS = 8
EVENT_NS, ADD_NS, PRODUCT_NS, CONVERT_NS = 1.5, 0.012, 0.03, 1.0
"""Cost per event, per added byte of weights, per multiplied weight and per converted entry (ns, measured on one core with
AVX-512): only the choice between two exact ways depends on them."""


@dataclass(frozen=True, eq=False)
class ConvKernel:
    """A shared kernel, ``weight`` (Ci, kh, kw, Co // groups); ``payload`` is the largest message it is given."""

    weight: AnyInt
    source_hw: tuple[int, int]
    target_hw: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    channels: tuple[int, int, int]
    payload: int = 1 << 62

    def add(self, x: AnyInt, drive: AnyInt, threads: Threads) -> None:
        """Add the input of events ``x`` (R, n_source) to ``drive`` (R, n_target)."""
        table, geometry, ci = self.table, self.geometry, self.channels[0]

        def piece(a: int, b: int) -> None:
            if table.size:
                synapse_kernels.conv(x, x.itemsize == 1, table, geometry, ci, drive, a, b)
            else:
                synapse_kernels.conv_grouped(
                    x, self.weight, drive, self.source_hw, self.target_hw, self.stride, self.padding, self.dilation,
                    self.channels, a, b,
                )  # fmt: skip

        threads.split(piece, x.shape[0], x.size + drive.size)

    @cached_property
    def table(self) -> AnyInt:
        """The kernel (phases * Ci, rows * columns * Co padded) by phase ``(y + padding) mod stride`` of the source pixel.

        Rows and columns are reversed, so that what one event adds is one run. Empty for groups or dilation.
        """
        ci, kh, kw, co = self.weight.shape
        if self.channels[2] != 1 or self.dilation != (1, 1):
            return self.weight[:0, 0, 0]
        down, right = self.stride
        runs = np.zeros((down, right, ci, -(-kh // down) * -(-kw // right) * co), self.weight.dtype)
        for y in range(min(down, kh)):
            for x in range(min(right, kw)):
                part = self.weight[:, y::down, x::right][:, ::-1, ::-1].reshape(ci, -1)
                runs[y, x, :, : part.shape[1]] = part
        peak = int(np.abs(runs.astype(np.int64)).sum(axis=2).max(initial=0)) * self.payload
        return padded(runs.reshape(-1, runs.shape[3]), peak)

    @cached_property
    def geometry(self) -> Index:
        """Where the run of a source pixel goes (pixels, 8).

        Columns: table row of its phase less that of its first channel; padded length; first target, step between target
        rows; first entry of the run, step between its rows; number of rows; length of each.
        """
        ci, co, _ = self.channels
        _, kh, kw, _ = self.weight.shape
        lane = vectors.lanes(self.table.itemsize)
        y, x = (axis.ravel() for axis in np.indices(self.source_hw))
        (bottom, phase_y), (last, phase_x) = (
            np.divmod(at + pad, step) for at, pad, step in zip((y, x), self.padding, self.stride, strict=True)
        )
        rows, columns = (
            np.maximum((size - 1 - phase) // step + 1, 0)
            for size, phase, step in zip((kh, kw), (phase_y, phase_x), self.stride, strict=True)
        )
        (top, down), (left, right) = (
            (np.maximum(end - count + 1, 0), np.minimum(end, size - 1) + 1)
            for end, count, size in zip((bottom, last), (rows, columns), self.target_hw, strict=True)
        )
        length, runs = np.maximum(right - left, 0) * co, np.maximum(down - top, 0)
        skipped = (top - (bottom - rows + 1)) * columns + left - (last - columns + 1)
        pixel = np.arange(y.size)
        return np.stack(
            (
                (phase_y * self.stride[1] + phase_x) * ci - pixel * ci,
                -(-(rows * columns * co) // lane) * lane,
                (top * self.target_hw[1] + left) * co,
                np.full_like(pixel, self.target_hw[1] * co),
                skipped * co,
                columns * co,
                np.where(length > 0, runs, 0),
                length,
            ),
            axis=1,
        ).astype(np.int64)

    def largest_row(self) -> int:
        """Return the largest sum of absolute weights that one target neuron has."""
        groups = self.channels[2]
        ci, kh, kw, run = self.weight.shape
        per_target = np.abs(self.weight.astype(np.int64)).reshape(groups, ci // groups, kh * kw, run)
        return int(per_target.sum(axis=(1, 2)).max(initial=0))


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
        return self.weight.astype(np.float32 if self.peak < FLOAT32_EXACT else np.float64)

    def _worth_a_product(self, x: AnyInt) -> bool:
        """Whether a matrix product is exact and cheaper than walking this block's events."""
        if self.peak >= FLOAT64_EXACT or x.shape[0] < LEAST_ROWS:
            return False
        n = self.weight.shape[1]
        per_entry = (1 if self.peak < FLOAT32_EXACT else 2) * (CONVERT_NS + PRODUCT_NS * n)
        per_event = EVENT_NS + ADD_NS * n * self.table.itemsize
        return per_event > per_entry and bool(np.count_nonzero(x) * per_event > x.size * per_entry)

    def largest_row(self) -> int:
        """Return the largest sum of absolute weights that one target neuron has."""
        return int(np.abs(self.weight.astype(np.int64)).sum(axis=0).max(initial=0))


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

    def largest_row(self) -> int:
        """Return the largest sum of absolute weights that one target neuron has."""
        sums = np.bincount(self.targets, weights=np.abs(self.weight).astype(np.float64), minlength=self.n_target)
        return int(np.ceil(sums.max(initial=0.0)))


@dataclass(frozen=True, eq=False)
class Diagonal:
    """One synapse a neuron, source i to target i in internal order, ``weight`` (n)."""

    weight: AnyInt

    def add(self, x: AnyInt, drive: AnyInt, threads: Threads) -> None:
        """Add the input of events ``x`` (R, n) to ``drive`` (R, n)."""

        def piece(a: int, b: int) -> None:
            synapse_kernels.diagonal(x, self.weight, drive, a, b)

        threads.split(piece, x.shape[0], x.size)

    def largest_row(self) -> int:
        """Return the largest absolute weight."""
        return int(np.abs(self.weight.astype(np.int64)).max(initial=0))


Compiled = ConvKernel | DenseRows | SparseLists | Diagonal


def padded(rows: AnyInt, peak: int) -> AnyInt:
    """Return rows padded to whole vectors, in 16 bits where every sum stays below ``peak`` and that fits."""
    dtype = np.dtype(np.int16) if peak < SHORT else rows.dtype
    lane = vectors.lanes(dtype.itemsize)
    table = np.zeros((rows.shape[0], -(-rows.shape[1] // lane) * lane), dtype)
    table[:, : rows.shape[1]] = rows
    return table


def prepare(projection: Projection, source: Population, target: Population) -> Compiled:
    """Bring one projection's synapses into internal order (weights still int64, exponent not applied)."""
    match projection.synapses:
        case ConvSynapses() as conv:
            return _conv(projection.name, conv, source, target)
        case DenseSynapses(weight=weight):
            _expect(projection.name, weight.shape, (target.size, source.size))
            rows = weight[np.ix_(layout.order(target), layout.order(source))].T
            return DenseRows(np.ascontiguousarray(rows, np.int64))
        case SparseSynapses() as lists:
            return _sparse(projection.name, lists, source, target)
        case IdentitySynapses(weight=value):
            _expect(projection.name, (source.size,), (target.size,))
            if np.array_equal(layout.order(source), layout.order(target)):
                return Diagonal(np.full(target.size, value, np.int64))
            flat = np.arange(target.size, dtype=np.int64)
            weights = np.full(target.size, value, np.int64)
            return _by_source(flat, flat, weights, source, target)
        case _:
            raise ProgramError(
                "a gate link carries no current",
                where=f"projection {projection.name!r}",
                help="give it another synapse format",
            )


def _expect(name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if tuple(found) != tuple(wanted):
        raise ProgramError(
            f"synapses of shape {tuple(found)} do not fit the populations; expected {tuple(wanted)}",
            where=f"projection {name!r}",
            help="give the weight as (target neurons, source neurons), or mend the population shapes",
        )


def conv_shape(conv: ConvSynapses, source: Population) -> tuple[int, int, int]:
    """Return the (Co, H', W') a convolution of ``source`` has."""
    kernel = conv.weight.shape[2:]
    out = [
        (source.shape[1 + k] + 2 * conv.padding[k] - conv.dilation[k] * (kernel[k] - 1) - 1) // conv.stride[k] + 1
        for k in (0, 1)
    ]
    return conv.weight.shape[0], out[0], out[1]


def _conv(name: str, conv: ConvSynapses, source: Population, target: Population) -> ConvKernel:
    co, per_group, kh, kw = conv.weight.shape
    _expect(name, (len(source.shape), len(target.shape)), (3, 3))
    _expect(name, (per_group * conv.groups, co % conv.groups), (source.shape[0], 0))
    _expect(name, target.shape, conv_shape(conv, source))
    grouped = conv.weight.reshape(conv.groups, co // conv.groups, per_group, kh, kw).transpose(0, 2, 3, 4, 1)
    weight = np.ascontiguousarray(grouped.reshape(source.shape[0], kh, kw, co // conv.groups), np.int64)
    return ConvKernel(
        weight,
        source_hw=(source.shape[1], source.shape[2]),
        target_hw=(target.shape[1], target.shape[2]),
        stride=_pair(conv.stride),
        padding=_pair(conv.padding),
        dilation=_pair(conv.dilation),
        channels=(source.shape[0], co, conv.groups),
    )


def _pair(value: tuple[int, int]) -> tuple[int, int]:
    return int(value[0]), int(value[1])


def _sparse(name: str, lists: SparseSynapses, source: Population, target: Population) -> SparseLists:
    _expect(name, lists.indptr.shape, (target.size + 1,))
    _expect(name, lists.indices.shape, lists.weight.shape)
    targets = np.repeat(np.arange(target.size, dtype=np.int64), np.diff(lists.indptr))
    _expect(name, lists.indices.shape, targets.shape)
    return _by_source(np.asarray(lists.indices, np.int64), targets, np.asarray(lists.weight, np.int64), source, target)


def _by_source(sources: Index, targets: Index, weights: Index, source: Population, target: Population) -> SparseLists:
    keep = weights != 0
    inner_source = layout.inverse(layout.order(source))[sources[keep]]
    inner_target = layout.inverse(layout.order(target))[targets[keep]]
    sort = np.lexsort((inner_target, inner_source))
    indptr = np.zeros(source.size + 1, np.int64)
    np.cumsum(np.bincount(inner_source, minlength=source.size), out=indptr[1:])
    return SparseLists(indptr, inner_target[sort].astype(np.int32), weights[keep][sort], target.size)
