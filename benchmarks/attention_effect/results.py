"""The results of a run, by set, net and seed, and how a net differs from another one, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.attention_effect.plan import FORMS, Job
from benchmarks.attention_effect.spread import Spread, spread
from benchmarks.attention_effect.store import Result

Figure = Callable[[Result], float | None]


@dataclass(frozen=True)
class Results:
    """What is there; ``missing``: jobs without a result."""

    found: Mapping[tuple[str, str, int], Result]
    missing: tuple[Job, ...] = ()

    @property
    def sets(self) -> list[str]:
        """Sets with results, in order."""
        return list(dict.fromkeys(key[0] for key in self.found))

    def nets(self, set: str) -> list[str]:
        """Nets with results on a set, family by family."""
        names = [f"{family}-{form}" for family, forms in FORMS.items() for form in forms]
        return [name for name in names if self.seeds(set, name)]

    def seeds(self, set: str, net: str) -> list[int]:
        """Seeds of a net."""
        return sorted(seed for s, n, seed in self.found if (s, n) == (set, net))

    def spread(self, set: str, net: str, figure: Figure) -> Spread | None:
        """Return a figure over the seeds that have it; None where none has."""
        values = [figure(self.found[set, net, seed]) for seed in self.seeds(set, net)]
        known = [v for v in values if v is not None]
        return spread(known) if known else None

    def against(
        self, set: str, net: str, other: str, figure: Figure, how: Callable[[float, float], float]
    ) -> Spread | None:
        """Return ``how(net's figure, other's figure)`` over the seeds that both have and where it is finite."""
        values = []
        for seed in self.seeds(set, net):
            a = figure(self.found[set, net, seed])
            b = figure(self.found[set, other, seed]) if (set, other, seed) in self.found else None
            if a is not None and b is not None:
                values.append(how(a, b))
        known = [v for v in values if math.isfinite(v)]
        return spread(known) if known else None


def twin(net: str) -> str:
    """Return the name of a net's vanilla twin."""
    return f"{net.partition('-')[0]}-vanilla"


def item(name: str, factor: float = 1.0) -> Figure:
    """Return the figure of that name."""
    return lambda result: float(result[name]) * factor


def formula_uj(accounting: str) -> Figure:
    """Return the papers' energy under an accounting, uJ."""
    return lambda result: float(result["energy"][accounting]["total_j"]) * 1e6


def chip_uj(line: str) -> Figure:
    """Return a line of the chip's energy, uJ; None where the net does not deploy."""
    return lambda result: float(result["chip"][line]["value"]) * 1e6 if line in result["chip"] else None


def percent_change(a: float, b: float) -> float:
    """Return by how many percent a differs from b; 0 where both are 0."""
    return 100.0 * (a / b - 1.0) if b else 0.0 if a == b else float("inf")


def percent(a: float, b: float) -> float:
    """Return a in percent of b."""
    return 100.0 * a / b


def ratio(a: float, b: float) -> float:
    """Return b / a: how many times less a is."""
    return b / a


def difference(a: float, b: float) -> float:
    """Return a - b."""
    return a - b
