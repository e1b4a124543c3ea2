"""The meaning of the float ops, in float64."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import cached_property, reduce
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.linear import conv2d, planar, transposed_conv2d, windows
from spikewright.toolchain.attention_block import AttentionBlock, replayed
from spikewright.toolchain.budget import Cut, cut
from spikewright.toolchain.errors import UnsupportedNodeError, VerifyError
from spikewright.toolchain.interpret.schedule import last_readers, longest_lags, most_alive, shifted, spans
from spikewright.toolchain.interpret.states import FloatState, spread
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
    AdaptivePool,
    Add,
    Affine,
    Array,
    Conv,
    Delay,
    Flatten,
    GateTable,
    Input,
    MaxPool,
    Multiply,
    Neuron,
    Op,
    Output,
    Relu,
    Replayed,
    Scale,
    SumPool,
    TransposedConv,
)
from spikewright.toolchain.parameters import grid
from spikewright.toolchain.shapes import shapes


def apply(op: Op, operands: list[Array]) -> Array:
    """Evaluate a stateless op on operands (N, *shape), N = frames of all steps and samples."""
    x = operands[0] if operands else np.zeros(0)
    match op:
        case Affine(weight=w, bias=b):
            y = x.reshape(x.shape[0], -1) @ w.T
            return y if b is None else y + b
        case Conv(weight=w, bias=b):
            frames = x.reshape(-1, *planar(x.shape[1:]))
            y = conv2d(frames, w, op.stride, op.padding, op.dilation, op.groups)
            y = y if b is None else y + b.reshape(-1, 1, 1)
            return y if x.ndim == 4 else y.reshape(*y.shape[:2], -1)
        case TransposedConv(weight=w, bias=b):
            y = transposed_conv2d(x, w, op.stride, op.padding, op.output_padding)
            return y if b is None else y + b.reshape(-1, 1, 1)
        case SumPool() | AdaptivePool() | MaxPool():
            return pooled(op, x)
        case Scale(scale=s, shift=b):
            y = x * grid(s, x.shape[1:])
            return y if b is None else y + grid(b, x.shape[1:])
        case Flatten():
            return x.reshape(x.shape[0], -1)
        case Add() | Output():
            return sum(operands[1:], x)
        case Multiply():
            return reduce(lambda y, other: y * spread(other, y.shape[1:]), operands[1:], x)
        case Relu():
            return np.maximum(x, 0)
        case _:
            raise UnsupportedNodeError(f"no float meaning for {type(op).__name__}", where=f"op {op.name!r}")


def pooled(op: SumPool | AdaptivePool | MaxPool, x: Array) -> Array:
    """Pool maps (N, C, H, W)."""
    match op:
        case AdaptivePool():
            return np.asarray(op.rows(0, x.shape[2]) @ x @ op.rows(1, x.shape[3]).T)
        case SumPool():
            return np.asarray(windows(x, op.kernel, op.stride, op.padding).sum(axis=(-2, -1)) * op.scale)
        case MaxPool():
            return np.asarray(windows(x, op.kernel, op.stride, op.padding, fill=-np.inf).max(axis=(-2, -1)))


class FloatRun:
    """One evaluation of a batch of samples, block by block of steps: states and the last values a delay looks back to are kept.

    Args:
        graph: Ops of ``toolchain.ops`` with one ``Input``.
        batch: How many samples.
        keep: Signals that a block returns; None: all. What is not kept is dropped when nothing reads it any more.
        membranes: Whether the blocks of v after reset of every neuron op are kept, in ``membranes``.
        seen: Told every signal of a block, by name, as soon as it is there.
    """

    def __init__(
        self,
        graph: Graph,
        batch: int,
        *,
        keep: Collection[str] | None = None,
        membranes: bool = False,
        seen: Callable[[str, Array], None] = lambda name, signal: None,
    ) -> None:
        self.seen = seen
        self.graph, self.B, self.T, self.first = graph, batch, 0, 0
        self.keep = {op.name for op in graph} if keep is None else set(keep)
        self.spans = list(spans(graph))
        self.last, self.lags = last_readers(graph), longest_lags(graph)
        self.states = {op.name: FloatState(op, batch) for op in graph if isinstance(op, Neuron)}
        self.past: dict[str, Array] = {}
        self.out: dict[str, Array] = {}
        self.membranes: dict[str, Array] | None = {} if membranes else None
        self.total: Array | None = None

    def advance(self, x: Array) -> dict[str, Array]:
        """Take the next steps of the input, (T', B, *shape), and return the signals that are kept."""
        self.x, self.T, self.out = _float64(x), x.shape[0], {}
        for number, (ops, looped) in enumerate(self.spans):
            if looped:
                self.together(ops)
            else:
                self.whole(*ops)
            for op in ops:
                self.seen(op.name, self.out[op.name])
            for name in [name for name in self.out if self.last[name] <= number and name not in self.keep]:
                self._remember(name)
                del self.out[name]
        for name in self.out:
            self._remember(name)
        self.first += self.T
        return self.out

    def _remember(self, name: str) -> None:
        lag = self.lags[name]
        if lag > self.T and name in self.past:
            self.past[name] = np.concatenate([self.past[name], self.out[name]])[-lag:]
        elif lag:
            self.past[name] = self.out[name][-lag:].copy()
        if name == self.graph.output.name:
            rows = self.out[name]
            self.total = rows.sum(axis=0) if self.total is None else sum(rows, self.total)

    @property
    def answer(self) -> Array:
        """The net's answer (B, n) so far: the mean over the steps at the ``Output`` op."""
        assert self.total is not None
        return np.asarray((self.total / self.first).reshape(self.B, -1))

    def whole(self, op: Op) -> None:
        """Evaluate an op on the whole block.

        Its result is (T', B, *shape).

        Raises:
            VerifyError: A gate table has neither one row nor one for each step.
        """
        T, B = self.T, self.B
        operands = [self.out[name] for name in op.inputs]
        match op:
            case Input():
                y = self.x
            case Delay(steps=steps, initial=initial):
                y = self._delayed(op.inputs[0], operands[0], steps, initial)
            case GateTable(table=table):
                rows = np.repeat(table, T, axis=0) if table.shape[0] == 1 else table[self.first : self.first + T]
                if rows.shape[0] < T:
                    steps = self.first + T
                    raise VerifyError(
                        f"table has {table.shape[0]} rows, the input {steps} steps", where=f"op {op.name!r}"
                    )
                y = np.repeat(rows[:, None], B, axis=1)
            case Replayed():
                assert self.first == 0, "gates of a whole run are never cut in time"
                y = replayed(op, operands)
            case AttentionBlock():
                assert self.first == 0, "a block that needs whole sequences is never cut in time"
                y, membrane = op.evaluate(operands)
                if membrane is not None and self.membranes is not None:
                    self.membranes[op.name] = membrane
            case Neuron():
                y = self._neuron(op, operands)
            case _:
                still = T > 1 and all(o.strides[0] == 0 for o in operands)  # one frame, seen T times: once is enough
                seen = [o[:1] for o in operands] if still else operands
                flat = apply(op, [o.reshape((-1, *o.shape[2:])) for o in seen])
                y = flat.reshape((-1, B, *flat.shape[1:]))
                y = np.broadcast_to(y, (T, *y.shape[1:])) if still else y
        self.out[op.name] = y

    def _delayed(self, name: str, x: Array, steps: int, initial: float) -> Array:
        """Return a signal ``steps`` later: its last values of the blocks before stand in front."""
        y = shifted(x, steps, initial)
        if steps and name in self.past:
            before = self.past[name][-steps:]
            gap = steps - len(before)
            if gap < self.T:
                y[gap:steps] = before[: self.T - gap]
        return y

    def _neuron(self, op: Neuron, operands: list[Array]) -> Array:
        state, shape = self.states[op.name], (self.T, self.B, *op.shape)
        y, v = np.empty(shape), None
        if self.membranes is not None:
            v = self.membranes[op.name] = np.empty(shape)
        for t in range(self.T):
            y[t] = state.step([o[t] for o in operands])
            if v is not None:
                v[t] = state.v
        return y

    def together(self, ops: tuple[Op, ...]) -> None:
        """Evaluate the ops of a feedback loop step by step.

        Results are (T', B, *shape).

        Raises:
            UnsupportedNodeError: One of them needs the whole sequence.
        """
        T, B = self.T, self.B
        history: dict[str, list[Array]] = {op.name: [] for op in ops}
        membranes: dict[str, list[Array]] = {op.name: [] for op in ops if isinstance(op, Neuron)}

        def at(name: str, t: int) -> Array:
            found: Array = (self.past if t < 0 else history if name in history else self.out)[name][t]
            return found

        for t in range(T):
            for op in ops:
                match op:
                    case Delay(steps=lag, initial=initial):
                        y = at(op.inputs[0], t - lag) if self.first + t >= lag else np.array(initial)
                    case Neuron():
                        y = self.states[op.name].step([at(name, t) for name in op.inputs])
                        membranes[op.name].append(self.states[op.name].v)
                    case AttentionBlock() | Replayed() | GateTable() | Input():
                        raise UnsupportedNodeError(
                            f"{type(op).__name__} inside a feedback loop: it needs the whole sequence",
                            where=f"op {op.name!r}",
                            help="move it out of the loop",
                        )
                    case _:
                        y = self.stateless(op, [at(name, t) for name in op.inputs], B)
                history[op.name].append(y)
        for name, steps in history.items():
            shape = max((s.shape for s in steps), key=len) or (B, *self.signal_shapes[name])
            self.out[name] = np.stack([np.broadcast_to(s, shape) for s in steps])
        if self.membranes is not None:
            self.membranes |= {name: np.stack(steps) for name, steps in membranes.items()}

    def stateless(self, op: Op, operands: list[Array], batch: int) -> Array:
        """Apply a stateless op in a loop; the value before the first step (a scalar) is a constant signal.

        Operands and result are (B, *shape) of one step.
        """
        grown = []
        for name, o in zip(op.inputs, operands, strict=True):
            shape = (batch, *self.signal_shapes[name])
            grown.append(np.broadcast_to(o, shape) if o.ndim == 0 else o)
        return apply(op, grown)

    @cached_property
    def signal_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of all signals."""
        return shapes(self.graph)


TOGETHER = 32
"""Samples of a part: sums in float64 depend in their last bit on how many frames are multiplied at once."""


def float_cut(graph: Graph, samples: int, timesteps: int, *, keep: Collection[str] = ()) -> Cut:
    """Return how many samples and steps of a float graph are evaluated at once; a block may need whole sequences."""
    sizes = {name: prod(shape) for name, shape in shapes(graph).items()}
    whole = any(isinstance(op, AttentionBlock | Replayed) for op in graph)
    return cut(samples, timesteps, 8 * most_alive(graph, sizes, keep), whole=whole, most=TOGETHER)


def float_blocks(
    graph: Graph, x: NDArray[Any], *, keep: Collection[str] = (), peaks: bool = False
) -> Iterator[tuple[slice, slice, FloatRun, dict[str, Array]]]:
    """Run data (T, B, *shape) of any number type part by part: yield samples, steps, the run so far, the signals to keep.

    With ``peaks`` the states of the run remember how far they went.
    """
    timesteps, samples = x.shape[:2]
    run = FloatRun(graph, 1)
    for chosen, steps in float_cut(graph, samples, timesteps, keep=keep).parts(samples, timesteps):
        if steps.start == 0:
            run = FloatRun(graph, chosen.stop - chosen.start, keep=keep)
            for state in run.states.values():
                state.seeks = peaks
        yield chosen, steps, run, run.advance(x[steps, chosen])


def float_answers(graph: Graph, x: NDArray[Any], progress: Callable[[int, int], None] | None = None) -> Array:
    """Return a float graph's answers (B, n) to data (T, B, *shape), part by part; ``progress`` hears (samples done, all)."""
    found = []
    for chosen, steps, run, _ in float_blocks(graph, x):
        if steps.stop == x.shape[0]:
            found.append(run.answer)
            if progress is not None:
                progress(chosen.stop, x.shape[1])
    return np.concatenate(found)


def run_float(graph: Graph, x: Array, *, membranes: dict[str, Array] | None = None) -> dict[str, Array]:
    """Run real data through a float graph, at once.

    Args:
        graph: Ops of ``toolchain.ops`` with one ``Input``.
        x: (T, B, *shape).
        membranes: Filled with v after reset of every neuron op, (T, B, *shape), if given.

    Returns:
        Every signal by op name, (T, B, *shape); the ``Output`` op's signal is its operand (see ``answer``).
    """
    x = np.asarray(x)
    run = FloatRun(graph, x.shape[1], membranes=membranes is not None)
    signals = run.advance(x)
    if membranes is not None and run.membranes is not None:
        membranes.update(run.membranes)
    return signals


def _float64(x: NDArray[Any]) -> Array:
    """Return x in float64; a frame that is repeated as a view (stride 0 over T) stays one."""
    if x.ndim and x.shape[0] > 1 and x.strides[0] == 0:
        return np.broadcast_to(x[0].astype(np.float64), x.shape)
    return np.asarray(x, np.float64)


def answer(graph: Graph, signals: dict[str, Array]) -> Array:
    """Return the net's answer (B, n): the mean over T at the ``Output`` op."""
    output = graph.output
    y: Array = signals[output.name].mean(axis=0)
    return y.reshape(y.shape[0], -1)
