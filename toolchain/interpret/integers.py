"""The meaning of an integer graph: the ``step`` of its somas and the ``deliver`` of its synapses, exact in int64.

Signals are flat, (T, B, n), here; recordings have their shapes. A run advances by blocks of steps: states, and as many of the
last messages as a lag looks back, are carried from block to block; a signal is dropped when nothing reads it any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from math import prod

import numpy as np

from spikewright.hw_sim import fixed_point as fp
from spikewright.hw_sim.somas import HostGate, Saturations, State
from spikewright.hw_sim.synapses import spread
from spikewright.toolchain.attention_block import replayed
from spikewright.toolchain.backends import IntArray, Recording, RunResult
from spikewright.toolchain.budget import Cut, cut
from spikewright.toolchain.errors import InputError, UnsupportedNodeError
from spikewright.toolchain.integer import (
    IntConnection,
    IntInput,
    IntNeuron,
    IntOutput,
    IntReplay,
    answer_of,
    life,
    replays_of,
    separated,
)
from spikewright.toolchain.interpret.schedule import last_readers, longest_lags, most_alive, spans
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op
from spikewright.toolchain.shapes import Shape, shapes

ENDLESS = 1 << 62
"""Steps of a run whose length is not known yet."""


class IntRun:
    """One evaluation of a batch of samples, block by block of steps.

    Args:
        graph: Ops of ``toolchain.integer`` with one ``IntInput`` and one ``IntOutput``.
        batch: How many samples.
        keep: Ops whose messages stay after a block; see ``sent``.
        states: Whether blocks are recorded: messages, v and u of every neuron op with a state.
    """

    def __init__(self, graph: Graph, batch: int, *, keep: Collection[str] = (), states: bool = False) -> None:
        graph = separated(graph)
        self.graph, self.B, self.T, self.first = graph, batch, 0, 0
        self.shapes = shapes(graph)
        self.spans = [ops for ops, _ in spans(graph)]
        self.last, self.lags = last_readers(graph), longest_lags(graph)
        self.neurons = [op for op in graph if isinstance(op, IntNeuron)]
        self.recorded = {op.name: op for op in self.neurons if op.soma.states} if states else {}
        self.keep = {*keep, *self.recorded}
        self.states: dict[str, State] = {op.name: op.soma.start((batch, op.size)) for op in self.neurons}
        self.past = {name: self._before(name) for name, lag in self.lags.items() if lag}
        self.out: dict[str, IntArray] = {}
        self.recordings: dict[str, Recording] = {}
        self.saturations: dict[str, tuple[int, int]] = {}
        self.output = answer_of(graph)
        self.lives = {op.name: life(graph, op, ENDLESS) for op in self.neurons}
        self.taps = {name for op in replays_of(graph) for name in op.inputs}
        self.tapped: dict[str, IntArray] = {}
        self.total = np.zeros((batch, prod(self.shapes[self.output.inputs[0]])), np.int64)

    def _before(self, name: str) -> IntArray:
        """Return what readers of a signal see before its first message: nothing, or the level of 1.0."""
        op = self.graph[name]
        level = op.soma.idle if isinstance(op, IntNeuron) else 0
        return np.full((self.lags[name], self.B, prod(self.shapes[name])), level, np.int64)

    def advance(self, x: IntArray) -> dict[str, Recording]:
        """Take the next steps of the input, (T', B, *shape), and return their recordings.

        Raises:
            InputError: A payload does not fit the input's bits.
        """
        self.T, self.out, self.recordings, self.tapped = x.shape[0], {}, {}, {}
        for number, ops in enumerate(self.spans):
            self._span(ops, x)
            for name in [name for name in self.out if self.last[name] <= number and name not in self.keep]:
                self._remember(name)
                del self.out[name]
        for name in list(self.out):
            self._remember(name)
        self.first += self.T
        return self.recordings

    def _remember(self, name: str) -> None:
        lag = self.lags[name]
        if lag:
            self.past[name] = self.out[name][-lag:].copy()
        if name == self.output.inputs[0] and self.output.readout == "spikes":
            self.total += self.sent(name).sum(axis=0)

    def sent(self, name: str) -> IntArray:
        """Return the messages (T', B, n) of the block, of an op that is kept."""
        return self.out[name][self.lags[name] :]

    @property
    def answer(self) -> IntArray:
        """The answer (B, n): membrane of the read-out after the last step so far, or its spikes up to there."""
        return self.total if self.output.readout == "spikes" else self.states[self.output.inputs[0]]["v"].copy()

    def _open(self, op: Op) -> None:
        """Prepare the signal (and recording) of an op for a block; the last messages stand in front."""
        lag, size = self.lags[op.name], prod(self.shapes[op.name])
        self.out[op.name] = np.zeros((lag + self.T, self.B, size), np.int64)
        if lag:
            self.out[op.name][:lag] = self.past[op.name]
        if op.name in self.taps:
            self.tapped[op.name] = np.zeros((self.T, self.B, size), np.int64)
        if op.name in self.recorded:
            neuron = self.recorded[op.name]
            shape = (self.T, self.B, *neuron.shape)
            u = np.zeros(shape, np.int64) if neuron.soma.filters else None
            self.recordings[op.name] = Recording(self.sent(op.name).reshape(shape), np.zeros(shape, np.int32), u)

    def _span(self, ops: tuple[Op, ...], x: IntArray) -> None:
        """Evaluate ops together; a single op without feedback takes the whole block."""
        if len(ops) == 1 and (isinstance(ops[0], IntReplay) or not isinstance(ops[0], IntNeuron)):
            self._whole(ops[0], x)
            return
        for op in ops:
            self._open(op)
        for t in range(self.T):
            for op in ops:
                self._step(op, t)

    def _whole(self, op: Op, x: IntArray) -> None:
        match op:
            case IntInput():
                if refused := op.soma.refused(x):
                    help = "encode the data with the bundle's own encoder, or deploy with more --payload-bits"
                    raise InputError(refused, where=f"input {op.name!r}", help=help)
                self._open(op)
                self.sent(op.name)[:] = x.reshape(self.T, self.B, -1)
            case IntReplay():
                assert self.first == 0, "gates of a whole run are never cut in time"
                self._open(op)
                self.sent(op.name)[:] = host_levels(self.graph, op, self.tapped).reshape(self.T, self.B, -1)
            case IntConnection():
                first = self.lags[op.inputs[0]] - op.lag
                self.out[op.name] = self._deliver(op, self.out[op.inputs[0]][first : first + self.T])
            case IntOutput():
                self.out[op.name] = self.sent(op.inputs[0])
            case _:
                raise UnsupportedNodeError(f"no integer meaning for {type(op).__name__}", where=f"op {op.name!r}")

    def _step(self, op: Op, t: int) -> None:
        if isinstance(op, IntNeuron):
            self._neuron(op, t)
        elif isinstance(op, IntConnection):
            at = self.lags[op.inputs[0]] - op.lag + t
            self.out[op.name][t] = self._deliver(op, self.out[op.inputs[0]][at])
        else:
            raise UnsupportedNodeError(f"{type(op).__name__} inside a feedback loop", where=f"op {op.name!r}")

    def _neuron(self, op: IntNeuron, t: int) -> None:
        if self.first + t >= self.lives[op.name]:
            return  # the chip is halted
        state, out = self.states[op.name], self.sent(op.name)
        a = sum((self.out[name][t] for name in op.currents), np.zeros(out.shape[1:], np.int64))
        levels = [spread(self.out[name][t], self.shapes[name], op.shape) for name in op.links]
        full = Saturations()
        out[t] = op.soma.step(state, a, levels, self.first + t, full)
        if full.wraps or full.clips:
            wraps, clips = self.saturations.get(op.name, (0, 0))
            self.saturations[op.name] = (wraps + full.wraps, clips + full.clips)
        if op.name in self.tapped:
            self.tapped[op.name][t] = state["v"]
        record = self.recordings.get(op.name)
        if record is not None:
            record.v[t] = state["v"].reshape(record.v.shape[1:])
            if record.u is not None:
                record.u[t] = state["u"].reshape(record.v.shape[1:])

    def _deliver(self, op: IntConnection, x: IntArray) -> IntArray:
        """Return what a connection delivers for messages (..., n_source); a gate link its levels, as they were sent."""
        return x if op.synapses.gate else connect(op, x, self.shapes[op.inputs[0]], self.shapes[op.name])


def host_levels(graph: Graph, op: IntReplay, held: Mapping[str, IntArray]) -> IntArray:
    """Return the levels (T, B, *shape) that the host computes of what its read-outs held in a run, (T, B, ...)."""
    operands = []
    for name in op.inputs:
        read = graph[name]
        assert isinstance(read, IntNeuron)
        v = held[name]
        operands.append((v.reshape(*v.shape[:2], -1) * read.scale).reshape(*v.shape[:2], *read.shape))
    assert isinstance(op.soma, HostGate)
    return np.round(replayed(op, operands) * op.soma.idle).astype(np.int64)


def connect(op: IntConnection, x: IntArray, source: Shape, target: Shape) -> IntArray:
    """Return (W x) << exponent for messages ``x`` (..., n_source)."""
    return fp.shift(op.synapses.deliver(x, source, target), op.exponent)


def int_cut(graph: Graph, samples: int, timesteps: int, *, keep: Collection[str] = (), states: bool = False) -> Cut:
    """Return how many samples and steps of an integer graph are evaluated at once; arguments as ``IntRun``."""
    sizes = {name: prod(shape) for name, shape in shapes(graph).items()}
    neurons = [op.name for op in graph if isinstance(op, IntNeuron)] if states else []
    row = 8 * (most_alive(graph, sizes, {*keep, *neurons}) + 2 * sum(sizes[name] for name in neurons))
    return cut(samples, timesteps, row, whole=bool(replays_of(graph)))


def int_blocks(
    graph: Graph, x: IntArray, *, states: bool = False
) -> Iterator[tuple[slice, slice, IntRun, dict[str, Recording]]]:
    """Run payloads (T, B, *shape) part by part: yield samples, steps, the run so far, and the recordings of the part."""
    timesteps, samples = x.shape[:2]
    run = IntRun(graph, 1)
    for chosen, steps in int_cut(graph, samples, timesteps, states=states).parts(samples, timesteps):
        if steps.start == 0:
            run = IntRun(graph, chosen.stop - chosen.start, states=states)
        yield chosen, steps, run, run.advance(x[steps, chosen])


def run_int(graph: Graph, x: IntArray) -> RunResult:
    """Run integer payloads through an integer graph, at once.

    Args:
        graph: Ops of ``toolchain.integer`` with one ``IntInput`` and one ``IntOutput``.
        x: (T, B, *shape) integers.

    Returns:
        The answer (B, n) and a recording of every neuron op with a state.

    Raises:
        InputError: A payload does not fit the input's bits.
    """
    x = np.asarray(x, np.int64)
    run = IntRun(graph, x.shape[1], states=True)
    recordings = run.advance(x)
    return RunResult(run.answer, recordings, saturations=run.saturations)
