"""What is trained: the sets with their settings, the nets of each family, and the list of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from spikewright.models.nets.small import NEURONS
from spikewright.models.train.fit import Precision
from spikewright.models.train.recipe import Family, Recipe

FAMILIES: tuple[Family, ...] = ("ma", "gac", "tcja", "staa")
FAIR = ("relu", "gain", "relu-gain", "threshold")
FORMS: dict[str, tuple[str, ...]] = {
    "ma": ("vanilla", "published", "code", "causal", *FAIR),
    **dict.fromkeys(("gac", "tcja", "staa"), ("vanilla", "published", "causal")),
}
"""The nets of a family; the vanilla twin has the family's plain neuron, MA's fair twins are in ``models.attention.gain``.

``threshold`` is the vanilla net whose norms start at the neuron's threshold, not at 1 as torch's and the papers' do."""


@dataclass(frozen=True)
class Set:
    """A data set as it is used here; the settings are ours, equal for all nets.

    Args:
        dataset: Name in ``models.datasets``; one channel, coded direct.
        side: Side of an image in pixels.
        epochs: Passes over the images.
        shift: Random shift in pixels, each way.
        flip: Whether images are mirrored at random.
        net: More arguments of ``SmallNet``.
        train: Images of the train split that are used, from the first on; None: all.
        test: The same of the official test split.
    """

    dataset: str
    side: int
    epochs: int
    shift: int
    flip: bool
    net: tuple[tuple[str, Any], ...] = ()
    train: int | None = None
    test: int | None = None


T, BATCH, RATE = 6, 64, 3e-3
NARROW = (("channels", (16, 32, 64)), ("pools", 3), ("down", "stride"))
"""Every convolution halves the side: 28, 14, 7, 4."""
SETS = {
    "digits": Set("digits", 8, 24, 1, False),
    "fashion": Set("fashion-mnist", 28, 4, 1, True, NARROW, train=10_000),
}


@dataclass(frozen=True)
class Job:
    """One training: which net of which family on which set, from which seed, and how."""

    set: str
    family: Family
    form: str
    seed: int
    epochs: int
    precision: Precision
    limit: int | None = None

    @property
    def net(self) -> str:
        """Name of the net, ``ma-published``."""
        return f"{self.family}-{self.form}"

    @property
    def title(self) -> str:
        """Name of the job."""
        return f"{self.set} {self.net} seed {self.seed}"

    @property
    def images(self) -> tuple[int | None, int | None]:
        """Images used of the train and the test split, from the first on; None: all."""
        chosen = SETS[self.set]
        return _smaller(chosen.train, self.limit), _smaller(chosen.test, self.limit)

    def recipe(self) -> Recipe:
        """Return the training."""
        chosen = SETS[self.set]
        kind: Family = "vanilla" if self.form in ("vanilla", *FAIR) else self.family
        return Recipe(
            self.net, "small", kind, self.form, T, chosen.dataset, "direct", "cross-entropy", self._arguments(chosen),
            epochs=self.epochs, batch=BATCH, learning_rate=RATE, shift=chosen.shift, flip=chosen.flip,
        )  # fmt: skip

    def _arguments(self, chosen: Set) -> dict[str, Any]:
        arguments = {"T": T, "side": chosen.side, "in_channels": 1, "norm_scale": 1.0, **dict(chosen.net)}
        match self.form:
            case "vanilla":
                return arguments | {"attention": "none", "neuron": NEURONS[self.family]}
            case "threshold":
                return arguments | {"attention": "none", "neuron": NEURONS[self.family], "norm_scale": None}
            case "relu" | "gain" | "relu-gain":
                return arguments | {"attention": self.form, "neuron": NEURONS[self.family]}
            case _:
                return arguments | {"attention": self.family, "variant": self.form}

    def settings(self) -> dict[str, Any]:
        """Return everything a result depends on, as JSON holds it."""
        return {
            "recipe": asdict(self.recipe()),
            "seed": self.seed,
            "precision": self.precision,
            "images": list(self.images),
        }


def _smaller(a: int | None, b: int | None) -> int | None:
    return min((n for n in (a, b) if n is not None), default=None)


def jobs(
    sets: Sequence[str],
    families: Sequence[Family],
    seeds: Sequence[int],
    *,
    epochs: int | None = None,
    precision: Precision = "float32",
    limit: int | None = None,
) -> list[Job]:
    """Return the jobs, seed by seed, so that an interrupted run has whole comparisons."""
    return [
        Job(name, family, form, seed, epochs or SETS[name].epochs, precision, limit)
        for name in sets
        for seed in seeds
        for family in families
        for form in FORMS[family]
    ]
