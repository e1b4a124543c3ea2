"""The model card: what a checkpoint is, how it was made, what it reaches; JSON beside it and inside its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from models.errors import CheckpointError

FORMAT = 1
"""Version of the card; another one is refused."""


@dataclass(frozen=True)
class Card:
    """A model card.

    Args:
        name: Name of the checkpoint.
        net: Net in ``models.nets``, with its constructor ``arguments``.
        family: ma, gac, tcja, staa, tcja-vae or vanilla.
        variant: The attention's variant, or ``"none"``.
        timesteps: T.
        dataset: Dataset in ``models.datasets``, with its ``coding``; ``simulated`` if the events were made from images.
        command: The one command that makes this checkpoint.
        seed: Its seed.
        accuracy: Fraction of the test split, read once, after training.
        accuracy_per_seed: The same for every seed trained (``--repeat``); the shipped seed is the first, not the best.
        parameters: Number of trained parameters.
        spike_rate: Spikes per neuron and timestep on the test split.
        train_seconds: Wall time of this seed's training, one CPU thread (or the device of the command).
        epochs: Passes over the train split.
        provenance: Where the architecture comes from.
        torch: Version of torch that trained it.
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
    seed: int
    accuracy: float
    accuracy_per_seed: Mapping[str, float]
    parameters: int
    spike_rate: float
    train_seconds: float
    epochs: int
    provenance: str
    torch: str
    format: int = field(default=FORMAT)

    def to_json(self) -> str:
        """Return the card as JSON text."""
        return json.dumps(asdict(self), indent=2)


def parse_card(text: str, where: str) -> Card:
    """Read a card from JSON text.

    Raises:
        CheckpointError: It is not a card, or of another format.
    """
    retrain = "write the file with spikeforge train"
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise CheckpointError(f"the model card is not JSON: {error}", where=where, help=retrain) from error
    known = {f.name for f in fields(Card)}
    if not isinstance(data, dict) or set(data) != known:
        found = set(data) if isinstance(data, dict) else set()
        raise CheckpointError(
            f"the model card lacks {sorted(known - found)} and has unknown {sorted(found - known)}",
            where=where,
            help=retrain,
        )
    if data["format"] != FORMAT:
        raise CheckpointError(f"card format {data['format']}; this version reads {FORMAT}", where=where, help=retrain)
    return Card(**data)
