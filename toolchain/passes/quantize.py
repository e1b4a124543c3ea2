"""Quantize: floats to the chip's integers, with one unit S for all synapses that meet in a neuron.

    a = sum w x 2^e  ~  I / S;   v, threshold, bias in S / 64;   the result is exact integers from here on

Weights even 8-bit with an exponent, decays 12-bit, biases 12-bit mantissas, thresholds on the 24-bit grid: ``v >= th`` is
``v > th - 1``; a strict threshold is rounded to the grid of stock Loihi (multiples of 64), so that stock LIF neurons hold it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil, floor, log2, prod
from typing import Any, ClassVar

import numpy as np

from spikewright.hw_sim import somas
from spikewright.hw_sim.fixed_point import CURRENT_SHIFT, DECAY_ONE, STATE_BITS, STATE_MAX, THRESHOLD_SHIFT
from spikewright.hw_sim.somas import GATE_BITS_MAX
from spikewright.hw_sim.synapses import GateLink
from spikewright.toolchain.errors import PassError, UnsupportedNodeError
from spikewright.toolchain.gates import gate_levels, wide_levels
from spikewright.toolchain.integer import IntArray, IntConnection, IntInput, IntNeuron, IntOutput, IntReplay, lif
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.limits import HEADROOM
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
    Op,
    Output,
    Relay,
    Replayed,
    Shape,
)
from spikewright.toolchain.passes import scales as sc
from spikewright.toolchain.passes.base import Pass, is_readout, is_tap
from spikewright.toolchain.passes.filtered_answer import FilteredAnswer, filtered_answer
from spikewright.toolchain.passes.lif_unit import Choice, Reach, State, Unit, lattice, worst
from spikewright.toolchain.passes.on_grid import grid_unit
from spikewright.toolchain.passes.synapses import Synapses
from spikewright.toolchain.shapes import shapes

UNREACHED = 2.0
"""A threshold above so many times what any input can cause is out of reach, also for rounded weights."""
READOUT_LEVELS = 32
"""Steps that a read-out's largest weight has at least; with fewer its sum gets a gain."""
RELAY_BITS = 15
"""Bits of a relay's payload, beside its sign: 16 in all."""
DELTA_BITS = 12
"""Payload bits of a rectifier's messages: products with 8-bit weights of up to 8 inputs stay below 2^23."""


@dataclass(frozen=True, eq=False)
class InputCode:
    """How the chip's input is coded: ``binary`` spikes, integer ``counts``, ``graded`` ones in [0, largest], a ``current``.

    A current: signed ones of at most ``largest``, in payloads as relays send them.
    """

    kind: str
    largest: float = 1.0
    signed: bool = False


@dataclass(frozen=True)
class Quantize(Pass):
    """Turn a lowered float graph into an integer graph."""

    name: ClassVar[str] = "quantize"
    chip: sc.ChipGrid = field(default_factory=sc.ChipGrid)
    payload_bits: int = 8
    gate_bits: int = 8
    input: InputCode = field(default_factory=lambda: InputCode("binary"))
    reach: float | None = None
    """Largest |sum over time| of the answer seen on calibration data; None: the worst case is assumed."""
    peak: float = 0.0
    """Largest |value| of the answer seen there in one step: of the current, or of a leaky read-out's state."""
    reached: Mapping[str, Reach] = field(default_factory=dict)
    """How far every ``Lif`` went there; of one that is not named any input counts."""
    headroom: float = HEADROOM
    """By how much states may go further than on calibration data before they overflow."""
    refine: Mapping[str, float] = field(default_factory=dict)
    """``Lif`` s whose unit is as fine as their state allows, with a second projection for what 8 bits leave of the weights, of
    rows that lose more than this share of theirs."""

    def __call__(self, graph: Graph) -> Graph:
        """Return the integer graph."""
        return _Quantizer(self, graph).run()


class _Quantizer(Synapses):
    """One walk over the graph, op by op; ``unit`` and ``largest`` describe the messages seen so far."""

    def __init__(self, options: Quantize, graph: Graph) -> None:
        super().__init__(graph, options.chip, signed_input=options.input.signed)
        self.o = options
        self.shared = 0.0
        self.factor: dict[str, float] = {}
        self.streams = {op.name for op in graph if isinstance(op, Relay)}

    def run(self) -> Graph:
        for op in self.graph:
            self.announce(op)
        for op in self.graph:
            self.take(op)
        return self.graph.with_ops(self.ops)

    def take(self, op: Op) -> None:
        """Emit the integer form of an op."""
        match op:
            case Input():
                self.input(op)
            case Lif():
                self.lif(op)
            case Accumulator():
                self.sum(op)
            case GatedRelay():
                self.gated_relay(op)
            case Relay():
                self.relay(op)
            case GateNeuron() | HeldSum() | GateTable() | Replayed():
                self.gain_of(op)
            case Output():
                self.output(op)
            case Linear() | Delay():
                return  # taken up by the neuron (or the output) that reads it
            case _:
                raise UnsupportedNodeError(
                    f"{type(op).__name__} has no integer form",
                    where=f"op {op.name!r}",
                    help="see `spikewright passes` for what is lowered before quantize",
                )

    def sum(self, op: Accumulator) -> None:
        """Emit a read-out for the host, or a rectifier; the answer's own sum is taken up by the output."""
        if is_tap(self.graph, op):
            self.tap(op)
        elif not is_readout(self.graph, op):
            self.accumulator(op)

    def gain_of(self, op: GateNeuron | HeldSum | GateTable | Replayed) -> None:
        """Emit what brings a gate, or a factor of one."""
        match op:
            case GateNeuron():
                self.gate(op)
            case HeldSum():
                names, unit, _ = self.integrate(op)
                soma = somas.HeldSum(sc.decay_amount(np.array([_kept(op)])), self.o.gate_bits)
                self.factor[op.name] = unit
                self.emit(op, names, soma, np.array([unit]))
            case GateTable():
                self.table(op, op.table)
            case Replayed():
                self.replayed(op)

    def announce(self, op: Op) -> None:
        """Note the unit of messages whose unit does not depend on other layers."""
        if isinstance(op, Lif):
            one = 1 << self.o.gate_bits if op.output_gate else 1
            most = (
                STATE_MAX if op.max_spikes is None else op.max_spikes
            )  # known better once its threshold is an integer
            self.unit[op.name], self.largest[op.name] = 1 / one, one * most

    # ------------------------------------------------------------------------------------------ messages
    def input(self, op: Input) -> None:
        code = self.o.input
        bits, scale = 1, 1.0
        if code.kind == "counts":
            bits = max(1, ceil(log2(code.largest + 1)))
        elif code.kind == "graded":
            bits, scale = self.o.payload_bits, self.graded_unit(op, code)
        elif code.kind == "current":
            bits, scale = RELAY_BITS, sc.power_of_two(code.largest / ((1 << RELAY_BITS) - 1))
            self.streams.add(op.name)
        soma = somas.Source(bits, code.signed)
        self.unit[op.name], self.largest[op.name] = scale, soma.largest_payload()
        self.ops.append(IntInput(name=op.name, block=op.block, shape=op.shape, soma=soma, scale=scale))

    def graded_unit(self, op: Input, code: InputCode) -> float:
        """Return the payload unit; where payloads are added to synaptic input, a power-of-two multiple of its S.

        Neurons that add payloads as they are have a threshold of whole payloads: gates that saturate meet it exactly.
        """
        finest = code.largest / ((1 << self.o.payload_bits) - 1)
        joined = [r for r in self.graph.readers[op.name] if isinstance(r, Lif)]
        levels = {float(level) for r in joined for level in np.unique(sc.flat(r.v_threshold, r.shape) / self.gain(r))}
        whole = levels.pop() if len(levels) == 1 else 0.0
        tops = [
            np.abs(linear.weight).max(initial=0.0)
            for neuron in joined
            for linear in map(self.graph.__getitem__, neuron.inputs)
            if isinstance(linear, Linear)
        ]
        if not tops:
            return sc.dividing(whole, finest)
        least = float(max(tops)) / sc.levels(self.chip.weight_bits)
        power = 2.0 ** ceil(log2(finest / least))
        self.shared = sc.dividing(whole, least * power) / power
        return self.shared * power

    # -------------------------------------------------------------------------------------------- neurons
    def lif(self, op: Lif) -> None:
        branches, gain = self.branches(op, op.currents), self.gain(op)
        threshold, bias = sc.flat(op.v_threshold, op.shape), self.bias(branches, op.shape)
        leak = sc.flat(op.leak, op.shape) / gain
        if op.gates > op.output_gate + op.membrane_gates and leak.any():
            raise PassError("has both gates and a leak potential", where=f"op {op.name!r}", help="set v_leak to 0")
        if op.filters and bias.any():
            raise PassError(
                "has a bias in front of its synaptic filter", where=f"op {op.name!r}", help="run lower-bias first"
            )
        threshold, never = self.reachable(op, branches, threshold, gain, bias + leak)
        state = State(
            threshold / gain, self.after(op, threshold) / gain, bias + leak, self.tallest(op, threshold, gain), never
        )
        chosen = self.current_unit(op, branches, state)
        unit = chosen.size
        names = self.connect(op, branches, unit, shift=chosen.shift, low=chosen.low)
        links = [self.link(op, port, name) for port, name in enumerate(op.inputs[len(op.currents) :])]
        current = sc.spread_unit(unit, op.shape) / sc.STATE_UNIT
        scale = current * gain
        pooled = self.pooled(op, scale)
        kind = somas.GatedMembrane if pooled else somas.Lif
        soma = kind(
            decay_u=sc.decay_amount(sc.flat(op.alpha, op.shape)),
            decay_v=sc.decay_amount(sc.flat(op.beta, op.shape)),
            bias=sc.integer_bias((bias + leak) / current, f"op {op.name!r}", self.chip),
            threshold=self.threshold(op, threshold / scale, between=chosen.exact and lattice(op)),
            v_reset=self.reset(op, threshold, scale),
            reset=op.reset,
            gates=op.gates,
            gate_bits=self.o.gate_bits,
            rectify=op.rectify,
            output_gate=op.output_gate,
            refractory=op.refractory,
            **self.rare(op, threshold, scale),
            **pooled,
        )
        self.emit(op, (*names, *links), soma, scale)
        if op.max_spikes != 1:
            self.largest[op.name] = soma.largest_payload(sc.worst_sum(branches, unit, self.chip))

    def pooled(self, op: Lif, scale: Array) -> dict[str, Any]:
        """Return the integers of gates on the membrane, where it has them: 8-bit weights, thresholds of wide sums."""
        if not op.membrane_gates and op.pooled is None:
            return {}
        found: dict[str, Any] = {"grid": op.shape, "membrane_gates": op.membrane_gates}
        if op.pooled is None:
            return found
        if np.ptp(scale) > 0:
            raise UnsupportedNodeError(
                "pools the membranes of neurons with different input gains",
                where=f"op {op.name!r}",
                help="give its neurons one gain",
            )
        p, places, unit = op.pooled, prod(op.shape[1:]), float(scale[0])
        top = sc.levels(self.chip.weight_bits)
        if p.squeeze is not None and p.excite is not None:
            squeeze, first = _even(p.squeeze, top)
            excite, second = _even(p.excite, top)
            thresholds, levels = wide_levels(p.function, unit * first * second / places, self.o.gate_bits)
            found |= {"squeeze": squeeze, "excite": excite, "channel_thresholds": thresholds, "levels": levels}
        if p.kernel is not None:
            kernel, step = _even(p.kernel, top)
            thresholds, levels = wide_levels(p.function, unit * step / op.shape[0], self.o.gate_bits)
            found |= {"kernel": kernel, "space_thresholds": thresholds, "levels": levels}
        return found

    def reachable(
        self, op: Lif, branches: list[sc.Branch], threshold: Array, gain: Array, constant: Array
    ) -> tuple[Array, Array]:
        """Return thresholds, those that no input reaches lowered to twice of what one can, and which these are.

        A threshold far above all sums (a neuron that is meant never to fire) would ask for a unit that leaves no weight.
        """
        if op.max_spikes != 1 or op.gates > op.output_gate:
            return threshold, np.zeros(1, bool)
        _, voltage = worst(op, branches, constant, self.graph.timesteps)
        rest = np.maximum(np.abs(sc.flat(op.v_start, op.shape)), np.abs(sc.flat(op.v_reset, op.shape)))
        most = UNREACHED * (voltage * gain + rest)
        never = (threshold > most) & (most > 0)
        return (np.where(never, most, threshold), never) if never.any() else (threshold, np.zeros(1, bool))

    def tallest(self, op: Lif, threshold: Array, gain: Array) -> Array:
        """Return the largest level that v is compared with, held at or starts from, in units of the current, (1,) or (n,)."""
        start, least = (sc.flat(np.zeros(()) if p is None else p, op.shape) for p in (op.v_start, op.v_min))
        return np.asarray(np.maximum(np.maximum(np.abs(threshold), np.abs(start)), np.abs(least)) / gain, np.float64)

    def rare(self, op: Lif, threshold: Array, scale: Array) -> dict[str, Any]:
        """Return the integers of several spikes a step, of the floor and of the start of v, where it has them."""
        found: dict[str, Any] = {}
        if op.max_spikes != 1:
            found |= {"max_spikes": op.max_spikes, "spacing": _spacing(threshold / scale)}
        for name, level in (("v_min", op.v_min), ("v_start", op.v_start)):
            if level is not None and np.any(level if name == "v_start" else True):
                wanted = sc.flat(level, op.shape) / scale
                sc.check_state(float(np.abs(wanted).max()), f"op {op.name!r}", name, self.chip.threshold_max)
                found[name] = np.round(wanted).astype(np.int64)
        return found

    def emit(self, op: Op, inputs: Sequence[str], soma: somas.Soma, scale: Array, shape: Shape | None = None) -> None:
        """Emit neurons in the place of an op; their shape is its own where none is given."""
        own = vars(op)["shape"] if shape is None else shape
        made = IntNeuron(name=op.name, inputs=tuple(inputs), block=op.block, shape=own, soma=soma, scale=scale)
        self.ops.append(made)

    def gain(self, op: Lif) -> Array:
        """Return the neurons' input gain, (1,) or (n,): the worth of v in units of the current."""
        gain = sc.flat(op.gain, op.shape) * sc.flat(op.gain_u, op.shape)
        if (gain <= 0).any():
            raise PassError(
                f"input gain {gain.min():g}; a gain above 0 is allowed",
                where=f"op {op.name!r}",
                help="negate the weights in front instead",
            )
        return gain

    def current_unit(self, op: Lif, branches: list[sc.Branch], state: State) -> Unit:
        """Return S of a neuron's synapses; payloads that are added to synaptic input are an exact multiple of it."""
        identity = [b for b in branches if b.linear is None]
        if identity and self.shared and any(self.unit[b.source] != 1.0 for b in branches):
            return Unit(np.array([min(self.shared, min(b.unit for b in identity) / 2)]))
        choice = Choice(
            op, branches, state, self.chip, self.o.reached.get(op.name), self.o.headroom, self.graph.timesteps
        )
        payloads = [b.unit for b in branches if b.source in self.streams]
        if payloads:  # a power of two, so that what relays send is taken up as it is
            needed = sc.power_of_two(float(choice.needed(1, self.o.headroom)[0]))
            unit = max(needed, sc.stream_unit(branches, self.chip, min(payloads)))
            return Unit(np.array([unit]), shift=-self.chip.exponent_min, low=self.o.refine.get(op.name))
        return choice.unit(refine=self.o.refine.get(op.name))

    def threshold(self, op: Lif, wanted: Array, *, between: bool) -> IntArray:
        """Return thresholds on the chip's grid, from real ones in state units; ``between``: v lies on that grid, too."""
        sc.check_state(float(np.abs(wanted).max()), f"op {op.name!r}", "threshold", self.chip.threshold_max)
        if op.max_spikes != 1:
            return _spacing(wanted) - (op.comparison == ">=")
        if op.comparison == ">=":
            below: IntArray = np.ceil(wanted - 1e-9 * np.maximum(1, np.abs(wanted))).astype(np.int64) - 1
            return below
        if op.refractory > 1 or op.v_min is not None or np.any(op.v_start):
            return np.round(wanted).astype(np.int64)
        if between:
            wanted = np.floor(wanted / (1 << THRESHOLD_SHIFT) + 1e-6) * (1 << THRESHOLD_SHIFT)
        return np.round(wanted / (1 << THRESHOLD_SHIFT)).astype(np.int64) << THRESHOLD_SHIFT

    def reset(self, op: Lif, threshold: Array, scale: Array) -> IntArray:
        """Return what v becomes, or what each spike subtracts from it."""
        if op.reset == "subtract" and op.max_spikes != 1:
            return _spacing(threshold / scale)
        return np.round(self.after(op, threshold) / scale).astype(np.int64)

    def after(self, op: Lif, threshold: Array) -> Array:
        """Return what v becomes, or what a spike subtracts from it, in the net's units."""
        taken = threshold if op.v_subtract is None else sc.flat(op.v_subtract, op.shape)
        return sc.flat(op.v_reset, op.shape) if op.reset == "value" else taken

    def link(self, op: Op, port: int, name: str) -> str:
        """Emit the link from a gate to a neuron's port."""
        source, lag, initial = self.resolve(name)
        if lag and initial != 1.0:
            raise PassError(
                f"has a gate that starts at {initial}; a gate port holds 1 before the first message",
                where=f"op {op.name!r}",
                help="start the gate's delay at 1",
            )
        linked = f"{source}.link"
        if any(made.name == linked for made in self.ops):  # several layers read it
            linked = f"{source}.{op.name}.link"
        made = IntConnection(name=linked, inputs=(source,), block=op.block, synapses=GateLink(port), lag=lag)
        self.ops.append(made)
        return made.name

    def integrate(self, op: Accumulator | GateNeuron | HeldSum) -> tuple[list[str], float, int]:
        """Emit the synapses of an accumulator so that it cannot overflow: (names, S, largest |acc|)."""
        branches = self.branches(op, op.currents)
        if self.bias(branches, op.shape).any():
            raise PassError(
                "has a bias in front of an accumulator", where=f"op {op.name!r}", help="move it to the gate"
            )
        sums = np.any(op.decay) and not (isinstance(op, GateNeuron | HeldSum) and op.differences)
        steps = self.graph.timesteps if sums else 1
        unit = sc.unit_of(branches, self.chip, per_channel=False, floor=0.0)
        while (largest := sc.worst_sum(branches, unit, self.chip) * steps) > STATE_MAX:
            unit = unit * 2
        return self.connect(op, branches, unit), float(unit[0]), largest

    def accumulator(self, op: Accumulator) -> None:
        names, unit, largest = self.integrate(op)
        shift = max(0, largest.bit_length() - DELTA_BITS)
        soma = somas.DeltaRelu(sc.decay_amount(np.array([_one_decay(op)])), shift)
        self.unit[op.name], self.largest[op.name] = unit * 2**shift, soma.largest_payload(largest)
        self.emit(op, names, soma, np.array([unit]))

    def relay(self, op: Relay) -> None:
        """Emit a relay; its payload unit U and its S are powers of two, so that identities along a stream are exact."""
        branches = self.branches(op, op.inputs)
        if self.bias(branches, op.shape).any():
            raise PassError("has a bias in front of a relay", where=f"op {op.name!r}", help="move it to the readers")
        reach = self.o.reached.get(op.name)
        worst = sum((float(sc.largest_sum(b).max(initial=0.0)) for b in branches), 0.0)
        peak = worst if reach is None else min(worst, self.o.headroom * float(reach.current.max(initial=0.0)))
        payload = sc.power_of_two(peak / ((1 << RELAY_BITS) - 1))
        unit = sc.stream_unit(branches, self.chip, payload)
        payload = max(payload, unit)
        unit = max(unit, payload / 2.0 ** (STATE_BITS - 1 - RELAY_BITS))
        soma = somas.Relay(round(log2(payload / unit)), RELAY_BITS)
        names = self.connect(op, branches, np.array([unit]), shift=-self.chip.exponent_min)
        self.unit[op.name], self.largest[op.name] = payload, (1 << RELAY_BITS) - 1
        self.emit(op, names, soma, np.array([unit]))

    def gated_relay(self, op: GatedRelay) -> None:
        """Emit a rectified, gated relay: a neuron that sends how many times the worth U of a payload its drive holds, rounded.

        S and U are powers of two, as of all that streams send; U = S spacing / 64.
        """
        branches, chip = self.branches(op, op.currents), self.chip
        bias = self.bias(branches, op.shape)
        most = sum((float(sc.largest_sum(b).max(initial=0.0)) for b in branches), float(np.abs(bias).max(initial=0.0)))
        reach = self.o.reached.get(op.name)
        current, voltage = (
            min(most, self.o.headroom * float(seen.max(initial=0.0)))
            for seen in ((reach.current, reach.voltage) if reach is not None else (np.full(1, most),) * 2)
        )
        payload = sc.power_of_two(voltage / ((1 << RELAY_BITS) - 1))
        top = max(current / STATE_MAX, float(np.abs(bias).max(initial=0.0)) / chip.bias_max)
        unit = max(sc.stream_unit(branches, chip, payload), sc.power_of_two(top * sc.STATE_UNIT) if top else 0.0)
        spacing = max(1, round(payload * sc.STATE_UNIT / unit))
        names = self.connect(op, branches, np.array([unit]), shift=-chip.exponent_min)
        links = [self.link(op, port, name) for port, name in enumerate(op.inputs[len(op.currents) :])]
        scale = np.array([unit / sc.STATE_UNIT])
        soma = replace(
            lif(
                decay_v=np.full(1, DECAY_ONE, np.int64),
                bias=sc.integer_bias(bias / scale, f"op {op.name!r}", chip),
                threshold=np.full(1, spacing // 2, np.int64),
            ),
            gates=op.gates,
            gate_bits=self.o.gate_bits,
            rectify=True,
            max_spikes=None,
            spacing=np.full(1, spacing, np.int64),
        )
        self.unit[op.name], self.largest[op.name] = spacing * float(scale[0]), STATE_MAX // spacing + 1
        self.emit(op, (*names, *links), soma, scale)

    def gate(self, op: GateNeuron) -> None:
        names, unit, _ = self.integrate(op)
        keep = sc.decay_amount(np.array([_kept(op)]))
        bias = np.round(sc.flat(op.bias, op.shape) / unit).astype(np.int64)
        if not op.factors:
            thresholds, levels = gate_levels(op.function, unit, self.o.gate_bits)
            self.emit(op, names, somas.Gate(keep, bias, thresholds, levels, self.o.gate_bits), np.array([unit]))
            return
        (other,) = op.inputs[len(op.currents) :]
        thresholds, levels = wide_levels(op.function, unit * self.factor[other], self.o.gate_bits)
        soma = somas.ProductGate(keep, bias, thresholds, levels, self.o.gate_bits)
        self.emit(op, [*names, self.link(op, 0, other)], soma, np.array([unit]))

    def tap(self, op: Accumulator) -> None:
        """Emit neurons that hold what they read in one step, for the host, and never fire."""
        branches = self.branches(op, op.inputs)
        bias = self.bias(branches, op.shape)
        top = float(np.abs(bias).max(initial=0.0))
        unit = sc.unit_of(branches, self.chip, per_channel=False, floor=top * sc.STATE_UNIT / self.chip.bias_max)
        while sc.worst_sum(branches, unit, self.chip) + top / float(unit[0]) > STATE_MAX >> CURRENT_SHIFT:
            unit = unit * 2
        soma = lif(
            decay_v=np.full(1, DECAY_ONE, np.int64),
            bias=sc.integer_bias(bias * sc.STATE_UNIT / unit, f"op {op.name!r}", self.chip),
            threshold=np.full(1, STATE_MAX, np.int64),
        )
        self.emit(op, self.connect(op, branches, unit), soma, unit / sc.STATE_UNIT)

    def replayed(self, op: Replayed) -> None:
        soma = somas.HostGate(self.o.gate_bits)
        made = IntReplay(
            name=op.name, inputs=op.inputs, block=op.block, shape=op.shape, soma=soma, of=op.of, dim=op.dim
        )
        self.ops.append(made)

    def table(self, op: GateTable, table: Array) -> None:
        levels = np.round(table * (1 << self.o.gate_bits)).astype(np.int64).reshape(table.shape[0], -1)
        self.emit(op, (), somas.GateTable(levels, self.o.gate_bits), np.ones(1), table.shape[1:])

    # --------------------------------------------------------------------------------------------- answer
    def output(self, op: Output) -> None:
        """Emit the answer: spikes counted, or a neuron that never fires and sums its input over the steps.

        A non-spiking read-out, whose mean over T is the answer, is the same neuron with a filter: see ``filtered_answer``.
        """
        source = self.graph[op.inputs[0]]
        T = self.graph.timesteps
        if len(op.inputs) == 1 and isinstance(source, Lif):
            scale = self.unit[source.name] / T
            made = IntOutput(name=op.name, inputs=op.inputs, block=op.block, readout="spikes", scale=scale)
            self.ops.append(made)
            return
        leaky = isinstance(source, Accumulator)
        branches = self.branches(op, source.inputs if leaky else op.inputs)
        shape = self.answer_shape(op)
        none = FilteredAnswer(np.zeros(()), np.zeros(()), None)
        read = filtered_answer(source, T) if isinstance(source, Accumulator) else none
        bias = self.bias(branches, shape) + sc.flat(read.leak, shape)
        least = float(np.abs(bias).max()) * sc.STATE_UNIT / self.chip.bias_max
        if isinstance(source, Accumulator) and self.outgrows(branches, least):
            read = filtered_answer(source, T, once=True)
        unit, lost = self.readout_unit(branches, bias, read)
        if self.o.reach is None:
            sums = T * T if leaky else T
            while (sc.worst_sum(branches, unit, self.chip) + np.abs(bias).max() / unit) * sums > STATE_MAX >> 6:
                unit = unit * 2
        relayed = any(b.linear is None and b.source in self.streams for b in branches)
        if relayed:  # a power of two, so that what relays send is taken up as it is, but for its last bits
            unit = np.array([sc.power_of_two(float(unit[0]))])
        shift = -self.chip.exponent_min if relayed else None
        names = self.connect(op, branches, unit, shift=shift, low=0.0 if lost else None)
        total = f"{op.name}.sum"
        soma = lif(
            decay_v=np.zeros(1, np.int64),
            decay_u=sc.decay_amount(sc.flat(read.keep, shape)),
            bias=sc.integer_bias(bias * sc.STATE_UNIT / unit, f"op {op.name!r}", self.chip),
            threshold=np.full(1, STATE_MAX, np.int64),
        )
        if lost or read.gains is not None:
            names.append(self.gains(op, read, lost, shape))
            soma = replace(soma, gates=1, gate_bits=GATE_BITS_MAX)
        worth = unit / sc.STATE_UNIT * 2.0**lost * read.largest
        self.ops += [
            IntNeuron(name=total, inputs=tuple(names), block=op.block, shape=shape, soma=soma, scale=worth),
            IntOutput(
                name=op.name,
                inputs=(total,),
                block=op.block,
                readout="membrane",
                scale=float(worth[0]) / T,
            ),
        ]

    def readout_unit(self, branches: list[sc.Branch], bias: Array, read: FilteredAnswer) -> tuple[Array, int]:
        """Return S of a read-out, and by how many bits its sum over the steps is coarser than its current.

        Weights and biases on the chip's grid stay as they are where their sums fit. Long sums ask for a coarse S, until the
        weights themselves round away: then S is that of the current in one step, and a constant gain in front of the sum drops
        its lowest bits (64 state units are one of S, so up to 6 bits cost nothing), and second projections hold what 8 bits
        lose of the weights, which would add up over the steps.
        """
        reach, peak = self.reaches(branches, read)
        least = float(np.abs(bias).max()) * sc.STATE_UNIT / self.chip.bias_max
        fits = max(2 * reach * sc.STATE_UNIT / STATE_MAX, least)
        wide = sc.unit_of(branches, self.chip, per_channel=False, floor=fits)
        kept = grid_unit(branches, self.chip, partial(self.keeps_answer, bias, fits), wide, per_channel=False)
        if kept is not None:
            return kept, 0
        top = max(float(b.magnitudes().max(initial=0.0)) for b in branches) / float(wide[0])
        if self.o.reach is None or top >= READOUT_LEVELS or not top:
            return wide, 0
        step = max(least, self.o.headroom * peak * sc.STATE_UNIT / STATE_MAX)
        fine = sc.unit_of(branches, self.chip, per_channel=False, floor=step)
        finer = max(0, min(self.chip.exponent_max, floor(log2(float(fine[0]) / max(step, 1e-300)))))
        lost = min(GATE_BITS_MAX, ceil(log2(float(wide[0] / fine[0]))) + finer)
        return np.maximum(fine / 2.0**finer, wide / 2.0**lost), lost

    def keeps_answer(self, bias: Array, least: float, unit: Array) -> bool:
        """Say whether a unit holds a read-out's sums, and leaves its biases as they are."""
        wanted = bias * sc.STATE_UNIT / unit
        return bool(unit.min() >= least) and sc.whole(wanted) and self.chip_has(wanted)

    def chip_has(self, biases: Array) -> bool:
        """Say whether whole biases, in state units, are biases of the chip as they are."""
        return bool((sc.integer_bias(biases, "", self.chip) == np.round(biases)).all())

    def outgrows(self, branches: list[sc.Branch], least: float) -> bool:
        """Say whether a leaky read-out's state asks for an S that costs its weights one of 8 bits or more."""
        own = float(sc.unit_of(branches, self.chip, per_channel=False, floor=least)[0])
        return self.o.reach is not None and self.o.reach * sc.STATE_UNIT / STATE_MAX > own

    def reaches(self, branches: list[sc.Branch], read: FilteredAnswer) -> tuple[float, float]:
        """Return the largest sum over the steps, within half of 24 bits, and current of a read-out that calibration saw.

        With gains: |v| <= (sum of n) / g + |n|, and |u| = |n[t] - beta n[t - 1] - leak| <= 2 |n| + |leak|; where u keeps
        nothing, at most what any input causes in one step.
        """
        if self.o.reach is None:
            return 0.0, 0.0
        if read.gains is None:
            return self.o.reach, self.o.peak
        leak, seen = float(np.abs(read.leak).max()), 2 * self.o.peak
        one = seen if read.keep.any() else sum(float(sc.largest_sum(b).max(initial=0.0)) for b in branches)
        return self.o.reach / read.largest + self.o.peak, min(seen, one) + leak

    def gains(self, op: Output, read: FilteredAnswer, lost: int, shape: Shape) -> str:
        """Emit the gains of a read-out, times 2^-lost, and return their link."""
        name = f"{op.name}.gain"
        each = np.ones((1, 1)) if read.gains is None else np.broadcast_to(read.gains, (len(read.gains), *shape))
        levels = np.round(each / read.largest * (1 << (GATE_BITS_MAX - lost))).astype(np.int64).reshape(len(each), -1)
        soma = somas.GateTable(levels, GATE_BITS_MAX)
        link = IntConnection(name=f"{name}.link", inputs=(name,), block=op.block, synapses=GateLink(0))
        own = (1,) if read.gains is None else shape
        self.ops += [IntNeuron(name=name, block=op.block, shape=own, soma=soma, scale=np.ones(1)), link]
        return link.name

    def answer_shape(self, op: Output) -> tuple[int, ...]:
        """Return the shape of what the answer sums."""
        shape = shapes(self.graph)[op.inputs[0]]
        if prod(shape) == 0:
            raise PassError("has an empty answer", where=f"op {op.name!r}", help="give the output at least one value")
        return shape


def _even(weight: Array, top: int) -> tuple[IntArray, float]:
    """Return weights as integers of at most ``top``, and what one is worth."""
    unit = float(np.abs(weight).max(initial=0.0)) / top or 1.0
    return np.round(weight / unit).astype(np.int64), unit


def _kept(op: GateNeuron | HeldSum) -> float:
    """Return the share of its sum that a counter keeps: all of it, where what comes are changes."""
    return 1.0 if op.differences else op.decay


def _spacing(wanted: Array) -> IntArray:
    """Return how far apart the thresholds of several spikes a step lie, in state units: at least 1."""
    return np.maximum(np.round(wanted), 1).astype(np.int64)


def _one_decay(op: Accumulator) -> float:
    """Return the one share of its sum that an accumulator keeps.

    Raises:
        UnsupportedNodeError: Its neurons differ, or it filters or moves its sum.
    """
    if np.size(op.decay) > 1 or np.any(op.alpha) or np.any(op.leak):
        raise UnsupportedNodeError(
            "has a decay of its own for each neuron, a filtered input, or a leak",
            where=f"non-spiking neuron {op.name!r}",
            help="give its neurons one decay",
        )
    return float(np.ravel(op.decay)[0])
