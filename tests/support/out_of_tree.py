"""A package of a user's own, as ``pip install`` leaves it: its folder on the path, its entry points in a ``*.dist-info``."""

from __future__ import annotations

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def install(example: str, group: str, point: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make an example's entry point ``name = module:attribute`` of ``spikewright.<group>`` known until the test ends."""
    info = folder / f"{example}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {example}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[spikewright.{group}]\n{point}\n")
    for path in (folder, EXAMPLES / example):
        monkeypatch.syspath_prepend(path)
