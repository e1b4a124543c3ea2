"""The float vocabulary: one frozen dataclass an op, its equation first.

Signals are (T, B, *shape); an op names its operands in order. Time is discrete and zero-skew: an op sees the same step of its
operands, unless a ``Delay`` stands between.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

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
class Input(Op):
    """The net's input, (T, B, *shape)."""

    shape: Shape


@dataclass(frozen=True, eq=False, kw_only=True)
class Output(Op):
    """The net's answer: ``mean`` over T of its operand (logits, or spike rates)."""

    readout: Literal["mean"] = "mean"


# ----------------------------------------------------------------------------------------- linear maps
@dataclass(frozen=True, eq=False, kw_only=True)
class Affine(Op):
    """y = W x + b; x (I,), W (O, I), b (O,)."""

    weight: Array
    bias: Array | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(Op):
    """y = W * x + b, torch cross-correlation; x (Ci, H, W), W (Co, Ci // groups, kh, kw), b (Co,)."""

    weight: Array
    bias: Array | None = None
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class SumPool(Op):
    """y = scale * sum over k x k windows, per channel, zero padded (scale = 1 / k^2 is average pooling)."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    scale: float = 1.0


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Op):
    """y = max over k x k windows, per channel (for binary spikes: OR)."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Scale(Op):
    """y = s x + b per channel (axis 0 of the signal); a folded batch norm is one."""

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
@dataclass(frozen=True, eq=False, kw_only=True)
class Lif(Op):
    """Leaky integrate-and-fire, binary spikes out (graded with ``output_gate``).

    ::

        i = sum of the currents;  u = alpha u + gain_u i   (alpha = 0: u = gain_u i)
        d = (product of the gates) * (gain u);   d = max(d, 0)  (rectify)
        v = beta v + d + leak
        s = v > v_threshold  (or >=);   v[s] = v_reset  (reset "value")   or  v[s] -= v_threshold  ("subtract")

    Operands: the currents, then ``gates`` gate signals (broadcast to the shape). Parameters broadcast to ``shape``.
    With ``output_gate`` the last gate leaves the drive alone and scales what is sent: out = g s.
    ``leak = (1 - beta) v_leak``. State is zero (v = 0, not v_leak) before step 0.
    """

    shape: Shape
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


@dataclass(frozen=True, eq=False, kw_only=True)
class Accumulator(Op):
    """Non-firing integrator with a rectifier: n = decay n + x;  y = relu(n)  (``rectify``)  or  n."""

    shape: Shape
    decay: float = 1.0
    rectify: bool = True


@dataclass(frozen=True, eq=False, kw_only=True)
class GateNeuron(Op):
    """Gate from an accumulated input: n = decay n + x;  g = h(n + bias) in [0, 1].

    h: ``hard`` clip(x/4 + 1/2, 0, 1); ``sigmoid``; ``pow2`` nearest of {0, 1/8, 1/4, 1/2, 1} to hard(x);
    ``binary`` hard(x) >= 1/2.
    With ``differences`` the operand carries changes of x (an event-driven rectifier in front); the sum is the same.
    """

    shape: Shape
    bias: Array
    decay: float = 1.0
    function: Literal["hard", "sigmoid", "pow2", "binary"] = "hard"
    differences: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class GateTable(Op):
    """Constant gates: row t of ``table`` (T or 1, *shape) at step t."""

    table: Array


# ------------------------------------------------------------------------------------------- attention
@dataclass(frozen=True, eq=False, kw_only=True)
class AttentiveLif(Op):
    """MA-SNN attention with its neuron, from the current X = BN(conv(S)) to spikes. Yao et al., TPAMI 45(8):9393, 2023.

    ``code`` (released code): y = ta(X) X; y = ca(y) y; y = sa(y) y; y = relu(y), each gate pooled over all T; then the neuron.
    ``paper``: X' = ta(X) X over all T; U = beta v + gain X'; U = ca(U) U; U = sa(U) U; s = U cmp v_threshold, in the step.
    ``causal``: gates from the neuron's own earlier spikes S, d = gate_delay, g[t < d] = 1, lambda = decay::

        m = lambda m + mean_CHW S / T;    g_T[t + d] = h(ta_w m + ta_b)
        n = lambda n + mean_HW S / T;     g_C[t + d] = h(ca_w1 relu(ca_w0 n) + ca_b)
        a = lambda a + mean_C S / T;      g_S[t + d] = h(sa_kernel * a + sa_b)
        X' = g_T g_C g_S X

    ``parameters``: for paper and code ta_w0 (T//r, T), ta_w1 (T, T//r), ca_w0 (C//r, C), ca_w1 (C, C//r),
    sa_kernel (1, 2, k, k); for causal ta_w (), ta_b (), ca_w0, ca_w1, ca_b (C,), sa_kernel (1, 1, k, k), sa_b ().
    ``neuron`` holds the Lif.
    """

    neuron: Lif
    dims: str
    variant: Literal["paper", "code", "causal"]
    timesteps: int
    parameters: dict[str, Array]
    gate: Literal["hard", "sigmoid", "pow2", "binary"] = "sigmoid"
    gate_delay: int = 3
    decay: float = 1.0


@dataclass(frozen=True, eq=False, kw_only=True)
class GatedCoding(Op):
    """Gated attention coding, from the stem's current I to graded spikes O. Qiu et al., AAAI 38(1):601, 2024 (released code).

    ::

        S = neuron(I);  A_t = M(avg_CHW I)_t + M(max_CHW I)_t,  M(x) = ta_w1 relu(ta_w0 x)  over T, no sigmoid
        F_t = conv1(relu(conv0(I_t)))   4x4, 'same' (1 left and top, 2 right and bottom), no bias
        O = h(A_t F_t) * S

    ``payload_bits`` None: the gate is real; else O is an integer multiple of ``1 / (2**payload_bits - 1)`` times a scale.
    """

    neuron: Lif
    timesteps: int
    parameters: dict[str, Array]
    gate: Literal["hard", "sigmoid", "pow2", "binary"] = "sigmoid"


@dataclass(frozen=True, eq=False, kw_only=True)
class JointGate(Op):
    """TCJA: a gate per step and channel on spikes S, which leave graded. Zhu et al., IEEE TNNLS, 2024.

    ::

        Z[t, c] = mean_HW S[t, c];   Y = g S'
        P[t, i] = sum_n sum_m tla[i, n, m] Z[t + m - before, n]
        Q[t, c] = sum_u sum_m cla[t, u, m] Z[u, c + m - (k - 1) // 2]
        F = h(P Q)  for dims "TC";   h(P)  for "T";   h(Q)  for "C"

    ``published``: before = (k - 1) // 2, g = F. ``causal``: before = k - 1, ``cla`` only for u <= t, g[t] = F[t - gate_delay],
    g[t < gate_delay] = 1; with ``memory`` "count" one channel kernel over counts n = decay n + Z / T:
    Q[t, c] = sum_m cla[0, 0, m] n[t, c + m - (k - 1) // 2].

    Operands: S; a second one, if given, is what is scaled (S pooled), S'. ``parameters``: ``tla`` (C, C, k), ``cla`` (T, T, k),
    or (1, 1, k) for "count".
    """

    shape: Shape
    dims: Literal["T", "C", "TC"]
    variant: Literal["published", "causal"]
    timesteps: int
    parameters: dict[str, Array]
    gate: Literal["hard", "sigmoid", "pow2", "binary"] = "sigmoid"
    gate_delay: int = 0
    memory: Literal["table", "count"] = "table"
    decay: float = 1.0


@dataclass(frozen=True, eq=False, kw_only=True)
class StaaLif(Op):
    """STAA-style attention with its neuron, from a current X to spikes. After Zhang et al., CVPR 2025 (a reconstruction).

    ``reconstruction``: position, aggregator, adaptive LIF, step attention over all T; the spikes leave graded::

        X[t] = X[t] + pe[t];   k = softmax_HW(gc_key . X[t]);   c = sum_HW k X[t]  ("softmax")  or  mean_HW S[t - 1]  ("count")
        X[t] = h(gc_value relu(LN(gc_query c))) X[t];   S = neuron(X);   y[t] = h(sa_w1 relu(sa_w0 mean_CHW S))[t] S[t]

    ``causal``: position, then the causal gates "TC" of ``AttentiveLif``; the spikes are binary.

    ``parameters``: ``pe`` (T, C) if there is a position encoding; gc_query, gc_value, gc_scale and gc_shift (of LN), gc_key
    ("softmax" only), sa_w0, sa_w1; for causal ta_w, ta_b, ca_w0, ca_w1, ca_b. ``neuron`` holds the Lif.
    """

    neuron: Lif
    variant: Literal["reconstruction", "causal"]
    timesteps: int
    parameters: dict[str, Array]
    gate: Literal["hard", "sigmoid", "pow2", "binary"] = "sigmoid"
    gate_delay: int = 3
    decay: float = 1.0


Attention = AttentiveLif | GatedCoding | JointGate | StaaLif
"""The attention blocks, each one op until it is lowered."""
