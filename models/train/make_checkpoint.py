"""From a recipe to a checkpoint: train one or more seeds, keep the first, cross-validate, write weights and model card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from spikewright.hw_sim.cards import STARTED
from spikewright.models.train.folds import cross_validate, fold_name
from spikewright.models.train.loop import Epoch, Running, Trained, train
from spikewright.models.train.recipe import Recipe
from spikewright.models.zoo.card import Card
from spikewright.models.zoo.checkpoint import card as read_card
from spikewright.models.zoo.checkpoint import check_folder, checkpoint_file, save


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
    folds: int = 0,
    on_epoch: Callable[[str, Epoch], None],
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
        folds: Above 0: also cross-validate the recipe with so many folds of train and test split together.
        on_epoch: Called with what is being trained ("seed 0", "fold 1 of 5") and the epoch's report.
    """
    check_folder(folder)
    provenance = _provenance(recipe)
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
            on_epoch=partial(on_epoch, f"seed {s}"),
        )
        accuracies[str(s)] = trained.measurement.accuracy
        first = first or trained
    if first is None:
        raise AssertionError("repeat is at least 1: checked by the command")
    validated = None
    if folds > 0:
        validated = cross_validate(
            recipe, folds, seed=seed, running=running, folder=folder if resume else None, root=root, threads=threads,
            on_epoch=lambda fold, epoch: on_epoch(f"fold {fold} of {folds}", epoch),
        )  # fmt: skip
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
        provenance=provenance,
        torch=torch.__version__.split("+")[0],
        cross_validation=validated,
        side=recipe.side,
        window_us=recipe.window_us,
    )
    if running.workers.rank > 0:
        return checkpoint_file(folder, card.name), card
    path = save(first.module, card, folder)
    trainings = [(recipe.name, number) for number in accuracies]
    trainings += [(fold_name(recipe, fold, folds), str(seed)) for fold in range(1, folds + 1)]
    for name, number in trainings:
        (folder / f"{name}-seed{number}.state").unlink(missing_ok=True)
    return path, card


def _provenance(recipe: Recipe) -> str:
    """Return where a net comes from: its architecture, and the training that its own started from."""
    if recipe.start is None:
        return recipe.provenance
    return f"{recipe.provenance}{STARTED} what `{read_card(recipe.start).command}` gives"
