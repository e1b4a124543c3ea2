"""Tables in README and docs/ are what the kept JSON says, and the kept JSON is what the benchmarks say today."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doc_blocks import ROOT

sys.path.insert(0, str(ROOT))

from benchmarks.silicon.__main__ import main as silicon
from docs.site import tables


def test_no_table_is_stale() -> None:
    assert tables.stale() == [], "run: python -m docs.site.tables"


def test_every_table_stands_somewhere() -> None:
    used = {m[2] or "lowerings" for page in tables.marked().values() for m in tables.MARKED.finditer(page)}

    assert used == set(tables.TABLES)


def test_a_stale_table_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tables.kept("silicon")
    changed = {**kept, "totals_exact": kept["totals_exact"] - 1}
    monkeypatch.setattr(tables, "kept", lambda name: changed if name == "silicon" else json.loads("[]"))

    assert "docs/understand/silicon.md" in tables.stale()


@pytest.mark.slow
def test_the_kept_figures_of_silicon_are_those_of_today(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert silicon([*tables.RUNS["silicon"][1:], "--data", str(data_dir)]) == 0

    found = json.loads(tables.written("silicon", json.loads(capsys.readouterr().out)))
    wrong = "run: python -m docs.site.tables --run silicon --data DIR"
    today, kept = dict(leaves(found)), dict(leaves(tables.kept("silicon")))
    assert today.keys() == kept.keys(), wrong
    assert [path for path, value in today.items() if not alike(value, kept[path])] == [], wrong


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested lists and dicts, by where they stand."""
    if isinstance(value, list | dict):
        for key, one in enumerate(value) if isinstance(value, list) else value.items():
            yield from leaves(one, f"{path}/{key}")
    else:
        yield path, value


def alike(one: Any, other: Any) -> bool:
    """Return whether two values are equal, numbers but for rounding."""
    return one == other or (isinstance(one, float) and one == pytest.approx(other, rel=1e-4))
