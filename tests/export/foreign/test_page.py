"""The page of frameworks is what the tables and the tests of the frameworks say; so are the numbers in the README."""

from __future__ import annotations

from pathlib import Path

from spikewright.export.foreign.page import brief, main, page

ROOT = Path(__file__).parents[3]
CHECKED = Path(__file__).with_name("checked.txt")


def test_the_page_is_made_from_the_tables(capsys) -> None:
    made = page(CHECKED.read_text().splitlines())

    assert (ROOT / "docs" / "frameworks.md").read_text() == made, "run: python -m spikewright.export.foreign.page"
    assert main([str(CHECKED)]) == 0
    assert capsys.readouterr().out == made


def test_the_readme_says_the_same_in_short() -> None:
    assert brief() in (ROOT / "README.md").read_text()


def test_every_checked_class_has_a_row() -> None:
    assert page(CHECKED.read_text().splitlines()).count("| yes |") == len(CHECKED.read_text().splitlines())
