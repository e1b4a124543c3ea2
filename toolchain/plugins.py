"""What installed packages add: their entry points by group, read anew only when a package was installed meanwhile."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any


def points(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group, by name."""
    return tuple(sorted(_all(_places()).select(group=group), key=lambda point: point.name))


def _places() -> tuple[tuple[str, int], ...]:
    """Return the folders that packages are looked for in, and when each last gained or lost one."""
    return tuple((place, os.stat(place).st_mtime_ns if os.path.isdir(place) else 0) for place in sys.path)


@lru_cache(maxsize=1)
def _all(_places: tuple[tuple[str, int], ...]) -> Any:  # EntryPoints, or what Python 3.11 wraps them in
    return entry_points()
