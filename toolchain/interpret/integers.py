"""The meaning of an integer graph: the ``step`` of its somas and the ``deliver`` of its synapses, exact in int64.

Signals are flat, (T, B, n), here; recordings have their shapes.
"""

from __future__ import annotations

import numpy as np

from spikewright.hw_sim import fixed_point as fp
from spikewright.hw_sim.somas import Soma, State
from spikewright.hw_sim.synapses import spread
from spikewright.toolchain.backends import IntArray, Recording, RunResult
from spikewright.toolchain.errors import InputError, UnsupportedNodeError
from spikewright.toolchain.integer import IntConnection, IntInput, IntNeuron, IntOutput, answer_of, by_delay
from spikewright.toolchain.interpret.schedule import spans
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op
from spikewright.toolchain.shapes import Shape, shapes


class _Run:
    """One evaluation: signals by name as (T, B, n), filled op by op or step by step."""

    def __init__(self, graph: Graph, x: IntArray) -> None:
        self.graph, self.x = graph, x
        self.T, self.B = x.shape[:2]
        self.out: dict[str, IntArray] = {}
        self.recordings: dict[str, Recording] = {}
        self.states: dict[str, State] = {}
        self.by_delay: dict[str, tuple[IntConnection, ...]] = {}
        self.saturations: dict[str, tuple[int, int]] = {}
        self.shapes = shapes(graph)

    def open(self, op: Op) -> None:
        """Prepare the signal (and state) of an op."""
        size = int(np.prod(self.shapes[op.name]))
        self.out[op.name] = np.zeros((self.T, self.B, size), np.int64)
        if not isinstance(op, IntNeuron):
            return
        self.states[op.name] = op.soma.start((self.B, size))
        if op.soma.states:
            out, shape = self.out[op.name], (self.T, self.B, *op.shape)
            u = np.zeros(shape, np.int64) if op.soma.filters else None
            self.recordings[op.name] = Recording(out.reshape(shape), np.zeros(shape, np.int64), u)

    def span(self, ops: tuple[Op, ...]) -> None:
        """Evaluate ops together; a single op without feedback takes whole sequences."""
        for op in ops:
            self.open(op)
        if len(ops) == 1 and not isinstance(ops[0], IntNeuron):
            self.whole(ops[0])
            return
        for t in range(self.T):
            for op in ops:
                self.step(op, t)

    def whole(self, op: Op) -> None:
        match op:
            case IntInput():
                if refused := op.soma.refused(self.x):
                    help = "encode the data with the bundle's own encoder, or deploy with more --payload-bits"
                    raise InputError(refused, where=f"input {op.name!r}", help=help)
                self.out[op.name][:] = self.x.reshape(self.out[op.name].shape)
            case IntConnection():
                self.out[op.name][: op.lag] = self.idle(op)
                for part in self.parts(op):
                    source = self.out[op.inputs[0]][: max(self.T - part.lag, 0)]
                    if source.size:
                        self.out[op.name][part.lag :] += self.deliver(part, source, op.name)
            case IntOutput():
                self.out[op.name] = self.out[op.inputs[0]]
            case _:
                raise UnsupportedNodeError(f"no integer meaning for {type(op).__name__}", where=f"op {op.name!r}")

    def step(self, op: Op, t: int) -> None:
        if isinstance(op, IntNeuron):
            self.neuron(op, t)
        elif isinstance(op, IntConnection):
            self.out[op.name][t] = 0 if t >= op.lag else self.idle(op)
            for part in self.parts(op):
                if t >= part.lag:
                    self.out[op.name][t] += self.deliver(part, self.out[op.inputs[0]][t - part.lag], op.name)
        else:
            raise UnsupportedNodeError(f"{type(op).__name__} inside a feedback loop", where=f"op {op.name!r}")

    def neuron(self, op: IntNeuron, t: int) -> None:
        state, out = self.states[op.name], self.out[op.name]
        a = sum((self.out[name][t] for name in op.currents), np.zeros(out.shape[1:], np.int64))
        levels = [spread(self.out[name][t], self.shapes[name], op.shape) for name in op.links]
        before = state.get("u")
        out[t] = op.soma.step(state, a, levels, t)
        wraps, clips = saturated(op.soma, before, a, state)
        if wraps or clips:
            seen = self.saturations.get(op.name, (0, 0))
            self.saturations[op.name] = (seen[0] + wraps, seen[1] + clips)
        record = self.recordings.get(op.name)
        if record is not None:
            record.v[t] = state["v"].reshape(record.v.shape[1:])
            if record.u is not None:
                record.u[t] = state["u"].reshape(record.v.shape[1:])

    def parts(self, op: IntConnection) -> tuple[IntConnection, ...]:
        """Return a connection by delay; once for a run."""
        if op.name not in self.by_delay:
            self.by_delay[op.name] = by_delay(op)
        return self.by_delay[op.name]

    def deliver(self, op: IntConnection, x: IntArray, name: str) -> IntArray:
        """Return what a connection, or its part, delivers for messages (..., n_source); a gate link its levels, as sent."""
        return x if op.synapses.gate else connect(op, x, self.shapes[op.inputs[0]], self.shapes[name])

    def idle(self, op: IntConnection) -> int:
        """Return what a connection delivers before the first message."""
        source = self.graph[op.inputs[0]]
        return source.soma.idle if op.synapses.gate and isinstance(source, IntNeuron) else 0


def saturated(soma: Soma, before: IntArray | None, a: IntArray, state: State) -> tuple[int, int]:
    """Return how many currents wrapped in a step, and how many voltages lie at the end of 24 bits after it.

    A voltage that was clipped and then reset to a value is not among them: nothing of it is left to be wrong.
    """
    wraps = clips = 0
    if before is not None and a.size:
        reach = max(int(before.max()), -int(before.min())) + (max(int(a.max()), -int(a.min())) << fp.CURRENT_SHIFT)
        if reach >= fp.STATE_LIMIT:
            wraps = int((state["u"] != fp.decay(before, vars(soma)["decay_u"]) + (a << fp.CURRENT_SHIFT)).sum())
    if "v" in state and state["v"].size:
        v = state["v"]
        if int(v.max()) >= fp.STATE_MAX or int(v.min()) <= -fp.STATE_MAX:
            clips = int((np.abs(v) >= fp.STATE_MAX).sum())
    return wraps, clips


def connect(op: IntConnection, x: IntArray, source: Shape, target: Shape) -> IntArray:
    """Return (W x) << exponent for messages ``x`` (..., n_source)."""
    return fp.shift(op.synapses.deliver(x, source, target), op.exponent)


def run_int(graph: Graph, x: IntArray) -> RunResult:
    """Run integer payloads through an integer graph.

    Args:
        graph: Ops of ``toolchain.integer`` with one ``IntInput`` and one ``IntOutput``.
        x: (T, B, *shape) integers.

    Returns:
        The answer (B, n) and a recording of every neuron op with a state.

    Raises:
        InputError: A payload does not fit the input's bits.
    """
    run = _Run(graph, np.asarray(x, np.int64))
    for ops, _ in spans(graph):
        run.span(ops)
    output = answer_of(graph)
    source = run.recordings[output.inputs[0]]
    answer = source.v[-1] if output.readout == "membrane" else source.out.sum(axis=0)
    return RunResult(answer.reshape(run.B, -1), run.recordings, saturations=run.saturations)
