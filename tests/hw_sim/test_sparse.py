"""Sparse synapses deliver what a dense matrix does, in memory that does not grow with steps times synapses."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from spikewright.hw_sim.synapses import SparseSynapses


def sparse(dense: np.ndarray) -> SparseSynapses:
    rows, columns = np.nonzero(dense)
    pointers = np.append(0, np.cumsum(np.bincount(rows, minlength=len(dense))))
    return SparseSynapses(pointers, columns, dense[rows, columns])


@pytest.mark.parametrize("leading", [(), (3,), (0, 2), (4, 2)])
@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_sums_are_those_of_the_dense_matrix(leading: tuple[int, ...], share: float, rng: np.random.Generator) -> None:
    dense = rng.integers(-99, 100, (7, 5)) * (rng.random((7, 5)) < share)
    dense[[0, 3]] = 0
    x = rng.integers(0, 1 << 20, (*leading, 5))
    held = sparse(dense)
    zeros = held.with_weights(np.where(held.weight > 50, 0, held.weight))

    np.testing.assert_array_equal(held.deliver(x, (5,), (7,)), x @ dense.T)
    np.testing.assert_array_equal(zeros.deliver(x, (5,), (7,)), x @ np.where(dense > 50, 0, dense).T)


def test_many_steps_of_many_synapses_take_the_memory_of_a_block(rng: np.random.Generator) -> None:
    size, fan_in, steps = 2000, 100, 128
    indices = np.concatenate([rng.choice(size, fan_in, replace=False) for _ in range(size)])
    held = SparseSynapses(np.arange(size + 1) * fan_in, indices, np.ones(size * fan_in, np.int64))
    x = np.ones((steps, size), np.int64)
    tracemalloc.start()
    try:
        found = held.deliver(x, (size,), (size,))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert (found == fan_in).all()
    assert peak < 80 << 20  # all at once: 390 MiB
