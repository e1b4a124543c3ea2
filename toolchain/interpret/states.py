"""State of the float neurons, one step at a time."""

from __future__ import annotations

from math import prod

import numpy as np

from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.gates import gate_function
from spikewright.toolchain.ops import (
    Accumulator,
    Array,
    GatedRelay,
    GateNeuron,
    HeldSum,
    Lif,
    Neuron,
    Relay,
    Shape,
    SigmaDelta,
)
from spikewright.toolchain.parameters import grid


def spread(gate: Array, shape: Shape) -> Array:
    """Spread a gate (B, *gate shape) over (B, *shape): a channel vector gets trailing axes."""
    missing = len(shape) - (gate.ndim - 1)
    return gate.reshape(gate.shape + (1,) * missing) if gate.ndim and missing > 0 else gate


def spikes(neuron: Lif, v: Array) -> Array:
    """Return how often membranes fire in one step: how many multiples of the threshold they are above, or reach.

    From (B, *shape) to (B, *shape).
    """
    threshold = grid(neuron.v_threshold, neuron.shape)
    fired = (v > threshold) if neuron.comparison == ">" else (v >= threshold)
    if neuron.max_spikes == 1:
        return fired.astype(np.float64)
    times = v / threshold
    count = np.ceil(times) - 1 if neuron.comparison == ">" else np.floor(times)
    return np.where(fired, np.clip(count, 1, np.inf if neuron.max_spikes is None else neuron.max_spikes), 0.0)


def after_reset(neuron: Lif, v: Array, s: Array) -> Array:
    """Return membranes behind ``s`` spikes, and above the floor. All are (B, *shape)."""
    taken = neuron.v_threshold if neuron.v_subtract is None else neuron.v_subtract
    to = grid(neuron.v_reset, neuron.shape) if neuron.reset == "value" else v - s * grid(taken, neuron.shape)
    v = np.where(s > 0, to, v)
    return v if neuron.v_min is None else np.maximum(v, grid(neuron.v_min, neuron.shape))


class FloatState:
    """u and v of a ``Lif``, or the sum of one that does not fire; ``step`` is the one place of every neuron's equation.

    Where it ``seeks``, ``peaks`` are the largest |u| and |v| before reset of every neuron (n,) so far.
    """

    def __init__(self, op: Neuron, batch: int) -> None:
        self.op = op
        self.v = np.zeros((batch, *op.shape))
        self.u = np.zeros((batch, *op.shape))
        self.hold = np.zeros((batch, *op.shape), np.int64)
        self.seeks = False
        self.peaks = (np.zeros(prod(op.shape)), np.zeros(prod(op.shape)))
        if isinstance(op, Lif):
            self.v += grid(op.v_start, op.shape)

    def step(self, operands: list[Array]) -> Array:
        """Advance one step with operands (B, ...)."""
        match self.op:
            case Lif() as op:
                currents = operands[: len(operands) - op.ports]
                return self.lif(op, self.total(currents), operands[len(currents) :])
            case Accumulator() as op:
                self.u = grid(np.asarray(op.alpha), op.shape) * self.u + self.total(operands)
                kept = grid(np.asarray(op.decay), op.shape) * self.v
                self.v = kept + self.u + grid(np.asarray(op.leak), op.shape)
                return np.maximum(self.v, 0) if op.rectify else self.v
            case GatedRelay() as op:
                currents = operands[: len(operands) - op.ports]
                self.u = self.v = self.total(currents)
                for gate in operands[len(currents) :]:
                    self.v = self.v * spread(gate, op.shape)
                self.peak(self.u, self.v)
                return np.maximum(self.v, 0)
            case Relay() as op:
                self.v = sum((o.reshape(self.v.shape) for o in operands), np.zeros(self.v.shape))
                self.peak(self.v, self.v)
                return self.v
            case SigmaDelta() as op:
                return self.sigma_delta(op, self.total(operands))
            case GateNeuron() as op:
                currents = operands[: len(operands) - op.ports]
                self.v = op.decay * self.v + self.total(currents)
                score = self.v + grid(op.bias, op.shape)
                for factor in operands[len(currents) :]:
                    score = score * spread(factor, op.shape)
                return gate_function(op.function, score)
            case HeldSum() as op:
                self.v = op.decay * self.v + self.total(operands)
                return self.v
            case op:
                raise UnsupportedNodeError(f"no float meaning for {type(op).__name__}", where=f"op {op.name!r}")

    def sigma_delta(self, op: SigmaDelta, x: Array) -> Array:
        """Advance a ``SigmaDelta`` with changes ``x``; ``u`` is what it has sent. All are (B, *shape) of one step."""
        self.v = self.v + x if op.sums else x
        y = self.v + grid(op.bias, op.shape)
        change = (np.maximum(y, 0) if op.rectify else y) - self.u
        change = np.where(np.abs(change) >= grid(op.v_threshold, op.shape), change, 0.0)
        self.u = self.u + change
        return np.asarray(change / op.unit)

    def total(self, currents: list[Array]) -> Array:
        """Return the sum of currents, each of the neurons' shape or flat. Returns (B, *shape)."""
        shaped = (c.reshape(self.v.shape) if c.size == self.v.size else c for c in currents)
        return np.asarray(sum(shaped, np.zeros(self.v.shape)))

    def lif(self, op: Lif, i: Array, gates: list[Array]) -> Array:
        """Advance a ``Lif`` with current ``i``. It is (B, *shape) of one step; so are the spikes that are returned."""
        self.u = grid(op.alpha, op.shape) * self.u + grid(op.gain_u, op.shape) * i
        drive = grid(op.gain, op.shape) * self.u
        inner = gates[:-1] if op.output_gate else gates
        on_drive = len(inner) - op.membrane_gates
        for gate in inner[:on_drive]:
            drive = drive * spread(gate, op.shape)
        if op.rectify:
            drive = np.maximum(drive, 0)
        v = grid(op.beta, op.shape) * self.v + drive + grid(op.leak, op.shape)
        self.peak(self.u, v)
        v = self.scaled(op, v, inner[on_drive:])
        s = self.fire(op, v)
        return s * spread(gates[-1], op.shape) if op.output_gate else s

    def scaled(self, op: Lif, v: Array, gates: list[Array]) -> Array:
        """Return membranes that have integrated, scaled before they may fire: by gates, and by those pooled from them.

        They are (B, *shape), gates broadcast to it.
        """
        for gate in gates:
            v = v * spread(gate, op.shape)
        return v if op.pooled is None else op.pooled.scaled(v)

    def peak(self, u: Array, v: Array) -> None:
        """Remember how far a step took the states, where it seeks that."""
        if self.seeks:
            for peak, state in zip(self.peaks, (u, v), strict=True):
                np.maximum(peak, np.abs(state).max(axis=0).reshape(-1), out=peak)

    def fired(self, op: Lif, v: Array) -> Array:
        """Return how often membranes that may fire do. From (B, *shape) to (B, *shape), of one step."""
        return spikes(op, v)

    def fire(self, op: Lif, v: Array) -> Array:
        """Return the spikes of membranes that have integrated, and reset them; refractory ones stay as they are.

        They are (B, *shape) of one step.
        """
        s = self.fired(op, v)
        if op.refractory == 1:
            self.v = after_reset(op, v, s)
            return s
        free = self.hold == 0
        s = np.where(free, s, 0.0)
        self.v = np.where(free, after_reset(op, v, s), self.v)
        self.hold = np.where(s > 0, op.refractory - 1, np.maximum(self.hold - 1, 0))
        return s
