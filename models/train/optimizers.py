"""Optimisers and schedules of the papers by name.

adamw        weight decay on weights with 2 or more axes only        adam   betas .9, .999, no weight decay
sgd          momentum .9, weight decay on everything
warm-cosine  min(1, (k + 1) / warm) (1 + cos(pi k / n)) / 2 at step k of n, warm = one epoch
cosine       (1 + cos(pi e / E)) / 2 in epoch e of E                 constant   1
plateau      0.1 for every 6 epochs in a row without a lower mean training loss (patience 5)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import nn

from spikewright.models.train.recipe import OptimizerName, Schedule

PLATEAU_FACTOR, PATIENCE, PLATEAU_MARGIN = 0.1, 5, 1e-4
"""MA-SNN's ReduceLROnPlateau; the margin, relative, is torch's default."""


def make_optimizer(
    module: nn.Module, name: OptimizerName, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Make the optimiser of a net."""
    match name:
        case "adamw":
            weights = [p for p in module.parameters() if p.ndim >= 2]
            others = [p for p in module.parameters() if p.ndim < 2]
            groups = [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
            return torch.optim.AdamW(groups, lr=learning_rate)
        case "adam":
            return torch.optim.Adam(module.parameters(), lr=learning_rate)
        case "sgd":
            return torch.optim.SGD(module.parameters(), lr=learning_rate, momentum=0.9, weight_decay=weight_decay)


@dataclass(frozen=True)
class Plateau:
    """Where ``plateau`` stands: the lowest loss so far, epochs since, and the factor on the rate."""

    best: float = math.inf
    waited: int = 0
    factor: float = 1.0

    def after(self, loss: float) -> Plateau:
        """Return where it stands after an epoch of this mean loss."""
        if loss < self.best * (1 - PLATEAU_MARGIN):
            return replace(self, best=loss, waited=0)
        if self.waited < PATIENCE:
            return replace(self, waited=self.waited + 1)
        return replace(self, waited=0, factor=self.factor * PLATEAU_FACTOR)


def rate_factor(schedule: Schedule, step: int, steps_per_epoch: int, epochs: int, plateau: Plateau) -> float:
    """Return the factor on the learning rate at a step counted from 0 over the whole training."""
    match schedule:
        case "warm-cosine":
            total = epochs * steps_per_epoch
            return min(1.0, (step + 1) / steps_per_epoch) * (1.0 + math.cos(math.pi * step / total)) / 2.0
        case "cosine":
            return (1.0 + math.cos(math.pi * (step // steps_per_epoch) / epochs)) / 2.0
        case "constant":
            return 1.0
        case "plateau":
            return plateau.factor
