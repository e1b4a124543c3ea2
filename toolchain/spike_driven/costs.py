"""What an op costs in one step, counted: dense multiply-accumulates, and synapses if every source fired.

MACs of a convolution = Co H' W' (Ci / groups) kh kw,  padding counted (as published nets count)
synapses              = the same without the taps that fall on zero padding (as a chip counts)
"""

from __future__ import annotations

from math import prod

import numpy as np

from spikewright.hw_sim.linear import planar
from spikewright.toolchain.ops import AdaptivePool, Affine, Conv, MaxPool, Op, Shape, SumPool, TransposedConv


def macs(op: Op, out: Shape) -> int:
    """Return the dense multiply-accumulates of a linear map; a pool has as many additions or comparisons."""
    match op:
        case Affine(weight=w):
            return int(w.size)
        case Conv(weight=w):
            return int(prod(out) * prod(w.shape[1:]))
        case TransposedConv(weight=w, stride=stride):
            return int(prod(out) * prod(w.shape[1:])) // prod(stride)
        case SumPool(kernel=k) | MaxPool(kernel=k):
            return prod(out) * prod(k)
        case _:
            return prod(out)


def synapses(op: Op, source: Shape, out: Shape) -> int:
    """Return the synapses of a linear map or pool."""
    match op:
        case Affine(weight=w):
            return int(w.size)
        case Conv(weight=w):
            taps = _taps(w.shape[2:], op.stride, op.padding, op.dilation, source, out)
            return int(taps * w.shape[0] * w.shape[1])
        case TransposedConv(weight=w):
            return int(op.synapses(np.ones_like(w, np.int64)).fan_in(source, out).sum())
        case AdaptivePool():
            return source[0] * prod(int(np.count_nonzero(op.rows(axis, source[1 + axis]))) for axis in (0, 1))
        case SumPool(kernel=k) | MaxPool(kernel=k):
            return _taps(k, op.stride, op.padding, (1, 1), source, out) * out[0]
        case _:
            return prod(out)


def _taps(
    kernel: tuple[int, ...],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    source: Shape,
    out: Shape,
) -> int:
    """Count (window, tap) pairs that lie on the map, not on its padding; a map (C, L) is one row."""
    source, out = planar(source), planar(out)
    count = 1
    for axis, k in enumerate(kernel):
        first = np.arange(out[1 + axis]) * stride[axis] - padding[axis]
        at = first[:, None] + np.arange(k) * dilation[axis]
        count *= int(((at >= 0) & (at < source[1 + axis])).sum())
    return count
