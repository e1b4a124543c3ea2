r"""The LIF of ``toolchain.ops.Lif`` and of ``hw_sim.somas.Lif`` in torch: one equation, two arithmetics.

    u = keep(u, alpha) + i;   d = gain u + bias;   d = scale(d, gate) for each gate;   d = max(d, 0) if rectify
    v = keep(v, beta) + d + leak;   s = count(v);   v = reset where s > 0;   v = max(v, v_min)

Real: keep and scale are products (``bias`` 0, it came with i). Chip: they round towards zero, u wraps, v is clipped (``gain``
1, ``leak`` 0). Backward a spike is an arc tangent as wide as its threshold; resets have no gradient.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikewright.hw_sim import somas
from spikewright.hw_sim.fixed_point import CURRENT_SHIFT, DECAY_ONE, STATE_MAX
from spikewright.models.lowered.rounding import clipped, decayed, gained, wrapped
from spikewright.models.surrogate import ATan
from spikewright.toolchain import ops
from spikewright.toolchain.integer import IntNeuron
from spikewright.toolchain.ir import Graph

SURROGATE = ATan(2.0)
"""In units of the threshold; it has tails, so that neurons far from firing learn, too."""
NARROWEST = 1e-3
"""Width of the surrogate at least, beside the largest threshold of a layer: a threshold of 0 has some gradient, too."""


class _Fire(torch.autograd.Function):
    """The count forward; backward a bump round the threshold, or for several spikes a slope of one a spacing."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, count: Tensor, threshold: Tensor, width: Tensor, several: bool) -> Tensor:
        ctx.save_for_backward(v, threshold, width)
        ctx.several = several
        return count

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        v, threshold, width = ctx.saved_tensors
        x = (v - threshold) / width
        bump = (x > -0.5).to(v.dtype) if ctx.several else SURROGATE.derivative(x)
        return grads[0] * bump / width, None, None, None, None


def spread(gate: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return a gate (B, *gate shape) so that it broadcasts over (B, *shape)."""
    missing = len(shape) - (gate.ndim - 1)
    return gate.reshape(gate.shape + (1,) * missing) if gate.ndim and missing > 0 else gate


class Cell(ABC):
    """Neurons of one op, one step at a time; tensors (B, *shape).

    Args:
        op: The op, float or integer.
        like: Says type and device of the numbers.
    """

    def __init__(self, op: ops.Lif | IntNeuron, like: Tensor) -> None:
        self.name, self.shape, self.like = op.name, op.shape, like
        self.silent = False
        self.peak: Tensor | None = None

    def spread(self, value: Any) -> Tensor:
        """Return a parameter so that it broadcasts over (B, *shape): a scalar, one a channel, or one a neuron (flat)."""
        p = torch.as_tensor(np.asarray(value)) if not isinstance(value, Tensor) else value
        p = p.to(self.like)
        if p.numel() == int(np.prod(self.shape)):
            return p.reshape(self.shape)
        return p.reshape(()) if p.numel() == 1 else p.reshape(p.shape + (1,) * (len(self.shape) - p.ndim))

    def start(self, batch: int) -> None:
        """Go to the state before step 0."""
        self.u = self.like.new_zeros((batch, *self.shape))
        self.v = self.like.new_zeros((batch, *self.shape)) + self.v_start
        self.hold = torch.zeros_like(self.u)
        self.peak = None

    v_start: Tensor
    threshold: Tensor
    width: Tensor
    rise: Tensor  # of v: the width of what a spike is backward
    reset_to: Tensor
    subtracts: bool
    v_min: Tensor | None
    refractory: int
    several: bool
    gates: int
    rectify: bool
    output_gate: bool
    never: bool

    @abstractmethod
    def drive(self, current: Tensor) -> Tensor:
        """Advance u with a current, and return what it drives."""

    @abstractmethod
    def scaled(self, value: Tensor, gate: Tensor) -> Tensor:
        """Scale by a gate."""

    @abstractmethod
    def integrated(self, drive: Tensor) -> Tensor:
        """Return v with a drive, before it fires."""

    @abstractmethod
    def count(self, v: Tensor) -> Tensor:
        """Return how often membranes fire."""

    def step(self, current: Tensor, gates: list[Tensor]) -> Tensor:
        """Advance one step and return what is sent."""
        drive = self.drive(current.reshape(self.v.shape))
        for gate in gates[:-1] if self.output_gate else gates:
            drive = self.scaled(drive, spread(gate, self.shape))
        if self.rectify:
            drive = drive.clamp(min=0)
        v = self.integrated(drive)
        if self.never:
            self.v = v
            return torch.zeros_like(v)
        if self.silent:
            self._held(v)
            return torch.zeros_like(v)
        s = self.fire(v)
        return s * spread(gates[-1], self.shape) if self.output_gate else s

    def fire(self, v: Tensor) -> Tensor:
        """Return the spikes of membranes that have integrated, and reset them; refractory ones stay as they are."""
        with torch.no_grad():
            count = self.count(v)
            free = self.hold == 0
            count = torch.where(free, count, 0)
            self.hold = torch.where(count > 0, self.refractory - 1, (self.hold - 1).clamp(min=0))
        fired: Tensor = _Fire.apply(v, count, self.threshold, self.rise, self.several)  # type: ignore[no-untyped-call]
        after = v - count * self.reset_to if self.subtracts else self.reset_to
        after = torch.where(count > 0, after, v)
        after = after if self.v_min is None else torch.maximum(after, self.v_min)
        self.v = torch.where(free, after, self.v)
        return fired

    def _held(self, v: Tensor) -> None:
        """Keep membranes that may not fire, and the largest so far beside the threshold."""
        self.v = v if self.v_min is None else torch.maximum(v, self.v_min)
        beside = v / self.width * torch.sign(self.threshold)
        self.peak = beside if self.peak is None else torch.maximum(self.peak, beside)

    def _wide(self) -> None:
        size = self.threshold.abs()
        self.width = self.rise = size.clamp(min=float(size.max()) * NARROWEST + 1e-12)


def peaks_of(graph: Graph, cells: Mapping[str, Cell]) -> dict[str, Tensor]:
    """Return, by op, the largest membrane of a run in which nothing fires, as a share of the threshold.

    Left out are neurons that never fire, and those whose spikes are the answer alone: no synapse reads them.
    """
    read = {name for name in cells if not all(isinstance(reader, ops.AnyOutput) for reader in graph.readers[name])}
    return {name: cell.peak for name, cell in cells.items() if name in read and cell.peak is not None}


class RealCell(Cell):
    """A float ``Lif``; ``value`` gives its fields as tensors."""

    def __init__(self, op: ops.Lif, like: Tensor) -> None:
        super().__init__(op, like)
        self.op = op
        self.gates, self.rectify, self.output_gate = op.gates, op.rectify, op.output_gate
        self.refractory, self.several, self.subtracts = op.refractory, op.max_spikes != 1, op.reset == "subtract"
        self.beta, self.alpha = self.spread(op.beta), self.spread(op.alpha)
        self.gain, self.gain_u = self.spread(op.gain), self.spread(op.gain_u)
        self.leak, self.threshold = self.spread(op.leak), self.spread(op.v_threshold)
        taken = op.v_threshold if op.v_subtract is None else op.v_subtract
        self.reset_to = self.spread(taken if self.subtracts else op.v_reset)
        self.v_min = None if op.v_min is None else self.spread(op.v_min)
        self.v_start, self.never = self.spread(op.v_start), False
        self._wide()

    def drive(self, current: Tensor) -> Tensor:
        """Advance u."""
        self.u = self.alpha * self.u + self.gain_u * current
        return self.gain * self.u

    def scaled(self, value: Tensor, gate: Tensor) -> Tensor:
        """Multiply."""
        return value * gate

    def integrated(self, drive: Tensor) -> Tensor:
        """Leak, and add."""
        return self.beta * self.v + drive + self.leak

    def count(self, v: Tensor) -> Tensor:
        """Return the multiples of the threshold."""
        strict = self.op.comparison == ">"
        fired = (v > self.threshold) if strict else (v >= self.threshold)
        if self.op.max_spikes == 1:
            return fired.to(v.dtype)
        times = v / self.threshold
        count = torch.ceil(times) - 1 if strict else torch.floor(times)
        return torch.where(fired, count.clamp(1, self.op.max_spikes), 0)


class ChipCell(Cell):
    """A ``somas.Lif`` of the machine.

    Args:
        op: Neurons with that soma.
        like: Says type and device of the numbers.
        bias: Their biases with a gradient, broadcast over (B, *shape); None: as they are.
    """

    def __init__(self, op: IntNeuron, like: Tensor, bias: Tensor | None = None) -> None:
        super().__init__(op, like)
        soma = op.soma
        assert isinstance(soma, somas.Lif)
        self.soma = soma
        self.gates, self.rectify, self.output_gate = soma.gates, soma.rectify, soma.output_gate
        self.refractory, self.several, self.subtracts = soma.refractory, soma.max_spikes != 1, soma.reset == "subtract"
        self.keep_u, self.keep_v = self.spread(DECAY_ONE - soma.decay_u), self.spread(DECAY_ONE - soma.decay_v)
        self.bias = self.spread(soma.bias) if bias is None else bias
        self.threshold, self.reset_to = self.spread(soma.threshold), self.spread(soma.v_reset)
        self.v_min = self.spread(soma.v_min) if soma.floored else None
        self.v_start, self.spacing = self.spread(soma.v_start), self.spread(soma.spacing)
        self.never = bool((soma.threshold >= STATE_MAX).all())
        self._wide()
        if self.several:
            self.rise = self.spacing

    def drive(self, current: Tensor) -> Tensor:
        """Advance u, and add the bias."""
        u = current * float(1 << CURRENT_SHIFT)
        self.u = wrapped(u if not self.soma.filters else decayed(self.u, self.keep_u) + u)
        return self.u + self.bias

    def scaled(self, value: Tensor, gate: Tensor) -> Tensor:
        """Scale towards zero."""
        return gained(value, gate, 1 << self.soma.gate_bits)

    def integrated(self, drive: Tensor) -> Tensor:
        """Leak, add, clip."""
        return clipped(decayed(self.v, self.keep_v) + drive)

    def count(self, v: Tensor) -> Tensor:
        """Return how many spikes membranes are worth."""
        if self.soma.max_spikes == 1:
            return (v > self.threshold).to(v.dtype)
        times = torch.floor((v - self.threshold - 1) / self.spacing) + 1
        return times.clamp(0, self.soma.max_spikes)
