"""Events (x, y, polarity, time) of one recording to T frames of counts, (T, 2, H, W); channel 1 is ON.

count   T groups of n // T events in order of time, the last one takes the rest      (TCJA)
time    T windows of equal length from the first event on: step = floor((t - t0) / length), length = (t1 - t0 + 1) / T,
        or a length the caller gives; later events are dropped                        (MA-SNN)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Framing = Literal["count", "time"]


@dataclass(frozen=True, eq=False)
class Recording:
    """The events of one recording, in order of time: ``x``, ``y`` in pixels, ``p`` (1 = ON), ``t_us`` in µs."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    p: NDArray[np.int64]
    t_us: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Recordings:
    """Recordings with labels ``y`` (B,), class names, and the sensor's (height, width)."""

    events: Sequence[Recording]
    y: NDArray[np.int64]
    classes: tuple[str, ...]
    size: tuple[int, int]


def frames(
    recording: Recording,
    timesteps: int,
    size: tuple[int, int],
    *,
    framing: Framing = "count",
    side: int | None = None,
    window_us: float | None = None,
) -> NDArray[np.float32]:
    """Count events per step, polarity and pixel.

    Args:
        recording: The events.
        timesteps: T.
        size: (height, width) of the sensor.
        framing: ``"count"`` or ``"time"``.
        side: Side of smaller, square frames; pixels are merged by integer division (a non-square sensor is not cut).
        window_us: Length of a step in µs, for ``"time"``; None: the recording's length divided by T.
    """
    n = len(recording.t_us)
    if framing == "count":
        step = np.minimum(np.arange(n) // max(n // timesteps, 1), timesteps - 1)
    else:
        since = recording.t_us - (recording.t_us[0] if n else 0)
        length = window_us if window_us is not None else (int(since[-1]) + 1) / timesteps if n else 1.0
        step = (since / length).astype(np.int64)
    kept = step < timesteps
    height, width = size if side is None else (side, side)
    row = recording.y[kept] * height // size[0]
    column = recording.x[kept] * width // size[1]
    index = ((step[kept] * 2 + recording.p[kept]) * height + row) * width + column
    counts = np.bincount(index, minlength=timesteps * 2 * height * width)
    return counts.reshape(timesteps, 2, height, width).astype(np.float32)
