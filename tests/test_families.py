"""No code outside the blocks names a family of attention."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

LINT = Path(__file__).parents[1] / ".ci" / "families.py"


def test_nobody_outside_the_blocks_names_a_family() -> None:
    assert runpy.run_path(str(LINT))["main"]() == 0


@pytest.mark.parametrize("line", ["MALIF()", "kind = 'ma'", "STAA-style", "class TCJANet", "gac_ops(x)", "JointGate"])
def test_the_lint_sees_a_name_in_code_text_and_comments(line: str) -> None:
    assert runpy.run_path(str(LINT))["NAMES"].search(line)


@pytest.mark.parametrize("line", ["MACs", "MAX_DELAY = 3", "deploy ma-digits", "a summary", "magic"])
def test_the_lint_leaves_other_words_alone(line: str) -> None:
    assert not runpy.run_path(str(LINT))["NAMES"].search(line)
