"""How a population lies in memory: channels last, (H, W, C) of (C, H, W), (L, C) of (C, L).

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
    """Return the flat index of each internal position. Returns (n,), a permutation."""
    flat = np.arange(population.size, dtype=np.int64)
    return np.moveaxis(flat.reshape(population.shape), 0, -1).ravel() if len(population.shape) > 1 else flat


def to_internal(values: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """Return (T, B, *shape) as (T, B, *internal shape), a view."""
    return np.moveaxis(values, 2, -1) if len(shape) > 1 else values


def to_program(values: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """Return (T, B, n) in internal order as (T, B, *shape), a view."""
    if len(shape) < 2:
        return values.reshape(*values.shape[:2], *shape)
    return np.moveaxis(values.reshape(*values.shape[:2], *shape[1:], shape[0]), -1, 2)


def inverse(order: Index) -> Index:
    """Return the internal position of each flat index. Takes and returns (n,)."""
    result = np.empty_like(order)
    result[order] = np.arange(order.size)
    return result


def expand(values: NDArray[np.int64], order: Index, name: str) -> NDArray[np.int64]:
    """Return a parameter of length 1 or n as n values in internal order.

    Returns (n,) values.

    Raises:
        ProgramError: It has neither 1 nor n values.
    """
    flat = np.asarray(values, np.int64).ravel()
    if flat.size not in (1, order.size):
        raise ProgramError(
            f"a parameter has {flat.size} values; allowed 1 or {order.size}",
            where=f"population {name!r}",
            help="give one value, or one for each neuron",
        )
    return np.broadcast_to(flat, order.shape).copy() if flat.size == 1 else flat[order]
