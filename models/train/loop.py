"""Train a recipe's net from its seed; the last epoch's weights stay; the test split is read once, after."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models.errors import RecipeError
from models.nets import make
from models.train.data import Data, training_data
from models.train.distributed import workers
from models.train.fit import Epoch as Epoch
from models.train.fit import Running as Running
from models.train.fit import fit
from models.train.measure import Measurement, measure
from models.train.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained net in evaluation mode on the CPU, what the test split says, and how long training took."""

    module: nn.Module
    measurement: Measurement
    seconds: float
    simulated: bool


def _ignore(_epoch: Epoch) -> None:
    return None


def hold_out(size: int, held: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices kept and held out of a train split, for choosing, so that no test image is used.

    Args:
        size: Number of samples.
        held: Below 1: this fraction, drawn by ``seed``; from 1 on: the last so many samples.
        seed: Seed of the draw.
    """
    if held >= 1:
        cut = size - round(held)
        return np.arange(cut), np.arange(cut, size)
    order = np.random.default_rng(seed).permutation(size)
    count = round(held * size)
    return np.sort(order[count:]), np.sort(order[:count])


def train(
    recipe: Recipe,
    *,
    seed: int = 0,
    running: Running | None = None,
    validation: float = 0.0,
    root: Path | None = None,
    threads: int = 1,
    on_epoch: Callable[[Epoch], None] = _ignore,
) -> Trained:
    """Train a recipe's net; same recipe, seed, threads and torch give the same weights on a CPU.

    Args:
        recipe: What to train.
        seed: Seed of the weights, the order and the augmentation.
        running: Device, precision, kept state; the processes are found, not given.
        validation: If above 0: measure on samples held out of the train split (see ``hold_out``), and do not read the
            test split.
        root: Folder of the dataset; None: where it is looked for by default.
        threads: CPU threads; small nets are fastest with one.
        on_epoch: Called after every epoch.

    Raises:
        RecipeError: The device is not there, the number of epochs is below 1, or the kept state is of another training.
    """
    running = running or Running()
    _check(recipe, running)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with workers(running.device) as me:
            return _train(recipe, seed, replace(running, workers=me), validation, root, on_epoch)
    finally:
        torch.set_num_threads(before)


def _train(
    recipe: Recipe,
    seed: int,
    running: Running,
    validation: float,
    root: Path | None,
    on_epoch: Callable[[Epoch], None],
) -> Trained:
    data = training_data(recipe, "train", root)
    held: Data | None = None
    if validation > 0:
        kept, rest = (torch.from_numpy(part) for part in hold_out(len(data), validation, seed=0))
        data, held = data.take(kept), data.take(rest)
    start = time.perf_counter()
    torch.manual_seed(seed)
    module = make(recipe.net, recipe.arguments).to(running.device, memory_format=torch.channels_last)
    if running.device == "cuda":
        data = data.to("cuda")
    fit(module, data, recipe, seed, running, on_epoch)
    seconds = time.perf_counter() - start
    test = held if held is not None else training_data(recipe, "test", root)
    measurement = measure(module, test.steps(test.x), test.y, device=running.device)
    return Trained(module.cpu().eval(), measurement, seconds, data.simulated)


def _check(recipe: Recipe, running: Running) -> None:
    if recipe.epochs < 1:
        raise RecipeError(f"{recipe.epochs} epochs; at least 1", where=recipe.name, help="give --epochs 1 or more")
    device = running.device
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise RecipeError(f"device {device!r} is not here", where=recipe.name, help="use --device cpu")
