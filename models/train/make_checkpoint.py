"""From a recipe to a checkpoint: train one or more seeds, keep the first, write the weights and the model card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from models.train.loop import Epoch, Running, Trained, train
from models.train.recipe import Recipe
from models.zoo.card import Card
from models.zoo.checkpoint import check_folder, checkpoint_file, save


def make_checkpoint(
    recipe: Recipe,
    *,
    folder: Path,
    command: str,
    seed: int = 0,
    repeat: int = 1,
    running: Running | None = None,
    resume: bool = False,
    root: Path | None = None,
    threads: int = 1,
    on_epoch: Callable[[int, Epoch], None],
) -> tuple[Path, Card]:
    """Train seeds ``seed`` .. ``seed + repeat - 1``, write the first one's checkpoint, and return its file and card.

    Args:
        recipe: What to train.
        folder: Where the two files go.
        command: The command line to record.
        seed: The seed that ships.
        repeat: How many seeds the card's ``accuracy_per_seed`` covers.
        running: Device and precision; under torchrun, the first process alone writes.
        resume: Keep each seed's state in the folder after every epoch, and go on from it where there is one.
        root: Folder of the dataset.
        threads: CPU threads.
        on_epoch: Called with the seed and the epoch's report.
    """
    check_folder(folder)
    running = running or Running()
    first: Trained | None = None
    accuracies: dict[str, float] = {}
    for s in range(seed, seed + repeat):
        state = folder / f"{recipe.name}-seed{s}.state" if resume else None
        trained = train(
            recipe,
            seed=s,
            running=replace(running, state=state),
            root=root,
            threads=threads,
            on_epoch=lambda epoch, s=s: on_epoch(s, epoch),
        )
        accuracies[str(s)] = trained.measurement.accuracy
        first = first or trained
    if first is None:
        raise AssertionError("repeat is at least 1: checked by the command")
    card = Card(
        name=recipe.name,
        net=recipe.net,
        arguments=dict(recipe.arguments),
        family=recipe.family,
        variant=recipe.variant,
        timesteps=recipe.timesteps,
        dataset=recipe.dataset,
        coding=recipe.coding,
        simulated=first.simulated,
        command=command,
        seed=seed,
        accuracy=first.measurement.accuracy,
        accuracy_per_seed=accuracies,
        parameters=sum(p.numel() for p in first.module.parameters()),
        spike_rate=first.measurement.spike_rate,
        train_seconds=round(first.seconds, 1),
        epochs=recipe.epochs,
        provenance=recipe.provenance,
        torch=torch.__version__.split("+")[0],
    )
    if running.workers.rank > 0:
        return checkpoint_file(folder, card.name), card
    path = save(first.module, card, folder)
    for number in accuracies:
        (folder / f"{recipe.name}-seed{number}.state").unlink(missing_ok=True)
    return path, card
