"""What a net does when no event ever happens: the currents its biases make, and the neurons that they alone make fire.

rest(W x + b) = W rest(x) + b,   rest(message) = 0,   rest(gate) = 1
"""

from __future__ import annotations

import numpy as np

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.interpret.floats import apply
from spikewright.toolchain.interpret.states import FloatState
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
    AdaptivePool,
    Add,
    Array,
    Flatten,
    Lif,
    Linear,
    Op,
    Output,
    Relu,
    Scale,
    Shape,
    SumPool,
)

LINEAR = (Linear, SumPool, AdaptivePool, Scale, Flatten, Add, Relu, Output)
"""Ops whose value follows from that of their operands in the same step; all others send messages, which rest at 0."""


def resting(graph: Graph, shapes: dict[str, Shape], hosts: frozenset[str]) -> dict[str, Array]:
    """Return every signal's value without events, (1, *shape); on the host: 0."""
    values: dict[str, Array] = {}
    for op in graph:
        operands = [values.get(name, np.zeros((1, *shapes[name]))) for name in op.inputs]
        still = np.zeros((1, *shapes[op.name]))
        if op.name in hosts or not isinstance(op, LINEAR):
            values[op.name] = still
        elif isinstance(op, Linear) and not operands[0].any():
            values[op.name] = still + _bias(op.bias, still.ndim - 2)
        else:
            values[op.name] = apply(op, operands)
    return values


def _bias(bias: Array | None, spatial: int) -> Array:
    return np.zeros(()) if bias is None else np.reshape(bias, (1, -1, *(1,) * spatial))


def bias_driven(op: Op, values: dict[str, Array], timesteps: int) -> int:
    """Count the neurons of ``op`` that fire within T steps although no event ever reaches them."""
    neuron = op.neuron if isinstance(op, AttentionBlock) else op
    if not isinstance(neuron, Lif):
        return 0
    currents = [values[name] for name in op.inputs[: len(op.inputs) - neuron.ports]]
    if not any(c.any() for c in currents) and not np.any(neuron.leak) and not np.any(neuron.v_start):
        return 0
    operands = [c.reshape((1, *neuron.shape)) for c in currents] + [np.ones(()) for _ in range(neuron.gates)]
    state = FloatState(neuron, 1)
    fired = np.zeros((1, *neuron.shape), bool)
    for _ in range(timesteps):
        fired |= state.step(operands) > 0
    return int(fired.sum())
