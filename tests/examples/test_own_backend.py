"""A backend of a user's own is one file and an entry point: it runs, is compared, and is in the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from out_of_tree import EXAMPLES, install
from tiny import tiny_bundle

FILE = EXAMPLES / "own_backend" / "one_by_one.py"


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    install("own_backend", "backends", "one-by-one = one_by_one:OneByOne", monkeypatch, tmp_path / "site")
    return tiny_bundle(tmp_path / "bundle")


def test_a_backend_of_ones_own_runs(ask: Callable[..., Any], bundle: Path) -> None:
    own = ask("run", bundle, "--backend", "one-by-one", "--json")

    assert own["backend"] == "one-by-one"
    assert own["accuracy"] == ask("run", bundle, "--backend", "interpreter", "--json")["accuracy"]


def test_a_backend_of_ones_own_is_compared(ask: Callable[..., Any], bundle: Path) -> None:
    compared = ask("compare", bundle, "--backends", "hw_sim", "one-by-one", "--json")

    assert compared["equal"] is True
    assert compared["spikes"] > 0


def test_a_backend_of_ones_own_is_in_the_report(ask: Callable[..., Any], bundle: Path, tmp_path: Path) -> None:
    ask("report", bundle, "--backends", "interpreter", "one-by-one", "--html", tmp_path / "r.html")

    assert "one-by-one" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_the_example_says_how_it_is_made_known() -> None:
    assert 'one-by-one = "one_by_one:OneByOne"' in FILE.read_text(encoding="utf-8")
