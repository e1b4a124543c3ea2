"""A dataset as tensors for training: images stay one step long until a batch is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from spikewright.models.datasets import Images, Split, load, read
from spikewright.models.train.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Data:
    """Samples x (T, N, C, H, W), or (1, N, C, H, W) where every step is the same; labels y (N,)."""

    x: Tensor
    y: Tensor
    timesteps: int
    simulated: bool = False

    def __len__(self) -> int:
        return len(self.y)

    def steps(self, x: Tensor) -> Tensor:
        """Return some samples with all T steps. They are (T, B, C, H, W)."""
        return x.expand(self.timesteps, *x.shape[1:])

    def take(self, index: Tensor) -> Data:
        """Return some of the samples. Images are (T, B, C, H, W), labels (B,)."""
        return Data(self.x[:, index], self.y[index], self.timesteps, self.simulated)

    def to(self, device: str) -> Data:
        """Return the same on a device."""
        return Data(self.x.to(device), self.y.to(device), self.timesteps, self.simulated)


def training_data(recipe: Recipe, split: Split, root: Path | None = None) -> Data:
    """Load a split as a recipe wants it.

    Raises:
        DatasetError: It is missing or damaged, or cannot be coded so.
    """
    if recipe.coding == "direct":
        source = read(recipe.dataset, split=split, root=root)
        if isinstance(source, Images):
            return Data(torch.from_numpy(source.x)[None], torch.from_numpy(source.y), recipe.timesteps)
    samples = load(
        recipe.dataset, split=split, coding=recipe.coding, timesteps=recipe.timesteps, root=root, side=recipe.side,
        window_us=recipe.window_us,
    )  # fmt: skip
    return Data(torch.from_numpy(samples.x), torch.from_numpy(samples.y), recipe.timesteps, samples.simulated)
