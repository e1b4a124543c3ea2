"""The fan-out of every source neuron on every core: computed once per projection by walking its synapses."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.engine import count_kernels, layout
from spikewright.hw_sim.engine.conv import ConvKernel
from spikewright.hw_sim.engine.synapses import Compiled, DenseRows, Diagonal, SparseLists
from spikewright.hw_sim.program import Population
from spikewright.hw_sim.synaptic_memory import FanOut

Index = NDArray[np.int64]


def cores_of(population: Population) -> Index:
    """Return the logical core of each neuron in internal order; -1 where none is given."""
    if population.core.size == 0:
        return np.full(population.size, -1, np.int64)
    return layout.expand(population.core.astype(np.int64), layout.order(population), population.name)


def synapse_fan_out(synapses: Compiled, source: Population, target: Population) -> FanOut:
    """Walk the synapses of a projection."""
    of_target = cores_of(target)
    cores, column = np.unique(of_target, return_inverse=True)
    column = column.astype(np.int64)
    fan = np.zeros((source.size, cores.size), np.int32)
    reach = fan
    entries = np.zeros(cores.size, np.int64)
    match synapses:
        case ConvKernel(weight=weight) as conv:
            reach = np.zeros_like(fan)
            count_kernels.conv_fan_out(
                weight, column, conv.source_hw, conv.target_hw, conv.stride, conv.padding, conv.dilation, conv.channels,
                fan, reach,
            )  # fmt: skip
            channels = np.unique(column * target.shape[0] + np.arange(target.size) % target.shape[0]) // target.shape[0]
            entries = np.bincount(channels, minlength=cores.size) * int(np.prod(weight.shape[:3])) // conv.channels[2]
        case DenseRows(weight=weight):
            count_kernels.dense_fan_out(weight, column, fan)
        case Diagonal(weight=weight):
            fan[np.arange(source.size), column] = weight != 0
        case SparseLists() as lists:
            count_kernels.sparse_fan_out(lists.indptr, lists.targets, column, fan)
    kind: Literal["conv", "listed"] = "conv" if isinstance(synapses, ConvKernel) else "listed"
    return FanOut(kind, cores, np.bincount(column, minlength=cores.size), fan, reach, entries)


def gate_fan_out(gate_index: Index, source: Population, target: Population) -> FanOut:
    """Count the neurons that each gate neuron scales, per core."""
    cores, column = np.unique(cores_of(target), return_inverse=True)
    flat = np.bincount(gate_index * cores.size + column, minlength=source.size * cores.size)
    fan = flat.reshape(source.size, cores.size).astype(np.int32)
    neurons = np.bincount(column, minlength=cores.size)
    return FanOut("gate", cores, neurons, fan, fan, np.zeros(cores.size, np.int64))
