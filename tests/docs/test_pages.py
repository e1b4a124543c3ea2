"""Every block of code in README and docs/ runs as printed, in an empty folder of its page, and prints what the page shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from doc_blocks import MARKS, Reader, blocks, name, pages, run_page, running, same, when

from spikewright.toolchain.cli import main


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", [page for page in running() if page.parent.name != "tutorials"], ids=name)
def test_every_block_of_a_page_runs(page: Path, folder: Path) -> None:
    assert run_page(page) > 0


def test_marks_of_pages_are_known() -> None:
    assert {when(page) for page in pages()} <= MARKS
    assert all(when(page) for page in pages() if page.parent.name == "tutorials" and page in running())


def test_every_verb_that_a_page_names_exists(capsys: pytest.CaptureFixture[str]) -> None:
    named = {
        match
        for page in pages()
        for block in blocks(page.read_text(encoding="utf-8"))
        if block.language in ("bash", "console")
        for match in re.findall(r"^(?:\$ )?spikewright (\w+)", block.text, flags=re.MULTILINE)
    }

    assert main(["--help"]) == 0

    listing = capsys.readouterr().out
    assert named
    assert [verb for verb in sorted(named) if not re.search(rf"^\s+{verb}\s", listing, flags=re.MULTILINE)] == []


def test_a_block_that_is_wrong_is_found(folder: Path) -> None:
    text = "```console\n$ echo one two\none ...\n```\n*Not run by the tests: it needs a GPU.*\n```bash\nfalse\n```\n"
    shown, left_out = blocks(text)

    Reader().run(shown)
    Reader().run(left_out)
    assert left_out.left_out == "it needs a GPU"
    assert not same("one three\n", "one two\n")
    with pytest.raises(AssertionError, match="the page says"):
        Reader().run(blocks("```console\n$ echo one\ntwo\n```\n")[0])
    with pytest.raises(AssertionError, match="exit code 1, not 0"):
        Reader().run(blocks("```bash\nfalse\n```\n")[0])
    with pytest.raises(ZeroDivisionError):
        Reader().run(blocks("```python\n1 / 0\n```\n")[0])
    with pytest.raises(ValueError, match="a block of 'sh'"):
        blocks("```sh\ntrue\n```\n")


def test_a_failure_may_be_what_a_page_is_about(folder: Path) -> None:
    Reader().run(blocks("```bash\nfalse # exit code 1\nspikewright run nothing # exit code 2\n```\n")[0])
