"""The timeline: valid trace events, every step and core in its place, counters that are the trace's, never beyond its size."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hw_workloads import conv, fc

from spikewright.hw_sim import load_chip, simulate
from spikewright.hw_sim.timeline import SLICES, STEPS, steps_shown, timeline


@pytest.mark.parametrize("timing", ["analytic", "cycle"])
def test_slices_nest_on_their_thread_and_counters_are_the_traces(timing: str) -> None:
    program, x = conv(steps=6)
    trace = simulate(program, {"in": x}, timing=timing)  # type: ignore[arg-type]
    chip = load_chip("loihi2")
    found = json.loads(timeline(trace, chip, {0: "conv1"}))
    events = found["traceEvents"]
    steps = [e for e in events if e["ph"] == "X" and e["tid"] == STEPS]
    assert len(steps) == trace.chip_steps == found["otherData"]["chip_steps_shown"]
    np.testing.assert_allclose([e["dur"] for e in steps], trace.latency_ns[:, 0] * 1e-3, atol=1e-4)
    for before, after in pairwise(steps):
        assert after["ts"] == pytest.approx(before["ts"] + before["dur"], abs=1e-4)
    for event in events:
        assert set(event) >= {"ph", "name", "pid"}
        if event["ph"] == "X" and event["tid"] != STEPS:
            (step,) = [s for s in steps if s["ts"] == event["ts"]]
            assert event["name"] in (*SLICES, "NoC")
            assert event["dur"] <= step["dur"] + 1e-3 or timing == "cycle"
    sops = [e["args"]["value"] for e in events if e["ph"] == "C" and e["name"] == "SOPs"]
    np.testing.assert_allclose(sops, trace.sops.sum(axis=1), atol=1e-3)
    assert any(e.get("args", {}).get("name") == "core 0: conv1" for e in events)
    waits = [e for e in events if e["ph"] == "C" and "waiting" in e["name"]]
    assert bool(waits) == (timing == "cycle")


def test_a_large_run_is_cut_at_whole_steps_and_says_so() -> None:
    program, x = fc(steps=50)
    trace = simulate(program, {"in": x})
    text = timeline(trace, load_chip("loihi2"), {}, limit=8_000)
    assert len(text) <= 8_000
    shown, steps = steps_shown(text)
    assert 0 < shown < steps == trace.chip_steps
    assert sum(e.get("tid") == STEPS and e["ph"] == "X" for e in json.loads(text)["traceEvents"]) == shown
