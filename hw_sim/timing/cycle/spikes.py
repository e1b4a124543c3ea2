"""The spikes of one population that are still to be timed, as lists by (local step, sample)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.timing.cycle import core_kernels

Int = NDArray[np.int64]


class Spikes:
    """Rows from local step ``base`` on: row r = (step - base) * batch + sample is ``neurons[start[r] : start[r + 1]]``."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.base = 0
        self.start = np.zeros(1, np.int64)
        self.neurons = np.zeros(0, np.int32)
        self._fresh: list[tuple[Int, NDArray[np.int32]]] = []
        self.stop = 0

    def append(self, events: NDArray[np.generic]) -> None:
        """Take in the next local steps (T', B, n); any non-zero is a spike."""
        rows = np.ascontiguousarray(events).reshape(-1, events.shape[2])
        start = np.empty(rows.shape[0] + 1, np.int64)
        neurons = np.empty(np.count_nonzero(rows), np.int32)
        core_kernels.gather(rows, neurons, start)
        self._fresh.append((start, neurons))
        self.stop += events.shape[0]

    @property
    def count(self) -> int:
        """Spikes held."""
        return self.neurons.size + sum(neurons.size for _, neurons in self._fresh)

    def merge(self) -> None:
        """Join what was appended to the rows."""
        if not self._fresh:
            return
        for start, _ in self._fresh:
            self.start = np.concatenate([self.start, start[1:] + self.start[-1]])
        self.neurons = np.concatenate([self.neurons, *(neurons for _, neurons in self._fresh)])
        self._fresh = []

    def forget(self, before: int) -> None:
        """Drop the local steps below ``before``."""
        rows = max(0, min(before, self.stop) - self.base) * self.batch
        self.neurons = self.neurons[self.start[rows] :].copy()
        self.start = self.start[rows:] - self.start[rows]
        self.base += rows // self.batch
