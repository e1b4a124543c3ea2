"""Assemble: integer graph -> program, one population a neuron op, one projection a connection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import program as hw
from spikewright.hw_sim.fixed_point import STATE_MAX
from spikewright.toolchain.errors import MappingError
from spikewright.toolchain.int_ops import (
    Connection,
    IntConv,
    IntDeltaRelu,
    IntDense,
    IntGate,
    IntGateLink,
    IntGateTable,
    IntIdentity,
    IntInput,
    IntLif,
    IntOutput,
)
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op

HOST_CORE = -1
"""Core number of populations that are not on a neurocore."""


def assemble(graph: Graph, chip: str, cores: dict[str, NDArray[np.int32]]) -> hw.Program:
    """Return the program of an aligned integer graph.

    Args:
        graph: Integer ops with ``start`` and ``delay`` set.
        chip: Name of the target.
        cores: Logical core of every neuron, per neuron op.
    """
    output = next(op for op in graph if isinstance(op, IntOutput))
    populations = tuple(_population(op, cores) for op in graph if not isinstance(op, Connection | IntOutput))
    projections = tuple(_projection(graph, op) for op in graph if isinstance(op, Connection))
    return hw.Program(populations, projections, chip, graph.timesteps, output.inputs[0], output.readout)


def _population(op: Op, cores: dict[str, NDArray[np.int32]]) -> hw.Population:
    soma: hw.Soma
    match op:
        case IntInput():
            soma, kind = (
                hw.Source(op.payload_bits, op.signed),
                "graded" if op.payload_bits > 1 or op.signed else "binary",
            )
        case IntLif():
            soma = hw.Lif(
                op.decay_u, op.decay_v, op.bias, op.threshold, op.v_reset, op.reset, op.gates, op.gate_bits, op.rectify,
                output_gate=op.output_gate,
            )  # fmt: skip
            kind = "none" if bool((op.threshold >= STATE_MAX).all()) else hw.sends(soma)
        case IntDeltaRelu():
            soma, kind = hw.DeltaRelu(op.decay, op.shift), "graded"
        case IntGate():
            soma, kind = hw.Gate(op.decay, op.bias, op.thresholds, op.levels, op.gate_bits), "gate"
        case IntGateTable():
            soma, kind = hw.GateTable(op.table, op.gate_bits), "gate"
        case _:
            raise MappingError(f"{type(op).__name__} has no place on the chip", where=f"op {op.name!r}")
    size = int(np.prod(op.shape))
    on_host = isinstance(op, IntInput | IntGateTable)
    core = np.full(size, HOST_CORE, np.int32) if on_host else cores[op.name]
    return hw.Population(op.name, op.shape, soma, op.start, core, kind)


def _projection(graph: Graph, op: Connection) -> hw.Projection:
    target = graph.readers[op.name][0]
    synapses: hw.Synapses
    exponent = 0
    match op:
        case IntDense():
            synapses, exponent = hw.DenseSynapses(op.weight), op.exponent
        case IntConv():
            synapses = hw.ConvSynapses(op.weight, op.stride, op.padding, op.dilation, op.groups)
            exponent = op.exponent
        case IntIdentity():
            synapses, exponent = hw.IdentitySynapses(op.weight), op.exponent
        case IntGateLink() if isinstance(target, IntLif):
            first = len(target.inputs) - target.gates
            synapses = hw.GateLink(target.inputs.index(op.name) - first)
        case _:
            raise MappingError(f"{type(op).__name__} has no synapse format", where=f"op {op.name!r}")
    return hw.Projection(op.name, op.inputs[0], target.name, synapses, exponent, op.delay)
