"""The integer vocabulary: what every backend must compute bit for bit; arithmetic from ``hw_sim.fixed_point``.

Neurons read *connections*, connections read neurons (or the input): one connection is one message hop on the chip.
A connection has a local ``lag`` (0: same step; >= 1: feedback or an explicit delay) and, after ``align``, a chip
``delay``; a neuron has a chip ``start`` step: ``delay = start(target) + lag - start(source) >= 1``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.ops import Array, Op, Pair, Shape

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class IntInput(Op):
    """Integer payloads from outside: x = payload * scale; 1 bit = binary spikes. ``start`` is 0."""

    shape: Shape
    payload_bits: int = 1
    signed: bool = False
    scale: float = 1.0
    start: int = 0


# ------------------------------------------------------------------------------------------ connections
@dataclass(frozen=True, eq=False, kw_only=True)
class Connection(Op):
    """A synapse block: a[t] = (W x[t - lag]) << exponent, x = 0 for t < lag."""

    lag: int = 0
    delay: int = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class IntDense(Connection):
    """a = (W x) << exponent; W (O, I) integers; x flattened in C order."""

    weight: IntArray
    exponent: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class IntConv(Connection):
    """a = (W * x) << exponent; W (Co, Ci // groups, kh, kw), torch cross-correlation."""

    weight: IntArray
    exponent: int = 0
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class IntIdentity(Connection):
    """a = (weight x) << exponent, neuron i to neuron i."""

    weight: int
    exponent: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class IntGateLink(Connection):
    """g[t] = level[t - lag]; the level 2**gate_bits (1.0) for t < lag. Broadcasts to the shape of the neuron that reads it."""

    gate_bits: int = 8


# --------------------------------------------------------------------------------------------- neurons
def _zero() -> IntArray:
    return np.zeros(1, np.int64)


@dataclass(frozen=True, eq=False, kw_only=True)
class IntLif(Op):
    """Leaky integrate-and-fire in the chip's integers; see ``hw_sim.program.Lif`` for the equation.

    Operands: connections, then ``gates`` gate links (applied in this order). Binary spikes out; with ``output_gate`` the last
    gate scales what is sent instead of the drive: payloads 0 .. 2**gate_bits, in units of 2**-gate_bits.
    Arrays are (n,) or (1,), n = prod(shape), C order.
    ``scale`` (n,) or (1,): v * scale is the float membrane. ``threshold = STATE_MAX`` never fires (read-out).
    """

    shape: Shape
    decay_v: IntArray
    bias: IntArray
    threshold: IntArray
    decay_u: IntArray = field(default_factory=lambda: np.full(1, 4096, np.int64))
    v_reset: IntArray = field(default_factory=_zero)
    reset: Literal["value", "subtract"] = "value"
    gates: int = 0
    gate_bits: int = 8
    rectify: bool = False
    output_gate: bool = False
    scale: Array = field(default_factory=lambda: np.ones(1))
    start: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class IntDeltaRelu(Op):
    """acc = clip24(decay(acc, decay) + a); y = max(acc, 0) >> shift; out = y - y_previous, graded; y starts at 0.

    State v = acc.
    """

    shape: Shape
    shift: int
    decay: IntArray = field(default_factory=_zero)
    scale: Array = field(default_factory=lambda: np.ones(1))
    start: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class IntGate(Op):
    """acc = clip24(decay(acc, decay) + a); level = levels[count(acc + bias >= thresholds)]; out = level (sent when it changes).

    ``thresholds`` (K,) ascending, ``levels`` (K + 1,) in 0 .. 2**gate_bits. State v = acc.
    """

    shape: Shape
    thresholds: IntArray
    levels: IntArray
    bias: IntArray = field(default_factory=_zero)
    decay: IntArray = field(default_factory=_zero)
    gate_bits: int = 8
    scale: Array = field(default_factory=lambda: np.ones(1))
    start: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class IntGateTable(Op):
    """Constant gate levels: row t of ``table`` (T or 1, n), integers 0 .. 2**gate_bits; sends no message."""

    shape: Shape
    table: IntArray
    gate_bits: int = 8
    start: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class IntOutput(Op):
    """The answer: ``membrane`` of the operand after the last step, or its ``spikes`` over T; ``scale`` to the mean over T."""

    readout: Literal["membrane", "spikes"] = "membrane"
    scale: float = 1.0
