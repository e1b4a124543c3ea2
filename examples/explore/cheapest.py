"""Explore a net over the bits of its weights and its mappings, and name the cheapest configuration that keeps its accuracy.

``python cheapest.py tcja-digits`` takes a minute or two; interrupted, the same command goes on where it ended.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import spikewright as sw

AXES = {"weight_bits": (8, 6, 4), "mapping": ("greedy", "balanced")}
ALLOWED = 0.01
"""Accuracy that may be lost, as a share of 1: one point."""


def cheapest(model: Any, out: Path, **more: Any) -> dict[str, Any] | None:
    """Return the row with the least energy among those on the Pareto front that lose no more than is allowed.

    Args:
        model: As ``spikewright.deploy`` takes it.
        out: File of the results (SQLite); what it knows already is not done again.
        more: As ``spikewright.explore`` takes it, e.g. ``axes``, ``limit``, ``workers`` or ``scheduler``.
    """
    table = sw.explore(model, out=out, **{"axes": AXES, "limit": 100, **more})
    print(table)
    rows = [row for row in table.rows() if row["on_front"] and row["drop"] <= ALLOWED]
    return min(rows, key=lambda row: row["energy_j"], default=None)


if __name__ == "__main__":
    name = sys.argv[1] if len(sys.argv) > 1 else "tcja-digits"
    found = cheapest(name, Path(f"{name}.explore.sqlite"))
    print("none keeps its accuracy" if found is None else {axis: found[axis] for axis in AXES})
