"""The example of an exploration names a row of the table, and asked again evaluates nothing anew."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from out_of_tree import EXAMPLES
from tiny import tiny_graph, tiny_samples

from spikewright.toolchain.exploration import explore as exploring

AXES = {"weight_bits": (8, 6), "mapping": ("greedy",)}


def example() -> Any:
    spec = importlib.util.spec_from_file_location("cheapest", EXAMPLES / "explore" / "cheapest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_cheapest_configuration_is_a_row_of_the_front_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cheapest, data = example(), {"calibration": tiny_samples(), "samples": tiny_samples(), "axes": AXES}
    cheapest.ALLOWED = 1.0

    first = cheapest.cheapest(tiny_graph(), tmp_path / "tiny.sqlite", **data)
    again = cheapest.cheapest(tiny_graph(), tmp_path / "tiny.sqlite", **data)

    table = exploring(tiny_graph(), out=tmp_path / "tiny.sqlite", **data)
    front = [table.rows()[place] for place in table.front]
    assert first == again == min(front, key=lambda row: row["energy_j"])
    assert "2 configurations" in capsys.readouterr().out
