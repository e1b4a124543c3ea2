"""The fan-out of every source neuron on every core, by walking the synapses of a projection once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.program import Population, Projection
from spikewright.hw_sim.synaptic_memory import FanOut

Index = NDArray[np.int64]


def fan_out(projection: Projection, source: Population, target: Population) -> FanOut:
    """Return what each source neuron (flat, C order) reaches on each core; for a gate, the neurons it scales."""
    cores, column = np.unique(target.cores, return_inverse=True)
    column = column.astype(np.int64)
    synapses = projection.synapses
    counts, reach, entries = synapses.fan_out(source.shape, target.shape, column, cores.size)
    return FanOut(synapses.storage, cores, np.bincount(column, minlength=cores.size), counts, reach, entries)
