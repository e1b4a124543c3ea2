"""Augmentation of (T, B, C, H, W), the same in every step of a sample: shift by whole pixels, mirror, cut a square out, CutMix.

What is drawn for a batch does not depend on how the batch is split over processes: draw for all, apply to a part.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a sample.

    Args:
        shift: Shift by at most so many pixels each way, zeros moving in.
        flip: Mirror left and right with probability 1/2.
        cutout: Side of the square set to zero round a random pixel; 0: none.
    """

    shift: int = 0
    flip: bool = False
    cutout: int = 0


@dataclass(frozen=True, eq=False)
class Drawn:
    """What was drawn for a batch: offsets (B, 2), mirrored (B,), centres (B, 2) in [0, 1); None: not drawn."""

    offsets: Tensor | None
    mirrored: Tensor | None
    centres: Tensor | None

    def part(self, chosen: slice | Tensor) -> Drawn:
        """Return what was drawn for some of the samples."""
        fields = (self.offsets, self.mirrored, self.centres)
        return Drawn(*(None if field is None else field[chosen] for field in fields))


def draw(augmentation: Augmentation, batch: int, generator: torch.Generator) -> Drawn:
    """Draw for a batch. Of images (T, B, C, H, W), one draw a sample."""
    shift = augmentation.shift
    return Drawn(
        torch.randint(0, 2 * shift + 1, (batch, 2), generator=generator) if shift else None,
        torch.rand(batch, generator=generator) < 0.5 if augmentation.flip else None,
        torch.rand(batch, 2, generator=generator) if augmentation.cutout else None,
    )


def apply(augmentation: Augmentation, x: Tensor, drawn: Drawn) -> Tensor:
    """Return x (T, B, C, H, W) as drawn."""
    height, width = x.shape[-2:]
    if drawn.offsets is not None:
        padded = pad(x, (augmentation.shift,) * 4)
        crops = [padded[:, i, :, r : r + height, c : c + width] for i, (r, c) in enumerate(drawn.offsets.tolist())]
        x = torch.stack(crops, dim=1)
    if drawn.mirrored is not None:
        x = torch.where(drawn.mirrored.to(x.device).reshape(1, -1, 1, 1, 1), x.flip(-1), x)
    if drawn.centres is not None:
        rows, columns = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
        centre = (drawn.centres.to(x.device) * torch.tensor([height, width], device=x.device)).floor()
        half = augmentation.cutout / 2
        inside_rows = (rows - centre[:, :1]).abs() < half
        inside_columns = (columns - centre[:, 1:]).abs() < half
        x = x * ~(inside_rows[:, :, None] & inside_columns[:, None, :])[None, :, None]
    return x


@dataclass(frozen=True, eq=False)
class Mix:
    """CutMix of a batch: sample i gets a box of sample ``partner[i]``, (B,), and counts as itself by ``share``.

    Yun et al., "CutMix", ICCV 2019: a share u ~ Beta(1, 1), a box of side sqrt(1 - u) of the image's round a uniform pixel, cut
    off at the border; ``share`` is the part of the image that stays.
    """

    partner: Tensor
    rows: slice
    columns: slice
    share: float


def draw_mix(batch: int, height: int, width: int, generator: torch.Generator) -> Mix:
    """Draw a CutMix for a batch; one box for all, as in the released code of GAC.

    Height and width are in px; source: Yun et al., arXiv:1905.04899.
    """
    partner = torch.randperm(batch, generator=generator)
    kept, row, column = torch.rand(3, generator=generator).tolist()
    cut = (1.0 - kept) ** 0.5
    rows, columns = _span(row, cut, height), _span(column, cut, width)
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return Mix(partner, rows, columns, 1.0 - area / (height * width))


def _span(centre: float, cut: float, size: int) -> slice:
    middle, half = int(centre * size), int(cut * size) // 2
    return slice(max(middle - half, 0), min(middle + half, size))


def apply_mix(mix: Mix, x: Tensor, partner: Tensor) -> Tensor:
    """Return x (T, B, C, H, W) with the box of its partners, of the same shape."""
    mixed = x.clone()
    mixed[..., mix.rows, mix.columns] = partner[..., mix.rows, mix.columns]
    return mixed
