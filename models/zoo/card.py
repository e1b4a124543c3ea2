"""The model card: what a checkpoint is, how it was made, what it reaches; JSON beside it and inside its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

from spikewright.hw_sim.cards import check_ranges
from spikewright.hw_sim.typed import MistypedError, build, fitted, parse_json
from spikewright.models.errors import CheckpointError

MAX_TIMESTEPS = 1 << 16
"""T at most."""
FORMAT = 1
"""Version of the card; another one is refused."""


@dataclass(frozen=True)
class CrossValidation:
    """What k-fold cross-validation over all recordings of a set found; every recording is tested once.

    Args:
        folds: k.
        samples: Number of recordings.
        accuracy: Fraction of them answered rightly by the net that was not trained on them.
        low: Lower end of the 95 % confidence interval of ``accuracy`` (Wilson's score interval).
        high: Upper end.
        accuracy_per_fold: The fraction in each fold.
    """

    folds: int
    samples: int
    accuracy: float
    low: float
    high: float
    accuracy_per_fold: tuple[float, ...]


@dataclass(frozen=True)
class Twin:
    """The same net without attention, trained alike: what attention costs or saves in spikes.

    Args:
        command: The command that trained it, from where the card's own command starts.
        accuracy: Fraction of the test split.
        spike_rate: Spikes per neuron and timestep on the test split.
    """

    command: str
    accuracy: float
    spike_rate: float


@dataclass(frozen=True)
class Card:
    """A model card.

    Args:
        name: Name of the checkpoint.
        net: Net in ``models.nets``, with its constructor ``arguments``.
        family: ma, gac, tcja, staa, sdsa, tcja-vae or vanilla.
        variant: The attention's variant, or ``"none"``.
        timesteps: T.
        dataset: Dataset in ``models.datasets``, with its ``coding``; ``simulated`` if the events were made from images.
        command: The one command that makes this checkpoint.
        seed: Its seed; this and what else only the training says is None for imported checkpoints.
        accuracy: Fraction of the test split, read once, after training; None for nets that do not classify.
        accuracy_per_seed: The same for every seed trained (``--repeat``); the shipped seed is the first, not the best.
        parameters: Number of trained parameters.
        spike_rate: Spikes per neuron and timestep on the test split.
        train_seconds: Wall time of this seed's training, one CPU thread (or the device of the command).
        epochs: Passes over the train split.
        provenance: Where the architecture comes from.
        torch: Version of torch that trained it.
        cross_validation: What k-fold cross-validation of the same recipe and seed found, where it was made.
        twin: The twin without attention, where it was trained alike.
        reconstruction_mse: Autoencoders: mean squared error on the test split, images in [-1, 1].
        reconstruction_mse_on_chip: The same of the deployed net, on the test samples that travel with its bundle.
        side: Events: side of smaller, square frames than the sensor's; see ``models.datasets.load``.
        window_us: Events framed by time: length of a step in µs, where it is fixed.
        source_file: Imported checkpoints: name of the file the weights were read from.
        source_sha256: SHA-256 of that file, in hexadecimal.
    """

    name: str
    net: str
    arguments: Mapping[str, Any]
    family: str
    variant: str
    timesteps: int
    dataset: str
    coding: str
    simulated: bool
    command: str
    seed: int | None
    accuracy: float | None
    accuracy_per_seed: Mapping[str, float]
    parameters: int
    spike_rate: float | None
    train_seconds: float | None
    epochs: int | None
    provenance: str
    torch: str | None
    format: int = field(default=FORMAT)
    cross_validation: CrossValidation | None = None
    twin: Twin | None = None
    reconstruction_mse: float | None = None
    reconstruction_mse_on_chip: float | None = None
    side: int | None = None
    window_us: float | None = None
    source_file: str | None = None
    source_sha256: str | None = None

    def to_json(self) -> str:
        """Return the card as JSON text; what was not measured is left out."""
        data = asdict(self)
        return json.dumps({k: v for k, v in data.items() if v is not None or k not in OPTIONAL}, indent=2)


OPTIONAL = frozenset(f.name for f in fields(Card) if f.default is not MISSING)
"""What a card may leave out."""


def parse_card(text: str, where: str) -> Card:
    """Read a card from JSON text.

    Raises:
        CheckpointError: It is not a card, or of another format.
    """
    retrain = "write the file with spikewright train"
    try:
        data = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the model card is not JSON: {error}", where=where, help=retrain) from error
    known = {f.name for f in fields(Card)}
    found = set(data) if isinstance(data, dict) else set()
    lacking, unknown = sorted(known - OPTIONAL - found), sorted(found - known)
    if lacking or unknown:
        raise CheckpointError(f"the model card lacks {lacking} and has unknown {unknown}", where=where, help=retrain)
    if data.get("format", FORMAT) != FORMAT:
        raise CheckpointError(f"card format {data['format']}; this version reads {FORMAT}", where=where, help=retrain)
    try:
        validated, twin = _part(data, "cross_validation", CrossValidation), _part(data, "twin", Twin)
        if validated is not None:
            folds = fitted(validated["accuracy_per_fold"], list, "accuracy_per_fold")
            validated = {**validated, "accuracy_per_fold": tuple(folds)}
        parts = {
            "cross_validation": None if validated is None else build(CrossValidation, validated),
            "twin": None if twin is None else build(Twin, twin),
        }
        made = build(Card, {**data, **parts})
        if not 1 <= made.timesteps <= MAX_TIMESTEPS:
            raise MistypedError(f"timesteps is {made.timesteps}; allowed 1 .. {MAX_TIMESTEPS}")
        check_ranges(asdict(made))
        return made
    except MistypedError as error:
        raise CheckpointError(f"the model card does not fit: {error}", where=where, help=retrain) from error


def _part(data: Mapping[str, Any], key: str, form: type) -> dict[str, Any] | None:
    """Return a part of a card that has just the fields of its form, or None where it is left out."""
    found: Any = data.get(key)
    if found is None:
        return None
    known = {f.name for f in fields(form)}
    if not isinstance(found, dict) or set(found) != known:
        raise MistypedError(f"{key} has not just {sorted(known)}")
    return found
