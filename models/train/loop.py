"""Train a recipe's net from its seed; the last epoch's weights stay; the test split is read once, after."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from spikewright.models.errors import RecipeError
from spikewright.models.nets import make
from spikewright.models.train.data import Data, training_data
from spikewright.models.train.distributed import workers
from spikewright.models.train.fit import Epoch as Epoch
from spikewright.models.train.fit import Running as Running
from spikewright.models.train.fit import fit
from spikewright.models.train.measure import Measurement, measure
from spikewright.models.train.recipe import Recipe
from spikewright.models.zoo.checkpoint import build


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
    check_running(recipe.name, recipe.epochs, running)
    if recipe.start is not None:
        _begun(recipe)  # refused before data is read
    data = training_data(recipe, "train", root)
    held: Data | None = None
    if validation > 0:
        kept, rest = (torch.from_numpy(part) for part in hold_out(len(data), validation, seed=0))
        data, held = data.take(kept), data.take(rest)
    with cpu_threads(threads):
        test = (lambda: training_data(recipe, "test", root)) if held is None else (lambda: held)
        return train_on(recipe, data, test, seed=seed, running=running, on_epoch=on_epoch)


@contextmanager
def cpu_threads(threads: int) -> Iterator[None]:
    """Let torch use so many CPU threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train_on(
    recipe: Recipe,
    data: Data,
    test: Callable[[], Data],
    *,
    seed: int,
    running: Running,
    on_epoch: Callable[[Epoch], None],
) -> Trained:
    """Train a recipe's net on some samples, and measure it on others, which are asked for when it is trained.

    Raises:
        RecipeError: The device is not there, the number of epochs is below 1, or the kept state is of another training.
    """
    check_running(recipe.name, recipe.epochs, running)
    with workers(running.device) as me:
        running = replace(running, workers=me)
        start = time.perf_counter()
        torch.manual_seed(seed)
        module = _begun(recipe)
        channels_last(module, running.device)
        fit(module, data.to(running.device), recipe, seed, running, on_epoch)
        seconds = time.perf_counter() - start
        held = test()
        measurement = measure(module, held.x, held.y, timesteps=held.timesteps, device=running.device)
    return Trained(module.cpu().eval(), measurement, seconds, data.simulated)


def _begun(recipe: Recipe) -> nn.Module:
    """Return a recipe's net as its training starts: with weights from the seed, or of the checkpoint ``start``.

    Raises:
        RecipeError: The checkpoint is of another net.
    """
    if recipe.start is None:
        return make(recipe.net, recipe.arguments)
    module, found = build(recipe.start)
    if (found.net, dict(found.arguments)) != (recipe.net, dict(recipe.arguments)):
        raise RecipeError(
            f"{recipe.start} is net {found.net!r} with {dict(found.arguments)}; the recipe is for {recipe.net!r} with "
            f"{dict(recipe.arguments)}",
            where=f"{recipe.name} --from",
            help="start from a checkpoint of the same recipe",
        )
    return module


def channels_last(module: nn.Module, device: str) -> None:
    """Move a net to a device, its images with the channels last in memory, which is faster."""
    module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it


def check_running(name: str, epochs: int, running: Running) -> None:
    """Refuse a training that cannot run.

    Raises:
        RecipeError: The device is not there, or the number of epochs is below 1.
    """
    if epochs < 1:
        raise RecipeError(f"{epochs} epochs; at least 1", where=name, help="give --epochs 1 or more")
    device = running.device
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise RecipeError(f"device {device!r} is not here", where=name, help="use --device cpu")
