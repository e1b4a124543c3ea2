"""What an answer of the library looks like: one line as repr, the command line's text as str, a table, plain data."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spikewright.toolchain.errors import InputError
from spikewright.toolchain.escaping import esc

Row = dict[str, Any]


class Result(ABC):
    """The base of deployments, runs, verdicts, comparisons and reports."""

    @abstractmethod
    def headline(self) -> str:
        """Return it in one line."""

    @abstractmethod
    def text(self) -> str:
        """Return what the command line prints."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """Return its table, one dict a row."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.headline()}>"

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return f"<p><b>{esc(self.headline())}</b></p>{html_table(self.rows())}"

    def to_dataframe(self) -> Any:
        """Return its table as a ``pandas.DataFrame``.

        Raises:
            InputError: pandas is not installed.
        """
        return dataframe(self.rows(), f"{type(self).__name__}.to_dataframe")


def dataframe(rows: Sequence[Row], where: str) -> Any:
    """Return rows as a ``pandas.DataFrame``.

    Raises:
        InputError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise InputError(
            f"needs pandas, which cannot be imported ({error})",
            where=where,
            help="pip install pandas, or take the rows() as they are",
        ) from error
    return pandas.DataFrame(rows)


def html_table(rows: Sequence[Row]) -> str:
    """Return rows as a plain HTML table; columns in the order of the first row."""
    if not rows:
        return ""
    head = "".join(f"<th>{esc(key)}</th>" for key in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{esc(_cell(row.get(key)))}</td>" for key in rows[0]) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
        case list() | tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)


def flat(data: Mapping[str, Any], above: str = "") -> Row:
    """Return nested dicts as one row, with dotted names."""
    found: Row = {}
    for key, value in data.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{above}{key}.")
        else:
            found[f"{above}{key}"] = value
    return found


def plain(value: Any) -> Any:
    """Turn numpy numbers, tuples and values that are not finite into what JSON can hold."""
    match value:
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case np.ndarray() | np.generic():
            return plain(value.tolist())
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
