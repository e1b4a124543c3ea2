"""The timeline: valid trace events, every step and core in its place, counters that are the trace's, never beyond its size."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hw_workloads import conv, fc

from spikewright.hw_sim import load_chip, simulate
from spikewright.hw_sim.timeline import SLICES, STEPS, steps_shown, timeline
from spikewright.hw_sim.timing.analytic import Host


def nested(events: list[dict[str, Any]]) -> bool:
    """Return whether the slices of a thread lie inside one another or follow each other, in whole ns."""
    open_until: dict[tuple[int, int], list[int]] = {}
    for event in (e for e in events if e["ph"] == "X"):
        begin, end = (round(1000 * us, 6) for us in (event["ts"], event["ts"] + event["dur"]))
        if begin != int(begin) or end != int(end) or end <= begin:
            return False
        stack = open_until.setdefault((event["pid"], event["tid"]), [])
        while stack and stack[-1] <= begin:
            stack.pop()
        if stack and end > stack[-1]:
            return False
        stack.append(int(end))
    return True


def test_a_slice_that_a_viewer_would_drop_is_not_nested() -> None:
    def slices(*spans: tuple[float, float]) -> list[dict[str, Any]]:
        return [{"ph": "X", "pid": 0, "tid": 0, "ts": a, "dur": b - a} for a, b in spans]

    assert nested(slices((0, 2), (0, 1), (1, 2), (2, 3)))
    assert not nested(slices((0, 2), (1, 3)))
    assert not nested(slices((0, 6.4583), (6.4584, 7)))


@pytest.mark.parametrize("host", ["lava", "bare"])
@pytest.mark.parametrize("timing", ["analytic", "cycle"])
def test_slices_nest_on_their_thread_and_counters_are_the_traces(timing: str, host: Host) -> None:
    program, x = conv(steps=6)
    trace = simulate(program, {"in": x}, timing=timing, host=host)  # type: ignore[arg-type]
    chip = load_chip("loihi2")
    found = json.loads(timeline(trace, chip, {0: "conv1"}))
    events = found["traceEvents"]
    assert nested(events)
    steps = [e for e in events if e["ph"] == "X" and e["tid"] == STEPS and e["name"] != "barrier"]
    assert len(steps) == trace.chip_steps == found["otherData"]["chip_steps_shown"]
    np.testing.assert_allclose([e["dur"] for e in steps], trace.latency_ns[:, 0] * 1e-3, atol=1.1e-3)
    for before, after in pairwise(steps):
        assert after["ts"] == pytest.approx(before["ts"] + before["dur"], abs=1e-6)
    for event in events:
        assert set(event) >= {"ph", "name", "pid"}
        if event["ph"] == "X" and event["name"] == "barrier":
            assert any(s["ts"] + s["dur"] == pytest.approx(event["ts"] + event["dur"]) for s in steps)
        elif event["ph"] == "X" and event["tid"] != STEPS:
            (step,) = [s for s in steps if s["ts"] == event["ts"]]
            assert event["name"] in (*SLICES, "NoC")
            assert event["dur"] <= step["dur"]
    sops = [e["args"]["value"] for e in events if e["ph"] == "C" and e["name"] == "SOPs"]
    np.testing.assert_allclose(sops, trace.sops.sum(axis=1), atol=1e-3)
    assert any(e.get("args", {}).get("name") == "core 0: conv1" for e in events)
    waits = [e for e in events if e["ph"] == "C" and "waiting" in e["name"]]
    assert bool(waits) == (timing == "cycle")
    barriers = [e["dur"] for e in events if e["ph"] == "X" and e["name"] == "barrier"]
    if host == "lava":
        assert len(barriers) == len(steps)
        assert barriers == pytest.approx([chip.costs["step_overhead"].latency.nominal * 1e-3] * len(steps), abs=1e-3)
    else:
        assert sum(barriers) < sum(e["dur"] for e in steps)


def test_a_large_run_is_cut_at_whole_steps_and_says_so() -> None:
    program, x = fc(steps=50)
    trace = simulate(program, {"in": x})
    text = timeline(trace, load_chip("loihi2"), {}, limit=8_000)
    assert len(text) <= 8_000
    shown, steps = steps_shown(text)
    assert 0 < shown < steps == trace.chip_steps
    assert sum(e["name"].startswith("step ") for e in json.loads(text)["traceEvents"]) == shown
