"""The verbs ``spikewright zoo`` and ``spikewright train``; torch is imported only by the latter, when it runs."""

from __future__ import annotations

import json
import shlex
from argparse import Namespace, _SubParsersAction
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikewright.models.errors import RecipeError
from spikewright.models.finetune_command import check_target, for_target
from spikewright.models.train.recipes import RECIPES, Recipe, recipe
from spikewright.models.train.vae_recipes import VAE_RECIPES
from spikewright.models.vae_command import picture_of, run_train_vae
from spikewright.models.zoo.checkpoint import card, checkpoint_file, checkpoint_path, names
from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.cli.parser import no_file, place

if TYPE_CHECKING:
    from spikewright.models.train.loop import Epoch, Running
    from spikewright.models.zoo.card import Card


def add_zoo(subparsers: _SubParsersAction[Any]) -> None:
    """Add ``spikewright zoo``."""
    parser = subparsers.add_parser(
        "zoo", help="list the checkpoints that ship, with task, T, and accuracy or reconstruction error"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_zoo)


def run_zoo(_arguments: Namespace) -> Outcome:
    """List the shipped checkpoints."""
    rows = [_row(name) for name in names()]
    twins = any(r["twin"] for r in rows)
    head = f"{'name':22} {'family':8} {'variant':14} {'dataset':13} {'T':>3} {'accuracy':>9} {'MSE':>7} {'on chip':>7} "
    head += f"{'parameters':>11} {'spike rate':>11}" + (f" {'twin':>6}" if twins else "")
    lines = [
        f"{r['name']:22} {r['family']:8} {r['variant']:14} {r['dataset']:13} {r['timesteps']:3d} "
        f"{_percent(r['accuracy']):>9} {_number(r['reconstruction_mse']):>7} "
        f"{_number(r['reconstruction_mse_on_chip']):>7} "
        f"{r['parameters']:11,d} {r['spike_rate']:11.3f}{_rate(r['twin'], twins)}"
        + (" (simulated events)" if r["simulated"] else "")
        for r in rows
    ]
    note = "accuracy, MSE: test split, seed that ships; MSE: of autoencoders' reconstructions, images in [-1, 1]; "
    note += "on chip: deployed, first 1,000 test images; "
    note += "spike rate: spikes per neuron and timestep"
    note += "; twin: of the same net without attention, trained alike" if twins else ""
    return Outcome(text="\n".join([head, *lines, note]), data=rows)


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.2f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _rate(twin: dict[str, Any] | None, twins: bool) -> str:
    """Return the cell of a twin's spike rate; "" in a table without any."""
    return f" {'-' if twin is None else format(twin['spike_rate'], '.3f'):>6}" if twins else ""


def _row(name: str) -> dict[str, Any]:
    c, path = card(name), checkpoint_path(name)
    picture = picture_of(path)
    return {
        "name": c.name,
        "family": c.family,
        "variant": c.variant,
        "dataset": c.dataset,
        "timesteps": c.timesteps,
        "accuracy": c.accuracy,
        "parameters": c.parameters,
        "spike_rate": c.spike_rate,
        "checkpoint": str(path),
        "coding": c.coding,
        "simulated": c.simulated,
        "accuracy_per_seed": dict(c.accuracy_per_seed),
        "provenance": c.provenance,
        "cross_validation": None if c.cross_validation is None else asdict(c.cross_validation),
        "twin": None if c.twin is None else asdict(c.twin),
        "reconstruction_mse": c.reconstruction_mse,
        "reconstruction_mse_on_chip": c.reconstruction_mse_on_chip,
        "picture": None if picture is None else str(picture),
    }


def add_train(subparsers: _SubParsersAction[Any]) -> None:
    """Add ``spikewright train``."""
    parser = subparsers.add_parser("train", help="train a net of the zoo and write its checkpoint")
    parser.add_argument("name", help=f"one of {', '.join((*RECIPES, *VAE_RECIPES))}")
    parser.add_argument("--dataset", help="train on another dataset than the recipe's")
    parser.add_argument("--epochs", type=int, help="passes over the train split (default: the recipe's)")
    parser.add_argument("--rate", type=float, metavar="R", help="peak of the learning rate (default: the recipe's)")
    parser.add_argument("--from", dest="start", metavar="CHECKPOINT", help="start from the weights of a checkpoint")
    parser.add_argument(
        "--silence",
        type=float,
        metavar="W",
        help="weight of the term that keeps neurons from firing without input (default: the recipe's)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, order and augmentation (default 0)")
    parser.add_argument(
        "--repeat", type=int, default=1, help="train so many seeds, from --seed on; the first is written"
    )
    parser.add_argument(
        "--out", type=place, default=Path("."), help="folder of the checkpoint and its card (default .)"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to train (default cpu)")
    parser.add_argument("--data", type=no_file, help="folder of the dataset (default: ~/.spikewright/data/<name>)")
    parser.add_argument(
        "--precision",
        choices=("float32", "float16", "bfloat16"),
        default="float32",
        help="automatic mixed precision where not float32 (default)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="keep the state in --out after every epoch, and go on from it"
    )
    parser.add_argument(
        "--folds", type=int, default=0, metavar="K", help="also cross-validate over train and test split in K folds"
    )
    parser.add_argument(
        "--validation",
        type=int,
        default=0,
        metavar="N",
        help="for choosing settings: measure on the last N training samples, which are left out of the training; the test "
        "split is not read, nothing is written",
    )
    parser.add_argument(
        "--target",
        metavar="CHIP",
        help="also deploy the net on a chip and train it further with the chip's integers: writes the bundle NAME-CHIP beside "
        "the checkpoint (see spikewright finetune)",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--json", action="store_true", help="print the model card as JSON")
    parser.set_defaults(run=run_train)


def run_train(arguments: Namespace) -> Outcome:
    """Train, with progress on stderr, and write the checkpoint.

    Raises:
        RecipeError: An option does not fit the recipe, or torch is missing.
    """
    from rich.console import Console
    from rich.progress import Progress, TimeElapsedColumn

    _check(arguments)
    if arguments.start is not None and arguments.validation == 0:
        _refuse_own_start(arguments)
    if arguments.target is not None:
        check_target(arguments.name, arguments.out, arguments.target)
    if arguments.name in VAE_RECIPES:
        return run_train_vae(arguments, _command(arguments))
    chosen = _chosen(arguments)
    try:
        from spikewright.models.train.distributed import workers
        from spikewright.models.train.loop import Running
        from spikewright.models.train.make_checkpoint import make_checkpoint
        from spikewright.models.train.malloc import keep_freed_memory
    except ImportError as error:
        raise RecipeError(
            f"training needs torch: {error}", where="train", help="pip install 'spikewright[models]'"
        ) from error
    bars = Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=Console(stderr=True))
    if arguments.device == "cpu":
        keep_freed_memory()
    with workers(arguments.device) as me, bars as progress:
        progress.disable = me.rank > 0
        running = Running(arguments.device, arguments.precision, workers=me)
        task = progress.add_task(chosen.name, total=chosen.epochs * (arguments.repeat + arguments.folds))

        def on_epoch(what: str, epoch: Epoch) -> None:
            progress.update(task, advance=1, description=f"{chosen.name} {what} loss {epoch.loss:.4f}")

        if arguments.validation > 0:
            return _validated(chosen, arguments, running, on_epoch)
        path, made = make_checkpoint(
            chosen,
            folder=arguments.out,
            command=_command(arguments),
            seed=arguments.seed,
            repeat=arguments.repeat,
            running=running,
            resume=arguments.resume,
            root=arguments.data,
            threads=arguments.threads,
            folds=arguments.folds,
            on_epoch=on_epoch,
        )
    if me.rank > 0:
        return Outcome(text="", data={})
    text, data = _summary(path, made, arguments.repeat), {**json.loads(made.to_json()), "checkpoint": str(path)}
    if arguments.target is not None:
        found = for_target(path, arguments.target, arguments.data, chosen.silence)
        text, data = f"{text}\n{found.text}", data | {"target": found.data}
    return Outcome(text=text, data=data)


def _summary(path: Path, made: Card, repeat: int) -> str:
    """Return what a training reached, in a line."""
    mean = sum(made.accuracy_per_seed.values()) / len(made.accuracy_per_seed)
    text = f"{path}: accuracy {100 * made.accuracy_per_seed[str(made.seed)]:.2f} % (test split of {made.dataset}"
    text += ", simulated events)" if made.simulated else ")"
    if repeat > 1:
        text += f", mean of {repeat} seeds {100 * mean:.2f} %"
    if (found := made.cross_validation) is not None:
        text += f", {found.folds} folds of all {found.samples:,} samples {100 * found.accuracy:.2f} % "
        text += f"(95 % interval {100 * found.low:.2f} to {100 * found.high:.2f} %)"
    text += f", spike rate {made.spike_rate:.3f}, {made.parameters:,} parameters, {made.train_seconds:.0f} s"
    return text


def _validated(
    chosen: Recipe, arguments: Namespace, running: Running, on_epoch: Callable[[str, Epoch], None]
) -> Outcome:
    """Train without the last samples of the train split, and measure on them; nothing is written."""
    from spikewright.models.train.loop import train

    found = train(
        chosen,
        seed=arguments.seed,
        running=running,
        validation=arguments.validation,
        root=arguments.data,
        threads=arguments.threads,
        on_epoch=lambda epoch: on_epoch("validation", epoch),
    )
    m = found.measurement
    if running.workers.rank > 0:
        return Outcome(text="", data={})
    text = f"{chosen.name}: accuracy {100 * m.accuracy:.2f} % on the last {arguments.validation:,} training samples, "
    text += f"spike rate {m.spike_rate:.3f}, {found.seconds:.0f} s; the test split was not read, nothing was written"
    return Outcome(text=text, data={"name": chosen.name, "validation": arguments.validation, **asdict(m)})


def _check(arguments: Namespace) -> None:
    for option, lowest in (("repeat", 1), ("threads", 1), ("folds", 0), ("validation", 0)):
        found = getattr(arguments, option)
        if found < lowest or (option == "folds" and found == 1):
            lowest = 2 if option == "folds" else lowest
            raise RecipeError(f"--{option} {found}; at least {lowest}", where="train", help=f"leave --{option} out")
    held = next((f"--{option}" for option in ("folds", "validation") if getattr(arguments, option) > 0), None)
    if held is not None and arguments.start is not None:
        raise RecipeError(
            f"{held} with --from {arguments.start}: those weights may have been trained on the samples that are held out",
            where="train",
            help=f"leave --from out, to train from the start; or {held}, to measure on the test split alone",
        )
    if arguments.validation > 0:
        without = {"repeat": 1, "folds": 0, "resume": False, "target": None, "out": Path()}
        unfit = [f"--{name}" for name, value in without.items() if getattr(arguments, name) != value]
        if unfit:
            raise RecipeError(
                f"{', '.join(unfit)}; with --validation one seed is trained and nothing is written",
                where="train",
                help=f"leave {' and '.join(unfit)} out, or --validation",
            )


def _refuse_own_start(arguments: Namespace) -> None:
    """Refuse to write over the weights that the training starts from.

    Raises:
        RecipeError: What is written has the same name, in the same folder.
        CheckpointError: There is no such checkpoint.
    """
    written = checkpoint_file(arguments.out, arguments.name)
    if checkpoint_path(arguments.start).resolve() == written.resolve():
        raise RecipeError(
            f"{arguments.start} is what would be written over", where="--from", help="choose another folder with --out"
        )


def _chosen(arguments: Namespace) -> Recipe:
    chosen = recipe(arguments.name)
    if arguments.dataset is not None:
        chosen = replace(chosen, dataset=arguments.dataset)
    given = {
        "epochs": arguments.epochs,
        "learning_rate": arguments.rate,
        "silence": arguments.silence,
        "start": arguments.start,
    }
    return replace(chosen, **{name: value for name, value in given.items() if value is not None})


def _command(arguments: Namespace) -> str:
    """Return the command that makes the same weights; ``--repeat`` and ``--out`` do not change them."""
    words = ["spikewright", "train", arguments.name]
    for option, value, default in (
        ("--dataset", arguments.dataset, None),
        ("--epochs", arguments.epochs, None),
        ("--rate", arguments.rate, None),
        ("--from", arguments.start, None),
        ("--silence", arguments.silence, None),
        ("--seed", arguments.seed, 0),
        ("--device", arguments.device, "cpu"),
        ("--precision", arguments.precision, "float32"),
        ("--folds", arguments.folds, 0),
        ("--threads", arguments.threads, 1),
    ):
        if value != default:
            words += [option, str(value)]
    return shlex.join(words)
