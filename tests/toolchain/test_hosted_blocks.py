"""Attention in front of the first spike, computed by the host: any block with its neuron, on images and on events."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from checked_nets import attention, conv, gac, lif, net
from lowered_blocks import events, taken

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.blocks.ma import MAAttention
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.lowerings import SHAPE, T, net_of, variants
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples

FIRST = ("gac code", "gac causal", "ma code TCS", "ma paper TCS", "ma paper CS", "ma causal TCS", "staa reconstruction",
         "staa causal")  # fmt: skip


def images(still: bool = True, samples: int = 3) -> Samples:
    x = np.random.default_rng(1).random((1 if still else T, samples, 2, *SHAPE[1:]))
    return Samples(np.repeat(x, T if still else 1, axis=0).astype(np.float32), None, "random")


def block_called(name: str) -> AttentionBlock:
    strategies = ("host", "replay", "barrier", "causal")
    return next(taken(strategy)[name] for strategy in strategies if name in taken(strategy))


def taken_alone(dims: str) -> MAAttention:
    made = dict(variants(MAAttention))[dims]
    assert isinstance(made, MAAttention)
    return made


def deployed(name: str, data: Samples, gates: str) -> Deployment:
    return deploy_graph(
        net_of(block_called(name)), Options(gates=gates, mapping="greedy"), data, name="net", samples=data
    )


@pytest.mark.parametrize("name", FIRST)
def test_the_first_neurons_of_a_net_on_images_may_have_any_attention(name: str) -> None:
    data = images()

    made = deployed(name, data, "auto")

    assert made.strategies == {"block": "host"}
    assert made.host is not None
    assert made.host.boundary == "block"
    assert made.compare().equal
    sent = made.host.graph["block"]
    assert isinstance(sent, AttentionBlock)
    check = made.check()
    assert check.spike_driven, check.text()
    (block,) = [b for b in check.verdict.blocks if b.name == "block"]
    assert (block.where, block.cost_class) == ("host", "D")


@pytest.mark.parametrize("name", FIRST)
def test_on_events_a_host_that_is_asked_for_computes_frame_by_frame_and_waits_only_for_gates_that_look_ahead(
    name: str,
) -> None:
    made = deployed(name, events(4), "host")

    assert made.compare().equal
    check = made.check()
    late = name in ("gac code", "ma code TCS", "ma paper TCS", "staa reconstruction")
    assert check.spike_driven is not late, check.text()
    assert [b.causal for b in check.verdict.violations] == [False] * late


@pytest.mark.parametrize("dims", ["T", "CS"])
def test_attention_without_a_neuron_that_gates_currents_of_an_image_is_computed_by_the_host(dims: str) -> None:
    block = taken_alone(dims)
    data, moving = images(), images(still=False)

    made = deploy_graph(net_of(block), Options(mapping="greedy"), data, name="net", samples=data)

    assert made.strategies == {"block": "host"}
    assert made.host is not None
    assert made.host.boundary == "after"
    assert made.compare().equal
    check = made.check()
    assert check.ok, check.text()
    (row,) = [b for b in check.verdict.blocks if b.name == "block"]
    assert (row.where, row.cost_class, row.macs_per_step) == ("host", "D", block.macs_per_step)
    late = deploy_graph(net_of(block), Options(mapping="greedy"), moving, name="net", samples=moving).check()
    assert [b.causal for b in late.verdict.violations] == [False]


def test_encoders_that_stand_behind_spikes_are_refused_before_any_data_is_read() -> None:
    def read() -> Samples:
        raise AssertionError("data was read")

    coding = next(op for op in gac() if isinstance(op, AttentionBlock))
    behind = net(conv("c0", "in", 4, 1), lif("l0", "c0"), conv("c1", "l0", 4, 4), replace(coding, inputs=("c1",)))
    for graph, gates in ((behind, "auto"), (behind, "host")):
        with pytest.raises(GateLoweringError, match="the block stands behind the first spike; only blocks in front"):
            deploy_graph(graph, Options(gates=gates), read, name="net")
    second = replace(attention("causal", "T"), inputs=("c1",))
    late = net(conv("c0", "in", 4, 1), lif("l0", "c0"), conv("c1", "l0", 4, 4), second)
    with pytest.raises(GateLoweringError, match="cannot be lowered by 'host': the block stands behind"):
        deploy_graph(late, Options(gates="ma=host"), read, name="net")
