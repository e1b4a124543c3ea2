"""What a dataset gives: still images, or samples in time, with their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "test", "all"]


@dataclass(frozen=True, eq=False)
class Images:
    """Still images ``x`` (B, C, H, W) in [0, 1], labels ``y`` (B,), and the class names; normalised sets go beyond [0, 1]."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    classes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples in time.

    Args:
        x: (T, B, C, H, W).
        y: Labels (B,).
        simulated: Whether the events were made from still images; must be said wherever they are shown.
        coding: How x was made.
        name: The dataset.
        classes: Class names, in the order of the labels.
        total: How many samples the split holds, of which these were taken; None: not said.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    simulated: bool
    coding: str
    name: str
    classes: tuple[str, ...]
    total: int | None = None
