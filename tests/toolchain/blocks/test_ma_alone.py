"""MA attention without a neuron, behind the first spike: rectified relays with gates of its own; on a residual stream too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from lowered_blocks import events

import spikewright as sw
from spikewright.models.nets.ms_resnet import ms_resnet_imagenet
from spikewright.toolchain.blocks.ma import DIMS, MAAttention
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.lowerings import net_of, variants
from spikewright.toolchain.ops import Add, Conv, GatedRelay
from spikewright.toolchain.options import Options
from spikewright.toolchain.passes.base import in_place
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples


def net(dims: str, rectifier: str = "relu", *, residual: bool = False) -> Graph:
    """Return events - conv - neuron - conv with a bias - attention [+ the spikes in front] - neuron - 3 answers."""
    made = dict(variants(MAAttention))[dims]
    rng = np.random.default_rng(3)
    block = replace(
        made, rectifier=rectifier, gate="sigmoid", parameters={k: 3 * w for k, w in made.parameters.items()}
    )
    graph = net_of(block, hosted=False)
    mixed = graph["mixed"]
    assert isinstance(mixed, Conv)
    graph = graph.replace((mixed,), replace(mixed, bias=rng.normal(size=len(mixed.weight))))
    if not residual:
        return graph
    total = Add(name="total", inputs=("block", "spikes"))
    graph = in_place(graph, graph["block"], [graph["block"], total])
    return graph.replace((graph["after"],), replace(graph["after"], inputs=("total",)))


def deployed(graph: Graph, gates: str, data: Samples | None = None) -> Deployment:
    data = events(3) if data is None else data
    return deploy_graph(graph, Options(gates=gates, mapping="greedy"), data, name="net", samples=data)


@pytest.mark.parametrize("rectifier", ["relu", "none"])
@pytest.mark.parametrize("dims", DIMS)
def test_constant_gates_of_one_sample_are_that_samples_own_and_all_backends_agree(dims: str, rectifier: str) -> None:
    graph, data = net(dims, rectifier, residual=True), events(3, samples=1)

    made = deployed(graph, "static", data)

    captured, lowered = (run_float(one, data.x.astype(float)) for one in (made.captured, made.lowered))
    np.testing.assert_array_equal(captured["after"], lowered["after"])
    assert captured["after"].any()
    relays = [op for op in made.lowered if isinstance(op, GatedRelay)]
    assert len(relays) == (1 if rectifier == "relu" else 2)
    assert made.compare().equal
    check = made.check()
    assert check.faithful is not None
    assert check.faithful.ok, str(check.faithful)
    assert check.spike_driven, check.text()
    (row,) = {b.cost_class for b in check.verdict.blocks if b.name == "block"}
    assert row == "C"


@pytest.mark.parametrize("dims", ["T", "CS", "TCS"])
def test_replayed_gates_are_exact(dims: str) -> None:
    made = deployed(net(dims), "replay")

    assert made.compare().equal
    assert not [record for record in made.passes if record.check == "drift" and record.name != "quantize"]
    assert not made.check().spike_driven  # exact offline only


@pytest.mark.parametrize(
    ("dims", "reason"),
    [
        ("T", "its temporal gate needs all T steps"),
        ("CS", "its channel and spatial gates pool over all T steps, of which most have not arrived"),
    ],
)
def test_gates_from_earlier_events_are_refused_with_what_they_need(dims: str, reason: str) -> None:
    with pytest.raises(GateLoweringError, match=reason):
        deployed(net(dims), "causal")


def test_a_neuron_that_sends_another_payload_is_found_by_the_audit() -> None:
    made = deployed(net("CS"), "static")
    (block,) = [p for p in made.program.populations if p.name == "block"]
    wrong = replace(block.soma, spacing=block.soma.spacing * 2)  # type: ignore[call-arg, attr-defined]
    program = replace(
        made.program,
        populations=tuple(replace(p, soma=wrong) if p is block else p for p in made.program.populations),
    )

    check = replace(made, program=program).check()

    assert not check.ok


def published() -> tuple[torch.nn.Module, torch.Tensor]:
    """Return Att-MS-ResNet-18 in little, drawn, with batch norms that hold what an image shows, and the image."""
    torch.manual_seed(0)
    net, x = ms_resnet_imagenet(18, 1, side=64, width=0.125, classes=10), torch.randn(1, 1, 3, 64, 64)
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = None  # type: ignore[assignment]
    with torch.no_grad():
        net.train()(x)
    return net.eval(), x


@pytest.mark.parametrize("streams", ["relay", pytest.param("distribute", marks=pytest.mark.slow)])
def test_attention_in_front_of_the_sum_of_a_residual_stream_runs_as_published(streams: str) -> None:
    net, x = published()

    made = sw.deploy(net, x, gates="static", streams=streams, chip="kapoho-point", mapping="greedy")

    assert sum(isinstance(op, GatedRelay) for op in made.lowered) == 8
    assert made.compare().equal
    (note,) = [one for one in made.diagnostics if one.code == "current-sent"]
    assert "'stem.1'" in note.what
    faithful = made.check().faithful
    assert faithful is not None
    assert faithful.ok


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.parametrize(("rectifier", "gates"), [("relu", "static"), ("none", "static"), ("relu", "replay")])
def test_lava_agrees(rectifier: str, gates: str) -> None:
    made = deployed(net("TCS", rectifier, residual=True), gates)

    assert made.compare(backends=("interpreter", "lava"), limit=1).equal
