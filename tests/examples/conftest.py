"""Fixtures of the examples' tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from spikewright.toolchain.cli import main

Ask = Callable[..., Any]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Return the command line: it must succeed, and its output is read where it is JSON."""

    def run(*words: object) -> Any:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return json.loads(captured.out) if "--json" in words else captured.out

    return run
