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
from itertools import pairwise
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.chip import CoreLimits
from spikewright.hw_sim.program import Population, Projection
from spikewright.hw_sim.synapses import Reached, Shape, Synapses

Index = NDArray[np.int64]
WIDE = 1 << 20
"""Core numbers further apart than this, which no board has, are sorted."""
_KNOWN: WeakKeyDictionary[Synapses, tuple[tuple[Shape, Shape], Index, Reached, Index]] = WeakKeyDictionary()
"""What was counted last of synapses, as long as they live: of what ends, by which cut of the target, entries and fan-in."""


@dataclass(frozen=True, eq=False)
class FanOut:
    """What each source neuron reaches on each core, as entries; a table of sources and cores would be mostly zeros.

    Args:
        kind: How it may be stored: ``listed`` is dense or sparse, whichever is smaller on that core.
        cores: Logical core of each column; -1 is outside the cores.
        neurons: Target neurons on each of these cores.
        reached: The entries; a part is a column.
        source: (E,) source neuron of each entry, in the order of the program or, compiled, of the engine.
        fan_in: (n_target,) non-zero synapses of each target neuron.
    """

    kind: Literal["listed", "conv", "gate"]
    cores: Index
    neurons: Index
    reached: Reached
    source: NDArray[np.signedinteger[Any]]
    fan_in: Index

    @property
    def column(self) -> Index:
        """(E,) the column of each entry."""
        return self.reached.part

    @property
    def synapses(self) -> NDArray[np.int32]:
        """(E,) non-zero synapses."""
        return self.reached.synapses

    def of(self, neuron: int) -> int:
        """Return the non-zero synapses of one source neuron."""
        return int(self.synapses[self.source == neuron].sum())


def fan_out(projection: Projection, source: Population, target: Population) -> FanOut:
    """Return what each source neuron (flat, C order) reaches on each core; for a gate, the neurons it scales.

    Asked again for the same cut of the target, as a mapper, its checks and the engine do, it counts nothing again.

    Entries are (neurons, cores) with at least one synapse.
    """
    cores, column = _columns(target.cores)
    synapses, ends = projection.synapses, (source.shape, target.shape)
    before = _KNOWN.get(synapses)
    if before is not None and before[0] != ends:
        before = None
    fan_in = synapses.fan_in(*ends) if before is None else before[3]
    if before is not None and np.array_equal(before[1], column):
        reached = before[2]
    else:
        reached = synapses.fan_out(*ends, column, cores.size)
        _KNOWN[synapses] = (ends, column, reached, fan_in)
    neurons = np.bincount(column, minlength=cores.size)
    return FanOut(synapses.storage, cores, neurons, reached, reached.source, fan_in)


def _columns(cores: NDArray[np.signedinteger[Any]]) -> tuple[Index, Index]:
    """Return the different cores, ascending, and which of them each neuron is on; sorting only where they lie far apart."""
    low, high = int(cores.min(initial=0)), int(cores.max(initial=0))
    if high - low > WIDE:
        apart, column = np.unique(cores, return_inverse=True)
        return apart, column.astype(np.int64)
    held = np.bincount(cores.astype(np.int64) - low) > 0
    number = np.cumsum(held) - 1
    return np.flatnonzero(held) + low, number[cores - low]


def index_bits(neurons: Index) -> Index:
    """Return the bits that name one of so many neurons."""
    bits: Index = np.ceil(np.log2(np.maximum(neurons, 2))).astype(np.int64)
    return bits


def stored_bits(fan: FanOut, core: CoreLimits) -> Index:
    """Return the synaptic memory, in bits, that a projection takes on each of its target cores, (cores,)."""
    match fan.kind:
        case "conv":
            return fan.reached.kernel * core.weight_bits
        case "gate":
            return np.zeros_like(fan.cores)
        case "listed":
            return np.minimum(_dense_bits(fan, core), _sparse_bits(fan, core))


def words_read(fan: FanOut, core: CoreLimits) -> NDArray[np.int32]:
    """Return the words one message of each entry's source neuron reads on its core (E,)."""
    if fan.kind == "gate":
        return np.ones(fan.synapses.size, np.int32)
    bits, every = np.full(fan.cores.size, core.weight_bits), np.zeros(fan.cores.size, bool)
    if fan.kind == "listed":
        every = _sparse_bits(fan, core) >= _dense_bits(fan, core)
        bits = np.where(every, core.weight_bits, core.weight_bits + index_bits(fan.neurons))
    words = np.empty(fan.synapses.size, np.int32)
    for column, (a, b) in enumerate(pairwise(fan.reached.start.tolist())):  # core by core: indices of 64 bits are large
        entries = int(fan.neurons[column]) if every[column] else fan.reached.walked[a:b].astype(np.int64)
        words[a:b] = -(-entries * int(bits[column]) // core.synapse_word_bits)
    return words


def _dense_bits(fan: FanOut, core: CoreLimits) -> Index:
    bits: Index = np.diff(fan.reached.start) * fan.neurons * core.weight_bits
    return bits


def _sparse_bits(fan: FanOut, core: CoreLimits) -> Index:
    sums = [fan.synapses[a:b].sum(dtype=np.int64) for a, b in pairwise(fan.reached.start.tolist())]
    bits: Index = np.array(sums, np.int64) * (core.weight_bits + index_bits(fan.neurons))
    return bits
