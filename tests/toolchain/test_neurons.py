"""The float LIF: several spikes a step, floor, start and refractory period, against loops over single neurons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikewright.toolchain import graph_io
from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array, Input, Lif, Output

N, T, B = 3, 25, 2


def graph(**fields: object) -> Graph:
    lif = Lif(name="lif", inputs=("in",), shape=(N,), **fields)  # type: ignore[arg-type]
    return Graph((Input(name="in", shape=(N,)), lif, Output(name="out", inputs=("lif",))), timesteps=T)


def one_by_one(op: Lif, x: Array) -> tuple[Array, Array]:
    """Return spikes and membranes of a memoryless current, neuron by neuron, threshold by threshold."""
    full = {name: np.broadcast_to(getattr(op, name), (N,)) for name in ("beta", "v_threshold", "v_reset", "v_start")}
    floor = np.broadcast_to(-np.inf if op.v_min is None else op.v_min, (N,))
    spikes, membranes = np.zeros((T, B, N)), np.zeros((T, B, N))
    for b, i in np.ndindex(B, N):
        v, silent = full["v_start"][i], 0
        for t in range(T):
            if silent:
                silent -= 1
                membranes[t, b, i] = v
                continue
            v = full["beta"][i] * v + x[t, b, i]
            s, theta = 0, full["v_threshold"][i]
            while (v > (s + 1) * theta if op.comparison == ">" else v >= (s + 1) * theta) and s != op.max_spikes:
                s += 1
            if s:
                v = full["v_reset"][i] if op.reset == "value" else v - s * theta
                silent = op.refractory - 1
            v = max(v, floor[i])
            spikes[t, b, i], membranes[t, b, i] = s, v
    return spikes, membranes


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_kind_of_neuron_equals_a_loop_over_its_thresholds(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    lif = graph(
        beta=rng.choice([0.0, 0.5, 1.0], N),
        v_threshold=rng.choice([0.5, 1.0, 2.0], N),  # all on one grid: equality happens
        v_reset=rng.choice([-0.5, 0.0, 0.25], N),
        reset=data.draw(st.sampled_from(["value", "subtract"])),
        comparison=data.draw(st.sampled_from([">", ">="])),
        refractory=data.draw(st.integers(1, 4)),
        max_spikes=data.draw(st.sampled_from([1, 2, 3, None])),
        v_min=data.draw(st.sampled_from([None, np.array(-1.0), np.array([-0.5, 0.0, -2.0])])),
        v_start=data.draw(st.sampled_from([np.zeros(()), np.array(1.5), np.array([0.5, -3.0, 2.0])])),
    )
    x = rng.integers(-8, 16, (T, B, N)) / 4
    membranes: dict[str, Array] = {}

    found = run_float(lif, x, membranes=membranes)["lif"]

    wanted, v = one_by_one(lif["lif"], x)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(membranes["lif"], v)


def test_an_integrator_of_several_spikes_keeps_what_is_left_and_not_below_its_floor() -> None:
    """By hand: 2.5 sends 2 and keeps 0.5; -4 is held at -1; 3 makes 2 of it."""
    x = np.array([2.5, -4.0, 3.0])[:, None, None] * np.ones(N)

    net = graph(
        beta=np.ones(()),
        v_threshold=np.ones(()),
        reset="subtract",
        comparison=">=",
        max_spikes=None,
        v_min=-np.ones(()),
    )

    assert run_float(net, x)["lif"][:, 0, 0].tolist() == [2, 0, 2]


def test_a_graph_on_disk_keeps_every_field_and_its_text_names_what_is_not_as_usual(tmp_path: Path) -> None:
    odd = graph(
        beta=np.ones(()),
        v_threshold=np.ones(()),
        refractory=3,
        max_spikes=None,
        v_min=np.full(N, -1.0),
        v_start=np.ones(()),
    )

    graph_io.save(odd, tmp_path / "g.npz")

    again = graph_io.load(tmp_path / "g.npz")
    assert str(again) == str(odd)
    assert "refractory=3, max_spikes=None, v_min=[3] -1, v_start=1" in str(again)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"refractory": 0}, "refractory 0, max_spikes 1; both are at least 1"),
        ({"max_spikes": 0}, "refractory 1, max_spikes 0; both are at least 1"),
        (
            {"max_spikes": None, "v_threshold": np.zeros(())},
            "several spikes a step at a threshold of 0; it must be above 0",
        ),
    ],
)
def test_a_neuron_without_meaning_is_refused(fields: dict[str, object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        graph(**{"beta": np.ones(()), "v_threshold": np.ones(()), **fields})
