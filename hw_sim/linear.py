"""Convolution over leading axes in plain numpy, for floats and for exact integers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Pair = tuple[int, int]
Any_ = NDArray[Any]
EXACT_FLOAT64, EXACT_FLOAT32 = 1 << 53, 1 << 24
"""Integers up to 2^53 are exact in float64, and up to 2^24 in float32, so a product whose sums stay below is exact."""
BLOCK = 1 << 21
"""Numbers that a convolution unfolds at once (memory)."""


def planar(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the map (C, H, W) that a convolution sees: a signal (C, L) is one of height 1."""
    c, *rest = shape
    h, w = rest if len(rest) == 2 else (1, *rest)
    return (c, h, w)


def windows(x: Any_, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1), fill: float = 0) -> Any_:
    """Return every window of ``x`` (N, C, H, W): (N, C, H', W', kh, kw), padded with ``fill``."""
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = kernel, stride, padding, dilation
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=fill)
    span = ((kh - 1) * dh + 1, (kw - 1) * dw + 1)
    seen: Any_ = sliding_window_view(padded, span, axis=(2, 3))  # type: ignore[call-overload]  # numpy takes axes
    return seen[:, :, ::sh, ::sw, ::dh, ::dw]


def conv2d(x: Any_, weight: Any_, stride: Pair, padding: Pair, dilation: Pair = (1, 1), groups: int = 1) -> Any_:
    """Cross-correlate ``x`` (N, Ci, H, W) with ``weight`` (Co, Ci // groups, kh, kw), as torch does."""
    co, cg, kh, kw = weight.shape
    seen = windows(x, (kh, kw), stride, padding, dilation)
    (n, _, h, w), k = seen.shape[:4], cg * kh * kw
    filters = weight.reshape(groups, co // groups, k)
    out = np.empty((n, groups, co // groups, h, w), np.result_type(x, weight))
    step = max(1, BLOCK // (groups * k * h * w))
    for i in range(0, n, step):
        columns = seen[i : i + step].transpose(1, 4, 5, 0, 2, 3).reshape(groups, k, -1)
        found = (filters @ columns).reshape(groups, co // groups, -1, h, w)
        out[i : i + step] = found.transpose(2, 0, 1, 3, 4)
    return out.reshape(n, co, h, w)


def transposed_conv2d(x: Any_, weight: Any_, stride: Pair, padding: Pair, more: Pair) -> Any_:
    """Lay ``weight`` (Co, Ci, kh, kw) over the target for each value of ``x`` (N, Ci, H, W), ``stride`` apart, and sum.

        y[o, s i - p + a, s j - p + b] += weight[o, c, a, b] x[c, i, j];   n' = (n - 1) stride - 2 padding + k + more

    As torch's ``conv_transpose2d``, whose weight is (Ci, Co, kh, kw) and ``more`` the output padding: a convolution of the
    values set apart by zeros with the kernel turned round.
    """
    kernel = weight.shape[2:]
    edge = [k - 1 - p for k, p in zip(kernel, padding, strict=True)]
    size = [(n - 1) * s + 1 + 2 * e + m for n, s, e, m in zip(x.shape[2:], stride, edge, more, strict=True)]
    apart = np.zeros((*x.shape[:2], *size), x.dtype)
    rows, columns = (slice(e, e + (n - 1) * s + 1, s) for e, n, s in zip(edge, x.shape[2:], stride, strict=True))
    apart[:, :, rows, columns] = x
    return conv2d(apart, weight[:, :, ::-1, ::-1], (1, 1), (0, 0))


def exact(x: Any_, weight: Any_) -> type[np.float32] | type[np.float64] | type[np.int64]:
    """Return the fastest type in which sums of ``weight * x`` are exact.

    Largest sums below 2^24 fit float32, below 2^53 float64; else 64 bits of an integer.
    """
    flat = np.abs(weight.reshape(weight.shape[0], -1).astype(np.float64)).sum(axis=1)
    bound = float(flat.max(initial=0.0)) * float(np.abs(x).max(initial=0))
    if bound < EXACT_FLOAT32:
        return np.float32
    return np.float64 if bound < EXACT_FLOAT64 else np.int64
