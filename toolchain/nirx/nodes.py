"""The extension nodes: what attention spiking networks need and NIR 1.0.8 lacks; all with one input and one output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import nir
import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.block_registry import block_class
from spikewright.toolchain.nirx.registry import extension
from spikewright.toolchain.ops import Lif

Array = NDArray[Any]
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


def _check_neuron(node: str, neuron: Neuron | None, shape: tuple[int, ...]) -> None:
    if not isinstance(neuron, nir.LIF | nir.IF):
        raise ValueError(f"{node}: neuron is a {type(neuron).__name__}; expected LIF or IF")
    if tuple(neuron.v_threshold.shape) != shape:
        raise ValueError(f"{node}: neuron has shape {neuron.v_threshold.shape}; expected {shape}")


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
class AdaptiveAvgPool2d(nir.NIRNode):  # type: ignore[misc]
    r"""Average pooling to a size that need not divide the map: windows differ in size and may overlap.

    .. math::
        y_{c,i,j} = \mathrm{mean}\, x_{c,\, \lfloor i H / h \rfloor : \lceil (i + 1) H / h \rceil,\,
        \lfloor j W / w \rfloor : \lceil (j + 1) W / w \rceil}

    Shapes: x ``(C, H, W)``, y ``(C, h, w)``. As ``torch.nn.AdaptiveAvgPool2d``; an even one is NIR's own ``AvgPool2d``.
    """

    size: tuple[int, int]  # (h, w)

    def __post_init__(self) -> None:
        """Check values; the port types follow from the node in front."""
        self.size = _pair(self.size)
        if min(self.size) < 1:
            raise ValueError(f"AdaptiveAvgPool2d: size {self.size}; expected at least (1, 1)")
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
class AttentionNode(nir.NIRNode):  # type: ignore[misc]
    r"""An attention block of any kind, with its neuron if it has one; equations and citation in the block's file.

    ``kind`` is the name under which a block's class is registered (entry point group ``spikewright.blocks``); it says what
    ``parameters`` (arrays), ``options`` (numbers and text) and the neuron mean, and checks them.

    Shapes: y ``shape``, ``(C, H, W)`` or ``(C,)``; x as the kind says.
    """

    kind: str
    neuron: Neuron | None
    parameters: dict[str, Array]
    options: dict[str, Any]
    timesteps: int  # T the weights are for
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check that the kind is known and takes these fields, then set NIR's port types."""
        self.shape, self.timesteps = _shape(self.shape), int(self.timesteps)
        self.parameters = {name: np.asarray(value) for name, value in self.parameters.items()}
        block = block_class(self.kind)
        if block.spiking:
            _check_neuron(block.__name__, self.neuron, self.shape)
        elif self.neuron is not None:
            raise ValueError(f"{block.__name__}: has a neuron; expected none")
        self.op("node", (), None).check()
        _ports(self, self.shape)
        self.input_type = {"input": np.array(self.reads)}

    @property
    def reads(self) -> tuple[int, ...]:
        """Shape of what the block reads."""
        return self.op("node", (), None).reads

    def op(self, name: str, inputs: tuple[str, ...], neuron: Lif | None) -> AttentionBlock:
        """Return the block; ``neuron`` is the node's, discretised."""
        parameters = {key: np.asarray(value, np.float64) for key, value in self.parameters.items()}
        return block_class(self.kind)(
            name=name,
            inputs=inputs,
            shape=self.shape,
            neuron=neuron,
            timesteps=self.timesteps,
            parameters=parameters,
            **self.options,
        )
