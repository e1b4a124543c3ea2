"""Layers over (T, B, ...): torch's own, with T merged into B where they know only one batch axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def over_steps(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a layer over (N, ...) to (T, B, ...), as one batch of T * B; a still input (the same every step) goes once."""
    if is_still(x):
        y = layer(x[0])
        return y.expand(x.shape[0], *y.shape)
    steps: Tensor = layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    return steps


def is_still(x: Tensor) -> bool:
    """Whether all steps of (T, B, ...) are one in memory, as after ``expand``."""
    return x.stride(0) == 0 and x.shape[0] > 1


def join_steps(steps: Sequence[Tensor]) -> Tensor:
    """Return (T, B, ...) of T tensors (B, ...); each keeps its order of axes in memory, as ``torch.stack`` does not."""
    joined: Tensor = torch.cat(list(steps)).unflatten(0, (len(steps), -1))
    return joined


class Conv2d(nn.Conv2d):
    """Convolution of every step, (T, B, Ci, H, W) to (T, B, Co, H', W')."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve every step."""
        return over_steps(super().forward, input)


class Linear(nn.Linear):
    """Linear map of every step, (T, B, I) to (T, B, O)."""


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation with one statistic per channel over T, B, H and W."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise, all steps as one batch."""
        return over_steps(super().forward, input)


class BatchNorm1d(nn.BatchNorm1d):
    """Batch normalisation with one statistic per feature over T and B."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise, all steps as one batch."""
        return over_steps(super().forward, input)


class AvgPool2d(nn.AvgPool2d):
    """Average pooling of every step."""

    def forward(self, input: Tensor) -> Tensor:
        """Pool every step."""
        return over_steps(super().forward, input)


class MaxPool2d(nn.MaxPool2d):
    """Max pooling of every step (for spikes: OR)."""

    def forward(self, input: Tensor) -> Tensor:
        """Pool every step."""
        return over_steps(super().forward, input)


class Flatten(nn.Flatten):
    """(T, B, C, H, W) to (T, B, C * H * W)."""

    def __init__(self) -> None:
        super().__init__(start_dim=2)


class Dropout(nn.Dropout):
    """Dropout with one mask for all T steps of a sample."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop the same elements in every step."""
        if not self.training or self.p == 0.0:
            return input
        return input * nn.functional.dropout(torch.ones_like(input[:1]), self.p, training=True)


class MeanOverTime(nn.Module):
    """The read-out: mean over T, (T, B, K) to (B, K)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean over T."""
        return x.mean(0)
