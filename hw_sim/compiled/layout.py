"""How a population lies in memory: (C, H, W) channels-last, everything else as it is.

``order[internal] = flat`` and ``x_internal = x_flat[..., order]``, with ``flat`` the program's C order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.errors import ProgramError
from spikewright.hw_sim.program import Population
from spikewright.hw_sim.synapses import Shape

Index = NDArray[np.int64]


def order(population: Population) -> Index:
    """Return the flat index of each internal position."""
    n = population.size
    if len(population.shape) != 3:
        return np.arange(n, dtype=np.int64)
    return np.arange(n, dtype=np.int64).reshape(population.shape).transpose(1, 2, 0).ravel()


def to_internal(values: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """Return (T, B, *shape) as (T, B, *internal shape), a view."""
    return values.transpose(0, 1, 3, 4, 2) if len(shape) == 3 else values


def to_program(values: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """Return (T, B, n) in internal order as (T, B, *shape), a view."""
    if len(shape) != 3:
        return values.reshape(*values.shape[:2], *shape)
    c, h, w = shape
    return values.reshape(*values.shape[:2], h, w, c).transpose(0, 1, 4, 2, 3)


def inverse(order: Index) -> Index:
    """Return the internal position of each flat index."""
    result = np.empty_like(order)
    result[order] = np.arange(order.size)
    return result


def expand(values: NDArray[np.int64], order: Index, name: str) -> NDArray[np.int64]:
    """Return a parameter of length 1 or n as n values in internal order."""
    flat = np.asarray(values, np.int64).ravel()
    if flat.size not in (1, order.size):
        raise ProgramError(
            f"a parameter has {flat.size} values; allowed 1 or {order.size}",
            where=f"population {name!r}",
            help="give one value, or one for each neuron",
        )
    return np.broadcast_to(flat, order.shape).copy() if flat.size == 1 else flat[order]
