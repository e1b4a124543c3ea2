"""How synapses lie in a core's memory: bits stored and words read, by format.

====== ============================================ ===========================================
format bits stored on one core                      words read per message
====== ============================================ ===========================================
dense  (sources that reach it) x neurons x weight   ceil(neurons x weight / word)
sparse synapses x (weight + index)                  ceil(synapses x (weight + index) / word)
conv   shared kernel once: entries x weight         ceil(kernel entries used x weight / word)
gate   nothing: the level goes to a gain port       1
====== ============================================ ===========================================

``index`` is ceil(log2(neurons on the core)) bits. A dense or identity projection is stored the cheaper way, per core. These
formats are a model: no vendor publishes its memory layout (basis: assumed, after the format names of the Loihi papers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.chip import CoreLimits
from spikewright.hw_sim.program import Population, Projection

Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FanOut:
    """What each source neuron reaches on each core.

    Args:
        kind: How it may be stored: ``listed`` is dense or sparse, whichever is smaller on that core.
        cores: Logical core of each column; -1 is outside the cores.
        neurons: Target neurons on each of these cores.
        synapses: (n_source, cores) non-zero synapses.
        reach: (n_source, cores) stored entries a message walks, zeros included (conv: kernel entries).
        kernel_entries: (cores,) entries of the shared kernel held by each core (conv only).
    """

    kind: Literal["listed", "conv", "gate"]
    cores: Index
    neurons: Index
    synapses: NDArray[np.int32]
    reach: NDArray[np.int32]
    kernel_entries: Index


def fan_out(projection: Projection, source: Population, target: Population) -> FanOut:
    """Return what each source neuron (flat, C order) reaches on each core; for a gate, the neurons it scales."""
    cores, column = np.unique(target.cores, return_inverse=True)
    column = column.astype(np.int64)
    synapses = projection.synapses
    counts, reach, entries = synapses.fan_out(source.shape, target.shape, column, cores.size)
    return FanOut(synapses.storage, cores, np.bincount(column, minlength=cores.size), counts, reach, entries)


def index_bits(neurons: Index) -> Index:
    """Return the bits that name one of so many neurons."""
    bits: Index = np.ceil(np.log2(np.maximum(neurons, 2))).astype(np.int64)
    return bits


def stored_bits(fan: FanOut, core: CoreLimits) -> Index:
    """Return the synaptic memory a projection takes on each of its target cores."""
    match fan.kind:
        case "conv":
            return fan.kernel_entries * core.weight_bits
        case "gate":
            return np.zeros_like(fan.cores)
        case "listed":
            return np.minimum(_dense_bits(fan, core), _sparse_bits(fan, core))


def words_read(fan: FanOut, core: CoreLimits) -> NDArray[np.int32]:
    """Return the words one message of each source neuron reads on each core (n_source, cores)."""
    entries = fan.reach.astype(np.int64)
    bits = np.full(fan.cores.size, core.weight_bits)
    if fan.kind == "gate":
        return (fan.synapses > 0).astype(np.int32)
    if fan.kind == "listed":
        sparse = _sparse_bits(fan, core) < _dense_bits(fan, core)
        entries = np.where(sparse, fan.synapses, fan.neurons)
        bits = np.where(sparse, core.weight_bits + index_bits(fan.neurons), core.weight_bits)
    words = -(-entries * bits // core.synapse_word_bits)
    return np.where(fan.synapses > 0, words, 0).astype(np.int32)


def _dense_bits(fan: FanOut, core: CoreLimits) -> Index:
    bits: Index = (fan.synapses > 0).sum(axis=0) * fan.neurons * core.weight_bits
    return bits


def _sparse_bits(fan: FanOut, core: CoreLimits) -> Index:
    bits: Index = fan.synapses.sum(axis=0, dtype=np.int64) * (core.weight_bits + index_bits(fan.neurons))
    return bits
