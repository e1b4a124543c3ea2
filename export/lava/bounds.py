"""How large messages and sums can get at worst: decides what stock Lava's 24- and 32-bit buffers hold.

|message| <= payload;   |a| <= max over rows of sum |w| * payload, shifted by the exponent
"""

from __future__ import annotations

from spikewright.hw_sim.fixed_point import shifted_bound
from spikewright.toolchain.integer import IntConnection, IntInput, IntNeuron
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op


def worst(graph: Graph, timesteps: int) -> dict[str, int]:
    """Return by name the largest |message| of every neuron and the largest |a| of every connection."""
    found: dict[str, int] = {}
    for op in graph:
        if not isinstance(op, IntConnection):
            found[op.name] = _payload(op, found, timesteps)
        elif op.inputs[0] in found:
            found[op.name] = sum_bound(op, found[op.inputs[0]])
    for op in graph:  # connections that read a later neuron
        if isinstance(op, IntConnection) and op.name not in found:
            found[op.name] = sum_bound(op, found[op.inputs[0]])
    return found


def sum_bound(op: IntConnection, payload: int) -> int:
    """Return the largest |a| a connection can deliver for messages up to ``payload``."""
    return shifted_bound(op.synapses.worst_sum(payload), op.exponent)


def _payload(op: Op, found: dict[str, int], timesteps: int) -> int:
    if isinstance(op, IntInput):
        return op.soma.largest_payload()
    if not isinstance(op, IntNeuron):
        return 1
    inputs = [found.get(name) for name in op.currents]
    current = None if None in inputs else sum(x for x in inputs if x is not None)
    return op.soma.largest_payload(current, timesteps)
