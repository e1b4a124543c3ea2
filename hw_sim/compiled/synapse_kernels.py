"""Event-driven synapses: ``drive[r, target] += weight * x[r, source]`` for non-zero ``x``; a row is one sample and step.

Populations of shape (C, H, W) are held channels-last here, so that one event adds long runs of consecutive targets. With
one group, the kernel is stored per phase ``(y + padding) mod stride`` of the source pixel, rows and columns reversed: what
one event adds is then one run, ``rows x columns x Co`` long.
"""

from __future__ import annotations

import numpy as np

from spikewright.hw_sim.compiled import vectors
from spikewright.hw_sim.jit import kernel

one = np.uint64(1)
ROWS = 16
"""Rows of events that pass one slab of a dense matrix in turn."""


@kernel
def find(row, found):  # type: ignore[no-untyped-def]
    """Write the indices of the non-zeros of ``row`` into ``found`` and return how many.

    ``row`` and ``found`` are (n,).
    """
    each = 64 // row.itemsize
    whole = row.size // each * each
    count = 0
    for start in range(0, whole, each):
        bits = vectors.nonzero_bits(row, start)
        while bits != 0:
            found[count] = start + vectors.lowest_bit(bits)
            count += 1
            bits &= bits - one
    for i in range(whole, row.size):
        if row[i] != 0:
            found[count] = i
            count += 1
    return count


@kernel
def add(target, weight, payload):  # type: ignore[no-untyped-def]
    """Add ``weight * payload`` to a run of targets. ``target`` and ``weight`` are (n,)."""
    if payload == 1:
        for j in range(target.size):
            target[j] += weight[j]
    else:
        for j in range(target.size):
            target[j] += weight[j] * payload


@kernel
def conv(x, binary, table, geometry, channels, drive, start, stop):  # type: ignore[no-untyped-def]
    """Scatter rows ``start`` to ``stop`` through a kernel with one group and no dilation.

    ``x`` (R, pixels * channels); ``table`` (phases * channels, padded rows * columns * Co); ``geometry`` (pixels, 8): see
    ``synapses.ConvKernel.geometry``. The events of one pixel are summed first, so every target is touched once a pixel.
    """
    found = np.empty(x.shape[1], np.int32)
    width = table.shape[1]
    patch = np.empty(width, table.dtype)
    for r in range(start, stop):
        row, out = x[r], drive[r]
        count = find(row, found)
        k = 0
        while k < count:
            pixel = found[k] // channels
            end = (pixel + 1) * channels
            first = k
            while k < count and found[k] < end:
                k += 1
            base, size = geometry[pixel, 0], geometry[pixel, 1]
            if binary:
                vectors.sum_rows(table, width, found, first, k, base, patch, size)
            else:
                vectors.sum_scaled_rows(table, width, found, first, k, base, patch, size, row)
            at, down, begin, across = geometry[pixel, 2], geometry[pixel, 3], geometry[pixel, 4], geometry[pixel, 5]
            for i in range(geometry[pixel, 6]):
                vectors.add_run(out, at + i * down, patch, begin + i * across, geometry[pixel, 7])


@kernel
def conv_grouped(x, weight, drive, source_hw, target_hw, stride, padding, dilation, channels, start, stop):  # type: ignore[no-untyped-def]
    """Scatter rows ``start`` to ``stop`` through any kernel, ``weight`` (Ci, kh, kw, Co // groups)."""
    rows, columns = target_hw
    ci, co, groups = channels[0], channels[1], channels[2]
    per_group = ci // groups
    kh, kw, run = weight.shape[1:]
    found = np.empty(x.shape[1], np.int32)
    for r in range(start, stop):
        for k in range(find(x[r], found)):
            pixel, c = divmod(found[k], ci)
            y, z = divmod(pixel, source_hw[1])
            payload = x[r, found[k]]
            base = (c // per_group) * run
            for ky in range(kh):
                down = y + padding[0] - ky * dilation[0]
                if down < 0 or down % stride[0] != 0 or down >= rows * stride[0]:
                    continue
                for kx in range(kw):
                    right = z + padding[1] - kx * dilation[1]
                    if right < 0 or right % stride[1] != 0 or right >= columns * stride[1]:
                        continue
                    first = ((down // stride[0]) * columns + right // stride[1]) * co + base
                    add(drive[r, first : first + run], weight[c, ky, kx], payload)


@kernel
def dense(x, binary, table, drive, start, stop):  # type: ignore[no-untyped-def]
    """Add row ``table[source]`` (slabs, n_source, columns of a slab) for every event of rows ``start`` to ``stop``.

    A slab of columns stays in the cache while a few rows of events pass it.
    """
    found = np.empty((ROWS, x.shape[1]), np.int32)
    counts = np.empty(ROWS, np.int64)
    slabs, sources, width = table.shape
    flat = table.reshape(slabs * sources, width)
    sums = np.empty(width, table.dtype)
    for first in range(start, stop, ROWS):
        rows = min(ROWS, stop - first)
        for r in range(rows):
            counts[r] = find(x[first + r], found[r])
        for slab in range(slabs):
            length = min(width, drive.shape[1] - slab * width)
            for r in range(rows):
                row, out, events = x[first + r], drive[first + r], found[r]
                if counts[r] == 0:
                    continue
                if binary:
                    vectors.sum_rows(flat, width, events, 0, counts[r], slab * sources, sums, width)
                else:
                    vectors.sum_scaled_rows(flat, width, events, 0, counts[r], slab * sources, sums, width, row)
                vectors.add_run(out, slab * width, sums, 0, length)


@kernel
def diagonal(x, weight, drive, start, stop):  # type: ignore[no-untyped-def]
    """Add ``weight * x`` of rows ``start`` to ``stop``, neuron by neuron.

    ``x`` and ``drive`` are (R, n), ``weight`` (n,).
    """
    for r in range(start, stop):
        for i in range(weight.size):
            drive[r, i] += weight[i] * x[r, i]


@kernel
def sparse(x, indptr, targets, weight, drive, start, stop):  # type: ignore[no-untyped-def]
    """Walk the synapse list ``indptr[s] : indptr[s + 1]`` of every source with an event, rows ``start`` to ``stop``.

    ``x`` is (R, n_source), ``drive`` (R, n_target), ``indptr`` (n_source + 1,).
    """
    found = np.empty(x.shape[1], np.int32)
    for r in range(start, stop):
        for k in range(find(x[r], found)):
            s = found[k]
            for j in range(indptr[s], indptr[s + 1]):
                drive[r, targets[j]] += weight[j] * x[r, s]
