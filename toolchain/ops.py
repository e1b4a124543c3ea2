"""The float vocabulary: one frozen dataclass an op, its equation first.

Signals are (T, B, *shape); an op names its operands in order. Time is discrete and zero-skew: an op sees the same step of its
operands, unless a ``Delay`` stands between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.linear import conv2d
from spikewright.hw_sim.synapses import ConvSynapses, DenseSynapses, Synapses, TransposedConvSynapses
from spikewright.toolchain.gates import GateName, gate_function

Array = NDArray[np.float64]
Shape = tuple[int, ...]
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """A named operation on the signals named ``inputs``.

    ``block`` is the user's name of the layer or attention block the op came from (defaults to ``name``).
    """

    name: str
    inputs: tuple[str, ...] = ()
    block: str = ""

    def __post_init__(self) -> None:
        """Name the block after the op where none is given."""
        if not self.block:
            object.__setattr__(self, "block", self.name)


@dataclass(frozen=True, eq=False, kw_only=True)
class AnyInput(Op):
    """Where data comes in, frames of ``shape``; ``Graph.input`` returns it, float or integer."""

    shape: Shape


@dataclass(frozen=True, eq=False, kw_only=True)
class AnyOutput(Op):
    """Where the answer is read; ``Graph.output`` returns it, float or integer."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Input(AnyInput):
    """The net's input, (T, B, *shape): ``binary`` spikes, or payloads (event counts, graded spikes, real values)."""

    binary: bool = True


@dataclass(frozen=True, eq=False, kw_only=True)
class Output(AnyOutput):
    """The net's answer: ``mean`` over T of its operand (logits, or spike rates)."""

    readout: Literal["mean"] = "mean"


# ----------------------------------------------------------------------------------------- linear maps
@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(Op):
    """A map that a connection of the chip holds: y = W x + b."""

    weight: Array
    bias: Array | None = None

    def synapses(self, weight: NDArray[Any]) -> Synapses:
        """Return the machine's synapses of this map, with other (integer) weights.

        Raises:
            NotImplementedError: The map does not say.
        """
        raise NotImplementedError


@dataclass(frozen=True, eq=False, kw_only=True)
class Affine(Linear):
    """y = W x + b; x (I,), W (O, I), b (O,)."""

    def synapses(self, weight: NDArray[Any]) -> Synapses:
        """Return dense synapses."""
        return DenseSynapses(weight)


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(Linear):
    """y = W * x + b, torch cross-correlation; x (Ci, H, W), W (Co, Ci // groups, kh, kw), b (Co,)."""

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def synapses(self, weight: NDArray[Any]) -> Synapses:
        """Return a shared kernel."""
        return ConvSynapses(weight, self.stride, self.padding, self.dilation, self.groups)


@dataclass(frozen=True, eq=False, kw_only=True)
class TransposedConv(Linear):
    """y[o, s i - p + a, s j - p + b] += W[o, c, a, b] x[c, i, j], + b: torch's ConvTranspose2d.

    x (Ci, H, W), W (Co, Ci, kh, kw), b (Co,); n' = (n - 1) stride - 2 padding + k + output_padding.
    """

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    output_padding: Pair = (0, 0)

    def synapses(self, weight: NDArray[Any]) -> Synapses:
        """Return a kernel that every source lays over the target."""
        return TransposedConvSynapses(weight, self.stride, self.padding, self.output_padding)


@dataclass(frozen=True, eq=False, kw_only=True)
class SumPool(Op):
    """y = scale * sum over k x k windows, per channel, zero padded (scale = 1 / k^2 is average pooling)."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    scale: float = 1.0


@dataclass(frozen=True, eq=False, kw_only=True)
class AdaptivePool(Op):
    """y[c, i, j] = mean of x[c] over rows floor(i H / h) .. ceil((i + 1) H / h) - 1 and columns likewise; ``size`` (h, w).

    Windows differ in size and may overlap: the pooling to a size that does not divide the map (torch's AdaptiveAvgPool2d).
    """

    size: Pair

    def rows(self, axis: int, length: int) -> Array:
        """Return the matrix (size, length) of the means along an axis."""
        n = self.size[axis]
        first, last = np.arange(n) * length // n, -(-(np.arange(n) + 1) * length // n)
        at = np.arange(length)
        inside = (at >= first[:, None]) & (at < last[:, None])
        return inside / (last - first)[:, None]


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Op):
    """y = max over k x k windows, per channel (for binary spikes: OR)."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Scale(Op):
    """y = s x + b: one value for all, per channel (axis 0 of the signal), or per value; a folded batch norm is one."""

    scale: Array
    shift: Array | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Flatten(Op):
    """y = x in C order, (n,)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Op):
    """y = sum of the operands (a residual joins two)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Multiply(Op):
    """y = product of the operands, element by element (broadcast)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Relu(Op):
    """y = max(x, 0)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Delay(Op):
    """y[t] = x[t - steps]; ``initial`` for t < steps. The only op that may read a later op (a feedback edge)."""

    steps: int
    initial: float = 0.0


# --------------------------------------------------------------------------------------------- neurons
@dataclass(frozen=True, eq=False)
class PooledGates:
    """Gates pooled from all membranes of a step, between integrating and firing: first one a channel, then one a place.

    ::

        g_C = h(M(avg_S v) + M(max_S v)),  M(x) = excite relu(squeeze x);   v = g_C v          (S: the places of a map)
        g_S = h(kernel * [avg_C v; max_C v]),  'same' padding;              v = g_S v

    ``squeeze`` (h, C), ``excite`` (C, h), ``kernel`` (1, 2, k, k); None where there is no such gate.
    """

    function: GateName
    squeeze: Array | None = None
    excite: Array | None = None
    kernel: Array | None = None

    def channel(self, average: Array, largest: Array) -> Array:
        """Return g_C (B, C) of an average and a maximum (B, C)."""
        assert self.squeeze is not None
        assert self.excite is not None
        hidden = sum(
            (np.maximum(pool @ self.squeeze.T, 0) @ self.excite.T for pool in (average, largest)), np.zeros(())
        )
        return gate_function(self.function, hidden)

    def space(self, average: Array, largest: Array) -> Array:
        """Return g_S (B, H, W) of an average and a maximum (B, H, W)."""
        assert self.kernel is not None
        pad = self.kernel.shape[-1] // 2
        return gate_function(
            self.function, conv2d(np.stack([average, largest], 1), self.kernel, (1, 1), (pad, pad))[:, 0]
        )

    def scaled(self, v: Array, seen: Callable[[str, Array], None] = lambda dim, gate: None) -> Array:
        """Return membranes (B, C, ...) scaled; ``seen`` is told "C" or "S" and each gate."""
        if self.squeeze is not None:
            axes = tuple(range(2, v.ndim))
            gate = self.channel(v.mean(axis=axes), v.max(axis=axes))
            seen("C", gate)
            v = v * gate.reshape(gate.shape + (1,) * (v.ndim - 2))
        if self.kernel is not None:
            gate = self.space(v.mean(axis=1), v.max(axis=1))
            seen("S", gate)
            v = v * gate[:, None]
        return v


@dataclass(frozen=True, eq=False, kw_only=True)
class Neuron(Op):
    """Neurons: a state of ``shape`` that goes from step to step. Operands: the currents, then one gate signal a port."""

    shape: Shape

    @property
    def sends(self) -> Literal["binary", "graded", "gate", "value"]:
        """What it sends: spikes, spikes scaled by a gate, a gain, or a real value in every step."""
        return "value"

    @property
    def fires(self) -> bool:
        """Whether it sends spikes."""
        return self.sends in ("binary", "graded")

    @property
    def ports(self) -> int:
        """How many gate signals it reads."""
        return 0

    @property
    def currents(self) -> tuple[str, ...]:
        """The operands whose sum it integrates."""
        return self.inputs[: len(self.inputs) - self.ports]

    @property
    def filters(self) -> bool:
        """Whether it keeps its synaptic input for later steps, so that a bias must come in front."""
        return False


@dataclass(frozen=True, eq=False, kw_only=True)
class Lif(Neuron):
    """Leaky integrate-and-fire: binary spikes out; graded with ``output_gate``, or with more than one spike a step.

    ::

        before step 0:  u = 0,  v = v_start
        i = sum of the currents;  u = alpha u + gain_u i   (alpha = 0: u = gain_u i)
        d = (product of the gates) * (gain u);   d = max(d, 0)  (rectify)
        v = beta v + d + leak;   v = (product of the membrane gates) v;   v = pooled(v)
        s = min(max_spikes, number of k >= 1 with v > k v_threshold)         (or >=)
        where s > 0:  v = v_reset  (reset "value")   or   v -= s v_subtract  ("subtract"; None: v_threshold)
        v = max(v, v_min)                                                  (v_min None: no floor)
        r steps after a spike, 1 <= r < refractory: v stays as it was reset, s = 0 (u goes on)

    Operands: the currents, then ``gates`` gate signals (broadcast to the shape). Parameters broadcast to ``shape``.
    With ``output_gate`` the last gate leaves the drive alone and scales what is sent: out = g s. The last ``membrane_gates``
    of the others scale the membrane instead of the drive; ``pooled`` makes such gates of the membranes themselves, in the step.
    ``leak = (1 - beta) v_leak``; v starts at ``v_start``, not at v_leak.
    ``max_spikes`` 1: one spike at most. None: as many as there are multiples of the threshold (``floor(v / v_threshold)``
    with >=); like a number above 1 it sends counts, integer payloads, and needs thresholds above 0.
    ``refractory`` counts the step of the spike itself: 1 is none, 2 one silent step behind each spike.

    Sources: several spikes a step and the floor are sinabs' (``MultiSpike``, ``min_v_mem``, floored after the reset);
    the refractory period is that of Loihi, as brian2-loihi and lava-dl (``refDelay``) have it. A subtraction one step
    late (snnTorch) is one of v_threshold / beta at once: the steps between differ, no spike does.
    """

    beta: Array
    v_threshold: Array
    gain: Array = field(default_factory=lambda: np.ones(()))
    alpha: Array = field(default_factory=lambda: np.zeros(()))
    gain_u: Array = field(default_factory=lambda: np.ones(()))
    leak: Array = field(default_factory=lambda: np.zeros(()))
    v_reset: Array = field(default_factory=lambda: np.zeros(()))
    reset: Literal["value", "subtract"] = "value"
    comparison: Literal[">", ">="] = ">"
    gates: int = 0
    rectify: bool = False
    output_gate: bool = False
    refractory: int = 1
    max_spikes: int | None = 1
    v_min: Array | None = None
    v_subtract: Array | None = None
    v_start: Array = field(default_factory=lambda: np.zeros(()))
    membrane_gates: int = 0
    pooled: PooledGates | None = None

    def __post_init__(self) -> None:
        """Refuse what no neuron means.

        Raises:
            ValueError: A refractory period or a number of spikes below 1, or several spikes at a threshold of 0 or less.
        """
        super().__post_init__()
        if self.refractory < 1 or (self.max_spikes is not None and self.max_spikes < 1):
            raise ValueError(
                f"Lif {self.name!r}: refractory {self.refractory}, max_spikes {self.max_spikes}; both are at least 1 "
                "(max_spikes None: any number)"
            )
        if self.max_spikes != 1 and np.min(self.v_threshold) <= 0:
            raise ValueError(
                f"Lif {self.name!r}: several spikes a step at a threshold of {np.min(self.v_threshold):g}; it must be above 0"
            )

    @property
    def sends(self) -> Literal["binary", "graded"]:
        """Spikes; scaled by an output gate, or counted."""
        return "graded" if self.output_gate or self.max_spikes != 1 else "binary"

    @property
    def ports(self) -> int:
        """``gates``."""
        return self.gates

    @property
    def filters(self) -> bool:
        """Whether u keeps any of itself."""
        return bool(np.any(self.alpha))


@dataclass(frozen=True, eq=False, kw_only=True)
class Accumulator(Neuron):
    """Non-firing integrator with a rectifier: u = alpha u + x;  n = decay n + u + leak;  y = relu(n)  (``rectify``)  or  n.

    ``decay``, ``alpha`` and ``leak`` broadcast to the shape. Only a read-out (``rectify`` False) has decays of its own for
    each neuron, ``alpha`` or ``leak``.
    """

    decay: float | Array = 1.0
    rectify: bool = True
    alpha: float | Array = 0.0
    leak: float | Array = 0.0

    @property
    def filters(self) -> bool:
        """Whether n or u keeps any of itself."""
        return bool(np.any(self.decay) or np.any(self.alpha))


@dataclass(frozen=True, eq=False, kw_only=True)
class Relay(Neuron):
    """Signed linear neuron: y = sum of the operands, maps of messages without a constant; 0, and no message, without an event.

    A residual stream of membranes travels by relays (class B: graded payloads), where it is not cheaper to give every
    reader its own copy of the synapses in front.
    """

    @property
    def sends(self) -> Literal["graded"]:
        """Signed payloads."""
        return "graded"

    @property
    def fires(self) -> bool:
        """It sends values, no spikes."""
        return False


@dataclass(frozen=True, eq=False, kw_only=True)
class GatedRelay(Relay):
    """Rectified linear neuron without memory: y = max((product of the gates) * (sum of the currents), 0), a graded payload.

    Operands: the currents, constants among them, then ``gates`` gate signals (broadcast to the shape). Attention that gates a
    current in front of a sum runs so: on the chip a neuron that sends how many steps of its threshold it has reached.
    """

    gates: int = 0

    @property
    def ports(self) -> int:
        """``gates``."""
        return self.gates


@dataclass(frozen=True, eq=False, kw_only=True)
class SigmaDelta(Neuron):
    """Sigma-delta neuron: adds up changes (``sums``), and sends the change of its activation where that is large enough.

    ::

        v = v + x  (``sums``)  or  x;   y = relu(v + bias)  (``rectify``)  or  v + bias
        d = y - sent;   where |d| >= v_threshold:  out = d / unit,  sent = y

    ``unit``: what a message of 1 is worth. As lava-dl's ``sdnn``; there is no other source of it than its files.
    """

    bias: Array
    v_threshold: Array
    unit: float = 1.0
    rectify: bool = True
    sums: bool = True

    @property
    def sends(self) -> Literal["graded"]:
        """Signed changes."""
        return "graded"


@dataclass(frozen=True, eq=False, kw_only=True)
class GateNeuron(Neuron):
    """Gate from an accumulated input: n = decay n + x;  g = h((n + bias) p) in [0, 1], p the product of what its ports hold.

    h: ``function``, of ``toolchain.gates``.
    With ``differences`` the operand carries changes of x (an event-driven rectifier in front); the sum is the same.
    """

    bias: Array
    decay: float = 1.0
    function: GateName = "hard"
    differences: bool = False
    factors: int = 0

    @property
    def sends(self) -> Literal["gate"]:
        """Its gain."""
        return "gate"

    @property
    def ports(self) -> int:
        """``factors``: each a ``HeldSum``."""
        return self.factors


@dataclass(frozen=True, eq=False, kw_only=True)
class HeldSum(Neuron):
    """A factor of a gate: n = decay n + x, sent when it changes and held by who reads it. ``differences`` as ``GateNeuron``."""

    decay: float = 0.0
    differences: bool = False

    @property
    def sends(self) -> Literal["gate"]:
        """A value that is held at a port."""
        return "gate"


@dataclass(frozen=True, eq=False, kw_only=True)
class GateTable(Op):
    """Constant gates: row t of ``table`` (T or 1, *shape) at step t."""

    table: Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Replayed(Op):
    """Gates that a host computes from a whole run of the chip, for the run that follows: (T, *shape), a level each step.

    Operands: read-outs of the chip, in the place of what the attention block ``of`` reads; its gates over ``dim`` these are.
    """

    of: Op
    dim: str
    shape: Shape
