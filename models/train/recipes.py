"""Named recipes: which net, on which data, with which loss and optimiser. Everything a checkpoint's command fixes is here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from models.datasets import Coding
from models.errors import RecipeError

Loss = Literal["mse-rate", "cross-entropy"]
Family = Literal["ma", "gac", "tcja", "staa", "tcja-vae", "vanilla"]


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
        loss: ``"mse-rate"`` on the mean output rate, or ``"cross-entropy"`` on the mean logits.
        epochs: Passes over the train split.
        batch: Samples per step.
        learning_rate: Peak of AdamW's rate; one epoch of linear warm-up, then a cosine to 0.
        weight_decay: AdamW's, on weights with 2 or more axes.
        shift: Random shift of every sample, in pixels, up to this many each way.
        provenance: Where the architecture comes from.
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


_MA = "MA-SNN, Yao et al., TPAMI 45(8):9393, 2023; small net of ours"
_GAC = "GAC, Qiu et al., AAAI 38(1):601, 2024, released code; small net of ours"
_CAUSAL = "; causal gates are our substitute, trained as they are deployed"

_RECIPES = (
    Recipe(
        "ma-digits", "ma_digits", "ma", "causal", 8, "digits", "rate", "mse-rate",
        {"T": 8, "variant": "causal"}, epochs=120, learning_rate=5e-3, provenance=_MA + _CAUSAL,
    ),
    Recipe(
        "ma-digits-vanilla", "ma_digits", "vanilla", "none", 8, "digits", "rate", "mse-rate",
        {"T": 8, "attention": False}, epochs=120, learning_rate=5e-3, provenance=_MA + "; without attention",
    ),
    Recipe(
        "gac-digits", "gac_digits", "gac", "code", 6, "digits", "direct", "cross-entropy", {"T": 6}, provenance=_GAC,
    ),
    Recipe(
        "gac-digits-vanilla", "gac_digits", "vanilla", "none", 6, "digits", "direct", "cross-entropy",
        {"T": 6, "attention": False}, provenance=_GAC + "; without attention",
    ),
)  # fmt: skip

RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in _RECIPES})
"""The recipes of the checkpoints that ship, by name."""


def recipe(name: str) -> Recipe:
    """Return the recipe of a name.

    Raises:
        RecipeError: There is none.
    """
    if name not in RECIPES:
        raise RecipeError(
            f"no recipe {name!r}; there are {', '.join(RECIPES)}", where="train", help="choose one of them"
        )
    return RECIPES[name]
