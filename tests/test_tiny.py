"""The whole chain in seconds: a tiny net is deployed, saved, loaded, checked, run, compared and reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import tiny_bundle

from spikewright.toolchain.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("tiny") / "bundle")


def ask(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, object]:
    code = main([str(word) for word in words] + ["--json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    answer: dict[str, object] = json.loads(captured.out)
    return answer


def test_a_tiny_net_is_spike_driven(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = ask(capsys, "check", folder)

    assert verdict["spike_driven"] is True
    keys = {"name", "family", "cost_class", "causal", "in_step_barrier", "fits", "witness", "macs_per_step", "help"}
    assert verdict["blocks"]
    for block in verdict["blocks"]:  # type: ignore[attr-defined]
        assert keys <= set(block)


def test_a_tiny_net_runs_on_the_machine_with_every_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = ask(capsys, "run", folder, "--backend", "hw_sim")

    keys = "backend samples accuracy sops gate_multiplies host_macs latency_s bottleneck energy_j spike_rate"
    assert set(keys.split()) <= set(numbers)
    assert set(numbers["sops"]) >= {"binary", "graded", "total", "dense"}  # type: ignore[call-overload]
    assert set(numbers["energy_j"]) >= {"dynamic", "static", "host", "total", "basis"}  # type: ignore[call-overload]
    assert numbers["samples"] == 12
    assert numbers["sops"]["total"] > 0  # type: ignore[index]


def test_a_tiny_net_gives_the_same_spikes_and_states_on_interpreter_and_machine(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    equality = ask(capsys, "compare", folder, "--backends", "interpreter", "hw_sim")

    assert (equality["spike_mismatches"], equality["membrane_mismatches"]) == (0, 0)
    assert equality["layers_compared"] == 2
    assert equality["spikes"] > 0  # type: ignore[operator]


def test_a_tiny_net_gets_a_report(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["report", str(folder), "--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html")])

    assert code == 0, capsys.readouterr().err
    assert json.loads((tmp_path / "r.json").read_text())
    assert (tmp_path / "r.html").read_text().lower().startswith("<!doctype html>")
