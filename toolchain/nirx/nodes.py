"""The extension nodes: what attention spiking networks need and NIR 1.0.8 lacks; all with one input and one output."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Literal, TypeAlias

import nir
import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.nirx.registry import extension

GATES: tuple[str, ...] = ("hard", "sigmoid", "pow2", "binary")
"""Gate functions; equations in ``toolchain.ops.GateNeuron``."""
VARIANTS = ("paper", "code", "causal")
"""Forms of MA attention; equations in ``toolchain.ops.AttentiveLif``."""
DIMS = ("T", "C", "S", "TC", "TS", "CS", "TCS")
"""Which gates an MA block has: temporal, channel, spatial."""

Array = NDArray[Any]
Gate = Literal["hard", "sigmoid", "pow2", "binary"]
Variant = Literal["paper", "code", "causal"]
Neuron: TypeAlias = nir.LIF | nir.IF


def _ports(node: nir.NIRNode, shape: tuple[int, ...] | None) -> None:
    ports = None if shape is None else np.array(shape)
    node.input_type = {"input": ports}
    node.output_type = {"output": ports}


def _pair(value: Any) -> tuple[int, int]:
    flat = np.ravel(np.asarray(value)).tolist()
    if len(flat) not in (1, 2) or any(int(n) != n for n in flat):
        raise ValueError(f"{value!r}; expected one or two integers")
    return (int(flat[0]), int(flat[-1]))


def _shape(value: Any) -> tuple[int, ...]:
    shape = tuple(int(n) for n in np.ravel(np.asarray(value)))
    if not shape or min(shape) < 1:
        raise ValueError(f"shape {shape}; expected positive sizes")
    return shape


def _check_parameters(node: str, found: dict[str, Array], expected: dict[str, tuple[int | None, ...]]) -> None:
    if sorted(found) != sorted(expected):
        raise ValueError(f"{node}: parameters {sorted(found)}; expected {sorted(expected)}")
    for name, shape in expected.items():
        actual = np.shape(found[name])
        if len(actual) != len(shape) or any(e not in (None, a) for a, e in zip(actual, shape, strict=True)):
            wanted = "(" + ", ".join("n" if e is None else str(e) for e in shape) + ")"
            raise ValueError(f"{node}: {name} has shape {actual}; expected {wanted}")


def _check_neuron(node: str, neuron: Neuron, shape: tuple[int, ...]) -> None:
    if not isinstance(neuron, nir.LIF | nir.IF):
        raise ValueError(f"{node}: neuron is a {type(neuron).__name__}; expected LIF or IF")
    if tuple(neuron.v_threshold.shape) != shape:
        raise ValueError(f"{node}: neuron has shape {neuron.v_threshold.shape}; expected {shape}")


def _check_choice(node: str, field: str, found: object, allowed: tuple[str, ...]) -> None:
    if found not in allowed:
        raise ValueError(f"{node}: {field} is {found!r}; allowed are {', '.join(allowed)}")


@extension
@dataclass(eq=False)
class BatchNorm(nir.NIRNode):  # type: ignore[misc]
    r"""Batch normalisation at inference: an affine map per channel, from running statistics.

    .. math::
        y_c = \gamma_c \, \frac{x_c - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}} + \beta_c

    Shapes: x, y ``(C, ...)`` (channels on axis 0); ``mean``, ``variance``, ``weight``, ``bias`` ``(C,)``.

    Reference: Ioffe and Szegedy, "Batch Normalization", ICML 2015.
    """

    mean: Array  # running mean mu
    variance: Array  # running variance sigma^2
    weight: Array  # gamma
    bias: Array  # beta
    epsilon: float
    shape: tuple[int, ...]  # (C, ...)

    def __post_init__(self) -> None:
        """Check shapes, then set NIR's port types."""
        self.shape, self.epsilon = _shape(self.shape), float(self.epsilon)
        fields = {"mean": self.mean, "variance": self.variance, "weight": self.weight, "bias": self.bias}
        _check_parameters("BatchNorm", fields, dict.fromkeys(fields, self.shape[:1]))
        if np.min(self.variance) + self.epsilon <= 0:
            raise ValueError(
                f"BatchNorm: smallest variance {np.min(self.variance)} + epsilon {self.epsilon}; expected > 0"
            )
        _ports(self, self.shape)


@extension
@dataclass(eq=False)
class MaxPool2d(nir.NIRNode):  # type: ignore[misc]
    r"""Max pooling per channel over k x k windows (of binary spikes: OR); padding never wins.

    .. math::
        y_{c,i,j} = \max_{a,b} x_{c,\, i s + a - p,\, j s + b - p}

    Shapes: x ``(C, H, W)``, y ``(C, H', W')``.
    """

    kernel_size: tuple[int, int]  # (kh, kw)
    stride: tuple[int, int]
    padding: tuple[int, int]

    def __post_init__(self) -> None:
        """Check values; the port types follow from the node in front."""
        self.kernel_size, self.stride, self.padding = map(_pair, (self.kernel_size, self.stride, self.padding))
        if min(*self.kernel_size, *self.stride) < 1 or min(self.padding) < 0:
            raise ValueError(
                f"MaxPool2d: kernel {self.kernel_size}, stride {self.stride}, padding {self.padding}; "
                "expected kernel and stride >= 1, padding >= 0"
            )
        _ports(self, None)


@extension
@dataclass(eq=False)
class Relu(nir.NIRNode):  # type: ignore[misc]
    r"""Rectifier: a real value goes on every step, so what reads it is not spike-driven (the checker says so).

    .. math::
        y = \max(x, 0)

    Shapes: x, y ``shape``.
    """

    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Set NIR's port types."""
        self.shape = _shape(self.shape)
        _ports(self, self.shape)


@extension
@dataclass(eq=False)
class AttentiveLif(nir.NIRNode):  # type: ignore[misc]
    r"""MA-SNN attention with its neuron, from a current to binary spikes; equations in ``toolchain.ops.AttentiveLif``.

    .. math::
        s = \mathrm{LIF}(g_T \, g_C \, g_S \, x), \qquad g = h(\text{scores of the current, membrane or own spikes})

    Shapes: x, s ``shape``: ``(C, H, W)`` or ``(C,)``. ``parameters``, as far as ``dims`` names them:

    * paper, code: ``ta_w0 (h, T)``, ``ta_w1 (T, h)``, ``ca_w0 (h, C)``, ``ca_w1 (C, h)``, ``sa_kernel (1, 2, k, k)``;
    * causal: ``ta_w ()``, ``ta_b ()``, ``ca_w0 (h, C)``, ``ca_w1 (C, h)``, ``ca_b (C,)``, ``sa_kernel (1, 1, k, k)``,
      ``sa_b ()``.

    Reference: Yao et al., "Attention Spiking Neural Networks", TPAMI 45(8):9393-9410, 2023 (causal: ours).
    """

    neuron: Neuron
    parameters: dict[str, Array]
    dims: str  # of T, C, S
    variant: Variant
    timesteps: int  # T the weights are for
    gate: Gate  # the function h
    gate_delay: int  # causal: steps from a spike to the gate it moves
    decay: float  # causal: share of the counts kept per step
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check shapes, then set NIR's port types."""
        self.shape, self.timesteps, self.gate_delay = _shape(self.shape), int(self.timesteps), int(self.gate_delay)
        self.decay = float(self.decay)
        _check_neuron("AttentiveLif", self.neuron, self.shape)
        _check_choice("AttentiveLif", "gate", self.gate, GATES)
        _check_choice("AttentiveLif", "variant", self.variant, VARIANTS)
        _check_choice("AttentiveLif", "dims", self.dims, DIMS)
        if self.timesteps < 1 or self.gate_delay < 1 or not 0 <= self.decay <= 1:
            raise ValueError(
                f"AttentiveLif: timesteps {self.timesteps}, gate_delay {self.gate_delay}, decay {self.decay}; "
                "expected timesteps and gate_delay >= 1, decay in 0 .. 1"
            )
        self.parameters = {name: np.asarray(value) for name, value in self.parameters.items()}
        _check_parameters("AttentiveLif", self.parameters, self._expected())
        _ports(self, self.shape)

    def _expected(self) -> dict[str, tuple[int | None, ...]]:
        channels, steps, causal = self.shape[0], self.timesteps, self.variant == "causal"
        expected: dict[str, tuple[int | None, ...]] = {}
        if "T" in self.dims:
            expected |= {"ta_w": (), "ta_b": ()} if causal else {"ta_w0": (None, steps), "ta_w1": (steps, None)}
        if "C" in self.dims:
            expected |= {"ca_w0": (None, channels), "ca_w1": (channels, None)}
            expected |= {"ca_b": (channels,)} if causal else {}
        if "S" in self.dims:
            expected |= {"sa_kernel": (1, 1 if causal else 2, None, None)}
            expected |= {"sa_b": ()} if causal else {}
        return expected


@extension
@dataclass(eq=False)
class GatedCoding(nir.NIRNode):  # type: ignore[misc]
    r"""Gated attention coding: from the stem's current to graded spikes; equations in ``toolchain.ops.GatedCoding``.

    .. math::
        o = h(A \odot F) \odot \mathrm{LIF}(x), \qquad
        A = M(\mathrm{avg}\, x) + M(\max x), \quad F = K_1 * \mathrm{relu}(K_0 * x)

    Shapes: x, o ``shape`` ``(C, H, W)``; ``ta_w0 (h, T)``, ``ta_w1 (T, h)``, ``conv0``, ``conv1`` ``(C, C, k, k)``.
    The gate is real: a binary spike leaves as a *graded* one.

    Reference: Qiu et al., "Gated Attention Coding", AAAI 38(1):601-610, 2024 (released code).
    """

    neuron: Neuron
    parameters: dict[str, Array]
    timesteps: int  # T the weights are for
    gate: Gate  # the function h
    shape: tuple[int, ...]  # (C, H, W)

    def __post_init__(self) -> None:
        """Check shapes, then set NIR's port types."""
        self.shape, self.timesteps = _shape(self.shape), int(self.timesteps)
        if len(self.shape) != 3 or prod(self.shape) < 1:
            raise ValueError(f"GatedCoding: shape {self.shape}; expected (C, H, W)")
        _check_neuron("GatedCoding", self.neuron, self.shape)
        _check_choice("GatedCoding", "gate", self.gate, GATES)
        self.parameters = {name: np.asarray(value) for name, value in self.parameters.items()}
        c, t = self.shape[0], self.timesteps
        expected: dict[str, tuple[int | None, ...]] = {"ta_w0": (None, t), "ta_w1": (t, None)}
        expected |= {"conv0": (c, c, None, None), "conv1": (c, c, None, None)}
        _check_parameters("GatedCoding", self.parameters, expected)
        _ports(self, self.shape)
