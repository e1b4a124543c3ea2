"""From an autoencoder's recipe to a checkpoint: train, write the weights, the model card, and a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from spikewright.models.train.fit import Epoch, Running
from spikewright.models.train.vae import picture, save_grid, train_vae
from spikewright.models.train.vae_recipes import VAERecipe
from spikewright.models.zoo.card import Card
from spikewright.models.zoo.checkpoint import check_folder, save


def make_vae(
    recipe: VAERecipe,
    *,
    folder: Path,
    command: str,
    seed: int = 0,
    running: Running | None = None,
    resume: bool = False,
    root: Path | None = None,
    threads: int = 1,
    on_epoch: Callable[[Epoch], None],
) -> tuple[Path, Card]:
    """Train an autoencoder, write ``<name>.safetensors``, ``.json`` and ``.png``, and return the first and the card.

    Args:
        recipe: What to train.
        folder: Where the three files go.
        command: The command line to record.
        seed: Seed of the weights, the order and all samples, those of the picture too.
        running: Device and precision.
        resume: Keep the state in the folder after every epoch, and go on from it where there is one.
        root: Folder of the dataset.
        threads: CPU threads.
        on_epoch: Called after every epoch.
    """
    check_folder(folder)
    state = folder / f"{recipe.name}-seed{seed}.state" if resume else None
    trained = train_vae(
        recipe,
        seed=seed,
        running=replace(running or Running(), state=state),
        root=root,
        threads=threads,
        on_epoch=on_epoch,
    )
    attention = recipe.readout != "leaky"
    card = Card(
        name=recipe.name,
        net="fsvae",
        arguments=recipe.arguments(trained.examples.shape[1]),
        family="tcja-vae" if attention else "vanilla",
        variant=recipe.readout.removeprefix("tcja-") if attention else "none",
        timesteps=recipe.timesteps,
        dataset=recipe.dataset,
        coding="direct",
        simulated=False,
        command=command,
        seed=seed,
        accuracy=None,
        accuracy_per_seed={},
        parameters=sum(p.numel() for p in trained.module.parameters()),
        spike_rate=trained.spike_rate,
        train_seconds=round(trained.seconds, 1),
        epochs=recipe.epochs,
        provenance=recipe.provenance,
        torch=torch.__version__.split("+")[0],
        reconstruction_mse=trained.reconstruction_mse,
    )
    path = save(trained.module, card, folder)
    save_grid(picture(trained.module, trained.examples, seed=seed), path.with_suffix(".png"))
    if state is not None:
        state.unlink(missing_ok=True)
    return path, card
