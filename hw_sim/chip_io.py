"""A chip as the text of a chip file: what ``load_chip`` reads back is the same chip."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import yaml

from spikewright.hw_sim.chip import Chip


def chip_text(chip: Chip) -> str:
    """Return the YAML of a chip, every limit and price with unit, basis and source."""
    limits: dict[str, dict[str, Any]] = {"mesh": {}, "core": {}, "timing": {}}
    for name, fact in chip.facts.items():
        part, _, key = name.partition(".")
        limits[part][key] = asdict(fact)
    tree: dict[str, Any] = {
        "chip": chip.name,
        "description": chip.description,
        **limits,
        "power": {"static": asdict(chip.static_power)},
        "costs": {event: asdict(cost) for event, cost in chip.costs.items()},
        "sources": dict(chip.sources),
    }
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1 << 20)
