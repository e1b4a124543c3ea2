"""``spikewright train`` for the autoencoders: train, write checkpoint, card, and a picture of what the net makes."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spikewright.models.errors import RecipeError
from spikewright.models.train.vae_recipes import VAE_RECIPES, VAERecipe
from spikewright.toolchain.cli.outcome import Outcome

if TYPE_CHECKING:
    from spikewright.models.train.fit import Epoch, Running


def run_train_vae(arguments: Namespace, command: str) -> Outcome:
    """Train an autoencoder, with progress on stderr, and write it; ``command`` is recorded on its card.

    Raises:
        RecipeError: Several processes were started, or torch and pillow are missing.
    """
    from rich.console import Console
    from rich.progress import Progress, TimeElapsedColumn

    chosen = _chosen(arguments)
    try:
        import PIL  # noqa: F401 (the picture at the end)
        from torch import distributed

        from spikewright.models.train.fit import Running
        from spikewright.models.train.malloc import keep_freed_memory
    except ImportError as error:
        raise RecipeError(
            f"training needs torch and pillow: {error}", where="train", help="pip install 'spikewright[models]'"
        ) from error
    if distributed.is_available() and distributed.is_torchelastic_launched():
        raise RecipeError(
            "autoencoders are trained by one process", where=chosen.name, help="start the command without torchrun"
        )
    if arguments.device == "cpu":
        keep_freed_memory()
    bars = Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=Console(stderr=True))
    with bars as progress:
        task = progress.add_task(chosen.name, total=chosen.epochs)

        def on_epoch(epoch: Epoch) -> None:
            text = f"{chosen.name} seed {arguments.seed} loss {epoch.loss:.4f}"
            progress.update(task, completed=epoch.number, description=text)

        running = Running(arguments.device, arguments.precision)
        if arguments.validation > 0:
            return _validated(chosen, arguments, running, on_epoch)
        return _written(chosen, arguments, running, command, on_epoch)


def _chosen(arguments: Namespace) -> VAERecipe:
    chosen = VAE_RECIPES[arguments.name]
    unfit = {"repeat": ("repeat", 1), "folds": ("folds", 0), "rate": ("rate", None), "silence": ("silence", None)}
    for name, (option, without) in (unfit | {"start": ("from", None)}).items():
        if getattr(arguments, name) != without:
            raise RecipeError(
                f"--{option} {getattr(arguments, name)}; it is for nets that classify, {chosen.name} is an autoencoder",
                where="train",
                help=f"leave --{option} out",
            )
    if arguments.dataset is not None:
        chosen = replace(chosen, dataset=arguments.dataset)
    if arguments.epochs is not None:
        chosen = replace(chosen, epochs=arguments.epochs)
    return chosen


def _validated(chosen: VAERecipe, arguments: Namespace, running: Running, on_epoch: Callable[[Epoch], None]) -> Outcome:
    """Train without the last images of the train split, and measure on them; nothing is written."""
    from spikewright.models.train.vae import train_vae

    count = arguments.validation
    found = train_vae(
        chosen,
        seed=arguments.seed,
        running=running,
        validation=count,
        root=arguments.data,
        threads=arguments.threads,
        on_epoch=on_epoch,
    )
    measured = {"reconstruction_mse": found.reconstruction_mse, "spike_rate": found.spike_rate}
    text = f"{chosen.name}: reconstruction MSE {found.reconstruction_mse:.4f} on the last {count:,} training images, "
    text += (
        f"spike rate {found.spike_rate:.3f}, {found.seconds:.0f} s; the test split was not read, nothing was written"
    )
    return Outcome(text=text, data={"name": chosen.name, "validation": count, **measured})


def _written(
    chosen: VAERecipe, arguments: Namespace, running: Running, command: str, on_epoch: Callable[[Epoch], None]
) -> Outcome:
    from spikewright.models.train.make_vae import make_vae

    path, made = make_vae(
        chosen,
        folder=arguments.out,
        command=command,
        seed=arguments.seed,
        running=running,
        resume=arguments.resume,
        root=arguments.data,
        threads=arguments.threads,
        on_epoch=on_epoch,
    )
    picture = path.with_suffix(".png")
    text = f"{path}: reconstruction MSE {made.reconstruction_mse:.4f} (test split of {made.dataset}), "
    text += f"spike rate {made.spike_rate:.3f}, {made.parameters:,} parameters, {made.train_seconds:.0f} s\n"
    text += f"{picture}: test images above their reconstructions, then new ones"
    return Outcome(text=text, data={**json.loads(made.to_json()), "checkpoint": str(path), "picture": str(picture)})


def picture_of(checkpoint: Path) -> Path | None:
    """Return the picture beside a checkpoint, if there is one."""
    path = checkpoint.with_suffix(".png")
    return path if path.is_file() else None
