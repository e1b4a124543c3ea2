"""The entries of a model card that the compiler reads, of the types that it takes them for; others are passed on."""

from __future__ import annotations

from typing import Any

from spikewright.hw_sim.cards import check_ranges
from spikewright.hw_sim.typed import MistypedError, fitted
from spikewright.toolchain.errors import ImportingError

TYPES: dict[str, Any] = {
    **dict.fromkeys(("name", "dataset", "coding", "family", "variant", "provenance"), str | None),
    **dict.fromkeys(("timesteps", "parameters", "side"), int | None),
    **dict.fromkeys(("accuracy", "window_us"), float | None),
    "accuracy_per_seed": dict[str, float] | None,
}


def checked_card(card: Any, where: str) -> dict[str, Any]:
    """Return a card from a file.

    Raises:
        ImportingError: It is no table, or an entry has another type, or a number that it cannot have.
    """
    help = "correct the card, or leave it out"
    try:
        found = fitted(card, dict[str, Any], "card")
        for key, hint in TYPES.items():
            fitted(found.get(key), hint, f"card.{key}")
        check_ranges(found, "card.")
    except MistypedError as error:
        raise ImportingError(str(error), where=where, help=help) from error
    return dict(found)
