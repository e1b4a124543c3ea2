r"""A lowered float graph in torch: its arrays are the parameters, its answers and spikes those of the float interpreter.

Trained are the weights of maps that are not the same everywhere, biases, and the offsets and tables of gates; a weight of 0
stays 0, as it is no synapse. Thresholds, resets and time constants stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from spikewright.hw_sim.linear import planar
from spikewright.models.lowered.evaluation import At, Evaluation
from spikewright.models.lowered.neurons import RealCell, peaks_of, spread
from spikewright.models.lowered.rounding import through
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.gates import POW2_LEVELS
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
    Accumulator,
    Affine,
    Conv,
    Delay,
    GatedRelay,
    GateNeuron,
    GateTable,
    Input,
    Lif,
    Linear,
    Neuron,
    Op,
    Output,
    Relay,
)
from spikewright.toolchain.shapes import shapes

SLOPE = 0.25
"""Slope of the gate ``hard`` between its ends, and backward of those that are stairs."""


def trained(op: Op) -> tuple[str, ...]:
    """Return the fields of an op that are trained."""
    match op:
        case Linear(weight=weight, bias=bias):
            sizes = np.unique(np.abs(weight[weight != 0]))
            routes = sizes.size <= 1  # sums, means, copies: what it does is its structure
            return ((), ("weight",))[not routes] + ((), ("bias",))[bias is not None]
        case GateNeuron():
            return ("bias",)
        case GateTable():
            return ("table",)
        case _:
            return ()


def gate(function: str, x: Tensor) -> Tensor:
    """Return h(x) of ``toolchain.gates``; backward, of stairs, the slope of ``hard``."""
    if function == "sigmoid":
        return torch.sigmoid(x)
    hard = (x * SLOPE + 0.5).clamp(0, 1)
    if function == "hard":
        return hard
    if function == "binary":
        return through(hard, (hard >= 0.5).to(x.dtype))
    levels = torch.as_tensor(POW2_LEVELS).to(x)
    return through(hard, levels[torch.bucketize(hard.detach(), (levels[1:] + levels[:-1]) / 2, right=True)])


@dataclass
class Seen:
    """What a run showed.

    Args:
        answers: (B, n).
        signals: By op name, (T, B, *shape).
        peaks: Of a run in which nothing fires, see ``peaks_of``.
    """

    answers: Tensor
    signals: dict[str, Tensor] = field(default_factory=dict)
    peaks: dict[str, Tensor] = field(default_factory=dict)


class FloatNet(nn.Module):
    """A lowered graph as a torch module, from (T, B, *shape) to answers (B, n).

    Args:
        graph: Lowered: maps, delays, neurons, gate tables, one ``Input`` and one ``Output``.
        dtype: Of all numbers; float64 is as the interpreter computes.
    """

    def __init__(self, graph: Graph, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.graph, self.dtype = graph, dtype
        self.shapes = shapes(graph)
        self.slots: dict[tuple[str, str], str] = {}
        for op in graph:
            for name in trained(op):
                slot = f"{len(self.slots)}_{name}"
                self.slots[op.name, name] = slot
                self.register_parameter(slot, nn.Parameter(torch.tensor(getattr(op, name), dtype=dtype)))
                if name == "weight":
                    self._keep_zeros(slot)

    def _keep_zeros(self, slot: str) -> None:
        weight = self.get_parameter(slot)
        kept = (weight.detach() != 0).to(weight.dtype)
        if not bool(kept.all()):
            weight.register_hook(lambda grad: grad * kept)

    @property
    def like(self) -> Tensor:
        """A number of the net's type and device."""
        found = next(iter(self.parameters()), None)
        return torch.zeros((), dtype=self.dtype) if found is None else found.detach().new_zeros(())

    def value(self, op: Op, name: str) -> Tensor:
        """Return a field of an op: the parameter where it is trained."""
        slot = self.slots.get((op.name, name))
        return torch.as_tensor(getattr(op, name)).to(self.like) if slot is None else self.get_parameter(slot)

    def updated(self) -> Graph:
        """Return the graph with the arrays as they are trained by now; gate tables stay within 0 to 1."""
        found: dict[str, dict[str, Any]] = {}
        for (op, name), slot in self.slots.items():
            array = self.get_parameter(slot).detach().cpu().double().numpy()
            found.setdefault(op, {})[name] = np.clip(array, 0, 1) if name == "table" else array
        return self.graph.map(lambda op: replace(op, **found[op.name]) if op.name in found else op)

    def forward(self, x: Tensor) -> Tensor:
        """Return the answers (B, n) to data (T, B, *shape)."""
        return self.run(x).answers

    def run(self, x: Tensor, *, silent: bool = False) -> Seen:
        """Run data (T, B, *shape); ``silent``: nothing fires, and the peaks of the membranes are kept."""
        return _Run(self, x.to(self.like), silent).seen()

    def mapped(self, op: Linear, x: Tensor) -> Tensor:
        """Return W x + b of frames (N, *shape)."""
        weight = self.value(op, "weight")
        bias = None if op.bias is None else self.value(op, "bias")
        if isinstance(op, Affine):
            y = functional.linear(x.flatten(1), weight)
            return y if bias is None else y + bias
        assert isinstance(op, Conv)
        y = convolved(op, x, weight)
        return y if bias is None else y + bias.reshape(bias.shape + (1,) * (y.ndim - 2))


def convolved(op: Any, x: Tensor, weight: Tensor) -> Tensor:
    """Return the convolution of frames (N, *shape) with the geometry of an op; a signal (C, L) is a map of height 1."""
    frames = x.reshape(-1, *planar(tuple(x.shape[1:])))
    y = functional.conv2d(frames, weight, None, op.stride, op.padding, op.dilation, op.groups)
    return y if x.ndim == 4 else y.flatten(2)


class _Run(Evaluation):
    """One evaluation of a float graph."""

    def __init__(self, net: FloatNet, x: Tensor, silent: bool) -> None:
        super().__init__(x)
        self.net, self.silent = net, silent
        self.cells: dict[str, RealCell] = {}
        self.sums: dict[str, tuple[Tensor, Tensor]] = {}
        for op in net.graph:
            if isinstance(op, Lif):
                self.cells[op.name] = RealCell(op, net.like)
                self.cells[op.name].silent = silent and bool(op.inputs)  # what reads nothing is a bias itself
                self.cells[op.name].start(self.B)
            elif isinstance(op, Neuron):
                zero = net.like.new_zeros((self.B, *op.shape))
                self.sums[op.name] = (zero, zero)
        self.evaluate(net.graph)

    def seen(self) -> Seen:
        """Return what it showed."""
        answers = self.out[self.net.graph.output.name].mean(0).flatten(1)
        return Seen(answers, self.out, peaks_of(self.net.graph, self.cells))

    def stepwise(self, op: Op) -> bool:
        """Say whether an op has a state."""
        return isinstance(op, Neuron) and not isinstance(op, GateTable)

    def whole(self, op: Op) -> Tensor:
        """Evaluate an op over all steps."""
        operands = [self.out[name] for name in op.inputs]
        match op:
            case Input():
                return self.x
            case Delay(steps=steps, initial=initial):
                return late(operands[0], steps, initial)
            case GateTable():
                table = self.net.value(op, "table")
                rows: Tensor = table[:, None].expand(self.T, self.B, *table.shape[1:])
                return rows
            case _:
                flat = self.step(op, [o.flatten(0, 1) for o in operands])
                y: Tensor = flat.unflatten(0, (self.T, self.B))
                return y

    def one(self, op: Op, t: int, at: At) -> Tensor:
        """Evaluate an op at a step."""
        if not isinstance(op, Delay):
            return self.step(op, [at(name, t) for name in op.inputs])
        if t >= op.steps:
            return at(op.inputs[0], t - op.steps)
        return self.net.like.new_full((self.B, *self.net.shapes[op.name]), op.initial)

    def step(self, op: Op, operands: list[Tensor]) -> Tensor:
        """Evaluate an op on frames; a neuron advances one step."""
        match op:
            case Linear():
                return self.net.mapped(op, operands[0])
            case Output():
                return total(operands)
            case Lif():
                count = len(op.currents)
                return self.cells[op.name].step(self._current(op, operands[:count]), operands[count:])
            case Accumulator() | GateNeuron():
                return self._sum(op, self._current(op, operands))
            case GatedRelay():
                count = len(op.currents)
                drive = self._current(op, operands[:count])
                for gate in operands[count:]:
                    drive = drive * spread(gate, op.shape)
                return torch.zeros_like(drive) if self.silent else drive.clamp(min=0)
            case Relay():
                return self._current(op, operands)
            case _:
                raise UnsupportedNodeError(
                    f"{type(op).__name__} is not trained here", where=f"op {op.name!r}", help="deploy the net first"
                )

    def _current(self, op: Neuron, operands: list[Tensor]) -> Tensor:
        zero = self.net.like.new_zeros((self.B, *op.shape))
        return total([zero, *(o.reshape(zero.shape) for o in operands)])

    def _sum(self, op: Accumulator | GateNeuron, x: Tensor) -> Tensor:
        u, n = self.sums[op.name]
        if isinstance(op, GateNeuron):
            n = op.decay * n + x
            self.sums[op.name] = (u, n)
            bias = self.net.value(op, "bias")
            bias = bias.reshape(bias.shape + (1,) * (len(op.shape) - bias.ndim)) if bias.ndim else bias
            return gate(op.function, n + bias)
        alpha, decay, leak = (_grid(getattr(op, name), op.shape, x) for name in ("alpha", "decay", "leak"))
        u = alpha * u + x
        n = decay * n + u + leak
        self.sums[op.name] = (u, n)
        return n.clamp(min=0) if op.rectify else n


def _grid(value: Any, shape: tuple[int, ...], like: Tensor) -> Tensor:
    p = torch.as_tensor(np.asarray(value)).to(like)
    return p.reshape(p.shape + (1,) * (len(shape) - p.ndim)) if p.ndim else p


def total(operands: list[Tensor]) -> Tensor:
    """Return the sum of operands, from the first on."""
    found = operands[0]
    for other in operands[1:]:
        found = found + other
    return found


def late(x: Tensor, steps: int, initial: float) -> Tensor:
    """Return a sequence ``steps`` later, filled with ``initial``."""
    if steps == 0:
        return x
    steps = min(steps, x.shape[0])
    return torch.cat([x.new_full((steps, *x.shape[1:]), initial), x[: x.shape[0] - steps]])
