"""The meaning of the float ops, in float64."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.linear import conv2d, planar, windows
from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.errors import UnsupportedNodeError, VerifyError
from spikewright.toolchain.interpret.schedule import shifted, spans
from spikewright.toolchain.interpret.states import FloatState, spread
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
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
    Scale,
    SumPool,
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
        case SumPool():
            return np.asarray(windows(x, op.kernel, op.stride, op.padding).sum(axis=(-2, -1)) * op.scale)
        case MaxPool():
            return np.asarray(windows(x, op.kernel, op.stride, op.padding, fill=-np.inf).max(axis=(-2, -1)))
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


@dataclass
class _Run:
    """One evaluation: signals by name as (T, B, *shape)."""

    graph: Graph
    x: Array
    out: dict[str, Array] = field(default_factory=dict)
    membranes: dict[str, Array] = field(default_factory=dict)

    def whole(self, op: Op) -> None:
        """Evaluate an op on whole sequences."""
        T, B = self.x.shape[:2]
        operands = [self.out[name] for name in op.inputs]
        match op:
            case Input():
                y = self.x
            case Delay(steps=steps, initial=initial):
                y = shifted(operands[0], steps, initial)
            case GateTable(table=table):
                rows = table if table.shape[0] > 1 else np.repeat(table, T, axis=0)
                if rows.shape[0] < T:
                    raise VerifyError(f"table has {rows.shape[0]} rows, the input {T} steps", where=f"op {op.name!r}")
                y = np.repeat(rows[:T, None], B, axis=1)
            case AttentionBlock():
                y, membrane = op.evaluate(operands)
                if membrane is not None:
                    self.membranes[op.name] = membrane
            case Neuron():
                state = FloatState(op, B)
                steps_out, membranes = [], []
                for t in range(T):
                    steps_out.append(state.step([o[t] for o in operands]))
                    membranes.append(state.v)
                y, self.membranes[op.name] = np.stack(steps_out), np.stack(membranes)
            case _:
                still = T > 1 and all(o.strides[0] == 0 for o in operands)  # one frame, seen T times: once is enough
                seen = [o[:1] for o in operands] if still else operands
                flat = apply(op, [o.reshape((-1, *o.shape[2:])) for o in seen])
                y = flat.reshape((-1, B, *flat.shape[1:]))
                y = np.broadcast_to(y, (T, *y.shape[1:])) if still else y
        self.out[op.name] = y

    def together(self, ops: tuple[Op, ...]) -> None:
        """Evaluate the ops of a feedback loop step by step."""
        T, B = self.x.shape[:2]
        states = {op.name: FloatState(op, B) for op in ops if isinstance(op, Neuron)}
        history: dict[str, list[Array]] = {op.name: [] for op in ops}
        membranes: dict[str, list[Array]] = {name: [] for name in states}

        def at(name: str, t: int) -> Array:
            return history[name][t] if name in history else self.out[name][t]

        for t in range(T):
            for op in ops:
                match op:
                    case Delay(steps=lag, initial=initial):
                        y = at(op.inputs[0], t - lag) if t >= lag else np.array(initial)
                    case Neuron():
                        y = states[op.name].step([at(name, t) for name in op.inputs])
                        membranes[op.name].append(states[op.name].v)
                    case AttentionBlock() | GateTable() | Input():
                        raise UnsupportedNodeError(
                            f"{type(op).__name__} inside a feedback loop: it needs the whole sequence",
                            where=f"op {op.name!r}",
                            help="move it out of the loop",
                        )
                    case _:
                        y = self.stateless(op, [at(name, t) for name in op.inputs], B)
                history[op.name].append(y)
        for name, steps in history.items():
            shape = max((s.shape for s in steps), key=len)
            self.out[name] = np.stack([np.broadcast_to(s, shape) for s in steps])
        self.membranes |= {name: np.stack(steps) for name, steps in membranes.items()}

    def stateless(self, op: Op, operands: list[Array], batch: int) -> Array:
        """Apply a stateless op in a loop; the value before the first step (a scalar) is a constant signal."""
        grown = []
        for name, o in zip(op.inputs, operands, strict=True):
            shape = (batch, *self.signal_shapes[name])
            grown.append(np.broadcast_to(o, shape) if o.ndim == 0 else o)
        return apply(op, grown)

    @cached_property
    def signal_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of all signals."""
        return shapes(self.graph)


def run_float(graph: Graph, x: Array, *, membranes: dict[str, Array] | None = None) -> dict[str, Array]:
    """Run real data through a float graph.

    Args:
        graph: Ops of ``toolchain.ops`` with one ``Input``.
        x: (T, B, *shape).
        membranes: Filled with v after reset of every neuron op, (T, B, *shape), if given.

    Returns:
        Every signal by op name, (T, B, *shape); the ``Output`` op's signal is its operand (see ``answer``).
    """
    run = _Run(graph, _float64(np.asarray(x)))
    for ops, looped in spans(graph):
        if looped:
            run.together(ops)
        else:
            run.whole(*ops)
    if membranes is not None:
        membranes.update(run.membranes)
    return run.out


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
