"""Every block of every tutorial runs as printed, in an empty folder, and prints what the page shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from doc_blocks import name, run_page, running, when

TUTORIALS = [page for page in running() if page.parent.name == "tutorials"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", [page for page in TUTORIALS if when(page) == "slow"], ids=name)
def test_every_block_of_a_tutorial_runs(page: Path, folder: Path) -> None:
    assert run_page(page) > 0
