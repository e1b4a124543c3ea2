"""The known name that was probably meant, for the help of an error about one that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'? ``, to stand in front of a help text; "" where no known name is near."""
    near = get_close_matches(str(name), sorted(known), n=1)
    return f"did you mean {near[0]!r}? " if near else ""
