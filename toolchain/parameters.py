"""Parameters of a signal: the one rule by which a scalar, a value a channel, or a value each stand for all its values.

()                   one value for all
(C,), (C, 1, 1)      one a channel, axis 0 of the signal: never its last axis, also where C = W
(C, H, W), (1, H, W) each axis as long as the signal's, or 1
(C H W,)             one a value, in C order
(1, ...)             more axes than the signal, or fewer: leading axes of 1 (a batch, time) are dropped
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Shape = tuple[int, ...]


def aligned(value: Array, shape: Shape) -> Array | None:
    """Return a parameter so that numpy spreads it over (B, *shape) as the rule says: (), or one axis for each of ``shape``.

    None: it has another shape.
    """
    if value.size == 1:
        return value.reshape(())
    bare = value
    while bare.shape[0] == 1:
        bare = bare[0]
    if bare.shape[0] == shape[0] == bare.size:
        return bare.reshape(shape[:1] + (1,) * (len(shape) - 1))
    if bare.shape == (prod(shape),):
        return bare.reshape(shape)
    while value.ndim > len(shape) and value.shape[0] == 1:
        value = value[0]
    fits = value.ndim == len(shape) and all(n in (1, axis) for n, axis in zip(value.shape, shape, strict=True))
    return value if fits else None


def least(value: Array, shape: Shape) -> Array:
    """Return an aligned parameter in its least form: () where all are equal, (C,) where a channel's are, else in full."""
    if value.size == 1 or value.min() == value.max():
        return np.array(value.flat[0], np.float64)
    whole = np.broadcast_to(value, shape)
    rows = whole.reshape(shape[0], -1)
    return rows[:, 0].copy() if bool((rows == rows[:, :1]).all()) else whole.copy()


def grid(value: Array, shape: Shape) -> Array:
    """Return a parameter in its least form (or aligned already) so that numpy spreads it over (B, *shape)."""
    p = np.asarray(value, np.float64)
    return p.reshape(p.shape + (1,) * (len(shape) - p.ndim)) if p.ndim else p
