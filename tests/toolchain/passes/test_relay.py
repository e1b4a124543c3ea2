"""Residual streams by relays: the same numbers, on every backend, and taken where they cost less and are sparse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from random_nets import random_net
from residual_nets import lif, stream

import spikewright as sw
from spikewright.hw_sim import Relay as RelaySoma
from spikewright.hw_sim.chip import Chip, load_chip
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.exploration import explore
from spikewright.toolchain.integer import IntNeuron
from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.limits import DENSE_FROM, DENSE_PRICE
from spikewright.toolchain.mapping.partition import cores_used
from spikewright.toolchain.ops import Add, Affine, Array, Conv, Input, Lif, Output, Relay, SumPool
from spikewright.toolchain.options import Options
from spikewright.toolchain.passes.normal_form import NormalForm
from spikewright.toolchain.passes.relay import Relays
from spikewright.toolchain.passes.streams import Streams, measured, sums
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples

LOIHI2 = load_chip("loihi2")


@pytest.mark.parametrize("seed", range(4))
def test_relays_change_no_number(seed: int) -> None:
    graph, x = stream(seed, blocks=4)
    found = sums(graph)

    after = Relays(sums=found)(graph)
    merged = NormalForm("all")(after)

    assert found == ("0.sum", "1.sum", "2.sum")  # the last sum is read once, by a neuron
    for changed in (after, merged):
        assert [op.name for op in changed if isinstance(op, Relay)] == list(found)
        for name in ("0.lif", "1.lif", "2.lif", "3.lif", "end"):
            np.testing.assert_array_equal(run_float(changed, x)[name], run_float(graph, x)[name])
        assert run_float(changed, x)["end"].any()


def deployed(graph: Graph, x: Array, streams: str) -> Deployment:
    return sw.deploy(graph, x, streams=streams)


@pytest.mark.parametrize("seed", range(3))
def test_a_net_with_relays_is_equal_on_interpreter_and_machine_and_says_how_dense_they_are(seed: int) -> None:
    graph, x = stream(seed, blocks=3)

    made = deployed(graph, x, "relay")

    relays = [p for p in made.program.populations if isinstance(p.soma, RelaySoma)]
    assert [p.name for p in relays] == ["0.sum", "1.sum"]
    assert made.compare(backends=("interpreter", "hw_sim")).equal
    (note,) = [d for d in made.diagnostics if d.code == "relays"]
    assert "2 of 2 sums travel by relays" in note.what
    verdict = made.check().verdict
    shown = {stream.name: stream.density for block in verdict.blocks for stream in block.streams}
    assert all(0 < shown[p.name] <= 1 for p in relays)
    assert verdict.spike_driven == all(shown[p.name] < 0.95 for p in relays)
    faithful = made.check().faithful
    assert faithful is not None
    assert faithful.ok


@pytest.mark.lava
@pytest.mark.slow
def test_relays_are_equal_in_lava() -> None:
    graph, x = stream(0, blocks=3)
    assert deployed(graph, x[:, :2], "relay").compare(backends=("interpreter", "hw_sim", "lava")).equal


@pytest.mark.parametrize("streams", ["relay", "distribute"])
def test_a_net_without_streams_has_no_way_to_choose_for_them(streams: str) -> None:
    graph, x = random_net(3)

    with pytest.raises(InputError, match="there is no residual stream of membranes") as refusal:
        deployed(graph, x, streams)

    assert refusal.value.where == "--streams"


def weighed(density: float, *, blocks: int = 8, channels: int = 12, chip: Chip = LOIHI2) -> Streams:
    """Return a stream whose sums all send from so many of their neurons."""
    graph, x = stream(0, blocks, channels)
    found = sums(graph)
    return Streams(graph, found, {**measured(graph, found, x), **dict.fromkeys(found, density)}, chip)


def with_axons(axons: int, *, cores: int | None = None) -> Chip:
    """Return a chip whose cores take few axons."""
    chip = replace(LOIHI2, core=replace(LOIHI2.core, max_axons_in=axons))
    return chip if cores is None else replace(chip, mesh=replace(chip.mesh, usable_cores_per_chip=cores))


def test_long_streams_of_many_channels_are_relayed_and_short_ones_are_distributed() -> None:
    for blocks, channels, relayed in ((8, 12, True), (2, 1, False)):
        relays, (note,) = weighed(0.3, blocks=blocks, channels=channels).choice("auto")

        assert (len(relays) > 0) == relayed
        assert note.code == ("relays" if relayed else "distributed")
        assert note.what.count("an estimated") == 2
        assert note.what.count("uJ a step") == note.what.count(" cores") == 2


@pytest.mark.parametrize(("density", "taken"), [(0.05, True), (0.3, True), (DENSE_FROM, False), (1.0, False)])
def test_auto_takes_a_relay_the_sooner_the_sparser_it_is(density: float, taken: bool) -> None:
    streams = weighed(density)
    relays, (note,) = streams.choice("auto")

    assert bool(relays) == taken
    assert ("travel by relays" if taken else f"but be dense ({density:.2f} to {density:.2f})") in note.what
    assert streams.cost(relays).rank == min(streams.cost(chosen).rank for chosen in ((), streams.candidates, relays))


def test_auto_stays_event_driven_where_the_chip_has_room_for_that_and_says_what_dense_relays_would_take() -> None:
    few = weighed(1.0, chip=with_axons(256, cores=1000))
    apart, relayed = few.cost(()), few.cost(few.candidates)
    assert apart.fits
    assert apart.energy * apart.cores > DENSE_PRICE * relayed.energy * relayed.cores  # many times as dear

    relays, (note,) = few.choice("auto")

    assert relays == ()
    assert note.code == "distributed"
    for cost in (apart, relayed):
        assert str(cost) in note.what
    assert "but be dense (1.00 to 1.00): no event-driven stream" in note.what


def test_auto_keeps_the_sparse_relays_where_others_are_dense() -> None:
    mixed = weighed(0.1, chip=with_axons(256))
    loud = mixed.candidates[-1]
    mixed = replace(mixed, rates={**mixed.rates, loud: 1.0}, known={})

    relays, (note,) = mixed.choice("auto")

    assert relays
    assert loud not in relays
    assert note.code == "relays"
    assert not mixed.cost(relays).dense


def test_auto_takes_dense_relays_where_the_chip_has_no_room_for_anything_else() -> None:
    roomy = weighed(1.0, blocks=4, channels=6, chip=with_axons(512))
    assert roomy.choice("auto")[0] == ()
    cores = roomy.cost(()).cores - 1
    assert roomy.cost(roomy.candidates).cores <= cores

    relays, (note,) = weighed(1.0, blocks=4, channels=6, chip=with_axons(512, cores=cores)).choice("auto")

    assert relays
    assert f"{cores + 1:,} cores, of which 'loihi2' has {cores:,}" in note.what
    assert f"`check` calls {len(relays)} of them dense, with 0.95 or more" in note.what
    assert (
        note.help
        == f"--streams distribute leaves no relay, and a board with {cores + 1:,} cores has room for that (--chip)"
    )


@pytest.mark.parametrize("streams", ["distribute", "relay"])
def test_the_estimate_of_cores_is_near_what_mapping_takes_where_axons_are_short(streams: str) -> None:
    graph, x = stream(0, 4, 12)
    found, chip = sums(graph), with_axons(600)
    estimate = Streams(graph, found, measured(graph, found, x), chip).cores(found if streams == "relay" else ())

    data = Samples(x.astype(np.float32), None, "random")
    made = deploy_graph(graph, Options(streams=streams, mapping="greedy"), data, name="net", chip=chip)

    assert estimate / 1.5 <= cores_used(made.program) <= 4 * estimate


def test_a_constant_that_padding_would_cut_is_left_where_it_is() -> None:
    graph, _ = stream(0)
    padded = replace(graph["1.short"], weight=np.ones((4, 4, 3, 3)), padding=(1, 1))
    assert sums(graph) == ("0.sum",)
    assert sums(graph.replace((graph["1.short"],), padded)) == ()


def test_a_stream_of_vectors_is_relayed_too(rng: np.random.Generator) -> None:
    n = 5
    maps = {name: rng.normal(size=(n, n)) for name in ("a", "b")}
    graph = Graph(
        (
            Input(name="in", shape=(n,)),
            Affine(name="a", inputs=("in",), weight=maps["a"], bias=rng.normal(size=n)),
            lif("l", "a", (n,)),
            Affine(name="b", inputs=("l",), weight=maps["b"], bias=rng.normal(size=n)),
            Add(name="sum", inputs=("b", "in")),
            lif("m", "sum", (n,)),
            Affine(name="c", inputs=("sum",), weight=maps["a"], bias=None),
            Add(name="end", inputs=("c", "m")),
            lif("o", "end", (n,)),
            Output(name="out", inputs=("o",)),
        ),
        timesteps=5,
    )
    x = (rng.random((5, 4, n)) < 0.5).astype(np.float64)
    after = Relays(sums=sums(graph))(graph)
    np.testing.assert_array_equal(run_float(after, x)["o"], run_float(graph, x)["o"])
    assert deployed(graph, x, "relay").compare(backends=("interpreter", "hw_sim")).equal


def test_a_map_of_ones_behind_a_relay_is_no_identity_whatever_its_name(rng: np.random.Generator) -> None:
    n = 4
    graph = Graph(
        (
            Input(name="in", shape=(n,)),
            Affine(name="a", inputs=("in",), weight=rng.normal(size=(n, n))),
            Add(name="sum", inputs=("a", "in")),
            Affine(name="sum.constant", inputs=("sum",), weight=np.ones((n, n))),
            lif("m", "sum", (n,)),
            Add(name="next", inputs=("sum.constant", "m")),
            Affine(name="c", inputs=("next",), weight=rng.normal(size=(n, n))),
            lif("o", "c", (n,)),
            Output(name="out", inputs=("o",)),
        ),
        timesteps=3,
    )
    x = (rng.random((3, 2, n)) < 0.5).astype(np.float64)
    after = Relays(sums=sums(graph))(graph)
    assert sum(isinstance(op, Relay) for op in after) == 2
    np.testing.assert_allclose(run_float(after, x)["c"], run_float(graph, x)["c"])


def test_a_payload_beyond_its_bits_is_clipped_alike_everywhere_and_said() -> None:
    graph, x = stream(0, blocks=3)
    made = deployed(graph, x, "relay")
    relay = made.integer["0.sum"]
    assert isinstance(relay, IntNeuron)
    assert isinstance(relay.soma, RelaySoma)
    small = replace(relay, soma=replace(relay.soma, payload_bits=3))
    program = replace(
        made.program,
        populations=tuple(replace(p, soma=small.soma) if p.name == "0.sum" else p for p in made.program.populations),
    )
    changed = replace(made, integer=made.integer.map(lambda op: small if op is relay else op), program=program)

    found = changed.compare(backends=("interpreter", "hw_sim"))
    said = [str(d) for d in changed.run(backend="hw_sim").diagnostics]

    assert found.equal
    assert any("'0.sum'" in line and "clip" in line for line in said)
    assert any("'0.sum'" in str(d) for d in changed.run(backend="interpreter").diagnostics)


def test_explore_varies_how_streams_travel(tmp_path: Path) -> None:
    graph, x = stream(0, blocks=3)
    data = Samples(x.astype(np.float32), None, "random")
    axes = {"streams": ("distribute", "relay")}

    table = explore(graph, axes=axes, calibration=data, samples=data, out=tmp_path / "explored")

    assert [row["streams"] for row in table.to_dict()["rows"]] == ["distribute", "relay"]
    apart, relayed = (row["sops_graded"] for row in table.to_dict()["rows"])
    assert apart == 0 < relayed


def test_a_stream_that_no_relay_can_send_is_distributed_and_refused_as_a_relay() -> None:
    """A padded pool of a bias: what it adds differs at the border, and no relay sends a constant."""
    rng = np.random.default_rng(0)
    graph = Graph(
        (
            Input(name="in", shape=(2, 5, 5)),
            Conv(name="stem", inputs=("in",), weight=rng.normal(size=(3, 2, 3, 3)), bias=np.ones(3), padding=(1, 1)),
            Lif(name="first", inputs=("stem",), shape=(3, 5, 5), beta=np.array(0.5), v_threshold=np.array(0.8)),
            Conv(name="conv", inputs=("first",), weight=rng.normal(size=(3, 3, 3, 3)), padding=(1, 1)),
            SumPool(name="pool", inputs=("stem",), kernel=(3, 3), stride=(1, 1), padding=(1, 1), scale=1 / 9),
            Add(name="sum", inputs=("conv", "pool")),
            Conv(name="mixed", inputs=("sum",), weight=rng.normal(size=(3, 3, 1, 1))),
            Lif(name="last", inputs=("mixed",), shape=(3, 5, 5), beta=np.array(0.5), v_threshold=np.array(0.8)),
            Affine(name="fc", inputs=("last",), weight=rng.normal(size=(3, 75))),
            Output(name="out", inputs=("fc",)),
        ),
        timesteps=3,
    )
    x = (rng.random((3, 4, 2, 5, 5)) < 0.4).astype(np.float32)

    assert deployed(graph, x, "distribute").compare(backends=("interpreter", "hw_sim")).equal
    with pytest.raises(InputError, match="no relay can send 'stem' or another sum of") as refusal:
        deployed(graph, x, "relay")

    assert refusal.value.help == "deploy with --streams distribute (or auto)"
