"""Cycle timing of whole programs: equal to analytic where nothing contends, hand-computed where it does, every event walked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from example_counts import examples
from hw_random import random_program
from hw_workloads import conv, fc
from hypothesis import given
from hypothesis import strategies as st

from spikewright.hw_sim import (
    Chip,
    ChipError,
    DenseSynapses,
    IdentitySynapses,
    Lif,
    Population,
    Program,
    ProgramError,
    Projection,
    Source,
    Trace,
    compile,
    list_chips,
    load_chip,
    load_trace,
    simulate,
)
from spikewright.hw_sim.chip import Mesh
from spikewright.hw_sim.engine import run as engine_run
from spikewright.hw_sim.noc import Links
from spikewright.hw_sim.timing.analytic import TERMS
from spikewright.hw_sim.timing.cycle import STAGES, timer
from spikewright.hw_sim.timing.cycle.service import service

ONE = np.ones(1, np.int64)
WALKED = ("sops", "messages", "messages_in", "hops_east_west", "hops_north_south", "host_messages", "link_messages")


def chip(mesh: Mesh | None = None, axon_out_buffer: int = 16, **latency_ns: float) -> Chip:
    """Return loihi2 with other latencies, barrier 1 ns if not given."""
    base = load_chip("loihi2")
    costs = {
        event: replace(cost, latency=replace(cost.latency, low=0, nominal=ns, high=1e9))
        for event, cost in base.costs.items()
        for ns in [{"barrier": 1.0, **latency_ns}.get(event, cost.latency.nominal)]
    }
    timing = replace(base.timing, axon_out_buffer=axon_out_buffer)
    return replace(base, costs=costs, timing=timing, mesh=mesh or base.mesh)


def both(program: Program, inputs: dict, target: Chip | None = None) -> tuple[Trace, Trace]:
    """Run with both timings."""
    compiled = compile(program, target)
    return simulate(compiled, inputs, host="bare"), simulate(compiled, inputs, timing="cycle", host="bare")


def relay(fires: list[int], n: int, targets: list[int], delay: int = 1) -> tuple[Program, dict]:
    """Sources -> n neurons on core 0, of which ``fires`` fire at step 1 -> one neuron on each of the target cores."""
    populations = (
        Population("in", (n,), Source(1), core=np.full(n, -1, np.int32)),
        Population("a", (n,), Lif(4096 * ONE, 4096 * ONE, 0 * ONE, 63 * ONE, 0 * ONE), core=np.zeros(n, np.int32)),
        Population("b", (len(targets),), Lif(4096 * ONE, 4096 * ONE, 0 * ONE, 9999 * ONE, 0 * ONE),
                   core=np.array(targets, np.int32)),
    )  # fmt: skip
    projections = (
        Projection("in-a", "in", "a", IdentitySynapses(1)),
        Projection("a-b", "a", "b", DenseSynapses(np.ones((len(targets), n), np.int64)), delay=delay),
    )
    x = np.zeros((3, 1, n), np.int64)
    x[0, 0, fires] = 1
    return Program(populations, projections, "loihi2", 3, "b"), {"in": x}


# --------------------------------------------------------------------------- counts, on random programs
@examples(60)
@given(st.integers(0, 2**32))
def test_walked_counts_equal_linear_algebra_and_nothing_but_time_changes(seed: int) -> None:
    program, inputs = random_program(seed)
    analytic, cycle = both(program, inputs)
    assert cycle.cycle is not None
    for name in WALKED:
        np.testing.assert_array_equal(getattr(cycle.cycle, name), getattr(cycle, name), err_msg=name)
    for f in fields(Trace):
        value = getattr(analytic, f.name)
        if isinstance(value, np.ndarray) and f.name not in ("latency_ns", "term", "place"):
            np.testing.assert_array_equal(value, getattr(cycle, f.name), err_msg=f.name)
    assert (cycle.latency_ns >= analytic.latency_ns - 1e-6).all()
    np.testing.assert_allclose(cycle.cycle.step_cycles * 0.01, cycle.latency_ns)
    assert (cycle.cycle.busy_cycles <= cycle.cycle.step_cycles.sum(axis=1)[None, :, None]).all()


@examples(40)
@given(st.integers(0, 2**32), st.sampled_from(["synapse_memory_read", "synaptic_op"]))
def test_without_contention_cycle_equals_analytic(seed: int, free: str) -> None:
    program, inputs = random_program(seed)
    ops = ("synaptic_op", "graded_synaptic_op", "gate_synaptic_op") if free == "synaptic_op" else (free,)
    analytic, cycle = both(program, inputs, chip(link_crossing=0.0, **dict.fromkeys(ops, 0.0)))
    np.testing.assert_allclose(cycle.latency_ns, analytic.latency_ns, rtol=1e-12)
    np.testing.assert_array_equal(cycle.term, analytic.term)
    np.testing.assert_array_equal(cycle.place, analytic.place)


@pytest.mark.parametrize("workload", [fc, conv])
def test_workloads_take_the_same_time_in_both_models(workload: Callable[..., tuple[Program, np.ndarray]]) -> None:
    program, x = workload(steps=30)
    analytic, cycle = both(program, {"in": x})
    np.testing.assert_allclose(cycle.latency_ns, analytic.latency_ns, rtol=1e-12)
    np.testing.assert_array_equal(cycle.term, analytic.term)
    np.testing.assert_array_equal(cycle.place, analytic.place)
    assert "synapse" in {TERMS[k] for k in cycle.term.ravel()}


def test_no_traffic_costs_the_neuron_updates_or_the_barrier() -> None:
    program, x = conv(2, steps=5)
    updates = program.population("c1").core
    for barrier in (200.0, 10_000.0):
        trace = simulate(compile(program, chip(barrier=barrier)), {"in": 0 * x}, timing="cycle", host="bare")
        np.testing.assert_allclose(trace.latency_ns, max(np.bincount(updates).max() * 4.0, barrier))
        assert trace.cycle is not None
        assert not trace.cycle.busy_cycles[[k for k, stage in enumerate(STAGES) if stage != "soma"]].any()


def test_an_event_less_lowers_the_walked_sops_by_its_fan_out() -> None:
    program, x = conv(2, steps=1)
    t, _, c, row, column = (int(k[0]) for k in np.nonzero(x))
    less = x.copy()
    less[t, 0, c, row, column] = 0
    counted = [simulate(program, {"in": given}, timing="cycle").cycle for given in (x, less)]
    fan = compile(program).fan_out["in-c1"].of((row * 34 + column) * 2 + c)  # channels last
    assert counted[0].sops.sum() - counted[1].sops.sum() == fan > 0


# ------------------------------------------------------------------------------------ contention by hand
def test_a_core_that_sends_to_many_is_bound_by_its_link_in_both_models() -> None:
    program, inputs = relay(list(range(40)), 40, list(range(1, 13)))
    analytic, cycle = both(program, inputs, chip(link_crossing=2.0))
    assert cycle.latency_ns[1, 0] == pytest.approx(40 * 12 * 2.0)
    np.testing.assert_allclose(cycle.latency_ns, analytic.latency_ns)
    assert (TERMS[cycle.term[1, 0]], cycle.place[1, 0]) == ("link", Links(load_chip("loihi2").mesh).into(0))
    assert analytic.place[1, 0] == cycle.place[1, 0]


def test_spikes_late_in_the_sweep_wait_for_the_link_which_analytic_cannot_see() -> None:
    program, inputs = relay(list(range(90, 100)), 100, [1])
    analytic, cycle = both(program, inputs, chip(link_crossing=20.0))
    assert analytic.latency_ns[1, 0] == pytest.approx(100 * 4.0 + 10 * 0.31)
    assert cycle.latency_ns[1, 0] == pytest.approx(90 * 4.0 + 10 * 20.0)
    assert TERMS[cycle.term[1, 0]] == "link"


@pytest.mark.parametrize(("room", "stalled_ns"), [(16, 0.0), (1, 180.0 - 10 * 4.31)])
def test_a_full_axon_out_queue_stalls_the_neurons(room: int, stalled_ns: float) -> None:
    program, inputs = relay(list(range(10)), 100, [1])
    _, cycle = both(program, inputs, chip(axon_out_buffer=room, link_crossing=20.0))
    assert cycle.cycle is not None
    assert cycle.cycle.stall_cycles[1, 0] * 0.01 == pytest.approx(stalled_ns)
    assert cycle.latency_ns[1, 0] == pytest.approx(100 * 4.0 + 10 * 0.31 + stalled_ns)


@pytest.mark.parametrize(("fan_out", "ns"), [((64, 10), 74.0), ((10, 64), 96.0)])
def test_messages_that_load_memory_and_dendrite_unevenly_wait_for_each_other(
    fan_out: tuple[int, int], ns: float
) -> None:
    w = np.zeros((64, 2), np.int64)
    for source, count in enumerate(fan_out):
        w[:count, source] = 1
    program = Program(
        (
            Population("in", (2,), Source(1), core=np.full(2, -1, np.int32)),
            Population("a", (64,), Lif(ONE, ONE, 0 * ONE, 9999 * ONE, 0 * ONE), core=np.zeros(64, np.int32)),
        ),
        (Projection("in-a", "in", "a", DenseSynapses(w)),),
        "loihi2", 2, "a",
    )  # fmt: skip
    slow_memory = chip(synapse_memory_read=4.0, synaptic_op=1.0, neuron_update=0.1)  # 8 words a message, 64 and 10 SOPs
    analytic, cycle = both(program, {"in": np.ones((2, 1, 2), np.int64)}, slow_memory)
    assert analytic.latency_ns[1, 0] == 74.0
    assert cycle.latency_ns[1, 0] == pytest.approx(ns)


def test_a_slow_link_between_chips_sets_the_time_in_both_models() -> None:
    board = Mesh(chips_x=2, chips_y=1, tiles_x=2, tiles_y=2, cores_per_tile=1, usable_cores_per_chip=4)
    program, inputs = relay(list(range(50)), 50, [4])
    analytic, cycle = both(program, inputs, chip(mesh=board))
    assert cycle.latency_ns[1, 0] == pytest.approx(50 * 22.1)
    np.testing.assert_allclose(cycle.latency_ns, analytic.latency_ns)
    assert Links(board).name(int(cycle.place[1, 0])) == "router (1, 0) east"
    assert Links(board).name(int(analytic.place[1, 0])) == "router (1, 0) east"


# ------------------------------------------------------------------------- how a run is cut changes nothing
def same(a: Trace, b: Trace) -> None:
    assert a.cycle is not None
    assert b.cycle is not None
    for name, array in a.cycle.arrays().items():
        np.testing.assert_array_equal(array, b.cycle.arrays()[name], err_msg=name)
    for name in ("latency_ns", "term", "place"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@examples(25)
@given(st.integers(0, 2**32))
def test_blocks_and_threads_do_not_change_the_result(seed: int) -> None:
    program, inputs = random_program(seed)
    whole = simulate(program, inputs, timing="cycle", threads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timer, "PENDING", 5)
        patch.setattr(timer, "BLOCK_BYTES", 4000)
        patch.setattr(engine_run, "BLOCK_BYTES", 3000)
        patch.setattr("spikewright.hw_sim.jit.WORTH_SPLITTING", 0)
        same(whole, simulate(program, inputs, timing="cycle", threads=3))


def test_samples_are_timed_apart() -> None:
    program, x = conv(2, steps=8)
    pair = simulate(program, {"in": np.concatenate([x, x[::-1]], axis=1)}, timing="cycle")
    for k, one in enumerate((x, x[::-1])):
        alone = simulate(program, {"in": one}, timing="cycle")
        np.testing.assert_array_equal(pair.latency_ns[:, k], alone.latency_ns[:, 0])


def test_a_message_waits_for_the_step_in_which_it_takes_effect() -> None:
    program, inputs = relay([0, 1, 2], 3, [1], delay=2)
    trace = simulate(program, inputs, timing="cycle")
    assert trace.cycle is not None
    assert trace.cycle.messages_in[:, 1].tolist() == [0, 3, 0]
    assert trace.cycle.sops[:, 1].tolist() == [0, 0, 0]  # it would take effect in step 3, after the run


def test_a_trace_keeps_its_cycle_record_in_a_file(tmp_path: Path) -> None:
    program, x = fc(steps=4)
    trace = simulate(program, {"in": x}, timing="cycle")
    trace.save(tmp_path / "t.npz")
    loaded = load_trace(tmp_path / "t.npz")
    assert loaded.timing == "cycle"
    same(trace, loaded)
    simulate(program, {"in": x}).save(tmp_path / "a.npz")
    assert (load_trace(tmp_path / "a.npz").timing, load_trace(tmp_path / "a.npz").cycle) == ("analytic", None)


# ------------------------------------------------------------------------------------------------ units
def test_the_chips_that_ship_round_no_latency() -> None:
    for name in list_chips():
        loaded = load_chip(name)
        times, ns = service(loaded), {e: c.latency.nominal for e, c in loaded.costs.items()}
        cycles = (times.neuron, times.gate, times.spike, *times.sops.values(), times.word, times.link, times.host)
        events = ("neuron_update", "gate_multiply", "spike", "synaptic_op", "graded_synaptic_op", "gate_synaptic_op",
                  "synapse_memory_read", "link_crossing", "host_message")  # fmt: skip
        assert [c * loaded.timing.cycle_ns for c in cycles] == pytest.approx([ns[e] for e in events])


def test_latencies_between_cycles_are_rounded_to_the_nearest_but_not_to_nothing() -> None:
    coarse = replace(
        chip(neuron_update=2.6, spike=0.31, gate_multiply=0.0), timing=replace(chip().timing, cycle_ns=1.0)
    )
    times = service(coarse)
    assert (times.neuron, times.spike, times.gate) == (3, 1, 0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("timing:\n", "tming:\n", "unknown key 'tming'"),
        ("cycle_ns: {value: 0.01", "cycle_ns: {value: 0", "timing.cycle_ns is 0; expected more than 0"),
        ("router_buffer: {value: 4", "router_buffer: {value: 4.5", "timing.router_buffer is 4.5; expected a whole number"),
        ("axon_out_buffer: {value: 16, unit: messages", "axon_out_buffer: {value: 16, unit: bits",
         "unit 'bits'; expected 'messages'"),
        ("chip_crossing:", "chip_crosing:", "unknown key 'chip_crosing'"),
    ],
)  # fmt: skip
def test_a_bad_timing_section_of_a_chip_file_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = (Path(engine_run.__file__).parents[1] / "chips" / "loihi2.yaml").read_text()
    assert old in text
    (tmp_path / "my.yaml").write_text(text.replace(old, new))
    with pytest.raises(ChipError, match=said) as error:
        load_chip(tmp_path / "my.yaml")
    assert "line" in error.value.where


def test_an_unknown_timing_is_refused() -> None:
    program, x = fc(steps=1)
    with pytest.raises(ProgramError, match="timing 'exact'; allowed: analytic, cycle"):
        simulate(program, {"in": x}, timing="exact")  # type: ignore[arg-type]
