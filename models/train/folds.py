"""k-fold cross-validation: every sample of a set is answered once, by a net that was not trained on it.

    p = right / n;   95 % interval (Wilson): (p + z^2 / 2n  +-  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n), z = 1.96

The folds have equal shares of every class. Wilson, J. Am. Stat. Assoc. 22(158):209, 1927. The interval is that of n independent
answers; the k nets share most of their training data, so it leaves out how much another draw of the set would change.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from spikewright.models.errors import RecipeError
from spikewright.models.train.data import training_data
from spikewright.models.train.fit import Epoch, Running
from spikewright.models.train.loop import cpu_threads, train_on
from spikewright.models.train.recipe import Recipe
from spikewright.models.zoo.card import CrossValidation

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


def folds_of(y: NDArray[np.int64], count: int, seed: int) -> list[NDArray[np.int64]]:
    """Return the test indices of every fold; each class is dealt out in turn, in an order drawn by ``seed``.

    Raises:
        RecipeError: There are fewer than 2 folds, or fewer samples than folds.
    """
    if not 2 <= count <= len(y):
        raise RecipeError(
            f"{count} folds of {len(y)} samples; 2 to {len(y)} are allowed", where="train", help="give --folds 5"
        )
    order = np.random.default_rng(seed).permutation(len(y))
    dealt = order[np.argsort(y[order], kind="stable")]  # class by class, shuffled inside
    return [np.sort(dealt[fold::count]) for fold in range(count)]


def wilson(right: int, n: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a fraction ``right / n``.

    Shares of 1; source: Wilson, JASA 22(158):209-212, 1927, doi 10.1080/01621459.1927.10502953.
    """
    p, z2 = right / n, Z95**2
    middle, half = p + z2 / (2 * n), Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return (middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)


def cross_validate(
    recipe: Recipe,
    count: int,
    *,
    seed: int,
    running: Running,
    folder: Path | None,
    root: Path | None,
    threads: int,
    on_epoch: Callable[[int, Epoch], None],
) -> CrossValidation:
    """Train ``count`` nets on all recordings but a fold each.

    Args:
        recipe: What to train.
        count: Number of folds.
        seed: Seed of the folds and of every net.
        running: Device, precision, processes.
        folder: Where each fold's state is kept after every epoch; None: nowhere.
        root: Folder of the dataset.
        threads: CPU threads.
        on_epoch: Called with the fold's number from 1 and the epoch's report.
    """
    data = training_data(recipe, "all", root)
    folds = folds_of(data.y.numpy(), count, seed)
    accuracies = []
    with cpu_threads(threads):
        for number, index in enumerate(folds, 1):
            held = torch.from_numpy(index)
            kept = torch.from_numpy(np.setdiff1d(np.arange(len(data)), index))
            named = replace(recipe, name=fold_name(recipe, number, count))
            state = None if folder is None else folder / f"{named.name}-seed{seed}.state"
            trained = train_on(
                named,
                data.take(kept),
                partial(data.take, held),
                seed=seed,
                running=replace(running, state=state),
                on_epoch=partial(on_epoch, number),
            )
            accuracies.append(trained.measurement.accuracy)
    right = sum(round(a * len(index)) for a, index in zip(accuracies, folds, strict=True))
    low, high = wilson(right, len(data))
    return CrossValidation(count, len(data), right / len(data), low, high, tuple(accuracies))


def fold_name(recipe: Recipe, number: int, count: int) -> str:
    """Return the name of a fold's training; its kept state is of that training only."""
    return f"{recipe.name}-fold{number}of{count}"
