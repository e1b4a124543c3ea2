"""What a recipe is: which net, on which data, with which loss and optimiser; everything a checkpoint's command fixes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from spikewright.models.datasets import Coding

Loss = Literal["mse-rate", "cross-entropy", "smoothed", "tet"]
OptimizerName = Literal["adamw", "adam", "sgd"]
Schedule = Literal["warm-cosine", "cosine", "constant", "plateau"]
Family = Literal["ma", "gac", "tcja", "staa", "sdsa", "tcja-vae", "vanilla"]


@dataclass(frozen=True)
class Recipe:
    """A training, complete but for the seed.

    Args:
        name: Name of the checkpoint.
        net: Name of the net in ``models.nets``.
        arguments: Its constructor arguments.
        family: The attention family.
        variant: The attention's variant, or ``"none"``.
        timesteps: T.
        dataset: Name in ``models.datasets``.
        coding: How images become steps.
        loss: One of ``models.train.losses``.
        epochs: Passes over the train split.
        batch: Samples per step, over all processes.
        learning_rate: Peak of the rate.
        weight_decay: The optimiser's.
        shift: Random shift of every sample, in pixels, up to this many each way.
        provenance: Where the architecture comes from.
        optimizer: One of ``models.train.optimizers``.
        schedule: How the rate falls; see there.
        flip: Mirror samples left and right at random.
        cutout: Side of a square set to zero at random, in pixels; 0: none.
        cutmix: Probability that an epoch is trained with CutMix (drawn once per epoch, as in GAC's released code).
        side: Events: side of smaller frames, in pixels.
        window_us: Events framed by time: length of a step in µs.
        silence: Weight of the silence term (see ``models.train.silence``); 0: none.
        start: Checkpoint whose weights the training starts from; None: from the seed.
    """

    name: str
    net: str
    family: Family
    variant: str
    timesteps: int
    dataset: str
    coding: Coding
    loss: Loss
    arguments: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 60
    batch: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    shift: int = 1
    provenance: str = ""
    optimizer: OptimizerName = "adamw"
    schedule: Schedule = "warm-cosine"
    flip: bool = False
    cutout: int = 0
    cutmix: float = 0.0
    side: int | None = None
    window_us: float | None = None
    silence: float = 0.0
    start: str | None = None
