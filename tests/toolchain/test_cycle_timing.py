"""``run --timing cycle``: the machine with its cycle timing, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

from command_line import Cli
from tiny import tiny_bundle

from spikewright.hw_sim import load_trace


def test_run_with_cycle_timing_changes_the_time_and_nothing_else(cli: Cli, tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    found = {}
    for timing in ("analytic", "cycle"):
        code, out, _ = cli("run", folder, "--timing", timing, "--trace", tmp_path / f"{timing}.npz", "--json")
        assert code == 0
        found[timing] = json.loads(out)
        assert found[timing]["timing"] == timing
    assert found["cycle"]["sops"] == found["analytic"]["sops"]
    assert found["cycle"]["accuracy"] == found["analytic"]["accuracy"]
    assert found["cycle"]["latency_s"] >= found["analytic"]["latency_s"] * (1 - 1e-12)
    trace = load_trace(tmp_path / "cycle.npz")
    assert trace.cycle is not None
    assert trace.cycle.sops.sum() == trace.sops.sum()
    assert "(cycle timing, lava host)" in cli("run", folder, "--timing", "cycle")[1]


def test_cycle_timing_needs_the_machine(cli: Cli, tmp_path: Path) -> None:
    said = cli.refused("run", tiny_bundle(tmp_path / "bundle"), "--backend", "interpreter", "--timing", "cycle")
    assert "--timing: backend 'interpreter' has no option 'timing'" in said
