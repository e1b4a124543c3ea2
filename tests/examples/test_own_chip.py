"""A chip of a user's own is one YAML file, and the bundle carries it: nothing is looked for where it was deployed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import pytest
from command_line import linear, spikes
from out_of_tree import EXAMPLES

CHIP = EXAMPLES / "own_chip" / "my_chip.yaml"


@pytest.fixture
def bundle(ask: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Deploy a net for the chip in one folder; return the bundle in another, when the chip's file is gone."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir(), there.mkdir()
    shutil.copy(CHIP, here)
    nir.write(here / "net.nir", linear())
    spikes(here / "data.npz")
    monkeypatch.chdir(here)
    net = ("net.nir", "--dt", "1e-3", "--timesteps", 4, "--calibrate", "data.npz", "--samples", "data.npz")
    ask("deploy", *net, "--chip", CHIP.name, "--out", there / "net")
    monkeypatch.chdir(there)
    shutil.rmtree(here)
    return Path("net")


def test_a_bundle_for_a_chip_of_ones_own_runs_elsewhere(ask: Callable[..., Any], bundle: Path) -> None:
    numbers = ask("run", bundle, "--backend", "hw_sim", "--json")

    assert numbers["samples"] == 6
    assert numbers["sops"]["total"] > 0


def test_a_bundle_for_a_chip_of_ones_own_is_checked_elsewhere(ask: Callable[..., Any], bundle: Path) -> None:
    assert ask("check", bundle, "--json")["spike_driven"] is True


def test_a_bundle_for_a_chip_of_ones_own_is_compared_elsewhere(ask: Callable[..., Any], bundle: Path) -> None:
    assert ask("compare", bundle, "--backends", "interpreter", "hw_sim", "--json")["equal"] is True


def test_a_bundle_for_a_chip_of_ones_own_is_reported_elsewhere(ask: Callable[..., Any], bundle: Path) -> None:
    ask("report", bundle, "--html", "net.html")

    assert "my-chip" in Path("net.html").read_text(encoding="utf-8")
