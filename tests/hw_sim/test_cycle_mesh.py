"""The mesh on its own: nothing lost, no deadlock, theoretical bandwidth, backpressure, fair turns, the same every time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from example_counts import examples
from hypothesis import given
from hypothesis import strategies as st

from spikewright.hw_sim import ProgramError, load_chip
from spikewright.hw_sim.chip import Mesh
from spikewright.hw_sim.noc import Links, hops
from spikewright.hw_sim.timing.cycle import Delivery, deliver

LOIHI2 = load_chip("loihi2").mesh
GRID = Mesh(chips_x=1, chips_y=1, tiles_x=6, tiles_y=6, cores_per_tile=1, usable_cores_per_chip=36)
BOARD = Mesh(chips_x=2, chips_y=2, tiles_x=2, tiles_y=3, cores_per_tile=2, usable_cores_per_chip=11)


@st.composite
def traffic(draw: st.DrawFn) -> tuple[Mesh, dict]:
    """Any mesh, any traffic, any buffers."""
    sizes = [draw(st.integers(1, 3)) for _ in range(5)]
    usable = draw(st.integers(1, sizes[2] * sizes[3] * sizes[4]))
    mesh = Mesh(*sizes, usable)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(0, 300))
    spread = draw(st.sampled_from([1, 50, 1000]))
    return mesh, {
        "source": rng.integers(0, mesh.cores, count),
        "target": rng.integers(0, draw(st.sampled_from([mesh.cores, 1])), count),
        "release": np.sort(rng.integers(0, spread, count)),
        "link_cycles": draw(st.integers(1, 5)),
        "chip_link_cycles": draw(st.integers(1, 20)),
        "router_buffer": draw(st.integers(1, 4)),
    }


def check(mesh: Mesh, sent: dict, d: Delivery) -> None:
    """Everything that must hold of any delivery."""
    source, target = np.asarray(sent["source"]), np.asarray(sent["target"])
    np.testing.assert_array_equal(d.times, 1)
    np.testing.assert_array_equal(d.core, target)
    east_west, north_south = hops(mesh, source, target)
    np.testing.assert_array_equal(d.hops[0], np.bincount(source, east_west, mesh.cores))
    np.testing.assert_array_equal(d.hops[1], np.bincount(source, north_south, mesh.cores))
    links, routes = Links(mesh), [Links(mesh).route(int(a), int(b)) for a, b in zip(source, target, strict=True)]
    loads = dict.fromkeys(d.links.tolist(), 0)
    for k in [k for route in routes for k in route]:
        loads[k] += 1
    assert d.link_messages.tolist() == list(loads.values())
    slow = np.where(links.between_chips(d.links), sent.get("chip_link_cycles", 1), sent.get("link_cycles", 1))
    np.testing.assert_array_equal(d.link_cycles, d.link_messages * slow)
    assert d.cycles >= d.link_cycles.max(initial=0)
    service = dict(zip(d.links.tolist(), slow.tolist(), strict=True))
    for m, route in enumerate(routes):
        assert d.started[m] >= np.asarray(sent.get("release", 0 * source))[m]
        assert d.delivered[m] >= d.started[m] + max(service[k] for k in route)
    for ends, times, at in ((source, d.started, 0), (target, d.delivered, -1)):  # a link serves one message at a time
        for core in np.unique(ends):
            gap = service[routes[int(np.flatnonzero(ends == core)[0])][at]]
            assert (np.diff(np.sort(times[ends == core])) >= gap).all()
    for pair in np.unique(source * mesh.cores + target):  # one route, queues: messages of a pair stay in order
        mine = source * mesh.cores + target == pair
        assert (np.diff(d.delivered[mine]) > 0).all()
        assert (np.diff(d.started[mine]) > 0).all()


@examples(150)
@given(traffic())
def test_every_message_arrives_once_at_its_core_over_its_route(case: tuple[Mesh, dict]) -> None:
    mesh, sent = case
    check(mesh, sent, deliver(mesh, **sent))


@examples(40)
@given(traffic())
def test_the_same_traffic_gives_the_same_cycles(case: tuple[Mesh, dict]) -> None:
    mesh, sent = case
    first, second = deliver(mesh, **sent), deliver(mesh, **sent)
    np.testing.assert_array_equal(first.delivered, second.delivered)
    np.testing.assert_array_equal(first.started, second.started)


@examples(40)
@given(traffic(), st.integers(0, 299))
def test_a_message_that_meets_nobody_is_only_held_up_where_a_slow_link_feeds_a_faster_one(
    case: tuple[Mesh, dict], which: int
) -> None:
    mesh, sent = case
    if sent["source"].size == 0:
        return
    k = which % sent["source"].size
    one = {**sent, **{name: sent[name][k : k + 1] for name in ("source", "target", "release")}}
    links = Links(mesh)
    route = np.array(links.route(int(one["source"][0]), int(one["target"][0])))
    service = np.where(links.between_chips(route), sent["chip_link_cycles"], sent["link_cycles"])
    start = one["release"][0] + np.maximum(service[:-1] - service[1:], 0).sum()
    d = deliver(mesh, **one)
    assert (d.started[0], d.delivered[0]) == (one["release"][0], start + service[-1])


@examples(40)
@given(traffic())
def test_buffers_of_any_size_deliver_every_message(case: tuple[Mesh, dict]) -> None:
    mesh, sent = case
    for room in (1, 2, 7, 1000):
        d = deliver(mesh, **{**sent, "router_buffer": room})
        assert (d.times == 1).all()
        assert d.link_messages.sum() == deliver(mesh, **sent).link_messages.sum()


def adversary(name: str, mesh: Mesh, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return sources and targets of a traffic pattern that is hard on a mesh."""
    n, side = mesh.cores, 6
    everyone = np.arange(n)
    match name:
        case "transpose":
            partner = everyone % side * side + everyone // side
        case "opposite":
            partner = n - 1 - everyone
        case "tornado":
            partner = everyone // side * side + (everyone + side // 2 - 1) % side
        case "all-to-one":
            partner = np.full(n, 14)
        case "hotspot":
            source = rng.integers(0, n, 4000)
            return source, np.where(rng.random(4000) < 0.5, 21, rng.integers(0, n, 4000))
        case _:  # all-to-all
            return np.repeat(everyone, n), np.tile(everyone, n)
    return np.tile(everyone, 60), np.tile(partner, 60)


@pytest.mark.parametrize("room", [1, 4])
@pytest.mark.parametrize("name", ["transpose", "opposite", "tornado", "all-to-one", "hotspot", "all-to-all"])
def test_adversarial_traffic_never_deadlocks(name: str, room: int, rng: np.random.Generator) -> None:
    source, target = adversary(name, GRID, rng)
    sent = {"source": source, "target": target, "link_cycles": 3, "router_buffer": room}
    check(GRID, sent, deliver(GRID, **sent))


@pytest.mark.parametrize("name", ["hotspot", "all-to-all"])
def test_a_board_of_slow_links_never_deadlocks(name: str, rng: np.random.Generator) -> None:
    source, target = adversary(name, BOARD, rng)
    sent = {"source": source, "target": target, "link_cycles": 2, "chip_link_cycles": 31, "router_buffer": 1}
    check(BOARD, sent, deliver(BOARD, **sent))


@pytest.mark.parametrize("room", [1, 2, 8])
@pytest.mark.parametrize(("link_cycles", "target"), [(1, 1), (29, 1), (29, 119), (7, 0)])
def test_one_stream_moves_one_message_per_service_time(link_cycles: int, target: int, room: int) -> None:
    d = deliver(LOIHI2, [0] * 500, [target] * 500, link_cycles=link_cycles, router_buffer=room)
    np.testing.assert_array_equal(d.delivered, link_cycles * np.arange(1, 501))
    assert (d.link_cycles == d.cycles).all()  # every link on the way is busy all the time


@pytest.mark.parametrize("room", [1, 3])
def test_a_stream_over_a_chip_border_moves_at_the_speed_of_the_slow_link(room: int) -> None:
    d = deliver(BOARD, [0] * 100, [11] * 100, link_cycles=5, chip_link_cycles=44, router_buffer=room)
    np.testing.assert_array_equal(d.delivered, 44 * np.arange(1, 101))
    two_borders = deliver(BOARD, [0] * 100, [40] * 100, link_cycles=5, chip_link_cycles=44, router_buffer=room)
    np.testing.assert_array_equal(two_borders.delivered, 44 * np.arange(1, 101) + 44 - 5)


@pytest.mark.parametrize("room", [1, 2, 8])
@pytest.mark.parametrize("target", [0, 57, 119])
def test_all_to_one_fills_the_link_into_that_core(target: int, room: int) -> None:
    source = np.tile(np.arange(120), 40)
    d = deliver(LOIHI2, source, np.full(source.size, target), link_cycles=29, router_buffer=room)
    np.testing.assert_array_equal(np.sort(d.delivered), 29 * np.arange(1, source.size + 1))


def test_a_mesh_that_nobody_crosses_runs_every_core_at_full_speed() -> None:
    source = np.tile(np.arange(36), 100)
    d = deliver(GRID, source, source, link_cycles=4)
    assert d.cycles == 400


def test_two_cores_that_want_one_link_take_turns() -> None:
    row = replace(GRID, tiles_x=3, tiles_y=1, usable_cores_per_chip=3)
    source = np.repeat([0, 1], 50)
    d = deliver(row, source, np.full(100, 2), link_cycles=3)
    winners = source[np.argsort(d.delivered)]
    assert all(a != b for a, b in pairwise(winners))
    assert d.cycles == 300


def test_a_full_buffer_holds_up_messages_that_go_elsewhere() -> None:
    row = replace(GRID, tiles_x=4, tiles_y=1, usable_cores_per_chip=4)
    source = np.repeat([0, 2, 3, 0], [20, 20, 20, 1])  # 0, 2 and 3 all want core 2; the last message wants core 1
    target = np.repeat([2, 1], [60, 1])
    waits = {room: deliver(row, source, target, router_buffer=room).delivered[-1] for room in (1, 64)}
    assert waits[64] == 21  # right behind the 20 before it: they wait in buffers further on
    assert waits[1] > 40  # blocked by messages that compete for core 2
    assert deliver(row, source, target, router_buffer=1).cycles == 60  # the link into core 2 is full all the time


def test_no_messages_take_no_time() -> None:
    d = deliver(LOIHI2, [], [])
    assert (d.cycles, d.links.size, d.delivered.size) == (0, 0, 0)


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ({"source": [0, 1], "target": [3]}, "2 sources, 1 targets, 2 release cycles"),
        ({"source": [0], "target": [120]}, "cores 0 .. 120; allowed 0 .. 119"),
        ({"source": [0, 0], "target": [1, 1], "release": [5, 4]}, "release cycles of one core go back, or below 0"),
        ({"source": [0], "target": [1], "link_cycles": 0}, r"link cycles and buffers \(0, 0, 4\); each at least 1"),
        ({"source": [0], "target": [1], "router_buffer": 0}, r"link cycles and buffers \(1, 1, 0\); each at least 1"),
    ],
)
def test_bad_traffic_is_refused(sent: dict, text: str) -> None:
    with pytest.raises(ProgramError, match=text):
        deliver(LOIHI2, **sent)
