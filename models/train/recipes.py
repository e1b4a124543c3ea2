"""The recipes by name: the digits nets that ship, the small nets of every family, and the papers' own settings."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from spikewright.hw_sim.names import did_you_mean
from spikewright.models.errors import RecipeError
from spikewright.models.train.paper_recipes import NARROW_RECIPES, PAPER_RECIPES
from spikewright.models.train.recipe import Recipe as Recipe
from spikewright.models.train.small_recipes import SMALL_RECIPES
from spikewright.models.train.vae_recipes import VAE_RECIPES

_MA = "MA-SNN, Yao et al., TPAMI 45(8):9393, 2023; small net of ours"
_GAC = "GAC, Qiu et al., AAAI 38(1):601, 2024, released code; small net of ours"
_CAUSAL = "; causal gates are our substitute, trained as they are deployed"

_DIGITS = (
    Recipe(
        "ma-digits", "ma_digits", "ma", "causal", 8, "digits", "rate", "mse-rate",
        {"T": 8, "variant": "causal"}, epochs=120, learning_rate=5e-3, provenance=_MA + _CAUSAL,
    ),
    Recipe(
        "ma-digits-published", "ma_digits", "ma", "paper", 8, "digits", "rate", "mse-rate",
        {"T": 8, "variant": "paper"}, epochs=120, learning_rate=5e-3, provenance=_MA,
    ),
    Recipe(
        "ma-digits-vanilla", "ma_digits", "vanilla", "none", 8, "digits", "rate", "mse-rate",
        {"T": 8, "attention": False}, epochs=120, learning_rate=5e-3, provenance=_MA + "; without attention",
    ),
    Recipe(
        "gac-digits", "gac_digits", "gac", "code", 6, "digits", "direct", "cross-entropy", {"T": 6}, provenance=_GAC,
    ),
    Recipe(
        "gac-digits-causal", "gac_digits", "gac", "causal", 6, "digits", "direct", "cross-entropy",
        {"T": 6, "gate": "binary"}, provenance=_GAC + "; the gate is a mask, our substitute",
    ),
    Recipe(
        "gac-digits-vanilla", "gac_digits", "vanilla", "none", 6, "digits", "direct", "cross-entropy",
        {"T": 6, "attention": False}, provenance=_GAC + "; without attention",
    ),
)  # fmt: skip

_SDSA = "SDSA-1, Yao et al., NeurIPS 2023; small net of ours, with strided convolutions for the embedding"
_QK = "Q-K token attention, Zhou et al., NeurIPS 2024; small net of ours, with strided convolutions for the embedding"

_TRANSFORMERS = tuple(
    Recipe(
        f"{kind}-{name}", "spike_transformer", "vanilla" if attention == "none" else "sdsa",
        attention, T, dataset, "direct", "cross-entropy",
        {"T": T, "side": side, "channels": channels, "strides": strides, "attention": attention, "dropout": dropout},
        epochs=epochs, batch=batch, flip=flip, silence=1.0, provenance=source,
    )
    for name, dataset, T, side, channels, strides, dropout, epochs, batch, flip in (
        ("digits", "digits", 4, 8, 32, (1, 2), 0.0, 60, 64, False),
        ("fashion", "fashion-mnist", 4, 28, 48, (2, 2), 0.2, 8, 128, True),
    )
    for kind, attention, source in (("sdsa", "channel", _SDSA), ("qk", "token", _QK))
)  # fmt: skip

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {recipe.name: recipe for recipe in (*_DIGITS, *SMALL_RECIPES, *_TRANSFORMERS, *NARROW_RECIPES, *PAPER_RECIPES)}
)
"""All recipes, by name."""


def recipe(name: str) -> Recipe:
    """Return the recipe of a name.

    Raises:
        RecipeError: There is none.
    """
    if name not in RECIPES:
        raise RecipeError(
            f"no recipe {name!r}; there are {', '.join((*RECIPES, *VAE_RECIPES))}",
            where="train",
            help=f"{did_you_mean(name, (*RECIPES, *VAE_RECIPES))}choose one of them",
        )
    return RECIPES[name]
