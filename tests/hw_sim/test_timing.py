"""Analytic timing and the mesh: hand-computed steps, routes, and the bottleneck by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hw_workloads import conv, fc

from spikewright.hw_sim import ProgramError, compile, load_chip, noc, simulate
from spikewright.hw_sim.noc import Links, coordinates, hops
from spikewright.hw_sim.timing.analytic import TERMS, Loads, link_ns, step_times


def loads(**given: np.ndarray) -> Loads:
    """One step, one sample, two cores, two links, nothing happening but what is given."""
    zero = np.zeros((1, 1, 2), np.int64)
    rest = {
        "neurons": zero[0], "gates": zero[0], "spikes": zero, "sops": {}, "words": zero, "link_messages": zero,
        "links": np.array([7, 9]), "host_messages": zero[..., 0],
    }  # fmt: skip
    return Loads(**{**rest, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "term", "place", "ns"),
    [
        ({}, "barrier", -1, 200.0),
        ({"neurons": np.array([[60, 100]])}, "neuron", 1, 400.0),
        ({"neurons": np.array([[60, 100]]), "spikes": np.array([[[1000, 0]]])}, "neuron", 0, 550.0),
        ({"sops": {"binary": np.array([[[1000, 10]]])}}, "synapse", 0, 660.0),
        ({"sops": {"binary": np.array([[[500, 10]]]), "graded": np.array([[[500, 600]]])}}, "synapse", 0, 660.0),
        ({"words": np.array([[[3, 900]]])}, "memory", 1, 900.0),
        ({"link_messages": np.array([[[3, 1000]]])}, "link", 9, 290.0),
        ({"host_messages": np.array([[25]])}, "host", -1, 250.0),
    ],
)
def test_a_step_lasts_as_long_as_its_slowest_part(given: dict, term: str, place: int, ns: float) -> None:
    times = step_times(load_chip("loihi2"), loads(**given), "bare")
    assert (TERMS[times.term[0, 0]], times.place[0, 0]) == (term, place)
    assert times.latency_ns[0, 0] == pytest.approx(ns)


@pytest.mark.parametrize(
    ("neurons", "term", "place"), [(2, "overhead", -1), (280, "overhead", -1), (1000, "neuron", 1)]
)
def test_a_lava_host_adds_its_overhead_to_the_work_of_every_step(neurons: int, term: str, place: int) -> None:
    times = step_times(load_chip("loihi2"), loads(neurons=np.array([[1, neurons]])), "lava")
    assert (TERMS[times.term[0, 0]], times.place[0, 0]) == (term, place)
    assert times.latency_ns[0, 0] == pytest.approx(1160 + 4 * neurons)


def test_no_step_undercuts_the_barrier_of_a_large_system() -> None:
    chip = load_chip("hala-point")
    barrier = chip.costs["barrier"].latency.nominal
    times = step_times(chip, loads(neurons=np.array([[1, 1000]])), "lava")
    assert (TERMS[times.term[0, 0]], times.latency_ns[0, 0]) == ("barrier", barrier)
    assert step_times(chip, loads(neurons=np.array([[1, 8000]])), "lava").latency_ns[0, 0] == 1160 + 8000 * 4


def test_both_timings_know_both_hosts() -> None:
    program, x = fc(steps=5)
    found = {}
    for timing in ("analytic", "cycle"):
        lava, bare = (simulate(program, {"in": x}, timing=timing, host=host) for host in ("lava", "bare"))
        np.testing.assert_allclose(lava.latency_ns - bare.latency_ns, 1160)
        assert (lava.host, bare.host) == ("lava", "bare")
        found[timing] = lava.latency_ns
    with pytest.raises(ProgramError, match="allowed: lava, bare"):
        simulate(program, {"in": x}, host="nxsdk")  # type: ignore[arg-type]


def test_latency_of_a_run_is_the_busiest_core_in_every_step() -> None:
    program, x = fc(steps=20)
    trace = simulate(program, {"in": x}, host="bare")
    wanted = np.maximum(trace.sops_binary.max(axis=1) * 0.66, 1024 * 4.0 + trace.spikes_out.max(axis=1) * 0.31)
    assert (trace.latency_ns[:, 0] >= wanted - 1e-9).all()
    assert trace.latency_ns[5, 0] == pytest.approx(wanted[5])
    assert trace.bottleneck()[:2] == ("synapse", 0)
    assert trace.latency_s[0] == pytest.approx(trace.latency_ns.sum() * 1e-9)


def test_samples_are_timed_apart() -> None:
    program, x = conv(steps=10)
    both = simulate(program, {"in": np.concatenate([x, 0 * x], axis=1)})
    np.testing.assert_array_equal(both.latency_ns[:, :1], simulate(program, {"in": x}).latency_ns)
    assert both.latency_s[1] < both.latency_s[0]


def test_cores_lie_four_at_a_router_row_by_row() -> None:
    mesh = load_chip("loihi2").mesh
    x, y = coordinates(mesh, np.array([0, 3, 4, 31, 32, 119]))
    assert list(zip(x.tolist(), y.tolist(), strict=True)) == [(0, 0), (0, 0), (1, 0), (7, 0), (0, 1), (5, 3)]


def test_a_route_goes_along_x_then_y_and_has_as_many_links_as_hops() -> None:
    mesh = load_chip("loihi2").mesh
    links = Links(mesh)
    names = [links.name(k) for k in links.route(4, 64)]
    assert names == ["core 4 out", "router (1, 0) west", "router (0, 0) south", "router (0, 1) south", "core 64 in"]
    for a, b in ((0, 0), (0, 119), (119, 0), (17, 93)):
        across, along = hops(mesh, np.array([a]), np.array([b]))
        assert len(links.route(a, b)) == across[0] + along[0] + 2


def test_routes_of_many_pairs_are_those_walked_link_by_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noc, "ROUTES", 7)
    mesh = load_chip("loihi2-x32").mesh
    links = Links(mesh)
    ends = np.random.default_rng(0).integers(0, mesh.cores, (2, 60))

    start, walked = links.routes(*ends)

    for k, (a, b) in enumerate(ends.T.tolist()):
        (x, x1), (y, y1) = (np.array(one).tolist() for one in coordinates(mesh, np.array([a, b])))
        names = [f"core {a} out"]
        while (x, y) != (x1, y1):
            way = ("east" if x < x1 else "west") if x != x1 else "south" if y < y1 else "north"
            names.append(f"router ({x}, {y}) {way}")
            x, y = x + (way == "east") - (way == "west"), y + (way == "south") - (way == "north")
        assert [links.name(link) for link in walked[start[k] : start[k + 1]].tolist()] == [*names, f"core {b} in"]
    used, which = links.numbered(walked)
    assert (used[which] == walked).all()
    assert used.size == np.unique(walked).size


def test_messages_between_chips_are_counted_and_take_longer() -> None:
    program, x = fc(steps=5)
    far = replace(
        program,
        populations=tuple(
            replace(p, core=np.full(p.size, 120, np.int32)) if p.name == "l2" else p for p in program.populations
        ),
    )
    board = load_chip("kapoho-point")

    near, apart = (simulate(compile(p, board), {"in": x}) for p in (program, far))

    assert near.chip_crossings.sum() == 0
    assert apart.chip_crossings.sum() == apart.messages.sum() > 0
    crossed = Links(board.mesh).between_chips(apart.links)
    np.testing.assert_array_equal(apart.chip_crossings, apart.link_messages * crossed)
    assert link_ns(board, apart.links)[crossed] == pytest.approx(22.1)
