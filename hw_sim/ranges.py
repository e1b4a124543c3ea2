"""What is wrong with a value, in words: found, allowed, and the help."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Wrong(NamedTuple):
    """What is illegal, and what mends it; who finds it says where, with an error of its own stage."""

    what: str
    help: str


LARGEST = (1 << 31) - 1
"""Largest size, count, step or place that the machine numbers."""


def sizes(name: str, values: Iterable[int], low: int, high: int = LARGEST) -> Iterator[Wrong]:
    """Yield what is wrong with whole numbers that must lie in ``low`` .. ``high``."""
    found = tuple(values)
    if not all(low <= value <= high for value in found):
        yield Wrong(f"{name} is {found[0] if len(found) == 1 else found}; allowed {low} .. {high}", "correct it")


def ranked(name: str, value: ArrayLike, rank: int) -> Iterator[Wrong]:
    """Yield what is wrong with an array that must have so many axes, none of them empty."""
    shape = np.shape(value)
    if len(shape) != rank or 0 in shape:
        yield Wrong(f"{name} has shape {shape}; expected {rank} axes, none of length 0", "correct it")


def within(name: str, values: ArrayLike, low: int, high: int, help: str) -> Iterator[Wrong]:
    """Yield what is wrong with values that must be integers in ``low`` .. ``high``."""
    found = np.asarray(values)
    if found.dtype.kind not in "iub":
        yield Wrong(f"{name} is of type {found.dtype}; integers are allowed", "quantize the graph first")
    elif found.size and (int(found.min()) < low or int(found.max()) > high):
        yield Wrong(f"{name} {int(found.min())} .. {int(found.max())}; allowed {low} .. {high}", help)
