"""Linear maps over leading axes: convolution, pooling and matrix product, for floats and for exact integers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from toolchain.ops import Pair

Any_ = NDArray[Any]
EXACT_FLOAT64 = 1 << 53
"""Integers up to 2^53 are exact in float64, so a float64 product whose sums stay below is exact."""


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
    n, _, h, w = seen.shape[:4]
    out = []
    for g in range(groups):
        part = seen[:, g * cg : (g + 1) * cg].transpose(0, 2, 3, 1, 4, 5).reshape(n * h * w, cg * kh * kw)
        filters = weight[g * (co // groups) : (g + 1) * (co // groups)].reshape(co // groups, -1)
        out.append((part @ filters.T).reshape(n, h, w, co // groups))
    joined: Any_ = np.concatenate(out, axis=-1).transpose(0, 3, 1, 2)
    return joined


def exact(x: Any_, weight: Any_) -> type[np.float64] | type[np.int64]:
    """Return the fastest type in which sums of ``weight * x`` are exact: float64 below 2^53, else int64."""
    flat = np.abs(weight.reshape(weight.shape[0], -1).astype(np.float64)).sum(axis=1)
    bound = float(flat.max(initial=0.0)) * float(np.abs(x).max(initial=0))
    return np.float64 if bound < EXACT_FLOAT64 else np.int64


def over_frames(x: Any_) -> tuple[Any_, tuple[int, ...]]:
    """Merge all axes before the last three; return the lead to restore."""
    return x.reshape((-1, *x.shape[-3:])), x.shape[:-3]
