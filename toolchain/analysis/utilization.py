"""Utilization: (used, max) of every core and resource of a mapped program, and the fullest resource of each core."""

from __future__ import annotations

from spikewright.hw_sim.utilization import Use as Use
from spikewright.hw_sim.utilization import utilization as utilization


def fullest(uses: tuple[Use, ...]) -> dict[str, Use]:
    """Return the largest use of each resource over all cores."""
    found: dict[str, Use] = {}
    for use in uses:
        if use.resource not in found or use.share > found[use.resource].share:
            found[use.resource] = use
    return found
