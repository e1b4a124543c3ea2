"""Synapses of the integer graph: the messages a neuron reads, as linear maps, and the connections they become."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np

from spikewright.hw_sim.synapses import IdentitySynapses
from spikewright.toolchain.errors import PassError, UnsupportedNodeError
from spikewright.toolchain.integer import IntConnection
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array, Delay, Lif, Linear, Op
from spikewright.toolchain.passes import scales as sc


@dataclass
class Synapses:
    """What is known of the messages so far, and the integer ops made of them.

    Args:
        graph: The lowered float graph.
        weight_bits: Bits per weight, sign included.
        ops: Integer ops, in order.
        unit: What one payload unit of a message is worth, by source.
        largest: Largest payload magnitude, by source.
    """

    graph: Graph
    weight_bits: int
    ops: list[Op] = field(default_factory=list)
    unit: dict[str, float] = field(default_factory=dict)
    largest: dict[str, int] = field(default_factory=dict)

    def resolve(self, name: str) -> tuple[str, int, float]:
        """Follow delays back to a signal: (name, steps, value before)."""
        steps, initial = 0, 0.0
        while isinstance(op := self.graph[name], Delay):
            steps, initial, name = steps + op.steps, op.initial, op.inputs[0]
        return name, steps, initial

    def branches(self, op: Op, names: tuple[str, ...]) -> list[sc.Branch]:
        """Return the operands of a neuron as linear maps on messages."""
        found = []
        for name in names:
            source, lag, initial = self.resolve(name)
            producer = self.graph[source]
            linear = producer if isinstance(producer, Linear) else None
            if linear is not None:
                source, more, first = self.resolve(linear.inputs[0])
                lag, initial = lag + more, initial or first
            if initial:
                raise PassError(
                    f"reads a delayed signal that starts at {initial}; a synapse delivers 0 before the first message",
                    where=f"op {op.name!r}",
                    help="start the delay at 0",
                )
            if source not in self.unit:
                raise UnsupportedNodeError(
                    f"reads {type(self.graph[source]).__name__} {source!r}, which sends no messages",
                    where=f"op {op.name!r}",
                    help="a synapse can only read spikes: put a spiking neuron in between",
                )
            sender = self.graph[source]
            shift = sc.GATED_SHIFT if isinstance(sender, Lif) and sender.output_gate else 0
            found.append(sc.Branch(source, lag, linear, self.unit[source], self.largest[source], shift))
        return found

    def connect(self, op: Op, branches: list[sc.Branch], unit: Array) -> list[str]:
        """Emit integer connections and return their names."""
        names = []
        for position, branch in enumerate(branches):
            linear = branch.linear
            name = f"{op.name}.in{position}" if linear is None else linear.name
            w, e = sc.integer_weights(branch, unit, self.weight_bits, f"op {name!r}")
            made = IdentitySynapses(int(w.item())) if linear is None else linear.synapses(w)
            block = op.block if linear is None else linear.block
            self.ops.append(
                IntConnection(
                    name=name, inputs=(branch.source,), block=block, synapses=made, exponent=e, lag=branch.lag
                )
            )
            names.append(name)
        return names

    def bias(self, branches: list[sc.Branch], shape: tuple[int, ...]) -> Array:
        """Return the sum of the branches' biases per neuron, (1,) or (n,)."""
        total = np.zeros(1)
        for branch in branches:
            if branch.linear is not None and branch.linear.bias is not None:
                total = total + _per_neuron(branch.linear.bias, shape)
        return total


def _per_neuron(bias: Array, shape: tuple[int, ...]) -> Array:
    """Return a bias of one value a channel, or of one a neuron, as (1,) or (n,)."""
    return sc.flat(bias.reshape(shape) if bias.size == prod(shape) else bias, shape)
