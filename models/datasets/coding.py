"""From still images p in [0, 1] to T steps, deterministically.

direct   x[t] = p
rate     x[t] = floor((t + 1) p + 1/2) - floor(t p + 1/2)        round(T p) spikes, evenly spread
latency  x[t] = 1 at t = round((T - 1) (1 - p)) where p > 0      one spike, the brighter the earlier
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikewright.models.errors import DatasetError

ImageCoding = Literal["direct", "rate", "latency"]
IMAGE_CODINGS: tuple[ImageCoding, ...] = ("direct", "rate", "latency")


def encode(images: NDArray[np.float32], coding: ImageCoding, timesteps: int) -> NDArray[np.float32]:
    """Code images (B, C, H, W) in [0, 1] as (T, B, C, H, W).

    Raises:
        DatasetError: The coding does not exist or does not take such pixels, or T is below 1.
    """
    if timesteps < 1:
        raise DatasetError(f"T = {timesteps}; T is at least 1", where="--timesteps", help="give a positive number")
    if coding != "direct" and images.size and not 0.0 <= images.min() <= images.max() <= 1.0:
        raise DatasetError(
            f"pixels from {images.min():.3g} to {images.max():.3g}; coding {coding!r} takes 0 to 1",
            where="--coding",
            help="use coding='direct'",
        )
    p = images.astype(np.float64)
    step = np.arange(timesteps).reshape(-1, 1, 1, 1, 1)
    match coding:
        case "direct":
            x = np.broadcast_to(p, (timesteps, *p.shape))
        case "rate":
            x = np.floor((step + 1) * p + 0.5) - np.floor(step * p + 0.5)
        case "latency":
            x = (step == np.round((timesteps - 1) * (1.0 - p))) & (p > 0.0)
        case _:
            raise DatasetError(
                f"coding {coding!r}; allowed are {', '.join(IMAGE_CODINGS)}",
                where="--coding",
                help="use coding='direct'",
            )
    return np.ascontiguousarray(x, dtype=np.float32)
