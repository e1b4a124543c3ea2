"""How large messages and sums can get at worst: decides what stock Lava's 24- and 32-bit buffers hold.

|message| <= payload;   |a| <= max over rows of sum |w| * payload, shifted by the exponent
"""

from __future__ import annotations

from math import prod

import numpy as np

from spikewright.hw_sim.fixed_point import DECAY_ONE, STATE_MAX, shift
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
)
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op


def worst(graph: Graph, timesteps: int) -> dict[str, int]:
    """Return by name the largest |message| of every neuron and the largest |a| of every connection."""
    found: dict[str, int] = {}
    for op in graph:
        if not isinstance(op, Connection):
            found[op.name] = _payload(op, graph, found, timesteps)
        elif op.inputs[0] in found:
            found[op.name] = sum_bound(op, found[op.inputs[0]])
    for op in graph:  # connections that read a later neuron
        if isinstance(op, Connection) and op.name not in found:
            found[op.name] = sum_bound(op, found[op.inputs[0]])
    return found


def sum_bound(op: Connection, payload: int) -> int:
    """Return the largest |a| a connection can deliver for messages up to ``payload``."""
    match op:
        case IntDense(weight=w, exponent=e) | IntConv(weight=w, exponent=e):
            rows = np.abs(w.reshape(w.shape[0], -1)).sum(axis=1)
            return _shifted(int(rows.max(initial=0)) * payload, e)
        case IntIdentity(weight=w, exponent=e):
            return _shifted(abs(int(w)) * payload, e)
        case _:
            return payload


def _shifted(value: int, exponent: int) -> int:
    # an arithmetic right shift rounds down: -1 stays -1
    return value << exponent if exponent >= 0 else int(shift(np.asarray(value, np.int64), exponent)) + 1


def _payload(op: Op, graph: Graph, found: dict[str, int], timesteps: int) -> int:
    match op:
        case IntInput(payload_bits=bits, signed=signed):
            return (1 << bits) - (0 if signed else 1)
        case IntDeltaRelu():
            inputs = [found.get(name) for name in op.inputs]
            total = sum(x for x in inputs if x is not None) if None not in inputs else STATE_MAX
            memoryless = bool(np.all(op.decay == DECAY_ONE))
            return min(STATE_MAX, total * (1 if memoryless else timesteps)) >> op.shift
        case IntGate(gate_bits=bits) | IntGateTable(gate_bits=bits) | IntGateLink(gate_bits=bits):
            return 1 << bits
        case IntLif(output_gate=True, gate_bits=bits):
            return 1 << bits
        case _:
            return 1


def synapses(op: Connection) -> int:
    """Return how many weights a dense map or kernel has, zeros included."""
    return prod(np.shape(getattr(op, "weight", ())))
