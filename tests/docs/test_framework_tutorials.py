"""Tutorials that need a framework of others (extra ``frameworks``); run where it is installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from doc_blocks import name, run_page, running, when


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", [page for page in running() if when(page) == "frameworks"], ids=name)
def test_every_block_of_a_tutorial_with_a_framework_runs(page: Path, folder: Path) -> None:
    pytest.importorskip("spikingjelly")
    assert run_page(page) > 0
