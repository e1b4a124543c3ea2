"""On how many examples a property is tried: on all in the whole suite, on a fifth where slow tests are left out."""

from __future__ import annotations

from hypothesis import settings

ALL = settings.get_profile("ci").max_examples
"""What a property is tried on by default."""


def examples(count: int) -> settings:
    """Return the settings of a property that the whole suite tries on ``count`` examples."""
    return settings(max_examples=max(1, count * settings.default.max_examples // ALL))
