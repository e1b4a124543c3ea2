"""Fold sum and average pooling into the linear map beside it: the two are one convolution with a larger kernel.

    pool(W * x + b)  ->  K * x + k^2 scale b     K = scale sum of W shifted by every pool offset; stride s_conv s_pool
    W * pool(x)      ->  K * x                   K = scale sum of pool windows placed at every tap of W
    W flatten(pool(x))  ->  W' x                 W' = W spread back over the windows

Exact, zero padding included where it is allowed (Yao et al. 2023 code: 3x3 pad 1 + AP2 = 4x4 stride 2 pad 1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Array, Conv, Neuron, Op, Output, Pair, SumPool
from spikewright.toolchain.passes.base import Pass, sends_messages
from spikewright.toolchain.shapes import shapes


def spread_kernel(weight: Array, taps: Pair, step: Pair) -> Array:
    """Sum copies of a kernel (..., kh, kw), one at each of ``taps`` positions, ``step`` apart."""
    kh, kw = weight.shape[-2:]
    size = (kh + (taps[0] - 1) * step[0], kw + (taps[1] - 1) * step[1])
    out = np.zeros((*weight.shape[:-2], *size))
    for y in range(taps[0]):
        for x in range(taps[1]):
            out[..., y * step[0] : y * step[0] + kh, x * step[1] : x * step[1] + kw] += weight
    return out


def dilate_kernel(weight: Array, window: Pair, step: Pair) -> Array:
    """Replace every tap of a kernel by a window of its value, ``step`` apart (windows may overlap).

    From (O, I, kh, kw) to (O, I, (kh - 1) step + window, ...).
    """
    kh, kw = weight.shape[-2:]
    size = (window[0] + (kh - 1) * step[0], window[1] + (kw - 1) * step[1])
    out = np.zeros((*weight.shape[:-2], *size))
    for y in range(kh):
        for x in range(kw):
            rows = slice(y * step[0], y * step[0] + window[0])
            cols = slice(x * step[1], x * step[1] + window[1])
            out[..., rows, cols] += weight[..., y : y + 1, x : x + 1]
    return out


def conv_then_pool(conv: Conv, pool: SumPool) -> Conv:
    """Return the one convolution that equals ``pool(conv(x))``; the pool has no padding. Kernels are (O, I, kh, kw)."""
    weight = spread_kernel(conv.weight, pool.kernel, conv.stride) * pool.scale
    bias = None if conv.bias is None else conv.bias * (pool.kernel[0] * pool.kernel[1] * pool.scale)
    stride = (conv.stride[0] * pool.stride[0], conv.stride[1] * pool.stride[1])
    return replace(conv, name=pool.name, weight=weight, bias=bias, stride=stride)


def pool_then_conv(pool: SumPool, conv: Conv) -> Conv:
    """Return the one convolution that equals ``conv(pool(x))``. Kernels are (O, I, kh, kw)."""
    weight = dilate_kernel(conv.weight, pool.kernel, pool.stride) * pool.scale
    stride = (conv.stride[0] * pool.stride[0], conv.stride[1] * pool.stride[1])
    padding = (pool.padding[0] + conv.padding[0] * pool.stride[0], pool.padding[1] + conv.padding[1] * pool.stride[1])
    return replace(conv, inputs=pool.inputs, weight=weight, stride=stride, padding=padding)


def pads_alike(pool: SumPool, conv: Conv, shape: tuple[int, ...]) -> bool:
    """Say whether padding the pooled map equals padding the input: windows tile it and do not overlap."""
    if conv.padding == (0, 0):
        return True
    pairs = zip(shape[1:], pool.kernel, pool.stride, pool.padding, strict=True)
    return all(k <= s and p == 0 and (n - k) % s == 0 and (n - k) // s * s + s >= n for n, k, s, p in pairs)


def unpool(weight: Array, pool: SumPool, shape: tuple[int, ...]) -> Array:
    """Spread dense weights (O, C h' w') on a pooled map back over the map (O, C H W)."""
    c, h, w = shape
    (kh, kw), (sh, sw), (ph, pw) = pool.kernel, pool.stride, pool.padding
    hp, wp = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    grid = weight.reshape(-1, c, hp, wp)
    out = np.zeros((weight.shape[0], c, h + 2 * ph, w + 2 * pw))
    for y in range(kh):
        for x in range(kw):
            out[:, :, y : y + sh * (hp - 1) + 1 : sh, x : x + sw * (wp - 1) + 1 : sw] += grid
    inner = out[:, :, ph : ph + h, pw : pw + w]
    return inner.reshape(weight.shape[0], -1) * pool.scale


@dataclass(frozen=True)
class FoldPool(Pass):
    """Fold ``SumPool`` into the ``Conv`` or ``Affine`` beside it."""

    name: ClassVar[str] = "fold-pool"

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Merge the pair at ``op``; see the module's equations."""
        match graph.producer(op), op:
            case Conv(dilation=(1, 1)) as conv, SumPool(padding=(0, 0)):
                gone = (conv, op) if graph.feeds_only(conv, op) else (op,)
                return graph.replace(gone, conv_then_pool(conv, op))
            case SumPool() as pool, Conv(dilation=(1, 1)) if pads_alike(pool, op, shapes(graph)[pool.inputs[0]]):
                return graph.replace((op,), pool_then_conv(pool, op))
            case SumPool() as pool, Affine():
                weight = unpool(op.weight, pool, shapes(graph)[pool.inputs[0]])
                return graph.replace((op,), replace(op, inputs=pool.inputs, weight=weight))
            case SumPool() as pool, Neuron() | Output() if sends_messages(graph, pool.inputs[0]):
                return graph.replace((pool,), as_convolution(pool, shapes(graph)[pool.inputs[0]][0]))
            case _:
                return None


def as_convolution(pool: SumPool, channels: int) -> Conv:
    """Return a pool as a depthwise convolution. Its kernel is (C, 1, kh, kw)."""
    weight = np.full((channels, 1, *pool.kernel), pool.scale)
    return Conv(
        name=pool.name,
        inputs=pool.inputs,
        block=pool.block,
        weight=weight,
        stride=pool.stride,
        padding=pool.padding,
        groups=channels,
    )
