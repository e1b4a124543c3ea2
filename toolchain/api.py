"""The library: deploy a model by its name, file or object; load a deployment; check a model as trained."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from spikewright.hw_sim.names import did_you_mean
from spikewright.toolchain import autoencoders, bundle, manifest
from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.auto import Judges
from spikewright.toolchain.data_sets import has_ends, known_sets, load_split
from spikewright.toolchain.deployment import Data, Deployment, given
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.importing import Imported, load_model
from spikewright.toolchain.integer_deploy import deploy_integer
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.options import Options, refuse_unfit, with_options
from spikewright.toolchain.outlasting import outlasting
from spikewright.toolchain.pipeline import deploy_graph, pipeline
from spikewright.toolchain.samples import Samples
from spikewright.toolchain.spike_driven.deployed import AsTrained, Check, check_model
from spikewright.toolchain.stage import Note, Walk

CALIBRATION_SAMPLES = 256
"""Samples of a data set's train split that calibrate a deployment."""
BUNDLED_SAMPLES = 1000
"""Test samples at most that travel with a bundle."""
SPLITS: dict[str, int] = {"train": CALIBRATION_SAMPLES, "test": BUNDLED_SAMPLES}


def deploy(
    model: Any,
    example: Any = None,
    *,
    options: Options | None = None,
    calibration: Data | None = None,
    samples: Data | None = None,
    data: str | Path | None = None,
    name: str | None = None,
    progress: Note = lambda _: None,
    stop_after: str | None = None,
    keep_stages: str | Path | None = None,
    **changes: Any,
) -> Deployment:
    """Compile a model for a chip.

    Args:
        model: A zoo name, a ``.safetensors``, ``.nir``, ``.net`` or ``.onnx`` file, ``path/to/file.py:factory``; or in memory,
            a ``torch.nn.Module``, a ``nir.NIRGraph`` or a ``Graph``.
        example: Input (T, B, C, H, W) of a model in memory; it calibrates where nothing else is given.
        options: Chip, gate lowering, bits; or as keywords: ``deploy("ma-digits", gates="causal", chip="loihi2")``.
        calibration: Data in the net's own coding that decides ranges: ``Samples``, an array, a ``FILE.npz``, or the name of a
            data set, of whose train split some are drawn; default: the model card's set, or the example.
        samples: Test data that travels with the deployment, likewise, of the test split; default: as ``calibration``.
        data: Folder of the data set, or the one above it; None: where it is looked for by default.
        name: What to call it; default: the name of the model or file.
        progress: Told the name of each stage.
        stop_after: End after this stage by raising ``Stopped``, which holds what there is then.
        keep_stages: Folder for each stage's result, as text and as file, written as the stage ends.
        changes: Fields of ``Options``.

    Raises:
        ToolchainError: The model, the data or an option is refused; nothing was written.
        Stopped: The stage ``stop_after`` is done.
    """
    options = _options(options, changes)
    kept = None if keep_stages is None else Path(keep_stages)
    Walk(pipeline(), stop_after, kept)
    progress("import")
    net = read_model(model, example, options=options, calibration=calibration, samples=samples, data=data, name=name)
    stages: dict[str, Any] = {
        "note": progress,
        "stop_after": stop_after,
        "keep_stages": kept,
        "diagnostics": net.diagnostics,
    }
    imported = net.imported
    if imported.autoencoder is not None:
        both = autoencoders.deploy_autoencoder(
            imported.autoencoder,
            options,
            net.calibration,
            name=imported.name,
            card=dict(imported.card),
            samples=net.samples,
            **stages,
        )
        return replace(both, command=net.command)
    if net.graph is None:
        integer = imported.integer_graph(dt_s=options.dt_s, timesteps=options.timesteps)
        travelling = None if net.samples is None else net.samples()
        made = deploy_integer(
            integer, options, name=imported.name, card=dict(imported.card), samples=travelling, **stages
        )
        return replace(made, command=net.command)
    made = deploy_graph(
        net.graph,
        options,
        net.calibration,
        name=imported.name,
        card=dict(imported.card),
        samples=net.samples,
        held_out=net.held_out,
        **stages,
    )
    unsaid = _input_seen(made) if imported.assumed(dt_s=options.dt_s, reading=options) else ()
    return replace(made, source=imported.nir_graph, command=net.command, diagnostics=(*made.diagnostics, *unsaid))


@dataclass(frozen=True, eq=False)
class Net:
    """A model that was read, and what a deployment of it takes.

    Args:
        imported: The model; its card says how data sets are coded.
        graph: Its float graph; None of a model that is integer already.
        calibration: Reads the data that decides ranges.
        samples: Reads the test data that travels; None: there is none.
        held_out: Reads data that decides about constants, so much or all; None where there is none.
        diagnostics: What was assumed, noted or lost on the way.
        command: The command that deploys it, or "".
    """

    imported: Imported
    graph: Graph | None
    calibration: Callable[[], Samples]
    samples: Callable[[], Samples] | None
    held_out: Judges
    diagnostics: tuple[Diagnostic, ...]
    command: str


def read_model(
    model: Any,
    example: Any = None,
    *,
    options: Options,
    calibration: Data | None = None,
    samples: Data | None = None,
    data: str | Path | None = None,
    name: str | None = None,
) -> Net:
    """Read a model, and say where its data comes from; arguments as ``deploy``.

    Raises:
        ToolchainError: The model or an option is refused.
    """
    folder = None if data is None else Path(data)
    imported = load_model(model, data=folder, example=example, layout=options.layout)
    if name is not None:
        imported = replace(imported, name=name)
    if "\n" in imported.name:
        raise InputError(f"the name {imported.name!r} holds a line break", where="--name", help="give one in one line")
    facts = _facts(imported, options, calibration, samples)
    refuse_unfit(options, facts, imported.name)
    if not facts["data set"]:
        imported.refuse_folder(folder)
    if calibration is not None and facts["integer"]:
        raise InputError(
            f"nothing of {imported.name!r} is quantized: it is integer already",
            where="--calibrate",
            help="leave it out; test data travels with --samples",
        )
    command = repeat_command(model, options, calibration=calibration, samples=samples, data=folder, name=name)
    if samples is None:
        samples = calibration
    diagnostics = (*imported.diagnostics, *imported.assumed(dt_s=options.dt_s, reading=options))
    imported = _sized(imported, options, samples, folder)

    def read(wanted: Data | None, split: str, T: int | None) -> Callable[[], Samples]:
        return lambda: _samples(wanted, imported, split, options, folder, T)

    if imported.integer is not None:
        integer = imported.integer_graph(dt_s=options.dt_s, timesteps=options.timesteps)
        imported = replace(imported, card=_coded(imported.card, options, integer, (samples,)))
        travel = None if samples is None else read(samples, "test", integer.timesteps)
        return Net(imported, None, read(calibration, "train", None), travel, lambda _: None, diagnostics, command)
    whole, imported = imported, imported.first()
    graph = imported.float_graph(dt_s=options.dt_s, timesteps=options.timesteps, reading=options)
    diagnostics = (*diagnostics, *outlasting(graph))
    if not any(isinstance(op, AttentionBlock) for op in graph):
        refuse_unfit(options, {"attention": False, "graded": False}, imported.name)
    imported = replace(imported, card=_coded(imported.card, options, graph, (calibration, samples)))
    T = graph.timesteps
    travels = samples is not None or bool(imported.card.get("dataset")) or imported.example is not None
    travel = read(samples, "test", T) if travels else None
    held_out = partial(_held_out, calibration, imported.card, T, folder)
    imported = replace(imported, autoencoder=whole.autoencoder)
    return Net(imported, graph, read(calibration, "train", T), travel, held_out, diagnostics, command)


def _held_out(
    calibration: Data | None, card: Mapping[str, Any], timesteps: int, data: Path | None, limit: int
) -> Samples | None:
    """Return the last ``limit`` of the train split of the data set that calibrates, if it is one."""
    name = card.get("dataset") if calibration is None else calibration
    if not isinstance(name, str) or not has_ends(name):
        return None
    T = int(card.get("timesteps", timesteps))
    return load_split(name, card, timesteps=T, split="train", limit=limit, data=data, last=True)


def _input_seen(made: Deployment) -> tuple[Diagnostic, ...]:
    """Return what the calibration data said of the input's coding."""
    kinds = {"binary": "binary spikes", "counts": f"whole numbers up to {made.input.largest:g}"}
    kind = kinds.get(made.input.kind, "real values") if made.host is None else "real values, encoded on the host"
    help = "calibrate with data like what will come (--calibrate)"
    return (Diagnostic("input-coding", made.name, f"its input is {kind}, as calibrated", help, "assumption"),)


def _facts(imported: Imported, options: Options, calibration: Data | None, samples: Data | None) -> dict[str, bool]:
    """Return what an option can be for (``options.FACTS``) and is known once a model was read."""
    card = bool(imported.card.get("dataset"))
    drawn = imported.facts["float"] and (named(calibration) if calibration is not None else card)
    data = imported.facts["float"] or samples is not None
    found = {"drawn": drawn, "measured": options.mapping == "search" and data}
    return imported.facts | found | {"data set": card or named(calibration) or named(samples)}


def named(data: Data | None) -> bool:
    """Say whether data is a data set by its name."""
    return isinstance(data, str) and not data.endswith(".npz")


def load(folder: str | Path) -> Deployment:
    """Read a deployment that was saved.

    Args:
        folder: What ``deploy --out`` or ``Deployment.save`` wrote.

    Raises:
        ToolchainError: The folder is not a bundle, damaged, or of another version.
    """
    if manifest.of_programs(Path(folder)):
        return autoencoders.load(Path(folder))
    return bundle.load(Path(folder))


def check(model: Any, example: Any = None, *, data: str | Path | None = None, **how: Any) -> Check:
    """Say whether a model is spike-driven as trained, also one that cannot be deployed; see ``Deployment.check``.

    Args:
        model: As in ``deploy``.
        example: As in ``deploy``.
        data: As in ``deploy``.
        how: Fields of ``AsTrained``: ``input_kind``, ``gates``, ``payload_bits``, ``timesteps``, ``dt_s``.

    Raises:
        ToolchainError: The model or an option is refused.
    """
    chosen = with_options(AsTrained, how, "a check")
    folder = None if data is None else Path(data)
    imported = load_model(model, data=folder, example=example)
    imported.refuse_folder(folder)
    return check_model(imported, chosen)


def _options(options: Options | None, changes: Mapping[str, Any]) -> Options:
    """Return checked options, those given by keyword in place of the others."""
    plain = {key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in changes.items()}
    return with_options(Options, asdict(options or Options()) | plain, "a deployment")


def _sized(imported: Imported, options: Options, samples: Data | None, data: Path | None) -> Imported:
    """Return the model for the input shape that is asked for, or that the samples have, where it says none itself.

    Raises:
        InputError: The shape is none.
        ImportingError: There is none.
    """
    asked = options.input_shape
    if imported.sized is None:
        return imported
    if asked is None:
        if samples is None:
            raise imported.no_size()
        x = _samples(samples, imported, "test", options, data).x
        return imported.sized(tuple(int(n) for n in x.shape[2:]))
    words = asked.split(",")
    if not all(word.strip().isdecimal() and 0 < int(word) <= 1 << 16 for word in words):
        raise InputError(
            f"{asked!r}; sizes from 1 on are expected", where="--input-shape", help="give C,H,W, e.g. 2,34,34"
        )
    return imported.sized(tuple(int(word) for word in words))


def repeat_command(
    model: Any,
    options: Options,
    *,
    calibration: Data | None = None,
    samples: Data | None = None,
    data: Path | None = None,
    name: str | None = None,
) -> str:
    """Return the command that repeats a deployment, all but its ``--out``; "" where something came from memory."""
    words = ["spikewright", "deploy"]
    given = (("", model), ("--calibrate", calibration), ("--samples", samples), ("--data", data), ("--name", name))
    for flag, value in given:
        if value is None:
            continue
        if not isinstance(value, str | Path):
            return ""
        words += [flag, str(value)] if flag else [str(value)]
    return shlex.join([*words, *options.words()])


def _coded(card: dict[str, Any], options: Options, graph: Graph, given: tuple[Data | None, ...]) -> dict[str, Any]:
    """Return a card that says how the named data sets are coded: as the user says, else by time, in steps of the net's dt.

    Raises:
        InputError: The model says another coding.
    """
    said, wanted = card.get("coding"), options.coding
    if wanted is not None and said not in (None, wanted):
        raise InputError(f"{wanted!r}; the model is for {said!r}", where="--coding", help="leave it out")
    if said is not None or not any(named(one) for one in given):
        return card
    found = {**card, "window_us": card.get("window_us", graph.dt_s * 1e6)}
    if wanted is not None:
        found["coding"] = wanted
    shape = graph.input.shape
    if len(shape) == 3 and shape[1] == shape[2]:
        found.setdefault("side", shape[1])
    return found


def _samples(
    wanted: Data | None,
    imported: Imported,
    split: str,
    options: Options,
    data: Path | None,
    timesteps: int | None = None,
) -> Samples:
    """Return data as wanted; of data sets the part of a split that a deployment takes; else the example of the model."""
    seed = options.seed if split == "train" else None
    if named(wanted):
        steps = timesteps or options.timesteps or int(imported.card.get("timesteps", 1))
        return load_split(
            str(wanted), imported.card, timesteps=steps, split=split, limit=SPLITS[split], seed=seed, data=data
        )
    if wanted is not None:
        return given(wanted)
    if imported.example is not None and not imported.card.get("dataset"):
        return _example(imported)
    return card_samples(imported.card, timesteps or 1, split, imported.name, SPLITS[split], seed, data)


def _example(imported: Imported) -> Samples:
    x = imported.example
    assert x is not None
    if not x.any():
        raise InputError(
            "the example is all zero, and there is no other data to decide ranges by",
            where=imported.name,
            help="give real samples as the example, or calibration=",
        )
    return Samples(x, None, "the example input")


def card_samples(
    card: Mapping[str, Any],
    timesteps: int,
    split: str,
    name: str,
    limit: int,
    seed: int | None,
    data: Path | None = None,
) -> Samples:
    """Return samples of the data set a model card names, coded as it says; ``seed`` draws them, None takes the first.

    Raises:
        InputError: The card names no data set, or one that is not known here.
    """
    dataset = card.get("dataset")
    if not dataset:
        raise InputError(
            "the model names no data set to calibrate on",
            where=name,
            help="give its data with --calibrate FILE.npz, or calibration= in Python: x (T, B, C, H, W), some 100 samples, "
            "and y for accuracy",
        )
    if dataset not in known_sets():
        raise InputError(
            f"its data set {dataset!r} is not known here ({', '.join(known_sets()) or 'none is'})",
            where=name,
            help=f"{did_you_mean(dataset, known_sets())}give data with --calibrate FILE.npz",
        )
    T = int(card.get("timesteps", timesteps))
    return load_split(dataset, card, timesteps=T, split=split, limit=limit, seed=seed, data=data)
