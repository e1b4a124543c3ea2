"""Deploy a model by its name or file: import, compile, ready to save, check, run and report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from spikewright.toolchain.data_sets import known_sets, load_split
from spikewright.toolchain.deployment import Deployment, Options, Samples
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.importing import load_model
from spikewright.toolchain.integer_road import deploy_integer
from spikewright.toolchain.pipeline import deploy_graph, pipeline
from spikewright.toolchain.stage import Note, Stopped, Walk

CALIBRATION_SAMPLES = 256
"""Samples of a data set's train split that calibrate a deployment."""
BUNDLED_SAMPLES = 1000
"""Test samples at most that travel with a bundle."""


@overload
def deploy(
    model: str,
    options: Options | None = ...,
    *,
    calibration: Samples | None = ...,
    samples: Samples | None = ...,
    data: Path | None = ...,
    progress: Note = ...,
    stop_after: None = ...,
    keep_stages: Path | None = ...,
) -> Deployment: ...
@overload
def deploy(
    model: str,
    options: Options | None = ...,
    *,
    calibration: Samples | None = ...,
    samples: Samples | None = ...,
    data: Path | None = ...,
    progress: Note = ...,
    stop_after: str | None,
    keep_stages: Path | None = ...,
) -> Deployment | Stopped: ...
def deploy(
    model: str,
    options: Options | None = None,
    *,
    calibration: Samples | None = None,
    samples: Samples | None = None,
    data: Path | None = None,
    progress: Note = lambda _: None,
    stop_after: str | None = None,
    keep_stages: Path | None = None,
) -> Deployment | Stopped:
    """Compile a model for a chip.

    Args:
        model: A zoo name, a ``.safetensors``, ``.nir`` or ``.net`` file, or ``path/to/file.py:factory``.
        options: Chip, gate lowering, bits.
        calibration: Data in the net's own coding; default: the train split of the model card's data set.
        samples: Test data that travels with the deployment; default: the test split.
        data: Folder of the model card's data set, or the one above it; None: where it is looked for by default.
        progress: Told the name of each stage.
        stop_after: End after this stage, with what there is then.
        keep_stages: Folder for each stage's result, as text and as file, written as the stage ends.

    Raises:
        ToolchainError: The model, the data or an option is refused; nothing was written.
    """
    options = options or Options()
    Walk(pipeline(), stop_after, keep_stages)
    progress("import")
    imported = load_model(model, data=data)
    card = imported.card
    if imported.integer is not None:
        return deploy_integer(
            imported.integer,
            options,
            name=imported.name,
            card=dict(card),
            samples=samples,
            note=progress,
            stop_after=stop_after,
            keep_stages=keep_stages,
        )
    graph = imported.float_graph(dt_s=options.dt_s, timesteps=options.timesteps)

    def drawn(split: str, limit: int, seed: int | None) -> Callable[[], Samples]:
        return lambda: card_samples(card, graph.timesteps, split, imported.name, limit, seed, data)

    made = deploy_graph(
        graph,
        options,
        calibration or drawn("train", CALIBRATION_SAMPLES, options.seed),
        name=imported.name,
        card=dict(card),
        samples=samples or (drawn("test", BUNDLED_SAMPLES, None) if card.get("dataset") else None),
        note=progress,
        stop_after=stop_after,
        keep_stages=keep_stages,
    )
    return made if isinstance(made, Stopped) else replace(made, source=imported.nir_graph)


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
            help="give its data with --calibrate FILE.npz: x (T, B, C, H, W), some 100 samples, and y for accuracy",
        )
    if dataset not in known_sets():
        raise InputError(
            f"its data set {dataset!r} is not known here ({', '.join(known_sets()) or 'none is'})",
            where=name,
            help="give data with --calibrate FILE.npz",
        )
    T = int(card.get("timesteps", timesteps))
    return load_split(dataset, card, timesteps=T, split=split, limit=limit, seed=seed, data=data)
