"""Recipes of the small net: every family on digits, Fashion-MNIST and N-MNIST, published, causal, and its vanilla twin.

Names: <family>-<set> is the causal one; -published and -vanilla follow. The settings are ours, equal within a set, so that
families and twins can be compared; chosen on the last 5,000 training images (N-MNIST: the last 200 recordings), and so that a
net is trained in minutes on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from spikewright.models.datasets import Coding
from spikewright.models.train.recipe import Family, Recipe


@dataclass(frozen=True)
class SetPlan:
    """A dataset's settings: side and channels of a sample, T, coding, epochs, batch, rate, shift, flip, and the net's rest."""

    dataset: str
    side: int
    in_channels: int
    T: int
    coding: Coding
    epochs: int
    batch: int
    learning_rate: float
    shift: int
    flip: bool
    rest: tuple[tuple[str, Any], ...] = ()


SETS = {
    "digits": SetPlan("digits", 8, 1, 6, "direct", 60, 64, 3e-3, 1, False),
    "fashion": SetPlan(
        "fashion-mnist", 28, 1, 6, "direct", 8, 128, 3e-3, 1, True,
        (("dropout", 0.2), ("down", "stride"), ("pools", 3)),
    ),
    "nmnist": SetPlan(
        "nmnist", 34, 2, 8, "count-binary", 30, 32, 3e-3, 2, False, (("dropout", 0.2), ("down", "stride"))
    ),
}  # fmt: skip
FAMILIES: dict[str, tuple[Family, ...]] = {
    "digits": ("tcja", "staa"),
    "fashion": ("ma", "gac", "tcja", "staa"),
    "nmnist": ("ma", "tcja"),
}
"""Which families are trained on which set; MA and GAC have digits nets of their own."""

PAPERS: dict[str, str] = {
    "ma": "MA-SNN, Yao et al., TPAMI 45(8):9393, 2023",
    "gac": "GAC, Qiu et al., AAAI 38(1):601, 2024",
    "tcja": "TCJA, Zhu et al., IEEE TNNLS, 2024",
    "staa": "reconstruction of STAA, Zhang et al., CVPR 2025, from secondary sources",
}
_PUBLISHED = {"ma": "paper", "gac": "code", "tcja": "published", "staa": "reconstruction"}
_NEURON = {"ma": "N1", "gac": "N4", "tcja": "N5", "staa": "N7"}
_CAUSAL = {
    "ma": "causal gates are our substitute, trained as they are deployed",
    "gac": "the gate is a mask, our substitute",
    "tcja": "TLA alone, causal and delayed, our substitute, trained as it is deployed",
    "staa": "causal gates on the current are our substitute, trained as they are deployed",
}


def _recipes() -> Iterator[Recipe]:
    for name, plan in SETS.items():
        for family in FAMILIES[name]:
            for form in ("causal", "published", "vanilla"):
                yield _one(name, plan, family, form)


def _one(name: str, plan: SetPlan, family: Family, form: Literal["causal", "published", "vanilla"]) -> Recipe:
    arguments: dict[str, Any] = {"T": plan.T, "side": plan.side, "in_channels": plan.in_channels, **dict(plan.rest)}
    source = f"{PAPERS[family]}; small net of ours"
    if form == "vanilla":
        arguments |= {"attention": "none", "neuron": _NEURON[family]}
        variant, source = "none", f"{source}; without attention"
    else:
        arguments |= {"attention": family, "variant": form}
        if family == "ma" and form == "published":
            arguments["norm_scale"] = 1.0  # its gates start at 1/8: norms at the threshold would leave it silent
        variant = "causal" if form == "causal" else _PUBLISHED[family]
        source = f"{source}; {_CAUSAL[family]}" if form == "causal" else source
    return Recipe(
        f"{family}-{name}" + ("" if form == "causal" else f"-{form}"),
        "small",
        "vanilla" if form == "vanilla" else family,
        variant,
        plan.T,
        plan.dataset,
        plan.coding,
        "cross-entropy",
        arguments,
        epochs=plan.epochs,
        batch=plan.batch,
        learning_rate=plan.learning_rate,
        shift=plan.shift,
        flip=plan.flip,
        provenance=source,
    )


SMALL_RECIPES = tuple(_recipes())
