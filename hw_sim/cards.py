"""What holds of a model card, whoever writes or reads it: a checkpoint's, a bundle's, a NIR graph's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf, nextafter
from typing import Any

from spikewright.hw_sim.typed import MistypedError

SHARE, AMOUNT, COUNT, ABOVE = (0.0, 1.0), (0.0, inf), (1.0, inf), (nextafter(0.0, 1.0), inf)
STARTED = "; started from"
"""Behind it a provenance tells, in order, what a net was trained with before its card's own command."""
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("accuracy", "accuracy_per_seed"), SHARE),
    **dict.fromkeys(("parameters", "spike_rate", "train_seconds", "epochs"), AMOUNT),
    **dict.fromkeys(("reconstruction_mse", "reconstruction_mse_on_chip"), AMOUNT),
    **dict.fromkeys(("timesteps", "side"), COUNT),
    "window_us": ABOVE,
}
"""Least and largest by entry, of every number in it; infinity itself is none."""
PARTS = {
    "twin": RANGES,
    "cross_validation": {
        **dict.fromkeys(("accuracy", "accuracy_per_fold", "low", "high"), SHARE),
        "samples": COUNT,
        "folds": (2.0, inf),
    },
}
"""Entries that hold entries, and the ranges of those."""


def check_ranges(card: Mapping[str, Any], where: str = "") -> None:
    """Refuse a number that no card can have; what is no number, or of another name, is not looked at.

    Args:
        card: Entries by name.
        where: What stands before a name in what is told.

    Raises:
        MistypedError: Says which entry, what it holds and what is allowed.
    """
    held = [
        (f"{where}{name}.", card[name], ranges) for name, ranges in PARTS.items() if isinstance(card.get(name), Mapping)
    ]
    for before, part, allowed in ((where, card, RANGES), *held):
        for key, (low, high) in allowed.items():
            for number in _numbers(part.get(key)):
                if not low <= number <= high or number == inf:
                    raise MistypedError(f"{before}{key} is {number}; {_said(low, high)}")


def _numbers(value: Any) -> Iterator[float]:
    many = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else (value,)
    yield from (one for one in many if isinstance(one, int | float) and not isinstance(one, bool))


def _said(low: float, high: float) -> str:
    if (low, high) == ABOVE:
        return "above 0 is allowed"
    return f"allowed {low:g} .. {high:g}" if high < inf else f"allowed from {low:g} on"
