"""Kernels of the counters: the counters of one row of events."""

from __future__ import annotations

import numpy as np

from spikewright.hw_sim.compiled import vectors
from spikewright.hw_sim.compiled.synapse_kernels import find
from spikewright.hw_sim.jit import kernel


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
