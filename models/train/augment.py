"""Augmentation of (T, B, C, H, W): a sample is shifted by whole pixels, the same in every step, zeros moving in."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def shifted(x: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Return x with every sample shifted by a random whole number of pixels, at most ``pixels`` each way."""
    if pixels == 0:
        return x
    height, width = x.shape[-2:]
    padded = pad(x, (pixels,) * 4)
    offsets = torch.randint(0, 2 * pixels + 1, (x.shape[1], 2), generator=generator).tolist()
    crops = [padded[:, i, :, dy : dy + height, dx : dx + width] for i, (dy, dx) in enumerate(offsets)]
    return torch.stack(crops, dim=1)
