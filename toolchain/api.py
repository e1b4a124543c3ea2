"""Deploy a model by its name or file: import, compile, ready to save, check, run and report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from spikewright.hw_sim import load_chip
from spikewright.toolchain.data_sets import known_sets, load_split
from spikewright.toolchain.deployment import Deployment, Options, Samples
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.importing import load_model
from spikewright.toolchain.integer_road import deploy_integer
from spikewright.toolchain.pipeline import Note, check_options, deploy_graph

CALIBRATION_SAMPLES = 256
"""Samples of a data set's train split that calibrate a deployment."""
BUNDLED_SAMPLES = 1000
"""Test samples at most that travel with a bundle."""


def deploy(
    model: str,
    options: Options | None = None,
    *,
    calibration: Samples | None = None,
    samples: Samples | None = None,
    data: Path | None = None,
    progress: Note = lambda _: None,
) -> Deployment:
    """Compile a model for a chip.

    Args:
        model: A zoo name, a ``.safetensors``, ``.nir`` or ``.net`` file, or ``path/to/file.py:factory``.
        options: Chip, gate lowering, bits.
        calibration: Data in the net's own coding; default: the train split of the model card's data set.
        samples: Test data that travels with the deployment; default: the test split.
        data: Folder of the model card's data set, or the one above it; None: where it is looked for by default.
        progress: Told the name of each stage.

    Raises:
        ToolchainError: The model, the data or an option is refused; nothing was written.
    """
    options = options or Options()
    progress("import")
    imported = load_model(model, data=data)
    card = imported.card
    if imported.integer is not None:
        return deploy_integer(
            imported.integer, options, name=imported.name, card=dict(card), samples=samples, note=progress
        )
    graph = imported.float_graph(dt_s=options.dt_s, timesteps=options.timesteps)
    check_options(options, graph, load_chip(options.chip))
    if calibration is None:
        calibration = card_samples(
            card, graph.timesteps, "train", imported.name, CALIBRATION_SAMPLES, options.seed, data
        )
    if samples is None and card.get("dataset"):
        samples = card_samples(card, graph.timesteps, "test", imported.name, BUNDLED_SAMPLES, None, data)
    made = deploy_graph(
        graph, options, calibration, name=imported.name, card=dict(card), samples=samples, note=progress
    )
    return replace(made, source=imported.nir_graph, calibrated=calibration.source)


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
