"""Text for a terminal: what could steer it, or hide a part of the text, is shown as an escape (names come from files)."""

from __future__ import annotations

import re

HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline, marks that turn the direction of writing, and halves of surrogate pairs."""


def visible(text: str) -> str:
    """Return the text with every control character as a Python escape."""
    return HIDDEN.sub(lambda found: found.group().encode("unicode_escape", "surrogatepass").decode("ascii"), text)
