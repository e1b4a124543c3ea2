"""Mapping: limits respected or refused by name, the same integers anywhere, balanced beats greedy, search beats balanced."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic

import numpy as np
import pytest
from compile_random import compile_random
from example_counts import examples
from hypothesis import given
from int_nets import int_conv, int_dense, int_input, int_lif
from random_nets import random_net, seeds

from spikewright.hw_sim import Chip, Program, Trace, drc, load_chip, simulate
from spikewright.hw_sim import compile as load
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.errors import MappingError
from spikewright.toolchain.integer import IntArray, IntInput, IntNeuron, IntOutput
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping import Balanced, Fixed, Greedy, Search, Vendor, map_graph
from spikewright.toolchain.mapping import search as searching
from spikewright.toolchain.mapping.partition import cores_used
from spikewright.toolchain.mapping.place import place, traffic
from spikewright.toolchain.mapping.search import Plan, _moved_core, _moved_layers
from spikewright.toolchain.passes.align import Align


@pytest.fixture(scope="module")
def chip() -> Chip:
    return load_chip("loihi2")


def small(chip: Chip, **limits: int) -> Chip:
    """The chip with smaller cores."""
    return replace(chip, core=replace(chip.core, **limits))


def neuron(name: str, source: str, shape: tuple[int, ...]) -> IntNeuron:
    return int_lif(
        name=name,
        inputs=(source,),
        shape=shape,
        decay_v=np.array([2048]),
        bias=np.array([0]),
        threshold=np.array([300 << 6]),
    )


def conv_net(side: int = 16, channels: int = 8, layers: int = 4) -> Graph:
    """Conv layers of equal size, a dense read-out."""
    rng = np.random.default_rng(0)
    ops: list[object] = [int_input(name="in", shape=(channels, side, side))]
    last = "in"
    for k in range(layers):
        weight = 2 * rng.integers(-40, 60, (channels, channels, 3, 3))
        ops.append(int_conv(name=f"c{k}", inputs=(last,), weight=weight, padding=(1, 1)))
        ops.append(neuron(f"n{k}", f"c{k}", (channels, side, side)))
        last = f"n{k}"
    ops.append(int_dense(name="fc", inputs=(last,), weight=2 * rng.integers(-5, 9, (10, channels * side * side))))
    ops.append(neuron("head", "fc", (10,)))
    ops.append(IntOutput(name="out", inputs=("head",), readout="spikes"))
    return Align()(Graph(tuple(ops), timesteps=6))  # type: ignore[arg-type]


def events(graph: Graph, samples: int = 4) -> IntArray:
    rng = np.random.default_rng(1)
    shape = next(op.shape for op in graph if isinstance(op, IntInput))
    return (rng.random((graph.timesteps, samples, *shape)) < 0.2).astype(np.int64)


def run(program: Program, chip: Chip, x: IntArray) -> Trace:
    return simulate(load(program, chip), {"in": x})


def hops(trace: Trace) -> int:
    return int(trace.hops_east_west.sum() + trace.hops_north_south.sum())


def test_balanced_lowers_the_bottleneck_core_and_the_traffic_on_as_many_cores(chip: Chip) -> None:
    graph = conv_net()
    cramped = small(chip, max_neurons=1024)
    x = events(graph)
    greedy, balanced = map_graph(graph, cramped), map_graph(graph, cramped, Balanced(x))

    before, after = run(greedy, cramped, x), run(balanced, cramped, x)

    assert cores_used(balanced) == cores_used(greedy) == 9
    np.testing.assert_array_equal(after.outputs, before.outputs)
    assert before.outputs.any()
    ratios = (
        after.latency_ns.sum() / before.latency_ns.sum(),
        after.sops.sum(axis=0).max() / before.sops.sum(axis=0).max(),
        hops(after) / hops(before),
    )
    assert max(ratios) < 0.9, ratios


def test_placing_lowers_messages_times_hops_and_nothing_else(chip: Chip) -> None:
    graph = conv_net(layers=6)
    cramped = small(chip, max_neurons=512)
    x = events(graph)
    program = map_graph(graph, cramped)
    shuffled = np.random.default_rng(2).permutation(cores_used(program)).astype(np.int32)
    scattered = replace(
        program,
        populations=tuple(p if p.core.max() < 0 else replace(p, core=shuffled[p.core]) for p in program.populations),
    )

    before = run(scattered, cramped, x)
    placed = place(scattered, cramped, before)
    after = run(placed, cramped, x)

    assert hops(after) < 0.7 * hops(before)
    np.testing.assert_array_equal(np.sort(after.sops.sum(axis=0)), np.sort(before.sops.sum(axis=0)))
    assert traffic(placed, after).sum() == pytest.approx(traffic(scattered, before).sum())


@examples(25)
@given(seed=seeds)
def test_every_strategy_gives_the_same_integers_within_all_limits(seed: int) -> None:
    graph, data = random_net(seed)
    integer, x = compile_random(graph, data)
    cramped = small(load_chip("loihi2"), max_neurons=20)

    programs = [map_graph(integer, cramped, strategy) for strategy in (Greedy(), Balanced(x))]

    traces = [simulate(load(p, cramped), {"in": x}) for p in programs]
    np.testing.assert_array_equal(traces[0].outputs, traces[1].outputs)
    assert all(use.used <= use.limit for p in programs for use in drc.utilization(p, cramped))


def test_one_neuron_that_is_too_much_names_layer_core_limit_and_what_would_fit(chip: Chip) -> None:
    with pytest.raises(MappingError) as caught:
        map_graph(conv_net(), small(chip, max_axons_in=1000))

    assert str(caught.value) == (
        "layer 'head': one neuron alone needs 1912 of max_axons_in on core 16; chip 'loihi2' has 1000 per neurocore, "
        "912 too few\n  help: split the layer's input into 2 groups, or choose a chip with a larger core.max_axons_in"
    )


def test_too_few_cores_name_the_layer_that_finds_no_room(chip: Chip) -> None:
    with pytest.raises(MappingError) as caught:
        map_graph(conv_net(), small(chip, max_neurons=32))

    assert str(caught.value) == (
        "layer 'n1', core 120: the net needs 257 neurocores; chip 'loihi2' has 120, 137 too few\n"
        "  help: choose a board with at least 257 cores: --chip kapoho-point, or make the layers smaller"
    )


def test_a_given_partition_is_used_and_checked(chip: Chip) -> None:
    graph = conv_net(layers=1)
    cores = {"n0": (np.arange(2048) % 3).astype(np.int32), "head": np.full(10, 3, np.int32)}

    program = map_graph(graph, chip, Fixed(cores))

    np.testing.assert_array_equal(program.population("n0").core, cores["n0"])
    with pytest.raises(MappingError, match="layer 'head': has no place in the partition"):
        map_graph(graph, chip, Fixed({"n0": cores["n0"]}))
    with pytest.raises(MappingError, match="layer 'no': is no layer of the net; there are n0, head"):
        map_graph(graph, chip, Fixed({**cores, "no": cores["head"]}))
    with pytest.raises(MappingError, match="the partition places 2047 neurons; the layer has 2048"):
        map_graph(graph, chip, Fixed({**cores, "n0": cores["n0"][1:]}))


@pytest.fixture(scope="module")
def few_cores() -> Chip:
    found = small(load_chip("loihi2"), max_neurons=2048)
    return replace(found, mesh=replace(found.mesh, usable_cores_per_chip=24))


def test_search_is_faster_than_balanced_and_repeats_by_its_seed(few_cores: Chip) -> None:
    graph = conv_net(side=12, channels=4, layers=3)
    x = events(graph, samples=2)
    balanced = Balanced(x)(graph, few_cores)
    found = [Search(x, seed=3, tries=25)(graph, few_cores) for _ in range(2)]

    drc.check(found[0], few_cores)
    before, after = run(balanced, few_cores, x), run(found[0], few_cores, x)
    np.testing.assert_array_equal(after.outputs, before.outputs)
    assert after.latency_ns.sum() < before.latency_ns.sum()
    assert after.latency_ns.sum() <= run(Vendor()(graph, few_cores), few_cores, x).latency_ns.sum()
    for a, b in zip(found[0].populations, found[1].populations, strict=True):
        np.testing.assert_array_equal(a.core, b.core)


def test_single_changes_start_from_a_cut_as_it_is_along_space_or_channels(few_cores: Chip) -> None:
    graph = conv_net(side=12, channels=4, layers=2)
    x = events(graph, samples=1)
    first = Balanced(x)(graph, few_cores)
    channel, column = np.indices((4, 12, 12))[[0, 2]]
    cores = {"n0": channel.ravel() // 2, "n1": 2 + column.ravel() // 4, "head": np.full(10, 5)}
    cut = map_graph(graph, few_cores, Fixed({name: value.astype(np.int32) for name, value in cores.items()}))
    climb = searching._Climb(graph, few_cores, x, first, monotonic() + 60, tries=10)

    plan = climb._as_cut(cut)

    assert plan == Plan((("n0",), ("n1",), ("head",)), (2, 3, 1), frozenset({"n0"}))


@pytest.mark.parametrize(("seconds", "taken"), [(31.0, 30.0), (61.0, 60.0), (70.0, 60.0), (100.0, 90.0)])
def test_a_search_begins_no_plan_that_would_outlast_its_time(
    seconds: float, taken: float, few_cores: Chip, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = conv_net(side=8, channels=4, layers=2)
    x, now = events(graph, samples=1), [0.0]
    real = searching.simulate

    def slow(*given: object, **how: object) -> object:
        now[0] += 30.0  # seconds that a plan takes
        return real(*given, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(searching, "simulate", slow)
    monkeypatch.setattr(searching.time, "monotonic", lambda: now[0])
    told: list[Diagnostic] = []

    drc.check(Search(x, seconds=seconds, tell=told.append)(graph, few_cores), few_cores)

    assert now[0] == taken
    assert f"ended by its {seconds:g} s after" in told[0].what


def test_an_interrupted_search_returns_the_best_so_far(few_cores: Chip, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = conv_net(side=8, channels=4, layers=2)
    x = events(graph, samples=1)
    measured = []
    real = searching.simulate

    def stop_at_the_third(*given: object, **how: object) -> object:
        measured.append(1)
        if len(measured) == 3:
            raise KeyboardInterrupt
        return real(*given, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(searching, "simulate", stop_at_the_third)
    told: list[Diagnostic] = []
    drc.check(Search(x, tell=told.append)(graph, few_cores), few_cores)
    assert [(one.code, one.severity) for one in told] == [("search-ended", "note")]
    assert "ended by ctrl-C after 1 of at most 400 plans; the best of them is kept" in told[0].what


def test_changes_keep_every_layer_and_core() -> None:
    plan = Plan((("a", "b"), ("c",), ("d", "e")), (4, 2, 6))
    changes = [*_moved_layers(plan), *_moved_core(plan, 2, 0)]
    assert len(set(changes)) == len(changes) > 5
    for change in changes:
        assert [name for stage in change.stages for name in stage] == ["a", "b", "c", "d", "e"]
        assert change.cores == 12
        assert all(change.shares)
        assert len(change.shares) == len(change.stages)
