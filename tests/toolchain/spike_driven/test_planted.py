"""The checker judges what runs: faults planted behind the passes are found at their op, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from checked_nets import conv, gac, lif, net
from example_counts import examples
from golden_nets import NETS, golden_deployment
from hypothesis import given
from lowered_blocks import lowered, taken, with_weights
from planted import GATED, STATIC, WRONG_NET, Planted, changed, other_pool
from random_nets import random_net, seeds
from zoo_nets import deployed, gates_of

from spikewright.models import zoo
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import ToolchainError
from spikewright.toolchain.integer import IntConnection
from spikewright.toolchain.ops import Add, Conv
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples
from spikewright.toolchain.spike_driven.deployed import verdict_of

SPIKES_ALONE = {"sdsa": "spike-attention channel", "qk": "spike-attention token", "sda": "ma sda TCS"}
"""Families whose gates are spikes, with their blocks."""
FAMILIES = ("ma", "gac", "tcja", "staa", *SPIKES_ALONE)
STRATEGIES = {"replay": ("ma code TCS", 3), "barrier": ("ma paper CS", 7)}
"""Lowerings that are no events, with a net and its seed."""
Plant = Callable[[Deployment], Planted]


@cache
def sound(family: str) -> Deployment:
    """Return a small net of a family in which events happen."""
    if family in STRATEGIES:
        name, seed = STRATEGIES[family]
        return lowered(with_weights(taken(family)[name], seed), family, seed)
    if family in SPIKES_ALONE:
        return lowered(with_weights(taken("causal")[SPIKES_ALONE[family]], 1), "causal")
    if family != "gac":
        return golden_deployment(family)
    x = np.repeat(np.random.default_rng(0).random((1, 3, 1, 8, 8)), 8, axis=0).astype(np.float32)
    return deploy_graph(
        gac(), Options(gates="host"), Samples(x, None, "random"), name="gac", samples=Samples(x, None, "random")
    )


@pytest.mark.parametrize("family", [*NETS, "gac with events", *SPIKES_ALONE])
def test_a_net_that_is_sound_has_no_fault(family: str) -> None:
    check = sound("gac" if family == "gac with events" else family).check()

    assert check.ok
    assert check.faithful is not None
    assert check.faithful.faults == ()
    assert sum(layer.values for layer in check.faithful.layers) > 0
    assert check.text().count("as trained: ") == 1


@pytest.mark.parametrize("plant", STATIC, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_not_spike_driven_is_a_violation_of_its_block(family: str, plant: Plant) -> None:
    made, names = plant(sound(family))

    verdict = verdict_of(made)

    blamed = {name for name in names for b in verdict.violations if repr(name) in str(b.violation) and name in b.ops}
    assert blamed == names
    assert len(verdict.violations) == 1
    assert not verdict.spike_driven


@pytest.mark.parametrize("plant", WRONG_NET, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("family", [*FAMILIES, *STRATEGIES])
def test_another_net_than_the_captured_one_is_found_in_its_layer(family: str, plant: Plant) -> None:
    made, names = plant(sound(family))

    check = made.check()

    assert check.faithful is not None
    assert not check.ok
    assert any(repr(name) in check.faithful.faults[0] for name in names)
    assert check.faithful.text().startswith("NOT the captured net: ")


@pytest.mark.slow
@pytest.mark.parametrize("family", SPIKES_ALONE)
def test_other_weights_anywhere_in_gates_of_spikes_are_found_at_their_op(family: str) -> None:
    made = sound(family)
    inside = [op for op in made.integer if isinstance(op, IntConnection) and op.block == "block"]
    for op in inside[:: max(1, len(inside) // 5)]:
        turned = op.synapses.with_weights(-op.synapses.weights)

        found = changed(made, op.name, synapses=turned).check()

        assert found.faithful is not None
        assert not found.ok, op.name
        names = (op.name, made.integer.readers[op.name][0].name)
        assert any(repr(name) in found.faithful.faults[0] for name in names), found.faithful.faults
    assert len(inside) >= 3


@pytest.mark.parametrize("plant", GATED, ids=lambda plant: plant.__name__)
def test_gates_of_another_net_are_found_in_the_layer_that_they_gate(plant: Plant) -> None:
    made, names = plant(sound("barrier" if plant is other_pool else "replay"))

    found = made.check().faithful

    assert found is not None
    assert not found.ok
    assert any(repr(name) in found.faults[0] for name in names), found.faults


@examples(8)
@given(seed=seeds)
def test_random_nets_have_no_fault(seed: int) -> None:
    graph, x = random_net(seed)
    samples = Samples(x[:, :2].astype(np.float32), None, "random")
    try:
        made = deploy_graph(graph, Options(mapping="vendor"), samples, name="net", samples=samples)
    except ToolchainError:
        return  # nets that no chip holds

    check = made.check()

    assert check.faithful is not None
    assert check.faithful.faults == ()
    assert check.spike_driven


def off_ties(name: str, reads: str, out: int, inside: int, kernel: int = 3) -> Conv:
    """Return a convolution no sum of whose weights is a threshold, which another order of adding would reach or miss."""
    made = conv(name, reads, out, inside, kernel)
    return replace(made, weight=0.9 * made.weight)


def test_a_composed_shortcut_is_spike_driven_whatever_the_captured_net_was() -> None:
    """W (B s + C t) = (W B) s + (W C) t: the captured net's convolution of a membrane is gone from what runs."""
    shortcut = off_ties("shortcut", "add", 4, 4, 1)
    front = (off_ties("stem", "in", 4, 1), lif("lif0", "stem"), off_ties("conv1", "lif0", 4, 4), lif("lif1", "conv1"))
    sums = (off_ties("conv2", "lif1", 4, 4), Add(name="add", inputs=("conv2", "conv1")), lif("lif2", "add"))
    captured = net(*front, *sums, off_ties("conv3", "lif2", 4, 4), shortcut, Add(name="join", inputs=("conv3", "shortcut")),
                   lif("lif3", "join"))  # fmt: skip
    made = {op.name: op for op in captured}
    composed = []
    for name in ("conv2", "conv1"):
        op = made[name]
        assert isinstance(op, Conv)
        weight = np.einsum("om,mihw->oihw", shortcut.weight[:, :, 0, 0], op.weight)
        composed.append(replace(op, name=f"shortcut.{name}", block="shortcut", weight=weight))
    join = Add(name="join", inputs=("conv3", *(op.name for op in composed)))
    rewritten = net(*front, *sums, off_ties("conv3", "lif2", 4, 4), *composed, join, lif("lif3", "join"))
    x = (np.random.default_rng(1).random((8, 3, 1, 8, 8)) < 0.3).astype(np.float32)
    samples = Samples(x, None, "random")
    deployment = replace(deploy_graph(rewritten, Options(), samples, name="net", samples=samples), captured=captured)

    check = deployment.check()

    assert check.trained is not None
    assert [b.name for b in check.trained.violations] == ["shortcut"]
    assert check.ok
    assert {block.cost_class for block in check.verdict.blocks} == {"A"}
    assert "as trained: NOT spike-driven: 1 violation" in check.text()


def test_a_graded_stream_of_a_message_from_every_neuron_in_every_step_is_dense_and_printed_with_its_density() -> None:
    made = sound("gac")
    assert made.host is not None
    shape = made.integer.input.shape
    always = made.host.graph.map(
        lambda op: replace(op, neuron=replace(op.neuron, v_threshold=np.full((), -1e9))) if op.name == "encoder" else op  # type: ignore[attr-defined]
    )
    check = replace(made, host=replace(made.host, graph=always)).check()

    (violation,) = check.verdict.violations
    assert violation.name == "encoder"
    assert "1.00 payloads a neuron and step of 'encoder': a value in every step" in str(violation.violation)
    assert violation.macs_per_step > int(np.prod(shape))
    rows = [line.split() for line in check.text().splitlines() if line.startswith("encoder")]
    assert "1.00" in rows[0]
    assert not made.check().verdict.violations


def test_a_lowered_net_that_answers_otherwise_than_the_captured_one_is_no_witness() -> None:
    made = sound("staa")
    lowered = made.lowered.map(lambda op: replace(op, weight=3 * op.weight) if op.name == "fc" else op)  # type: ignore[attr-defined]

    found = replace(made, lowered=lowered).check().faithful

    assert found is not None
    assert "the lowered net answers 2 of 2 samples otherwise than the captured one" in found.text()


SOUND = (
    "ma-digits", "gac-digits", "tcja-digits", "staa-digits", "sdsa-digits", "qk-digits", "ma-fashion",
    "staa-fashion-published", "tcja-nmnist",
)  # fmt: skip
"""Nets of the zoo, some of each family and data set: the whole zoo takes ten minutes."""


@pytest.mark.slow
@pytest.mark.parametrize("name", SOUND)
def test_no_net_of_the_zoo_raises_a_false_alarm(name: str, request: pytest.FixtureRequest) -> None:
    data: Path | None = None if zoo.card(name).dataset == "digits" else request.getfixturevalue("data_dir")
    for gates in dict.fromkeys((gates_of(name), "static", "host")):
        try:
            made = deployed(name, gates, data)
        except ToolchainError:
            continue  # refused: another strategy takes it

        check = made.check()

        assert check.ok, check.text()
