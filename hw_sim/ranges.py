"""What is wrong with a value, in words: found, allowed, and the help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Wrong(NamedTuple):
    """What is illegal, and what mends it; who finds it says where, with an error of its own stage."""

    what: str
    help: str


def within(name: str, values: ArrayLike, low: int, high: int, help: str) -> Iterator[Wrong]:
    """Yield what is wrong with values that must be integers in ``low`` .. ``high``."""
    found = np.asarray(values)
    if found.dtype.kind not in "iub":
        yield Wrong(f"{name} is of type {found.dtype}; integers are allowed", "quantize the graph first")
    elif found.size and (int(found.min()) < low or int(found.max()) > high):
        yield Wrong(f"{name} {int(found.min())} .. {int(found.max())}; allowed {low} .. {high}", help)
