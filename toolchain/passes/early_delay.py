"""Delay the messages instead of what maps make of them: a chip delays spikes, in a synapse; a bias behind them comes late.

    delay(W x + b)  ->  W delay(x) + b delay(1)         delay(s x), delay(pool x), delay(flatten x), delay(x + y) likewise
    delay(delay(x)) ->  one delay of both
    delay(x, s)     ->  0 x                             s >= T: nothing of it arrives

Exact: before its time a delayed bias is 0 like all else, so it comes from a neuron that always fires, through the same delay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from spikewright.toolchain.ir import Graph, fresh
from spikewright.toolchain.ops import Add, Affine, Array, Conv, Delay, Flatten, Linear, Op, Scale, Shape, SumPool
from spikewright.toolchain.passes.base import Pass, in_place, sends_messages
from spikewright.toolchain.passes.lower_bias import always_on
from spikewright.toolchain.shapes import shapes


@dataclass(frozen=True)
class EarlyDelay(Pass):
    """Move ``Delay`` in front of what it delays, up to the neuron that sends it."""

    name: ClassVar[str] = "early-delay"

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Move the ``Delay`` at ``op`` by one op."""
        if not isinstance(op, Delay) or op.initial:
            return None
        source = graph[op.inputs[0]]
        if op.steps >= graph.timesteps and sends_messages(graph, source.name):
            feeds_back = graph.ops.index(source) > graph.ops.index(op)
            never = Scale(name=op.name, inputs=op.inputs, block=op.block, scale=np.zeros(()))
            return None if feeds_back else in_place(graph, op, [never])
        match source:
            case Delay(initial=0.0):
                return graph.replace((op,), replace(op, inputs=source.inputs, steps=op.steps + source.steps))
            case Scale(shift=b) if b is not None and np.ndim(b) > 1:
                return None
            case Linear() | Scale() | SumPool() | Flatten() | Add():
                return in_place(graph, op, _moved(graph, op, source))
            case _:
                return None


def _moved(graph: Graph, op: Delay, source: Op) -> list[Op]:
    """Return the ops in the place of a delay of ``source``; the last one has its name."""
    shape = shapes(graph)[op.name]

    def named(part: str) -> str:
        return fresh(f"{op.name}.{part}", graph)

    late = [replace(op, name=named(str(k)), inputs=(name,)) for k, name in enumerate(source.inputs)]
    made = replace(source, name=op.name, inputs=tuple(one.name for one in late))
    constant = _constant(source, shape)
    if constant is None:
        return [*late, made]
    none: dict[str, Any] = {"bias" if isinstance(source, Linear) else "shift": None}
    free = replace(made, name=named("map"), **none)
    clock = always_on(named("on"), op.block, (1, *shape[1:]))
    step = replace(op, name=named("begins"), inputs=(clock.name,))
    drive: Op = Affine(name=named("bias"), inputs=(step.name,), block=op.block, weight=constant[:, None])
    if len(shape) > 1:  # a clock for every place of the map, and one kernel of one tap
        kernel = constant.reshape(-1, 1, 1, 1)
        drive = Conv(name=drive.name, inputs=drive.inputs, block=op.block, weight=kernel)
    return [*late, free, clock, step, drive, Add(name=op.name, inputs=(free.name, drive.name), block=op.block)]


def _constant(source: Op, shape: Shape) -> Array | None:
    """Return what a map adds to each channel of its signal, (C,), or None."""
    match source:
        case Linear(bias=b) | Scale(shift=b) if b is not None and np.any(b):
            return np.broadcast_to(np.asarray(b, np.float64), shape[:1]) if np.ndim(b) <= 1 else None
        case _:
            return None
