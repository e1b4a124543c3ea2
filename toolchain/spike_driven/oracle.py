"""The oracle of a run: does every layer, one step at a time, compute what the lowered captured net asks of it?

Every neuron gets what the machine recorded of the layers in front of it and of its own state one step before, and takes that
one step with the captured net's real parameters. The machine may be off by the rounding of its integers, and by no more::

    |v scale - v_float|  <=  sum over synapses of (half a weight step) |payload|  +  half steps of decay, bias, gain, threshold

so that a wrong weight, lag or threshold, or a state that saturates, shows in the layer it is in, and in no other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import ceil, log2, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import fixed_point as fp
from spikewright.hw_sim import somas
from spikewright.hw_sim.linear import conv2d
from spikewright.hw_sim.synapses import IdentitySynapses
from spikewright.toolchain.attention_block import replayed
from spikewright.toolchain.backends import IntArray, Recording
from spikewright.toolchain.gates import GateName, gate_function
from spikewright.toolchain.integer import IntConnection, IntInput, IntNeuron, IntOutput, answer_of, source_of
from spikewright.toolchain.interpret.floats import apply
from spikewright.toolchain.interpret.schedule import shifted
from spikewright.toolchain.interpret.states import FloatState, spikes, spread
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
    Accumulator,
    Array,
    Delay,
    GatedRelay,
    GateNeuron,
    GateTable,
    HeldSum,
    Input,
    Lif,
    Linear,
    Neuron,
    Op,
    PooledGates,
    Relay,
    Replayed,
)
from spikewright.toolchain.parameters import grid
from spikewright.toolchain.passes.base import is_tap
from spikewright.toolchain.passes.filtered_answer import FilteredAnswer, filtered_answer
from spikewright.toolchain.passes.scales import flat
from spikewright.toolchain.shapes import shapes

Mask = NDArray[np.bool_]

FIELD_STEPS = 3.0
"""State units that decay, gain and shift may each lose by rounding towards zero in one step."""
GRID = 1 << fp.THRESHOLD_SHIFT
"""State units between two thresholds of the stock grid."""
SLACK = 1e-6
"""Relative error of the real arithmetic itself."""


@dataclass(frozen=True)
class Layer:
    """One layer of the run beside the captured net's equation.

    Args:
        op: Its neurons.
        block: Where they come from.
        reads: The connections in front of them.
        values: Values compared: steps x samples x neurons.
        differ: Messages that differ, each where the membrane is within rounding of its threshold.
        wrong: Values that rounding does not explain, and
        first: the first of them, in words; "" where there is none.
        saturated: How often one of its states wrapped or was clipped.
    """

    op: str
    block: str
    reads: tuple[str, ...]
    values: int
    differ: int
    wrong: int
    first: str
    saturated: int = 0

    @property
    def ok(self) -> bool:
        """Whether it computes what it should."""
        return not self.wrong

    def __str__(self) -> str:
        read = f", reads {', '.join(map(repr, self.reads))}" if self.reads else ""
        full = f"; its state saturated {self.saturated:,} times" if self.saturated else ""
        return (
            f"{self.op!r} (block {self.block!r}{read}): {self.wrong:,} of {self.values:,} values are not what the captured net "
            f"asks for, first {self.first}{full}"
        )


def layers(
    integer: Graph, lowered: Graph, x: IntArray, run: dict[str, Recording], weight_bits: int
) -> tuple[Layer, ...]:
    """Compare every layer of a run with the lowered float net.

    Args:
        integer: The integer graph; its ``scale`` says what a unit of state is worth.
        lowered: The float graph that was quantized.
        x: Payloads that the chip got, (T, B, *shape).
        run: What the machine recorded of every population.
        weight_bits: Bits of a weight, sign included.
    """
    forced = _Forced(integer, lowered, np.asarray(x, np.int64), run, weight_bits)
    return tuple(forced.layer(op) for op in integer if isinstance(op, IntNeuron) and forced.knows(op))


class _Watched(FloatState):
    """A neuron whose membrane is seen before it fires."""

    before: Array
    whole: Array

    def scaled(self, op: Lif, v: Array, gates: list[Array]) -> Array:
        """Keep the membrane, then scale it."""
        self.whole = v
        return super().scaled(op, v, gates)

    def fire(self, op: Lif, v: Array) -> Array:
        """Keep the membrane, then fire."""
        self.before = v
        return super().fire(op, v)


@dataclass(eq=False)
class _Forced:
    """The lowered net with the machine's messages in every signal; signals in real units, (T, B, *shape)."""

    integer: Graph
    lowered: Graph
    x: IntArray
    run: dict[str, Recording]
    weight_bits: int
    known: dict[str, Array] = field(default_factory=dict)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return shapes(self.integer)

    def knows(self, op: IntNeuron) -> bool:
        """Say whether a population is recorded and has an equation in the lowered net."""
        return op.name in self.run and isinstance(self.equation(op), Neuron | Readout)

    def equation(self, op: IntNeuron) -> Op | None:
        """Return the float op of a population."""
        return equation_of(self.integer, self.lowered, op)

    # --------------------------------------------------------------------------------------------- signals
    def value(self, name: str) -> Array:
        """Return a float signal, from what the machine's neurons sent."""
        if name not in self.known:
            self.known[name] = self._value(self.lowered[name])
        return self.known[name]

    def _value(self, op: Op) -> Array:
        T, B = self.x.shape[:2]
        match op:
            case Input():
                return np.asarray(self.x * source_of(self.integer).scale, np.float64)
            case GateTable(table=table):
                rows = table if table.shape[0] > 1 else np.repeat(table, T, axis=0)
                return np.repeat(rows[:T, None], B, axis=1)
            case Replayed():
                return replayed(op, [self.held(name) for name in op.inputs])
            case Neuron():
                sender = self.integer[op.name]
                assert isinstance(sender, IntNeuron)
                return self.sent(sender, self.run[op.name].out)
            case Delay(steps=steps, initial=initial):
                return shifted(self.value(op.inputs[0]), steps, initial)
            case _:
                operands = [self.value(name) for name in op.inputs]
                flat = apply(op, [o.reshape((-1, *o.shape[2:])) for o in operands])
                return np.asarray(flat.reshape((T, B, *flat.shape[1:])))

    def held(self, name: str) -> Array:
        """Return what a population held in every step, in real units."""
        reader = self.integer[name]
        assert isinstance(reader, IntNeuron)
        return np.asarray(self.run[name].v * worth_of(reader), np.float64)

    def payloads(self, op: IntConnection) -> IntArray:
        """Return |payload| that a connection carries at its target's steps, (T, B, n_source)."""
        name = op.inputs[0]
        source = self.integer[name]
        out = self.x if isinstance(source, IntInput) else np.asarray(self.run[name].out, np.int64)
        out = out.reshape(*out.shape[:2], -1)
        held = np.abs(np.cumsum(out, axis=0)) if _held(self.integer, op) else np.abs(out)
        return np.asarray(shifted(held, op.lag, 0))

    def message_unit(self, op: IntNeuron) -> float:
        """Return what one unit of a neuron's messages is worth."""
        return message_worth(self.integer, self.lowered, op.name)

    def sent(self, op: IntNeuron, out: IntArray) -> Array:
        """Return messages in real units; of a rectifier, which sends changes, their sum."""
        real = np.asarray(out, np.float64) * self.message_unit(op)
        return np.cumsum(real, axis=0) if isinstance(op.soma, somas.DeltaRelu) else real

    def rounding(self, op: IntNeuron) -> Array:
        """Return what the rounding of all weights in front of a population can change its input by, in state units."""
        T, B = self.x.shape[:2]
        total = np.zeros((T, B, op.size))
        for name in op.currents:
            connection = self.integer[name]
            assert isinstance(connection, IntConnection)
            total += self.half_step(connection, op) * self.reaching(connection, op)
            total += T * shifted_by(op) if connection.exponent < 0 else 0
        return total.reshape(T, B, *op.shape)

    def half_step(self, op: IntConnection, target: IntNeuron) -> float:
        """Return half a step of a connection's weights, in state units of its target.

        Weights lie on even numbers, times 2^e; where e is above 0 they fill their bits, so that half a step of 8 bits is less
        than a 127th of the largest real weight: an exponent that nothing asks for is no excuse.
        """
        half = shifted_by(target) * 2.0**op.exponent
        linear = self.lowered.by_name.get(op.name)
        if op.exponent <= 0 or not isinstance(linear, Linear):
            return half
        rows = np.abs(linear.weight.reshape(linear.weight.shape[0], -1)).max(axis=1)
        worth = synaptic_worth(self.integer, self.lowered, target)
        each = worth.reshape(rows.size, -1)[:, 0] if worth.size > 1 and worth.size % rows.size == 0 else worth.min()
        largest = float((rows * self.unit(op.inputs[0]) / each).max())
        return min(half, largest / ((1 << self.weight_bits - 1) - 1 - SLACK))

    def current(self, op: IntNeuron) -> Array:
        """Return what a unit of u is worth, before any gain, broadcasting to the shape: of all but a read-out as of v."""
        return current_worth(self.integer, self.lowered, op)

    def unit(self, name: str) -> float:
        """Return what one unit of a message is worth."""
        return message_worth(self.integer, self.lowered, name)

    def reaching(self, op: IntConnection, target: IntNeuron) -> Array:
        """Return the sum of |payload| over the synapses of every neuron."""
        x = self.payloads(op)
        if isinstance(op.synapses, IdentitySynapses):
            return x.astype(np.float64)
        linear = self.lowered.by_name.get(op.name)
        ours = op.synapses.weights
        theirs = linear.weight if isinstance(linear, Linear) and linear.weight.shape == ours.shape else ours
        ones = op.synapses.with_weights(((ours != 0) | (theirs != 0)).astype(np.int64))
        return ones.deliver(x, self.shapes[op.inputs[0]], target.shape).astype(np.float64)

    # ---------------------------------------------------------------------------------------------- layers
    def layer(self, op: IntNeuron) -> Layer:
        """Take every step of a population alone."""
        float_op = self.equation(op)
        record = self.run[op.name]
        match float_op:
            case Lif():
                differ, wrong, said = self.lif(op, float_op, record)
            case Accumulator() if is_tap(self.lowered, float_op):
                differ, wrong, said = self.tap(op, float_op, record)
            case GateNeuron() | HeldSum() | Accumulator():
                differ, wrong, said = self.count(op, float_op, record)
            case GatedRelay():
                differ, wrong, said = self.gated_relay(op, float_op, record)
            case Relay():
                differ, wrong, said = self.relay(op, float_op, record)
            case _:
                assert isinstance(float_op, Readout)
                differ, wrong, said = self.readout(op, float_op, record)
        return Layer(op.name, op.block, op.currents + op.links, record.out.size, differ, wrong, said)

    def lif(self, op: IntNeuron, neuron: Lif, record: Recording) -> tuple[int, int, str]:
        """Compare spikes and membranes, and set the state to the machine's behind every step."""
        soma = op.soma
        assert isinstance(soma, somas.Lif)
        worth, found = worth_of(op), _Found()
        operands = [self.value(name) for name in neuron.inputs]
        lost = self.rounding(op) + _fields(soma)
        share = 2 * (2.0**-12 + SLACK)
        state = _Watched(neuron, self.x.shape[1])
        for t, (out, v) in enumerate(zip(record.out, record.v, strict=True)):
            held = state.hold
            size = np.abs(state.v) / worth
            state.step([o[t] for o in operands])
            bound = lost[t] + share * (size + np.abs(state.before) / worth)
            bound = bound + self.levels_lost(soma, neuron, state, [o[t] for o in operands]) / worth
            if isinstance(soma, somas.GatedMembrane) and neuron.pooled is not None:
                bound = bound + pooled_room(soma, neuron.pooled, state.whole, bound * worth) / worth
            count, bad, seen = self.fired(soma, out, operands, t)
            seen &= held == 0
            low, high = (seen * spikes(neuron, state.before + sign * (bound + GRID) * worth) for sign in (-1, 1))
            due = seen * spikes(neuron, state.before)
            found.add(t, bad | (count < low) | (count > high), count, due)
            found.differ += int((count != due).sum())
            room = (bound + GRID * due) * worth
            found.add(t, seen & (count == due) & (np.abs(v * worth - state.v) > room), v * worth, state.v, room)
            state.v = v * worth
            if record.u is not None:
                state.u = record.u[t] * worth / grid(neuron.gain, neuron.shape)
            state.hold = np.where(count > 0, neuron.refractory - 1, np.maximum(held - 1, 0))
        return found.said()

    def levels_lost(self, soma: somas.Lif, neuron: Lif, state: _Watched, operands: list[Array]) -> Array:
        """Return what the rounding of constant gates to levels changes of a membrane in a step, in real units.

        Half a level of one gate counts by what it scales, the other gates on it included: of a small gate it is a large share.
        """
        half = 0.5 / (1 << soma.gate_bits)
        names = neuron.inputs[len(neuron.currents) : len(neuron.inputs) - neuron.output_gate]
        gates = [spread(gate, neuron.shape) for gate in operands[len(neuron.currents) :]][: len(names)]
        on_drive = len(names) - neuron.membrane_gates
        total = np.zeros(state.whole.shape)
        for k, name in enumerate(names):
            if isinstance(self.lowered[name], GateTable | Replayed):
                scaled = np.abs(grid(neuron.gain, neuron.shape) * state.u if k < on_drive else state.whole)
                for j, other in enumerate(gates):
                    if j != k and (k < on_drive or j >= on_drive):
                        scaled = scaled * (np.abs(other) + half)
                total = total + half * scaled
        return total

    def fired(self, soma: somas.Lif, out: IntArray, operands: list[Array], t: int) -> tuple[IntArray, Mask, Mask]:
        """Return how many spikes messages stand for, which carry another level than their gate's, and where spikes are seen.

        A neuron whose output gate is shut sends nothing, wherever its membrane is.
        """
        if not soma.output_gate:
            return out, np.zeros(out.shape, bool), np.ones(out.shape, bool)
        gate = np.broadcast_to(spread(operands[-1][t], out.shape[1:]), out.shape)
        one = 1 << soma.gate_bits
        wrong = (out != 0) & (np.abs(out - gate * one) > 1)
        return np.asarray(out != 0, np.int64), wrong, np.round(gate * one) > 0

    def tap(self, op: IntNeuron, reads: Accumulator, record: Recording) -> tuple[int, int, str]:
        """Compare what a read-out holds of one step."""
        worth, found, soma = worth_of(op), _Found(), op.soma
        assert isinstance(soma, somas.Lif)
        wanted = sum((o.reshape(record.v.shape) for o in map(self.value, reads.inputs)), np.zeros(()))
        room = (self.rounding(op) + _fields(soma) + np.abs(wanted) / worth * SLACK) * worth
        found.add(None, np.abs(record.v * worth - wanted) > room, record.v * worth, wanted, room)
        return found.said()

    def count(
        self, op: IntNeuron, counter: GateNeuron | HeldSum | Accumulator, record: Recording
    ) -> tuple[int, int, str]:
        """Compare the sum of a counter or gate, and the level that a gate makes of it."""
        worth, lost, found = worth_of(op), self.rounding(op) + FIELD_STEPS, _Found()
        total = sum((o.reshape((*o.shape[:2], *op.shape)) for o in map(self.value, counter.currents)), np.zeros(()))
        before = shifted(record.v * worth, 1, 0.0)
        wanted = total + counter.decay * before
        room = (lost + np.abs(before) / worth * (2.0**-12 + SLACK)) * worth
        found.add(None, np.abs(record.v * worth - wanted) > room, record.v * worth, wanted, room)
        if isinstance(counter, GateNeuron):
            soma = op.soma
            assert isinstance(soma, somas.Gate)
            bias = grid(counter.bias, op.shape)
            step = 1.0 / (1 << soma.gate_bits)
            level = record.out * step
            factors = [spread(self.value(name), op.shape) for name in counter.inputs[len(counter.currents) :]]
            times = np.asarray(np.prod(factors, axis=0)) if factors else np.ones(())
            score, wide = (wanted + bias) * times, (room + worth) * np.abs(times)
            low, high = (gate_function(counter.function, score + sign * wide) for sign in (-1, 1))
            found.add(None, (level < low - step) | (level > high + step), record.out, wanted)
        return found.said()

    def relay(self, op: IntNeuron, relay: Relay, record: Recording) -> tuple[int, int, str]:
        """Compare the sum of a relay, and what it sends of it."""
        worth, found = worth_of(op), _Found()
        wanted = sum((o.reshape((*o.shape[:2], *op.shape)) for o in map(self.value, relay.inputs)), np.zeros(()))
        room = (self.rounding(op) + FIELD_STEPS + np.abs(wanted) / worth * SLACK) * worth
        for got, more in ((record.v * worth, 0.0), (self.sent(op, record.out), self.message_unit(op))):
            found.add(None, np.abs(got - wanted) > room + more, got, wanted, room + more)
        return found.said()

    def gated_relay(self, op: IntNeuron, relay: GatedRelay, record: Recording) -> tuple[int, int, str]:
        """Compare what a rectified relay sends of its gated sum; its membrane is reset whenever it sends."""
        soma = op.soma
        assert isinstance(soma, somas.Lif)
        found, half = _Found(), 0.5 / (1 << soma.gate_bits)
        total = sum((o.reshape((*o.shape[:2], *op.shape)) for o in map(self.value, relay.currents)), np.zeros(()))
        gates = [spread(self.value(name), op.shape) for name in relay.inputs[len(relay.currents) :]]
        exact = loose = np.ones(())
        for gate in gates:
            exact, loose = exact * gate, loose * (np.abs(gate) + half)
        wanted = np.maximum(exact * total, 0)
        room = (self.rounding(op) + _fields(soma) + np.abs(total) / worth_of(op) * SLACK) * worth_of(op) * loose
        room = room + np.abs(total) * (loose - np.abs(exact)) + self.message_unit(op)
        got = self.sent(op, record.out)
        found.add(None, np.abs(got - wanted) > room, got, wanted, room)
        return found.said()

    def readout(self, op: IntNeuron, read: Readout, record: Recording) -> tuple[int, int, str]:
        """Compare what is added to the answer in every step: the current, times the gain of the step."""
        worth, found = worth_of(op), _Found()
        soma = op.soma
        assert isinstance(soma, somas.Lif)
        gain, level = readout_gains(self.integer, op, read)
        drive = sum((o.reshape(record.v.shape) for o in map(self.value, read.inputs)), np.zeros(()))
        drive = drive + grid(read.held.leak, op.shape)
        keeps = bool(np.any(read.held.keep))
        if record.u is not None:
            drive = drive + grid(read.held.keep, op.shape) * shifted(record.u * self.current(op), 1, 0.0)
        wanted = shifted(record.v * worth, 1, 0.0) + gain * drive
        size = np.abs(wanted) / worth + np.abs(gain * drive) / worth * 2.0**-soma.gate_bits / level * soma.gates
        room = (self.rounding(op) + _fields(soma) + size * (SLACK + (2.0**-12 if keeps else 0.0))) * worth
        found.add(None, np.abs(record.v * worth - wanted) > room, record.v * worth, wanted, room)
        return found.said()


@dataclass(eq=False)
class _Found:
    """What was found of one population."""

    differ: int = 0
    wrong: int = 0
    first: str = ""

    def add(self, t: int | None, bad: Mask, got: NDArray[Any], due: Array, room: Array | None = None) -> None:
        """Add values (B, *shape) of step ``t``, or (T, B, *shape), that rounding does not explain."""
        count = int(bad.sum())
        if count and not self.wrong:
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            step, sample, *where = at if t is None else (t, *at)
            near = "" if room is None else f" +- {np.broadcast_to(room, bad.shape)[at]:.2g}"
            what = "sends" if room is None else "holds"
            self.first = (
                f"neuron {tuple(where)} of sample {sample} in step {step} {what} {got[at]:.4g}, "
                f"where {np.broadcast_to(due, bad.shape)[at]:.4g}{near} is due"
            )
        self.wrong += count

    def said(self) -> tuple[int, int, str]:
        """Return (differ, wrong, first)."""
        return self.differ, self.wrong, self.first


@dataclass(frozen=True, eq=False, kw_only=True)
class Readout(Op):
    """The answer's neurons in the lowered net: what they add up, filtered, and with which gain in each step."""

    held: FilteredAnswer


def readout_gains(integer: Graph, op: IntNeuron, read: Readout) -> tuple[Array, Array]:
    """Return the real gains of a read-out's current, and its machine's, a share of 1, (T, 1, *shape) or with axes of 1."""
    rank = (1,) * len(op.shape)
    asked = np.ones((1, 1, *rank)) if read.held.gains is None else read.held.gains[:, None]
    if not op.links:
        return asked, np.ones((1, 1, *rank))
    table = integer[integer[op.links[0]].inputs[0]]
    assert isinstance(table, IntNeuron)
    assert isinstance(table.soma, somas.GateTable)
    rows = np.asarray(table.soma.table, np.float64) / (1 << table.soma.gate_bits)
    shape = op.shape if rows.shape[1] > 1 or op.size == 1 else rank
    return asked, rows.reshape(len(rows), 1, *shape)


def current_worth(integer: Graph, lowered: Graph, op: IntNeuron) -> Array:
    """Return what a unit of u is worth, before any gain of the step, broadcasting to the shape."""
    read = equation_of(integer, lowered, op)
    if not isinstance(read, Readout):
        return worth_of(op)
    _, level = readout_gains(integer, op, read)
    return np.asarray(worth_of(op) * level.max() / read.held.largest)


def synaptic_worth(integer: Graph, lowered: Graph, op: IntNeuron) -> Array:
    """Return what a unit of synaptic input is worth, before any gain, (1,) or (n,)."""
    worth, real = current_worth(integer, lowered, op).reshape(-1), lowered.by_name.get(op.name)
    return worth / (flat(real.gain, op.shape) * flat(real.gain_u, op.shape)) if isinstance(real, Lif) else worth


def equation_of(integer: Graph, lowered: Graph, op: IntNeuron) -> Op | None:
    """Return the float op of a population; None where the lowered net has none."""
    if op.name in lowered:
        return lowered[op.name]
    return _readout(integer, lowered) if op.name == answer_of(integer).inputs[0] else None


def message_worth(integer: Graph, lowered: Graph, name: str) -> float:
    """Return what one unit of a message is worth: of a gated relay, one step of its threshold."""
    source = integer[name]
    if isinstance(source, IntInput):
        return source.scale
    assert isinstance(source, IntNeuron)
    if isinstance(source.soma, somas.Lif) and isinstance(lowered.by_name.get(name), GatedRelay):
        return float(source.scale.reshape(-1)[0]) * float(source.soma.spacing.reshape(-1)[0])
    return message_unit(source)


def _readout(integer: Graph, lowered: Graph) -> Readout | None:
    output = lowered.output
    first = lowered[output.inputs[0]]
    if isinstance(first, Accumulator):
        held = filtered_answer(first, lowered.timesteps, once=gained_by_step(integer))
        return Readout(name=output.name, inputs=first.inputs, held=held)
    linear = all(isinstance(lowered[name], Linear | Delay) for name in output.inputs)
    none = FilteredAnswer(np.zeros(()), np.zeros(()), None)
    return (
        Readout(name=output.name, inputs=output.inputs, held=none)
        if linear and isinstance(integer.output, IntOutput)
        else None
    )


def gained_by_step(integer: Graph) -> bool:
    """Say whether the answer's neurons scale their current by a gain of its own in each step."""
    sums = integer[answer_of(integer).inputs[0]]
    held = [integer[integer[link].inputs[0]] for link in sums.links] if isinstance(sums, IntNeuron) else []
    tables = [table.soma for table in held if isinstance(table, IntNeuron)]
    return any(isinstance(table, somas.GateTable) and len(table.table) > 1 for table in tables)


def _held(integer: Graph, op: IntConnection) -> bool:
    """Say whether a connection's target adds up the changes that its source sends."""
    source, target = integer[op.inputs[0]], integer.readers[op.name][0]
    return (
        isinstance(source, IntNeuron)
        and isinstance(source.soma, somas.DeltaRelu)
        and isinstance(target, IntNeuron)
        and isinstance(target.soma, somas.Gate | somas.HeldSum)
    )


def message_unit(op: IntNeuron) -> float:
    """Return what one unit of a neuron's messages is worth: a level of 1.0, a unit of a rectifier's sum, one spike."""
    match op.soma:
        case somas.HeldSum():
            return float(op.scale.reshape(-1)[0])
        case somas.DeltaRelu(shift=shift) | somas.Relay(shift=shift):
            return float(op.scale.reshape(-1)[0]) * float(1 << shift)
        case somas.Gate(gate_bits=bits) | somas.Lif(output_gate=True, gate_bits=bits):
            return 1.0 / (1 << bits)
        case _:
            return 1.0


def pooled_room(soma: somas.GatedMembrane, gates: PooledGates, v: Array, room: Array) -> Array:
    """Return by how much scaled membranes may differ where the weights of pooled gates are rounded, and v is off by ``room``.

    Args:
        soma: The integers.
        gates: The real gates.
        v: Membranes (B, C, ...) before they are scaled, and
        room: what they are off.
    """
    one = 2.0**-soma.gate_bits
    off = np.asarray(np.broadcast_to(room, v.shape).max())
    total, axes = np.zeros(v.shape), tuple(range(2, v.ndim))
    if gates.squeeze is not None and gates.excite is not None:
        units = [np.abs(w).max() / max(1, np.abs(n).max()) / 2 for w, n in zip(
            (gates.squeeze, gates.excite), (soma.squeeze, soma.excite), strict=True
        )]  # fmt: skip
        score, error = np.zeros(()), np.zeros(())
        for pool in (v.mean(axis=axes), v.max(axis=axes)):
            hidden = np.maximum(pool @ gates.squeeze.T, 0)
            lost = (np.abs(pool) * units[0]) @ np.ones_like(gates.squeeze.T) + off * (
                np.abs(gates.squeeze) + units[0]
            ).sum(axis=1)
            score = score + hidden @ gates.excite.T
            error = error + lost @ (np.abs(gates.excite) + units[1]).T + units[1] * hidden.sum(axis=1, keepdims=True)
        gate, loose = _loose(gates.function, score, error)
        shape = (*gate.shape, *(1,) * len(axes))
        total = np.abs(v) * (loose + one).reshape(shape)
        v, off = v * gate.reshape(shape), off + total.max()
    if gates.kernel is not None:
        unit = np.abs(gates.kernel).max() / max(1, np.abs(soma.kernel).max()) / 2
        both = np.stack([v.mean(axis=1), v.max(axis=1)], 1)
        pad = (gates.kernel.shape[-1] // 2,) * 2
        score = conv2d(both, gates.kernel, (1, 1), pad)[:, 0]
        ones = np.ones_like(gates.kernel)
        error = unit * conv2d(np.abs(both), ones, (1, 1), pad)[:, 0] + off * (np.abs(gates.kernel) + unit).sum()
        _, loose = _loose(gates.function, score, error)
        total = total + np.abs(v) * (loose + one)[:, None]
    return total


def _loose(function: GateName, score: Array, error: Array) -> tuple[Array, Array]:
    """Return a gate, and how far it may be off where its argument is."""
    low, gate, high = (gate_function(function, score + sign * error) for sign in (-1, 0, 1))
    return gate, np.maximum(gate - low, high - gate)


def shifted_by(op: IntNeuron) -> int:
    """Return the state units of one unit of synaptic input."""
    return 1 << fp.CURRENT_SHIFT if isinstance(op.soma, somas.Lif) else 1


def worth_of(op: IntNeuron) -> Array:
    """Return what a unit of state is worth, broadcasting to the shape."""
    scale = np.asarray(op.scale, np.float64).reshape(-1)
    return scale.reshape(op.shape) if scale.size == prod(op.shape) else scale[:1].reshape((1,) * len(op.shape))


def _fields(soma: somas.Lif) -> float:
    """Return the half steps of a neuron's own integers, in state units."""
    top = float(np.abs(soma.bias).max(initial=0))
    exponent = max(0, ceil(log2(max(top, 1.0) / fp.BIAS_MANTISSA[1])))
    return FIELD_STEPS + soma.ports + 0.5 * float(1 << exponent) + (GRID if (soma.v_reset != 0).any() else 0)
