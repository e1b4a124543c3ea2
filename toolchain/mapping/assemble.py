"""Assemble: integer graph -> program, one population a neuron op, one projection a connection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Population, Program, Projection
from spikewright.toolchain.integer import IntConnection, IntInput, IntNeuron, answer_of, source_of
from spikewright.toolchain.ir import Graph

HOST_CORE = -1
"""Core number of populations that are not on a neurocore."""


def assemble(graph: Graph, chip: str, cores: dict[str, NDArray[np.int32]]) -> Program:
    """Return the program of an aligned integer graph.

    Args:
        graph: Integer ops with ``start`` and ``delay`` set.
        chip: Name of the target.
        cores: Logical core of every neuron, per neuron op.
    """
    output = answer_of(graph)
    populations = tuple(_population(op, cores) for op in graph if isinstance(op, IntInput | IntNeuron))
    projections = tuple(_projection(graph, op) for op in graph if isinstance(op, IntConnection))
    stop = source_of(graph).stop
    return Program(populations, projections, chip, graph.timesteps, output.inputs[0], output.readout, stop)


def _population(op: IntInput | IntNeuron, cores: dict[str, NDArray[np.int32]]) -> Population:
    core = np.full(int(np.prod(op.shape)), HOST_CORE, np.int32) if op.soma.on_host else cores[op.name]
    return Population(op.name, op.shape, op.soma, op.start, core, op.soma.kind)


def _projection(graph: Graph, op: IntConnection) -> Projection:
    target = graph.readers[op.name][0]
    return Projection(op.name, op.inputs[0], target.name, op.synapses, op.exponent, op.delay)
