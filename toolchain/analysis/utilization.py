"""Utilization: (used, max) of every core and resource of a mapped program, and the fullest resource of each core."""

from __future__ import annotations

from dataclasses import dataclass

from spikewright.hw_sim import Chip, Program, drc


@dataclass(frozen=True)
class Use:
    """One resource of one core."""

    core: int
    resource: str
    used: int
    limit: int

    @property
    def share(self) -> float:
        """Used over limit."""
        return self.used / self.limit if self.limit else 0.0


def utilization(program: Program, chip: Chip) -> tuple[Use, ...]:
    """Return every resource of every core in use, core by core."""
    rows = (Use(row.core, row.resource, row.used, row.limit) for row in drc.utilization(program, chip))
    return tuple(sorted((row for row in rows if row.core >= 0), key=lambda row: row.core))


def fullest(uses: tuple[Use, ...]) -> dict[str, Use]:
    """Return the largest use of each resource over all cores."""
    found: dict[str, Use] = {}
    for use in uses:
        if use.resource not in found or use.share > found[use.resource].share:
            found[use.resource] = use
    return found
