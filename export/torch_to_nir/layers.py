"""One torch module to one NIR node: layers with their weights; neurons and attention in ``attention``."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikewright.export.foreign.node import NodeModule
from spikewright.export.torch_to_nir.attention import attention, is_block, neuron
from spikewright.models.neurons import Neuron
from spikewright.toolchain import nirx
from spikewright.toolchain.errors import UnsupportedNodeError

Shape = tuple[int, ...]


def layer(module: nn.Module, shape: Shape, out: Shape, steps: int, dt_s: float, where: str) -> nir.NIRNode:
    """Convert a leaf module.

    Args:
        module: Its parameters are copied in their own precision.
        shape: Shape of its input, T and B left out.
        out: Shape of its output.
        steps: T.
        dt_s: Length of one timestep in s.
        where: For error messages.

    Raises:
        UnsupportedNodeError: The module, or an option of it, has no meaning in NIR.
    """
    match module:
        case Neuron():
            return neuron(module, shape, dt_s, where)
        case _ if is_block(module):
            return attention(module, shape, steps, dt_s, where)
        case nn.Conv2d():
            return _conv(module, shape, where)
        case nn.Conv1d():
            return _conv1d(module, shape, where)
        case nn.Linear():
            return _linear(module, shape, where)
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return _batch_norm(module, shape, where)
        case nn.AvgPool2d() | nn.MaxPool2d() | nn.AdaptiveAvgPool2d():
            return _pool(module, shape, out, where)
        case nn.ReLU():
            return nirx.Relu(shape)
        case NodeModule():
            return module.make(shape, out, dt_s, where)
        case _:
            raise UnsupportedNodeError(
                f"the module {type(module).__name__} has no meaning in NIR",
                where=where,
                help="use the modules of spikewright.models (layers, neurons, attention), or those of help(capture)",
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


def _conv1d(module: nn.Conv1d, shape: Shape, where: str) -> nir.NIRNode:
    _need(module.padding_mode == "zeros", f"padding_mode {module.padding_mode!r}", "use padding_mode='zeros'", where)
    _need(len(shape) == 2, f"a 1-d convolution of shape {shape}", "convolve (T, B, C, L)", where)
    weight = _array(module.weight)
    return nir.Conv1d(
        input_shape=shape[1],
        weight=weight,
        stride=module.stride[0],
        padding=module.padding if isinstance(module.padding, str) else int(module.padding[0]),
        dilation=module.dilation[0],
        groups=module.groups,
        bias=np.zeros(weight.shape[0], weight.dtype) if module.bias is None else _array(module.bias),
    )


def _linear(module: nn.Linear, shape: Shape, where: str) -> nir.NIRNode:
    _need(
        len(shape) == 1,
        f"a linear map of shape {shape}",
        "flatten in front: spikewright.models.layers.Flatten()",
        where,
    )
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
        if not whole:
            return nirx.AdaptiveAvgPool2d((out[1], out[2]))
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
    wide = value.detach().float() if value.dtype in (torch.float16, torch.bfloat16) else value.detach()
    return wide.cpu().numpy().copy()


def _pair(value: Any) -> NDArray[np.int64]:
    return np.array([value, value] if isinstance(value, int) else list(value), np.int64)
