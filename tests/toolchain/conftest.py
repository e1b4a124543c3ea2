"""Fixtures of the tests that run the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Cli


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return a folder to write to; it is not there yet."""
    return tmp_path / "out"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Return the command line, run in this process."""
    return Cli(capsys)
