"""Synapses of the integer graph: the messages a neuron reads, as linear maps, and the connections they become."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np

from spikewright.hw_sim.synapses import IdentitySynapses
from spikewright.toolchain.errors import PassError, UnsupportedNodeError
from spikewright.toolchain.integer import IntArray, IntConnection
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Accumulator, Array, Delay, Input, Lif, Linear, Op, Relay
from spikewright.toolchain.passes import scales as sc

LOW = ".low"
"""Ends the name of a second projection: that of the first, and this."""


@dataclass
class Synapses:
    """What is known of the messages so far, and the integer ops made of them.

    Args:
        graph: The lowered float graph.
        chip: Whose integers they become.
        ops: Integer ops, in order.
        unit: What one payload unit of a message is worth, by source.
        largest: Largest payload magnitude, by source.
        signed_input: Whether the input's payloads can be negative.
    """

    graph: Graph
    chip: sc.ChipGrid
    ops: list[Op] = field(default_factory=list)
    unit: dict[str, float] = field(default_factory=dict)
    largest: dict[str, int] = field(default_factory=dict)
    signed_input: bool = False

    def resolve(self, name: str) -> tuple[str, int, float]:
        """Follow delays back to a signal: (name, steps, value before)."""
        steps, initial = 0, 0.0
        while isinstance(op := self.graph[name], Delay):
            steps, initial, name = steps + op.steps, op.initial, op.inputs[0]
        return name, steps, initial

    def branches(self, op: Op, names: tuple[str, ...]) -> list[sc.Branch]:
        """Return the operands of a neuron as linear maps on messages.

        Raises:
            PassError: A delayed signal does not start at 0.
            UnsupportedNodeError: An operand sends no messages.
        """
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
            shift = self.chip.gated_shift if isinstance(sender, Lif) and sender.output_gate else 0
            signed = isinstance(sender, Accumulator | Relay) or (isinstance(sender, Input) and self.signed_input)
            found.append(sc.Branch(source, lag, linear, self.unit[source], self.largest[source], shift, signed))
        return found

    def connect(
        self, op: Op, branches: list[sc.Branch], unit: Array, *, shift: int | None = None, low: float | None = None
    ) -> list[str]:
        """Emit integer connections and return their names.

        Args:
            op: The neurons they end at.
            branches: What those read.
            unit: S.
            shift: Bits that sums may lose; None: as each branch says.
            low: Emit second projections of what the first ones leave of the weights, of rows that lose more than this share of
                theirs (see ``scales.low_weights``); None: of no row.
        """
        names = []
        for position, branch in enumerate(branches):
            linear = branch.linear
            name = f"{op.name}.in{position}" if linear is None else linear.name
            held = sc.integer_weights(branch, unit, self.chip, f"op {name!r}", shift=shift)
            block = op.block if linear is None else linear.block
            names.append(self.connection(name, branch, block, *held))
            lowest = -(branch.shift if shift is None else shift)
            rest = None if low is None else sc.low_weights(branch, unit, self.chip, held, lowest, low)
            if rest is not None:
                names.append(self.connection(name + LOW, branch, block, *rest))
        return names

    def connection(self, name: str, branch: sc.Branch, block: str, w: IntArray, exponent: int) -> str:
        """Emit one connection and return its name."""
        made = IdentitySynapses(int(w.item())) if branch.linear is None else branch.linear.synapses(w)
        self.ops.append(
            IntConnection(
                name=name, inputs=(branch.source,), block=block, synapses=made, exponent=exponent, lag=branch.lag
            )
        )
        return name

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
