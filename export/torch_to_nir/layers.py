"""One torch module to one NIR node: neurons with their time constants, layers with their weights, attention blocks.

::

    tau = dt / (1 - beta),   r = gain tau / dt        so that  beta = 1 - dt/tau,  gain = r dt/tau
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from models.attention.gac import GatedAttentionCoding
from models.attention.ma import MALIF
from models.neurons import LIF
from toolchain import nirx
from toolchain.errors import ImportingError, UnsupportedNodeError

Shape = tuple[int, ...]
MALIF_PARAMETERS = ("ta_w0", "ta_w1", "ta_w", "ta_b", "ca_w0", "ca_w1", "ca_b", "sa_kernel", "sa_b")
GAC_PARAMETERS = ("ta_w0", "ta_w1", "conv0", "conv1")


def layer(module: nn.Module, shape: Shape, out: Shape, dt_s: float, where: str) -> nir.NIRNode:
    """Convert a leaf module.

    Args:
        module: Its parameters are copied in their own precision.
        shape: Shape of its input, T and B left out.
        out: Shape of its output.
        dt_s: Length of one timestep in s.
        where: For error messages.

    Raises:
        UnsupportedNodeError: The module, or an option of it, has no meaning in NIR.
    """
    match module:
        case LIF():
            return neuron(module, shape, dt_s, where)
        case MALIF() | GatedAttentionCoding():
            return _attention(module, shape, dt_s, where)
        case nn.Conv2d():
            return _conv(module, shape, where)
        case nn.Linear():
            return _linear(module, shape, where)
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return _batch_norm(module, shape, where)
        case nn.AvgPool2d() | nn.MaxPool2d() | nn.AdaptiveAvgPool2d():
            return _pool(module, shape, out, where)
        case nn.ReLU():
            return nirx.Relu(shape)
        case _:
            raise UnsupportedNodeError(
                f"the module {type(module).__name__} has no meaning in NIR",
                where=where,
                help="use the modules of models.layers, models.neurons and models.attention, or those of help(capture)",
            )


def neuron(module: LIF, shape: Shape, dt_s: float, where: str) -> nir.NIRNode:
    """Convert a neuron: a LIF, or an IF where beta is 1; comparison, reset and the exact constants in its metadata."""
    beta, gain = module.beta, module.gain
    if not 0 <= beta <= 1:
        raise ImportingError(f"beta {beta}; allowed are 0 to 1", where=where, help="train with a beta in this range")
    metadata: dict[str, Any] = {"comparison": module.comparison, "reset": module.reset, "beta": beta, "gain": gain}
    threshold, reset = np.full(shape, module.v_threshold), np.full(shape, module.v_reset)
    if beta == 1:
        return nir.IF(r=np.full(shape, gain / dt_s), v_threshold=threshold, v_reset=reset, metadata=metadata)
    tau = dt_s / (1 - beta)
    return nir.LIF(
        tau=np.full(shape, tau),
        r=np.full(shape, gain * tau / dt_s),
        v_leak=np.zeros(shape),
        v_threshold=threshold,
        v_reset=reset,
        metadata=metadata,
    )


def _attention(module: MALIF | GatedAttentionCoding, shape: Shape, dt_s: float, where: str) -> nir.NIRNode:
    names = MALIF_PARAMETERS if isinstance(module, MALIF) else GAC_PARAMETERS
    found = {name: _array(value) for name in names if isinstance(value := getattr(module, name, None), Tensor)}
    inner = neuron(module.neuron, shape, dt_s, where)
    if isinstance(module, GatedAttentionCoding):
        return nirx.GatedCoding(inner, found, timesteps=module.timesteps, gate=module.gate, shape=shape)
    return nirx.AttentiveLif(
        inner,
        found,
        dims=module.dims,
        variant=module.variant,
        timesteps=module.timesteps,
        gate=module.gate,
        gate_delay=module.gate_delay,
        decay=module.decay,
        shape=shape,
    )


def _conv(module: nn.Conv2d, shape: Shape, where: str) -> nir.NIRNode:
    _need(module.padding_mode == "zeros", f"padding_mode {module.padding_mode!r}", "use padding_mode='zeros'", where)
    _need(len(shape) == 3, f"a convolution of shape {shape}", "convolve (T, B, C, H, W)", where)
    weight = _array(module.weight)
    return nir.Conv2d(
        input_shape=(shape[1], shape[2]),
        weight=weight,
        stride=tuple(module.stride),
        padding=module.padding if isinstance(module.padding, str) else tuple(module.padding),
        dilation=tuple(module.dilation),
        groups=module.groups,
        bias=np.zeros(weight.shape[0], weight.dtype) if module.bias is None else _array(module.bias),
    )


def _linear(module: nn.Linear, shape: Shape, where: str) -> nir.NIRNode:
    _need(len(shape) == 1, f"a linear map of shape {shape}", "flatten in front: models.layers.Flatten()", where)
    weight = _array(module.weight)
    return nir.Linear(weight) if module.bias is None else nir.Affine(weight, _array(module.bias))


def _batch_norm(module: nn.BatchNorm1d | nn.BatchNorm2d, shape: Shape, where: str) -> nir.NIRNode:
    if module.running_mean is None or module.running_var is None:
        raise UnsupportedNodeError(
            "a batch norm with track_running_stats=False normalises by the batch it sees, so it has no fixed meaning",
            where=where,
            help="train with track_running_stats=True",
        )
    mean = _array(module.running_mean)
    return nirx.BatchNorm(
        mean=mean,
        variance=_array(module.running_var),
        weight=np.ones_like(mean) if module.weight is None else _array(module.weight),
        bias=np.zeros_like(mean) if module.bias is None else _array(module.bias),
        epsilon=float(module.eps),
        shape=shape,
    )


def _pool(
    module: nn.AvgPool2d | nn.MaxPool2d | nn.AdaptiveAvgPool2d, shape: Shape, out: Shape, where: str
) -> nir.NIRNode:
    _need(len(shape) == 3, f"pooling of shape {shape}", "pool (T, B, C, H, W)", where)
    if isinstance(module, nn.AdaptiveAvgPool2d):
        kernel = np.array(shape[1:]) // np.array(out[1:])
        whole = bool(np.all(kernel * np.array(out[1:]) == np.array(shape[1:])))
        _need(whole, f"adaptive pooling from {shape[1:]} to {out[1:]}", "choose a size that divides the input", where)
        return nir.AvgPool2d(kernel, kernel, np.zeros(2, int))
    _need(not module.ceil_mode, "pooling with ceil_mode=True", "use ceil_mode=False", where)
    kernel, stride, padding = (_pair(v) for v in (module.kernel_size, module.stride, module.padding))
    if isinstance(module, nn.MaxPool2d):
        plain = not np.any(_pair(module.dilation) != 1) and not module.return_indices
        _need(plain, "max pooling with dilation or indices", "use dilation=1, return_indices=False", where)
        return nirx.MaxPool2d(tuple(kernel.tolist()), tuple(stride.tolist()), tuple(padding.tolist()))
    plain = (module.count_include_pad or not padding.any()) and module.divisor_override is None
    _need(plain, "average pooling with its own divisor", "use count_include_pad=True, divisor_override=None", where)
    return nir.AvgPool2d(kernel, stride, padding)


def _need(holds: bool, what: str, help: str, where: str) -> None:
    if not holds:
        raise UnsupportedNodeError(f"{what} has no meaning in NIR here", where=where, help=help)


def _array(value: Tensor) -> NDArray[Any]:
    return value.detach().cpu().numpy().copy()


def _pair(value: Any) -> NDArray[np.int64]:
    return np.array([value, value] if isinstance(value, int) else list(value), np.int64)
