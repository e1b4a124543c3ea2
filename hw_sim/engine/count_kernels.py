"""Kernels of the counters: the fan-out of each source neuron per core, and the counters of one row of events."""

from __future__ import annotations

import numpy as np

from spikewright.hw_sim.engine import vectors
from spikewright.hw_sim.engine.jit import kernel
from spikewright.hw_sim.engine.synapse_kernels import find


@kernel
def conv_fan_out(weight, column, source_hw, target_hw, stride, padding, dilation, channels, fan, reach):  # type: ignore[no-untyped-def]
    """Count, per source neuron and column of its targets, non-zero synapses (``fan``) and kernel entries (``reach``)."""
    height, width = source_hw
    rows, columns = target_hw
    ci, co, groups = channels
    per_group = ci // groups
    kh, kw, run = weight.shape[1:]
    index = 0
    for y in range(height):
        for z in range(width):
            for c in range(ci):
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
                        for j in range(run):
                            core = column[first + j]
                            reach[index, core] += 1
                            fan[index, core] += weight[c, ky, kx, j] != 0
                index += 1


@kernel
def dense_fan_out(weight, column, fan):  # type: ignore[no-untyped-def]
    """Count the non-zero entries of ``weight`` (n_source, n_target) per source and column of the target."""
    for s in range(weight.shape[0]):
        for j in range(weight.shape[1]):
            fan[s, column[j]] += weight[s, j] != 0


@kernel
def sparse_fan_out(indptr, targets, column, fan):  # type: ignore[no-untyped-def]
    """Count the synapses of each source per column of the target."""
    for s in range(indptr.size - 1):
        for k in range(indptr[s], indptr[s + 1]):
            fan[s, column[targets[k]]] += 1


@kernel
def count_wide(events, class_of, table, out, start, stop):  # type: ignore[no-untyped-def]
    """Do as ``count`` with whole rows ``table`` (classes, padded columns)."""
    found = np.empty(max(events.shape[1], table.shape[0]), np.int32)
    width = table.shape[1]
    sums = np.empty(width, table.dtype)
    histogram = np.empty(table.shape[0], np.int32)
    for r in range(start, stop):
        row = out[r]
        histogram[:] = 0
        for k in range(find(events[r], found)):
            histogram[class_of[found[k]]] += 1
        classes = find(histogram, found)
        vectors.sum_scaled_rows(table, width, found, 0, classes, 0, sums, width, histogram)
        vectors.add_run(row, 0, sums, 0, row.size)


@kernel
def count(events, class_of, indptr, columns, amounts, out, start, stop):  # type: ignore[no-untyped-def]
    """Add, for every non-zero of rows ``start`` to ``stop``, the counter row of its neuron's class to ``out`` (R, columns)."""
    classes = indptr.size - 1
    found = np.empty(events.shape[1], np.int32)
    histogram = np.zeros(classes, np.int64)
    for r in range(start, stop):
        histogram[:] = 0
        for k in range(find(events[r], found)):
            histogram[class_of[found[k]]] += 1
        for c in range(classes):
            if histogram[c] != 0:
                for k in range(indptr[c], indptr[c + 1]):
                    out[r, columns[k]] += histogram[c] * amounts[k]
