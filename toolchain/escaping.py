"""Text that came with a file, escaped where it is shown, so that it steers no terminal, no page and no spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline, separators of lines, marks of the direction of writing, halves of surrogates."""
FORMULA = tuple(
    "=+-@\t\r\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
)
"""What a cell begins with that a spreadsheet takes for a formula."""


def visible(text: str) -> str:
    """Return the text with every control character as a Python escape."""
    return HIDDEN.sub(lambda found: found.group().encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def esc(value: object) -> str:
    """Return a value as text that is safe inside HTML and SVG, in an attribute too."""
    return escape(visible(str(value)), quote=True)


def csv_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows with the same keys as CSV, in which no cell is a formula or holds a control character."""
    if not rows:
        return ""
    out = io.StringIO()
    table = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return visible(f"'{value}" if value.startswith(FORMULA) else value)
