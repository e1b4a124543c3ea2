"""The training loop: AdamW, warm-up and cosine; the last epoch's weights stay; the test split is read once, after.

lr(k) = peak * min(1, k / warm) * (1 + cos(pi k / n)) / 2     at step k of n, warm = one epoch
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.datasets import Samples, load
from models.errors import RecipeError
from models.nets import make
from models.train.augment import shifted
from models.train.losses import loss_of
from models.train.measure import Measurement, measure
from models.train.recipes import Recipe


@dataclass(frozen=True)
class Epoch:
    """What an epoch reports: its number from 1, of how many, and the mean training loss."""

    number: int
    of: int
    loss: float


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained net in evaluation mode on the CPU, what the test split says, and how long training took."""

    module: nn.Module
    measurement: Measurement
    seconds: float
    simulated: bool


def _ignore(_epoch: Epoch) -> None:
    return None


def hold_out(samples: Samples, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices kept and held out of a train split, drawn by ``seed``; for choosing, so that no test image is used."""
    order = np.random.default_rng(seed).permutation(len(samples.y))
    held = round(fraction * len(order))
    return np.sort(order[held:]), np.sort(order[:held])


def train(
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "cpu",
    validation: float = 0.0,
    on_epoch: Callable[[Epoch], None] = _ignore,
) -> Trained:
    """Train a recipe's net; same recipe, seed and torch give the same weights on a CPU.

    Args:
        recipe: What to train.
        seed: Seed of the weights, the order and the augmentation.
        device: ``"cpu"`` or ``"cuda"``.
        validation: If above 0: measure on this fraction held out of the train split, and do not read the test split.
        on_epoch: Called after every epoch.

    Raises:
        RecipeError: The device is not there, or the number of epochs is below 1.
    """
    _check(recipe, device)
    samples = load(recipe.dataset, split="train", coding=recipe.coding, timesteps=recipe.timesteps)
    kept, held = hold_out(samples, validation, seed=0) if validation > 0 else (np.arange(len(samples.y)), np.arange(0))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the nets are small: one thread is fastest, and sums are the same on every machine
    start = time.perf_counter()
    try:
        torch.manual_seed(seed)
        module = make(recipe.net, recipe.arguments).to(device)
        x, y = torch.from_numpy(samples.x), torch.from_numpy(samples.y)
        _fit(module, x[:, kept], y[kept], recipe, seed, device, on_epoch)
        seconds = time.perf_counter() - start
        module = module.cpu().eval()
        if validation > 0:
            measurement = measure(module, x[:, held], y[held])
        else:
            test = load(recipe.dataset, split="test", coding=recipe.coding, timesteps=recipe.timesteps)
            measurement = measure(module, torch.from_numpy(test.x), torch.from_numpy(test.y))
    finally:
        torch.set_num_threads(threads)
    return Trained(module, measurement, seconds, samples.simulated)


def _check(recipe: Recipe, device: str) -> None:
    if recipe.epochs < 1:
        raise RecipeError(f"{recipe.epochs} epochs; at least 1", where=recipe.name, help="give --epochs 1 or more")
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise RecipeError(f"device {device!r} is not here", where=recipe.name, help="use --device cpu")


def _fit(
    module: nn.Module, x: Tensor, y: Tensor, recipe: Recipe, seed: int, device: str, on_epoch: Callable[[Epoch], None]
) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimizer = _optimizer(module, recipe)
    batches = math.ceil(len(y) / recipe.batch)
    steps = recipe.epochs * batches

    def factor(k: int) -> float:
        return min(1.0, (k + 1) / batches) * (1.0 + math.cos(math.pi * k / steps)) / 2.0

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for epoch in range(recipe.epochs):
        module.train()
        total = 0.0
        for index in torch.randperm(len(y), generator=generator).split(recipe.batch):
            inputs = shifted(x[:, index], recipe.shift, generator).to(device)
            loss = loss_of(recipe.loss, module(inputs), y[index].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(index)
        on_epoch(Epoch(epoch + 1, recipe.epochs, total / len(y)))


def _optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    weights = [p for p in module.parameters() if p.ndim >= 2]
    others = [p for p in module.parameters() if p.ndim < 2]
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)
