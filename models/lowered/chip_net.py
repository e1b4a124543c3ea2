r"""The integer graph in torch: the numbers of the chip forward, to the bit; backward the arrays of the float graph behind them.

    w 2^e = round(W U / S):   dw = dW U / (S 2^e);    b = round(B 64 / S):   db = dB 64 / S

U is the worth of a message, S of a unit of synaptic input. The integers come from ``passes.quantize`` itself, so they are those
that a deployment gets. Only sums below 2^24 are made in float32, others in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from spikewright.hw_sim import somas, synapses
from spikewright.hw_sim.fixed_point import CURRENT_SHIFT, DECAY_ONE
from spikewright.hw_sim.linear import EXACT_FLOAT32
from spikewright.models.lowered.evaluation import At, Evaluation
from spikewright.models.lowered.float_net import FloatNet, Seen, convolved, gate, late, total
from spikewright.models.lowered.neurons import ChipCell, peaks_of
from spikewright.models.lowered.rounding import clipped, decayed, shifted, through
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.integer import (
    IntConnection,
    IntInput,
    IntNeuron,
    IntOutput,
    answer_of,
    separated,
)
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array, GatedRelay, GateNeuron, Lif, Linear, Op
from spikewright.toolchain.shapes import shapes

STATE_UNIT = float(1 << CURRENT_SHIFT)


class ChipNet:
    """A float net as its chip computes it, for the arrays it has now.

    Args:
        net: The float net, whose parameters get the gradients.
        integer: What ``Quantize`` made of its graph.
    """

    def __init__(self, net: FloatNet, integer: Graph) -> None:
        self.net, self.graph = net, separated(integer)
        self.shapes = shapes(self.graph)
        self.like = net.like
        self.largest = {op.name: _largest(self.graph, op) for op in self.graph if isinstance(op, IntInput | IntNeuron)}
        self.weights = {
            op.name: self._weight(op)
            for op in self.graph
            if isinstance(op, IntConnection) and not isinstance(op.synapses, synapses.GateLink)
        }
        self.tables = {
            op.name: self._table(op)
            for op in self.graph
            if isinstance(op, IntNeuron) and isinstance(op.soma, somas.GateTable)
        }

    # ------------------------------------------------------------------------------- integers and their gradients
    def worth(self, name: str) -> float:
        """Return what one unit of a message is worth in the float net.

        Raises:
            UnsupportedNodeError: The layer sends no messages.
        """
        op = self.graph[name]
        if isinstance(op, IntInput):
            return op.scale
        assert isinstance(op, IntNeuron)
        match op.soma:
            case somas.Lif() if isinstance(self.net.graph.by_name.get(name), GatedRelay):
                return float(op.scale[0]) * float(op.soma.spacing[0])
            case somas.Lif():
                return 1.0 / (1 << op.soma.gate_bits) if op.soma.output_gate else 1.0
            case somas.DeltaRelu() | somas.Relay():
                return float(op.scale[0]) * 2.0**op.soma.shift
            case _:
                raise UnsupportedNodeError(f"{type(op.soma).__name__} sends no messages", where=f"op {name!r}")

    def unit(self, op: IntNeuron) -> Array:
        """Return S, (1,) or one a neuron."""
        if not isinstance(op.soma, somas.Lif):
            return op.scale
        source = self.net.graph.by_name.get(op.name)
        if isinstance(source, Lif):
            return op.scale * STATE_UNIT / (_flat(source.gain, op.shape) * _flat(source.gain_u, op.shape))
        if isinstance(source, GatedRelay):
            return op.scale * STATE_UNIT
        return op.scale * STATE_UNIT / 2.0 ** self._dropped(op)

    def _dropped(self, op: IntNeuron) -> int:
        """Return the bits that a read-out's constant gain drops."""
        if not op.links:
            return 0
        link = self.graph[op.links[0]]
        table = self.graph[link.inputs[0]]
        assert isinstance(table, IntNeuron)
        assert isinstance(table.soma, somas.GateTable)
        return table.soma.gate_bits - (int(table.soma.table.max()).bit_length() - 1)

    def _weight(self, op: IntConnection) -> Tensor:
        """Return a connection's integers with the gradient of the map they come from; a second projection has none."""
        integers = torch.as_tensor(np.asarray(op.synapses.weights)).to(self._exact(op))
        linear = self.net.graph.by_name.get(op.name)
        if not isinstance(linear, Linear) or (op.name, "weight") not in self.net.slots:
            return integers.to(self.like.device)
        target = self.graph.readers[op.name][0]
        assert isinstance(target, IntNeuron)
        per = self.unit(target)
        rows = per if per.size == 1 else per.reshape(linear.weight.shape[0], -1)[:, 0]
        factor = self.worth(op.inputs[0]) / (rows * 2.0**op.exponent)
        weight = self.net.value(linear, "weight").to(integers.dtype)
        scaled = weight * torch.as_tensor(factor).to(weight).reshape(-1, *(1,) * (weight.ndim - 1))
        return through(scaled, integers.to(weight.device))

    def _exact(self, op: IntConnection) -> torch.dtype:
        """Return the type in which the sums of a connection are exact."""
        heaviest = op.synapses.heaviest() * self.largest[op.inputs[0]]
        return self.like.dtype if heaviest < EXACT_FLOAT32 else torch.float64

    def _table(self, op: IntNeuron) -> Tensor:
        """Return the levels (T or 1, *shape) of a gate table with the gradient of the table they come from."""
        assert isinstance(op.soma, somas.GateTable)
        integers = torch.as_tensor(op.soma.table).to(self.like).reshape(-1, *op.shape)
        source = self.net.graph.by_name.get(op.name)
        if source is None or (op.name, "table") not in self.net.slots:
            return integers
        return through(self.net.value(source, "table") * float(1 << op.soma.gate_bits), integers)

    def bias(self, op: IntNeuron) -> Tensor | None:
        """Return a LIF's biases with the gradients of those of the maps in front; None where there are none."""
        soma = op.soma
        assert isinstance(soma, somas.Lif)
        maps = [m for m in self._maps(op) if (m.name, "bias") in self.net.slots]
        if not maps:
            return None
        current = torch.as_tensor(self.unit(op) / STATE_UNIT).to(self.like)
        real = total([_spread(self.net.value(m, "bias"), op.shape) for m in maps])
        scaled = (real.reshape(-1) / current).reshape(op.shape)
        integers = torch.as_tensor(soma.bias).to(self.like)
        return through(scaled, integers.expand(prod(op.shape)).reshape(op.shape))

    def _maps(self, op: IntNeuron) -> list[Linear]:
        found = [self.net.graph.by_name.get(name) for name in op.currents]
        return [m for m in found if isinstance(m, Linear)]

    # ------------------------------------------------------------------------------------------------ running
    def forward(self, payloads: Tensor) -> Tensor:
        """Return the answers (B, n), in the net's units, to payloads (T, B, *shape)."""
        return self.run(payloads).answers

    def run(self, payloads: Tensor, *, silent: bool = False) -> Seen:
        """Run payloads; ``silent``: nothing fires, and the peaks of the membranes are kept."""
        return _Run(self, payloads.to(self.like), silent).seen()

    def delivered(self, op: IntConnection, x: Tensor) -> Tensor:
        """Return (W x) << exponent of messages (N, *shape)."""
        weight, target = self.weights[op.name], self.shapes[op.name]
        match op.synapses:
            case synapses.IdentitySynapses():
                a = x * weight.to(x)
            case synapses.DenseSynapses():
                a = functional.linear(x.flatten(1).to(weight), weight)
            case synapses.ConvSynapses():
                a = convolved(op.synapses, x.to(weight), weight)
            case _:
                a = self._listed(op, x, weight)
        return shifted(a, op.exponent).to(self.like).reshape(-1, *target)

    def _listed(self, op: IntConnection, x: Tensor, weight: Tensor) -> Tensor:
        rows, columns, values = op.synapses.entries(self.shapes[op.inputs[0]], self.shapes[op.name])
        flat = x.flatten(1).to(weight)
        found = flat.new_zeros((flat.shape[0], prod(self.shapes[op.name])))
        return found.index_add(1, torch.as_tensor(rows), flat[:, columns] * torch.as_tensor(values).to(flat))


def _largest(graph: Graph, op: IntInput | IntNeuron) -> int:
    """Return the largest |payload| of a message."""
    return op.soma.largest_payload()


def _flat(parameter: Array, shape: tuple[int, ...]) -> Array:
    p = np.asarray(parameter, np.float64)
    if p.size == 1:
        return p.reshape(1)
    return np.broadcast_to(p.reshape(p.shape + (1,) * (len(shape) - p.ndim)), shape).reshape(-1)


def _spread(bias: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return a bias of one value a channel, or a neuron, for every neuron."""
    if bias.numel() == prod(shape):
        return bias.reshape(shape)
    return bias.reshape(bias.shape + (1,) * (len(shape) - bias.ndim)).expand(shape)


@dataclass
class _Sum:
    """An accumulator's or gate's sum, and what it sent last."""

    v: Tensor
    sent: Tensor


class _Run(Evaluation):
    """One evaluation of an integer graph."""

    def __init__(self, net: ChipNet, x: Tensor, silent: bool) -> None:
        super().__init__(x)
        self.net = net
        self.cells: dict[str, ChipCell] = {}
        self.sums: dict[str, _Sum] = {}
        for op in net.graph:
            if isinstance(op, IntNeuron) and isinstance(op.soma, somas.Lif):
                self.cells[op.name] = ChipCell(op, net.like, net.bias(op))
                self.cells[op.name].silent = silent and bool(op.inputs)  # what reads nothing is a bias itself
                self.cells[op.name].start(self.B)
            elif isinstance(op, IntNeuron):
                zero = net.like.new_zeros((self.B, *op.shape))
                self.sums[op.name] = _Sum(zero, zero)
        self.evaluate(net.graph)

    def seen(self) -> Seen:
        """Return what it showed."""
        output = answer_of(self.net.graph)
        source = output.inputs[0]
        if output.readout == "spikes":
            answers = self.out[source].sum(0)
        else:
            answers = (self.cells[source] if source in self.cells else self.sums[source]).v
        return Seen(answers.flatten(1) * output.scale, self.out, peaks_of(self.net.graph, self.cells))

    def stepwise(self, op: Op) -> bool:
        """Say whether an op has a state."""
        return isinstance(op, IntNeuron)

    def whole(self, op: Op) -> Tensor:
        """Evaluate an op over all steps."""
        if isinstance(op, IntInput):
            return self.x.reshape(self.T, self.B, *op.shape)
        if isinstance(op, IntOutput):
            return self.out[op.inputs[0]]
        assert isinstance(op, IntConnection)
        x = late(self.out[op.inputs[0]], op.lag, self.before(op))
        return (
            x if op.name not in self.net.weights else self.connected(op, x.flatten(0, 1)).unflatten(0, (self.T, self.B))
        )

    def connected(self, op: IntConnection, x: Tensor) -> Tensor:
        """Return what a connection delivers for messages (N, *shape); a gate link its levels."""
        return x if op.name not in self.net.weights else self.net.delivered(op, x)

    def before(self, op: IntConnection) -> float:
        """Return what a connection reads before the first message."""
        source = self.net.graph[op.inputs[0]]
        return float(source.soma.idle) if isinstance(source, IntNeuron) else 0.0

    def one(self, op: Op, t: int, at: At) -> Tensor:
        """Evaluate an op at a step."""
        if isinstance(op, IntNeuron):
            return self.neuron(op, t, [at(name, t) for name in op.inputs])
        assert isinstance(op, IntConnection)
        source = op.inputs[0]
        shape = (self.B, *self.net.shapes[source])
        x = at(source, t - op.lag) if t >= op.lag else self.x.new_full(shape, self.before(op))
        return self.connected(op, x)

    def neuron(self, op: IntNeuron, t: int, operands: list[Tensor]) -> Tensor:
        """Advance neurons one step."""
        if op.name in self.net.tables:
            table = self.net.tables[op.name]
            return table[t if len(table) > 1 else 0].expand(self.B, *op.shape)
        count = len(op.currents)
        zero = self.net.like.new_zeros((self.B, *op.shape))
        current = total([zero, *(o.reshape(self.B, *op.shape) for o in operands[:count])])
        if op.name in self.cells:
            return self.cells[op.name].step(current, operands[count:])
        return STEPS[type(op.soma)](self, op, current)

    def delta(self, op: IntNeuron, current: Tensor) -> Tensor:
        """Advance accumulators, which send changes."""
        soma, state = op.soma, self.sums[op.name]
        assert isinstance(soma, somas.DeltaRelu)
        state.v = clipped(decayed(state.v, self.cell_row(DECAY_ONE - soma.decay, op)) + current)
        y = shifted(state.v.clamp(min=0), -soma.shift)
        change, state.sent = y - state.sent, y
        return change

    def relayed(self, op: IntNeuron, current: Tensor) -> Tensor:
        """Round the sums of linear neurons to payloads."""
        soma = op.soma
        assert isinstance(soma, somas.Relay)
        self.sums[op.name].v = v = current.clamp(-soma.limit, soma.limit)
        return shifted(v + soma.half, -soma.shift) if soma.shift else v

    def cell_row(self, values: np.ndarray, op: IntNeuron) -> Tensor:
        """Return integers of one value, or one a neuron, as they broadcast over (B, *shape)."""
        row = torch.as_tensor(np.asarray(values)).to(self.net.like)
        return row.reshape(()) if row.numel() == 1 else row.reshape(op.shape)

    def level(self, op: IntNeuron, current: Tensor) -> Tensor:
        """Advance gate neurons; backward the real gate function."""
        soma, state = op.soma, self.sums[op.name]
        assert isinstance(soma, somas.Gate)
        state.v = clipped(decayed(state.v, self.cell_row(DECAY_ONE - soma.decay, op)) + current)
        bias = self.cell_row(soma.bias, op)
        source, unit = self.net.net.graph[op.name], float(op.scale[0])
        assert isinstance(source, GateNeuron)
        real = self.net.net.value(source, "bias")
        real = real.reshape(real.shape + (1,) * (len(op.shape) - real.ndim)) if real.ndim else real
        thresholds = torch.as_tensor(soma.thresholds).double()
        at = torch.bucketize((state.v.detach() + bias).double(), thresholds, right=True)
        levels = torch.as_tensor(soma.levels).to(state.v)[at]
        return through(gate(source.function, state.v * unit + real) * float(1 << soma.gate_bits), levels)


STEPS: Mapping[type[somas.Soma], Callable[[_Run, IntNeuron, Tensor], Tensor]] = {
    somas.DeltaRelu: _Run.delta,
    somas.Relay: _Run.relayed,
    somas.Gate: _Run.level,
}
"""How the neurons of the machine advance that are neither a LIF (``ChipCell``) nor a table."""
TRAINED = (somas.Lif, somas.GateTable, *STEPS)
"""The neurons of the machine that have a gradient here."""
WHY_NOT: Mapping[type[somas.Soma], str] = {
    somas.GatedMembrane: "its gates scale membranes inside the step",
    somas.HostGate: "its gates come from the host, which has seen all steps",
    somas.HeldSum: "it is a factor of a gate of two counts, whose product has no gradient here",
    somas.ProductGate: "it is a gate of two counts, whose product has no gradient here",
    somas.SigmaDelta: "it sends what a threshold lets through of a change, which has no gradient here",
}
"""Why others are not trained."""


def untrained(op: IntNeuron) -> str:
    """Say why neurons cannot be trained; "": they can."""
    return "" if type(op.soma) in TRAINED else WHY_NOT.get(type(op.soma), "it has no gradient here")
