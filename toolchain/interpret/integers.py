"""The meaning of the integer ops; arithmetic from ``hw_sim.fixed_point``, exact in int64."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import fixed_point as fp
from spikewright.toolchain.backends import IntArray, Recording, RunResult
from spikewright.toolchain.errors import InputError, UnsupportedNodeError
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
    IntOutput,
)
from spikewright.toolchain.interpret.linear import conv2d, exact, over_frames
from spikewright.toolchain.interpret.schedule import loops
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op
from spikewright.toolchain.shapes import shapes

Bool = NDArray[np.bool_]


def connect(op: Connection, x: IntArray) -> IntArray:
    """Return what a connection delivers for messages ``x`` (..., *source shape), without its lag."""
    match op:
        case IntDense(weight=w, exponent=e):
            kind = exact(x, w)
            flat = x.reshape((*x.shape[: x.ndim - _rank(x, w)], -1)).astype(kind)
            return fp.shift((flat @ w.T.astype(kind)).astype(np.int64), e)
        case IntConv(weight=w, exponent=e):
            kind = exact(x, w)
            frames, lead = over_frames(x)
            out = conv2d(frames.astype(kind), w.astype(kind), op.stride, op.padding, op.dilation, op.groups)
            return fp.shift(out.astype(np.int64).reshape(lead + out.shape[1:]), e)
        case IntIdentity(weight=k, exponent=e):
            return fp.shift(x * k, e)
        case IntGateLink():
            return x
        case _:
            raise UnsupportedNodeError("not an integer connection", where=f"op {op.name!r}")


def _rank(x: IntArray, w: IntArray) -> int:
    """Return how many trailing axes of ``x`` hold the dense map's inputs."""
    rank, size = 0, 1
    while size != w.shape[1] or rank == 0:
        rank += 1
        size *= x.shape[-rank]
    return rank


class LifState:
    """u and v of an ``IntLif`` for one batch; ``step`` advances them."""

    def __init__(self, op: IntLif, batch: int) -> None:
        self.op = op
        shape = (batch, *op.shape)
        self.u = np.zeros(shape, np.int64)
        self.v = np.zeros(shape, np.int64)

        def grid(a: IntArray) -> IntArray:
            return a.reshape(op.shape) if a.size == prod(op.shape) else a.reshape((1,) * len(op.shape))

        self.decay_u, self.decay_v, self.bias = grid(op.decay_u), grid(op.decay_v), grid(op.bias)
        self.threshold, self.v_reset = grid(op.threshold), grid(op.v_reset)

    def step(self, operands: list[IntArray]) -> IntArray:
        """Advance one step; see ``hw_sim.program.Lif``."""
        op = self.op
        currents = operands[: len(operands) - op.gates]
        shape = self.v.shape
        a = sum((c.reshape(shape) for c in currents), np.zeros(shape, np.int64))
        self.u = fp.wrap_current(fp.decay(self.u, self.decay_u) + (a << fp.CURRENT_SHIFT))
        drive = self.u + self.bias
        levels = [broadcast(level, op.shape) for level in operands[len(currents) :]]
        for level in levels[:-1] if op.output_gate else levels:
            drive = fp.gain(drive, level, op.gate_bits)
        if op.rectify:
            drive = np.maximum(drive, 0)
        self.v = fp.clip_voltage(fp.decay(self.v, self.decay_v) + drive)
        spikes = (self.v > self.threshold).astype(np.int64)
        reset = self.v_reset if op.reset == "value" else self.v - self.v_reset
        self.v = np.where(spikes > 0, reset, self.v)
        return spikes * levels[-1] if op.output_gate else spikes


class AccumulatorState:
    """The accumulator of an ``IntDeltaRelu`` or ``IntGate``."""

    def __init__(self, op: IntDeltaRelu | IntGate, batch: int) -> None:
        self.op = op
        self.v = np.zeros((batch, *op.shape), np.int64)
        self.sent = np.zeros((batch, *op.shape), np.int64)
        self.decay = _row(op.decay, op.shape)

    def step(self, operands: list[IntArray]) -> IntArray:
        """Advance one step and return what is sent (a change) or held (a level)."""
        shape = self.v.shape
        a = sum((c.reshape(shape) for c in operands), np.zeros(shape, np.int64))
        self.v = fp.clip_voltage(fp.decay(self.v, self.decay) + a)
        match self.op:
            case IntDeltaRelu(shift=bits):
                y = np.maximum(self.v, 0) >> bits
                change, self.sent = y - self.sent, y
                return change
            case IntGate() as op:
                return op.levels[np.searchsorted(op.thresholds, self.v + _row(op.bias, op.shape), side="right")]


def _row(values: IntArray, shape: tuple[int, ...]) -> IntArray:
    return values.reshape(shape) if values.size == prod(shape) else values.reshape((1,) * len(shape))


def broadcast(level: IntArray, shape: tuple[int, ...]) -> IntArray:
    """Spread gate levels (B, *gate shape) over a neuron grid: trailing axes are added to a channel vector."""
    gate = level.shape[1:]
    if len(gate) < len(shape):
        level = level.reshape((level.shape[0], *gate, *(1,) * (len(shape) - len(gate))))
    return level


def _check_payload(op: IntInput, x: IntArray) -> None:
    low, high = (-(1 << op.payload_bits) if op.signed else 0), (1 << op.payload_bits) - 1
    if x.size and (x.min() < low or x.max() > high):
        raise InputError(
            f"payloads run from {x.min()} to {x.max()}; {op.payload_bits} bits hold {low} .. {high}",
            where=f"input {op.name!r}",
            help="encode the data with the bundle's own encoder, or deploy with more --payload-bits",
        )


class _Run:
    """One evaluation: signals by name as (T, B, *shape), filled op by op or step by step."""

    def __init__(self, graph: Graph, x: IntArray) -> None:
        self.graph, self.x = graph, x
        self.T, self.B = x.shape[:2]
        self.out: dict[str, IntArray] = {}
        self.recordings: dict[str, Recording] = {}
        self.shapes = shapes(graph)

    def open(self, op: Op) -> None:
        """Prepare the signal (and state) of an op."""
        self.out[op.name] = np.zeros((self.T, self.B, *self.shapes[op.name]), np.int64)
        match op:
            case IntLif():
                state: LifState | AccumulatorState = LifState(op, self.B)
            case IntDeltaRelu() | IntGate():
                state = AccumulatorState(op, self.B)
            case _:
                return
        self.states[op.name] = state
        decays = isinstance(op, IntLif) and bool((op.decay_u < fp.DECAY_ONE).any())
        empty = np.zeros((self.T, self.B, *op.shape), np.int64)
        self.recordings[op.name] = Recording(self.out[op.name], empty, empty.copy() if decays else None)

    def span(self, ops: tuple[Op, ...]) -> None:
        """Evaluate ops together; a single op without feedback takes whole sequences."""
        self.states: dict[str, LifState | AccumulatorState] = {}
        for op in ops:
            self.open(op)
        if len(ops) == 1 and not isinstance(ops[0], IntLif | IntDeltaRelu | IntGate):
            self.whole(ops[0])
            return
        for t in range(self.T):
            for op in ops:
                self.step(op, t)

    def whole(self, op: Op) -> None:
        match op:
            case IntInput():
                _check_payload(op, self.x)
                self.out[op.name][:] = self.x.reshape(self.out[op.name].shape)
            case IntGateTable(table=table):
                rows = table if table.shape[0] > 1 else np.repeat(table, self.T, axis=0)
                self.out[op.name][:] = rows[: self.T].reshape((self.T, 1, *op.shape))
            case IntGateLink(lag=lag):
                self.out[op.name][:] = 1 << op.gate_bits
                self.out[op.name][lag:] = self.out[op.inputs[0]][: max(self.T - lag, 0)]
            case Connection(lag=lag):
                source = self.out[op.inputs[0]][: max(self.T - lag, 0)]
                if source.size:
                    self.out[op.name][lag:] = connect(op, source).reshape((-1, *self.out[op.name].shape[1:]))
            case IntOutput():
                self.out[op.name][:] = self.out[op.inputs[0]]
            case _:
                raise UnsupportedNodeError(f"no integer meaning for {type(op).__name__}", where=f"op {op.name!r}")

    def step(self, op: Op, t: int) -> None:
        if op.name in self.states:
            state = self.states[op.name]
            self.out[op.name][t] = state.step([self.out[name][t] for name in op.inputs])
            record = self.recordings[op.name]
            record.v[t] = state.v
            if record.u is not None and isinstance(state, LifState):
                record.u[t] = state.u
        elif isinstance(op, Connection):
            ready = t >= op.lag
            if ready:
                source = self.out[op.inputs[0]][t - op.lag]
                self.out[op.name][t] = connect(op, source).reshape(self.out[op.name].shape[1:])
            elif isinstance(op, IntGateLink):
                self.out[op.name][t] = 1 << op.gate_bits
        else:
            raise UnsupportedNodeError(f"{type(op).__name__} inside a feedback loop", where=f"op {op.name!r}")


def run_int(graph: Graph, x: IntArray) -> RunResult:
    """Run integer payloads through an integer graph.

    Args:
        graph: Ops of ``toolchain.int_ops`` with one ``IntInput`` and one ``IntOutput``.
        x: (T, B, *shape) integers.

    Returns:
        The answer (B, n) and a recording of every neuron op.

    Raises:
        InputError: A payload does not fit the input's bits.
    """
    run = _Run(graph, np.asarray(x, np.int64))
    spans, position = loops(graph), 0
    while position < len(graph):
        end = next((e for s, e in spans if s == position), position)
        run.span(graph.ops[position : end + 1])
        position = end + 1
    output = next(op for op in graph if isinstance(op, IntOutput))
    source = run.recordings[output.inputs[0]]
    answer = source.v[-1] if output.readout == "membrane" else source.out.sum(axis=0)
    return RunResult(answer.reshape(run.B, -1), run.recordings)
