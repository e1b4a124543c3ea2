"""The verb ``spikewright finetune``: train what runs on the chip, and write the bundle; torch is imported when it runs."""

from __future__ import annotations

import shlex
from argparse import Namespace, _SubParsersAction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikewright.hw_sim.chip import load_chip
from spikewright.models.errors import RecipeError
from spikewright.models.lowered.tuning import Tuning
from spikewright.models.train.vae_recipes import VAE_RECIPES
from spikewright.toolchain import api, bundle, manifest
from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.cli.parser import add_declared, add_folder_option, place, values
from spikewright.toolchain.cli.progress import bars, note
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.options import Options, declared

if TYPE_CHECKING:
    from spikewright.models.lowered.finetune import TunedEpoch


def add_finetune(subparsers: _SubParsersAction[Any]) -> None:
    """Add ``spikewright finetune``."""
    parser = subparsers.add_parser(
        "finetune", help="train what runs on the chip, with the chip's integers, and write the bundle"
    )
    parser.add_argument("model", metavar="MODEL", help="a bundle, or what deploy takes: it is deployed first")
    parser.add_argument("--out", type=place, required=True, metavar="DIR", help="folder of the bundle")
    parser.add_argument(
        "--train",
        metavar="NAME|FILE.npz",
        help="training samples with labels (default: the train split of the card's set)",
    )
    add_folder_option(parser)
    add_declared(parser.add_argument_group("how it is trained"), declared(Tuning))
    add_declared(parser.add_argument_group("how a model that is no bundle is deployed"), declared(Options))
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_finetune)


def run_finetune(arguments: Namespace) -> Outcome:
    """Fine-tune and write."""
    bundle.check_writable(arguments.out)
    chosen, options = values(arguments, declared(Tuning)), values(arguments, declared(Options))
    made = _deployed(arguments, options)
    words = ["spikewright", "finetune", arguments.model]
    for flag, value in (("--train", arguments.train), ("--data", arguments.data)):
        words += [flag, str(value)] if value is not None else []
    words += Options(**options).words() if options else []
    for one in declared(Tuning):
        words += [one.flag, str(chosen[one.name])] if one.name in chosen else []
    again = tuned(made, arguments.train, arguments.data, Tuning(**chosen), shlex.join(words))
    again.save(arguments.out)
    text = f"{_accuracies(made, again)}\n{again}\n  bundle: {arguments.out}"
    return Outcome(text=text, data=again.to_dict() | {"bundle": str(arguments.out)})


def check_target(name: str, folder: Path, chip: str) -> None:
    """Refuse a target before anything is trained: an unknown chip, an autoencoder, a folder that holds something else.

    Raises:
        RecipeError: It is an autoencoder, which has no labels.
        InputError: The chip is unknown, or the folder holds something else.
    """
    if name in VAE_RECIPES:
        raise RecipeError(
            "autoencoders have no labels to be fine-tuned by", where="--target", help="leave --target out"
        )
    load_chip(chip)
    bundle.check_writable(_bundle(folder, name, chip))


def _bundle(folder: Path, name: str, chip: str) -> Path:
    return folder / f"{name}-{Path(chip).stem}"


def for_target(checkpoint: Path, chip: str, data: Path | None, silence: float) -> Outcome:
    """Deploy a checkpoint on a chip, fine-tune it there, and write the bundle beside it."""
    how = Tuning(silence=silence)
    words = [
        "spikewright",
        "finetune",
        str(checkpoint),
        "--chip",
        chip,
        *(["--silence", f"{silence:g}"] if silence else []),
    ]
    note(f"deploy {checkpoint} on {chip}")
    made = api.deploy(checkpoint, data=data, chip=chip)
    again, out = tuned(made, None, data, how, shlex.join(words)), _bundle(checkpoint.parent, checkpoint.stem, chip)
    again.save(out)
    text = f"{_accuracies(made, again)}\n  bundle: {out}"
    return Outcome(text=text, data=again.to_dict() | {"bundle": str(out)})


def _deployed(arguments: Namespace, options: dict[str, Any]) -> Deployment:
    folder = Path(arguments.model)
    if not manifest.names(folder):
        note(f"deploy {arguments.model}")
        return api.deploy(arguments.model, data=arguments.data, **options)
    if options:
        flags = ", ".join(one.flag for one in declared(Options) if one.name in options)
        raise InputError(
            "a bundle is deployed already", where=flags, help="leave it out, or name the model the bundle was made of"
        )
    return bundle.load(folder)


def tuned(made: Deployment, data: str | None, folder: Path | None, how: Tuning, command: str) -> Deployment:
    """Fine-tune a deployment, with progress on stderr.

    Raises:
        RecipeError: torch is not installed.
    """
    try:
        from spikewright.models.lowered.finetune import finetune
        from spikewright.models.train.malloc import keep_freed_memory
    except ImportError as error:
        raise RecipeError(
            f"training needs torch: {error}", where="finetune", help="pip install 'spikewright[models]'"
        ) from error
    keep_freed_memory()
    with bars() as bar:
        epochs = bar(f"finetune {made.name}")

        def on_epoch(epoch: TunedEpoch) -> None:
            epochs(epoch.number, epoch.of)

        return finetune(made, data, folder=folder, tuning=how, on_epoch=on_epoch, command=command)


def _accuracies(before: Deployment, after: Deployment) -> str:
    """Return the accuracy before and after on the samples that travel along."""
    held = after.samples
    if held is None or held.y is None:
        return f"{after.name}: fine-tuned; no labelled samples travel with it to measure it on"
    found = [100 * (made.run(backend="interpreter").accuracy or 0.0) for made in (before, after)]
    return f"{after.name}: accuracy {found[0]:.2f} % before, {found[1]:.2f} % after, on {held.source}"
