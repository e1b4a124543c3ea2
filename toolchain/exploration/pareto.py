"""Pareto front: the points that no other one beats, all objectives to be small.

a beats b  <=>  a_k <= b_k for every objective k, and a_k < b_k for one
"""

from __future__ import annotations

from collections.abc import Sequence

Objectives = Sequence[float]


def beats(a: Objectives, b: Objectives) -> bool:
    """Say whether one point is as good in every objective, and better in one."""
    pairs = list(zip(a, b, strict=True))
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


def front(points: Sequence[Objectives]) -> list[int]:
    """Return the places of the points that none beats, in order; equal ones stand together."""
    return [i for i, one in enumerate(points) if not any(beats(other, one) for other in points)]
