"""Are the integers those of the lowered net? Number by number, from structure alone: a run shows only what data reaches.

|w 2^e - W U / S| <= half a step of the weights          U: the worth of a message, S: of a unit of synaptic input
|decay - 4096 (1 - keep)| <= 1/2;    threshold, bias, reset, start, floor: v / scale within a step of their grids
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import fixed_point as fp
from spikewright.hw_sim import somas
from spikewright.hw_sim.synapses import IdentitySynapses
from spikewright.toolchain.gates import gate_levels, wide_levels
from spikewright.toolchain.integer import IntConnection, IntNeuron, IntOutput
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
    Array,
    GatedRelay,
    GateNeuron,
    GateTable,
    HeldSum,
    Lif,
    Linear,
    Neuron,
    PooledGates,
)
from spikewright.toolchain.passes import scales as sc
from spikewright.toolchain.passes.lif_unit import lattice, worst
from spikewright.toolchain.passes.synapses import LOW, Synapses
from spikewright.toolchain.spike_driven.loaded import Misfit, same
from spikewright.toolchain.spike_driven.oracle import (
    Readout,
    current_worth,
    equation_of,
    message_worth,
    shifted_by,
    synaptic_worth,
)

HALF = 0.5 + 1e-6
"""Half a step, and the rounding of the real arithmetic itself."""
STEP = 1 + 1e-6
"""One unit, likewise."""
GRID = 1 << fp.THRESHOLD_SHIFT
"""A strict threshold lies on the grid of stock neurons, below the real one where the membrane lies on it, too."""


def other_integers(integer: Graph, lowered: Graph, weight_bits: int) -> Iterator[Misfit]:
    """Yield every op whose integers are not the lowered net's numbers, rounded.

    Args:
        integer: The integer graph; its ``scale`` says what a unit of state is worth.
        lowered: The float graph that was quantized.
        weight_bits: Bits of a weight, sign included.
    """
    numbers = _Numbers(integer, lowered, weight_bits)
    for op in integer:
        match op:
            case IntConnection():
                wrong = numbers.of_synapses(op)
            case IntOutput():
                wrong = numbers.of_answer(op)
            case _:
                wrong = numbers.of_neurons(op)
        if said := "; ".join(wrong):
            yield Misfit(op.name, op.block, said)


def _away(what: str, got: Any, due: Any, room: Any) -> Iterator[str]:
    """Yield in words the value that is farther from what is due than ``room``, if there is one."""
    got, due, room = np.broadcast_arrays(np.asarray(got), np.asarray(due, np.float64), np.asarray(room))
    off = np.abs(got - due) - room - 1e-9 * np.abs(due)
    if off.size and off.max() > 0:
        at = tuple(int(i) for i in np.unravel_index(int(off.argmax()), off.shape))
        place = f" at {at}" if got.size > 1 else ""
        yield f"{what} {got[at]:g}{place}, where the captured net asks for {due[at]:.6g}"


def _unlike(what: str, got: object, due: object) -> Iterator[str]:
    """Yield in words what is not as it should be."""
    if got != due:
        yield f"{what} {got}, where the captured net asks for {due}"


@dataclass(frozen=True, eq=False)
class _Numbers:
    """The lowered net's numbers in units of the machine's."""

    integer: Graph
    lowered: Graph
    weight_bits: int
    chip: sc.ChipGrid = field(default_factory=sc.ChipGrid)

    @cached_property
    def messages(self) -> Synapses:
        """What neurons read, as linear maps on messages."""
        made = Synapses(self.lowered, self.chip)
        for op in self.integer:
            sends = isinstance(op, IntNeuron) and op.soma.sends != "gate"
            if op.name in self.lowered and (sends or op.name == self.integer.input.name):
                made.unit[op.name] = message_worth(self.integer, self.lowered, op.name)
                made.largest[op.name] = op.soma.largest_payload()  # type: ignore[attr-defined]
        return made

    def of_answer(self, op: IntOutput) -> Iterator[str]:
        """Yield a scale that does not make the mean over the steps of what is read."""
        source = self.integer[op.inputs[0]]
        spikes = op.readout == "spikes"
        worth = message_worth(self.integer, self.lowered, source.name) if spikes else float(_worth(source)[0])
        yield from _unlike("held", op.held, False)
        yield from _away("scale", op.scale * self.integer.timesteps, worth, abs(worth) * 1e-6)

    # ------------------------------------------------------------------------------------------- synapses
    def of_synapses(self, op: IntConnection) -> Iterator[str]:
        """Yield weights, summed up over first and second projections, that are not the map's, and another geometry."""
        target = self.integer.readers[op.name][0]
        linear = self.lowered.by_name.get(op.name)
        direct = isinstance(op.synapses, IdentitySynapses) and op.name not in self.lowered
        if op.synapses.gate or op.late is not None or self.second(op) or not isinstance(target, IntNeuron):
            return
        if not (direct or isinstance(linear, Linear)) or equation_of(self.integer, self.lowered, target) is None:
            return
        if isinstance(linear, Linear) and not same(linear.synapses(op.synapses.weights), op.synapses):
            yield "has another shape or geometry than the captured net's map"
            return
        weight = linear.weight if isinstance(linear, Linear) else np.ones(1)
        unit = shifted_by(target) * self.rows(target, weight.shape[0])
        due = (
            weight
            * message_worth(self.integer, self.lowered, op.inputs[0])
            / unit.reshape(-1, *(1,) * (weight.ndim - 1))
        )
        low = self.integer.by_name.get(op.name + LOW)
        got = op.synapses.weights.reshape(weight.shape) * 2.0**op.exponent
        if isinstance(low, IntConnection) and self.second(low):
            got = got + low.synapses.weights.reshape(weight.shape) * 2.0**low.exponent
        half = 2.0**op.exponent
        if (op.synapses.weights & 1).any():  # odd ones are held as they are, or not at all
            half = sc.WHOLE * float(np.abs(due).max(initial=1.0))
        elif op.exponent > 0:  # weights fill their bits: an exponent that nothing asks for is no excuse
            half = min(half, float(np.abs(due).max(initial=0.0)) / ((1 << self.weight_bits - 1) - 1 - 1e-6))
        yield from _away("holds a weight of", got, due, half * (1 + 1e-6))

    def second(self, op: IntConnection) -> bool:
        """Say whether a connection holds what a first one leaves of its weights; the two are judged as one."""
        return op.name not in self.lowered and op.name.endswith(LOW) and op.name.removesuffix(LOW) in self.integer

    def rows(self, op: IntNeuron, channels: int) -> Array:
        """Return what a unit of the state that synapses add to is worth, (1,) or (channels,)."""
        worth = synaptic_worth(self.integer, self.lowered, op)
        return worth if worth.size == 1 else worth.reshape(channels, -1)[:, 0]

    # -------------------------------------------------------------------------------------------- neurons
    def of_neurons(self, op: Any) -> Iterator[str]:
        """Yield fields of neurons or gates that are not the lowered net's."""
        real = equation_of(self.integer, self.lowered, op) if isinstance(op, IntNeuron) else None
        if isinstance(real, GateTable):
            yield from self.table(op, real)
        match real, getattr(op, "soma", None):
            case Lif(), somas.Lif():
                yield from self.ports(op, real.inputs[len(real.currents) :])
                yield from self.lif(op, real)
            case GatedRelay(), somas.Lif():
                yield from self.ports(op, real.inputs[len(real.currents) :])
                yield from self.biases(op, self.constant(op, real.currents), _worth(op))
            case GateNeuron(), somas.Gate():
                yield from self.gate(op, real)
            case Readout(), somas.Lif():
                yield from self.readout(op, real)
            case Neuron(), somas.Lif():
                yield from self.biases(op, self.constant(op, real.inputs), _worth(op))
            case Neuron(), _:
                yield from self.sums(op, real)

    def sums(self, op: IntNeuron, real: Neuron) -> Iterator[str]:
        """Yield a decay of neurons that sum up and do not fire; others have none."""
        keep, got = getattr(real, "decay", None), getattr(op.soma, "decay", None)
        if keep is not None and got is not None:
            yield from _decay("decay", got, 1.0 if isinstance(real, HeldSum) and real.differences else keep)

    def constant(self, op: IntNeuron, names: tuple[str, ...]) -> Array:
        """Return the biases of the maps that neurons read, (1,) or (n,), in the net's units."""
        real = equation_of(self.integer, self.lowered, op)
        assert real is not None
        return self.messages.bias(self.messages.branches(real, names), op.shape)

    def biases(self, op: IntNeuron, due: Array, worth: Array) -> Iterator[str]:
        """Yield a bias that is off by more than half a step of its mantissa."""
        wanted = due / worth
        top = float(np.abs(wanted).max(initial=0.0))
        exponent = max(0, ceil(log2(max(top, 1.0) / fp.BIAS_MANTISSA[1]) - 1e-9))
        yield from _away("bias", op.soma.bias, wanted, HALF * (1 << exponent))  # type: ignore[attr-defined]

    def lif(self, op: IntNeuron, real: Lif) -> Iterator[str]:
        """Yield fields of a LIF."""
        soma, scale = op.soma, _worth(op)
        assert isinstance(soma, somas.Lif)
        for name in ("reset", "rectify", "output_gate", "refractory", "max_spikes", "gates"):
            yield from _unlike(name, getattr(soma, name), getattr(real, name))
        yield from _decay("decay_u", soma.decay_u, sc.flat(real.alpha, op.shape))
        yield from _decay("decay_v", soma.decay_v, sc.flat(real.beta, op.shape))
        gain = sc.flat(real.gain, op.shape) * sc.flat(real.gain_u, op.shape)
        constant = self.constant(op, real.currents) + sc.flat(real.leak, op.shape) / gain
        yield from self.biases(op, constant, scale / gain)
        wanted = sc.flat(real.v_threshold, op.shape) / scale
        never = self.never(op, real, constant, wanted)
        due, room = _threshold(real, soma.threshold, wanted)
        yield from _away("threshold", np.where(never, due, soma.threshold), due, room)
        if real.max_spikes != 1:
            yield from _away("spacing", soma.spacing, np.maximum(wanted, 1), HALF)
        taken = real.v_threshold if real.v_subtract is None else real.v_subtract
        after = sc.flat(real.v_reset if real.reset == "value" else taken, op.shape) / scale
        after = np.maximum(after, 1) if real.reset == "subtract" and real.max_spikes != 1 else after
        yield from _away("v_reset", np.where(never, after, soma.v_reset), after, HALF)
        yield from _away("v_start", soma.v_start, sc.flat(real.v_start, op.shape) / scale, HALF)
        yield from _unlike("floor", soma.floored, real.v_min is not None)
        if real.v_min is not None and soma.floored:
            yield from _away("v_min", soma.v_min, sc.flat(real.v_min, op.shape) / scale, HALF)
        if isinstance(soma, somas.GatedMembrane):
            yield from _unlike("membrane_gates", soma.membrane_gates, real.membrane_gates)
            yield from self.pooled(op, soma, real.pooled)

    def never(self, op: IntNeuron, real: Lif, constant: Array, wanted: Array) -> Any:
        """Return which neurons have a lower threshold than asked for, which no input reaches all the same."""
        soma = op.soma
        assert isinstance(soma, somas.Lif)
        lower = soma.threshold < wanted - GRID
        if not lower.any() or real.gates > real.output_gate or real.max_spikes != 1:
            return np.zeros(1, bool)
        gain = sc.flat(real.gain, op.shape) * sc.flat(real.gain_u, op.shape)
        branches = self.messages.branches(real, real.currents)
        _, voltage = worst(real, branches, constant, self.lowered.timesteps)
        rest = np.maximum(np.abs(sc.flat(real.v_start, op.shape)), np.abs(sc.flat(real.v_reset, op.shape)))
        return lower & (soma.threshold * _worth(op) > voltage * gain + rest)

    def pooled(self, op: IntNeuron, soma: somas.GatedMembrane, real: PooledGates | None) -> Iterator[str]:
        """Yield weights and thresholds of pooled gates."""
        if real is None:
            yield from _unlike("pooled gates", soma.pools, False)
            return
        top, scale = sc.levels(self.weight_bits), float(_worth(op)[0])
        squeeze, first = _whole(real.squeeze, top)
        excite, second = _whole(real.excite, top)
        kernel, step = _whole(real.kernel, top)
        for name, due in (("squeeze", squeeze), ("excite", excite), ("kernel", kernel)):
            got = getattr(soma, name)
            if got.size != due.size:
                yield f"{name} of {got.size} weights, where the captured net asks for {due.size}"
            else:
                yield from _away(f"{name} weight", got, due.reshape(got.shape), HALF)
        places = int(np.prod(op.shape[1:]))
        asked = {
            "channel_thresholds": scale * first * second / places if squeeze.size else 0.0,
            "space_thresholds": scale * step / op.shape[0] if kernel.size else 0.0,
        }
        for name, unit in asked.items():
            if unit:
                yield from _levels(
                    name, getattr(soma, name), soma.levels, wide_levels(real.function, unit, soma.gate_bits)
                )

    def ports(self, op: IntNeuron, gates: tuple[str, ...]) -> Iterator[str]:
        """Yield a gate port that reads another gate than the captured net's."""
        for port, (link, gate) in enumerate(zip(op.links, gates, strict=False)):
            held, due = self.integer[link], self.messages.resolve(gate)[0]
            if held.inputs[0] != due:
                yield f"port {port} reads {held.inputs[0]!r}, where the captured net asks for {due!r}"

    def gate(self, op: IntNeuron, real: GateNeuron) -> Iterator[str]:
        """Yield fields of a gate."""
        soma, unit = op.soma, float(_worth(op)[0])
        assert isinstance(soma, somas.Gate)
        yield from _decay("decay", soma.decay, 1.0 if real.differences else real.decay)
        yield from _away("bias", soma.bias, sc.flat(real.bias, op.shape) / unit, HALF)
        made = gate_levels
        for name in real.inputs[len(real.currents) :]:
            made, unit = wide_levels, unit * float(_worth(self.integer[name])[0])  # type: ignore[assignment]
        yield from _levels("thresholds", soma.thresholds, soma.levels, made(real.function, unit, soma.gate_bits))

    def table(self, op: IntNeuron, real: GateTable) -> Iterator[str]:
        """Yield a level of a table of gains."""
        if isinstance(op.soma, somas.GateTable):
            due = real.table.reshape(len(real.table), -1) * (1 << op.soma.gate_bits)
            if due.shape != op.soma.table.shape:
                yield f"a table of {op.soma.table.shape} levels, where the captured net asks for {due.shape}"
            else:
                yield from _away("level", op.soma.table, due, HALF)

    def readout(self, op: IntNeuron, real: Readout) -> Iterator[str]:
        """Yield fields of the answer's neurons."""
        soma = op.soma
        assert isinstance(soma, somas.Lif)
        worth = current_worth(self.integer, self.lowered, op).reshape(-1)
        due = self.constant(op, real.inputs) + sc.flat(real.held.leak, op.shape)
        yield from self.biases(op, due, worth)
        yield from _decay("decay_u", soma.decay_u, sc.flat(real.held.keep, op.shape))
        yield from _decay("decay_v", soma.decay_v, np.ones(1))


def _threshold(real: Lif, got: NDArray[np.int64], wanted: Array) -> tuple[Array, float]:
    """Return the threshold that is due in state units, and how far the loaded one may be from it."""
    if real.max_spikes != 1:
        return np.maximum(wanted, 1) - (real.comparison == ">="), HALF
    if real.comparison == ">=":
        slack = sc.WHOLE * np.maximum(1, np.abs(wanted))
        return np.clip(got, np.ceil(wanted - slack) - 1, np.ceil(wanted - slack / 1000) - 1), 0.0
    if real.refractory > 1 or real.v_min is not None or np.any(real.v_start):
        return wanted, HALF
    return wanted, (GRID if lattice(real) else GRID / 2) * (1 + sc.WHOLE)


def _worth(op: Any) -> Array:
    return np.asarray(op.scale, np.float64).reshape(-1)


def _decay(name: str, got: NDArray[Any], keep: Any) -> Iterator[str]:
    yield from _away(name, got, fp.DECAY_ONE * (1 - np.asarray(keep, np.float64)), HALF)


def _whole(weight: Array | None, top: int) -> tuple[Array, float]:
    """Return weights in steps of their largest over ``top``, and what a step is worth; nothing of none."""
    if weight is None:
        return np.zeros(0), 1.0
    unit = float(np.abs(weight).max(initial=0.0)) / top or 1.0
    return weight / unit, unit


def _levels(
    name: str,
    thresholds: NDArray[np.int64],
    levels: NDArray[np.int64],
    due: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> Iterator[str]:
    """Yield thresholds and levels of a gate function that are not as computed from its equation."""
    for what, got, wanted in ((name, thresholds, due[0]), ("levels", levels, due[1])):
        if got.shape != wanted.shape:
            yield f"{got.size} {what}, where the captured net asks for {wanted.size}"
        else:
            yield from _away(what, got, wanted, STEP)
