"""What the numbers of a model card can be, whoever reads it: a checkpoint's, a bundle's, a NIR graph's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf, nextafter
from typing import Any

from spikewright.hw_sim.typed import MistypedError

SHARE, AMOUNT, COUNT, ABOVE = (0.0, 1.0), (0.0, inf), (1.0, inf), (nextafter(0.0, 1.0), inf)
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("accuracy", "accuracy_per_seed", "accuracy_per_fold", "low", "high"), SHARE),
    **dict.fromkeys(("parameters", "spike_rate", "train_seconds", "epochs"), AMOUNT),
    **dict.fromkeys(("reconstruction_mse", "reconstruction_mse_on_chip"), AMOUNT),
    **dict.fromkeys(("timesteps", "side", "samples"), COUNT),
    "folds": (2.0, inf),
    "window_us": ABOVE,
}
"""Least and largest by entry, of every number in it; infinity itself is none."""
PARTS = ("twin", "cross_validation")
"""Entries that hold entries."""


def check_ranges(card: Mapping[str, Any], where: str = "") -> None:
    """Refuse a number that no card can have; what is no number, or of another name, is not looked at.

    Args:
        card: Entries by name.
        where: What stands before a name in what is told.

    Raises:
        MistypedError: Says which entry, what it holds and what is allowed.
    """
    held = {name: card[name] for name in PARTS if isinstance(card.get(name), Mapping)}
    for before, part in ((where, card), *((f"{where}{name}.", part) for name, part in held.items())):
        for key, (low, high) in RANGES.items():
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
