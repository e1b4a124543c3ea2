"""Spike-driven self-attention: captured from torch, lowered exactly, equal on the backends; what has no lowering is named."""

from __future__ import annotations

import pytest
import torch
from captured_nets import T, agree, events
from torch import nn

from spikewright.export.onnx import net_agreement
from spikewright.models.attention.sdsa import PARTS, SpikeAttention, Variant
from spikewright.models.errors import ModelError
from spikewright.models.layers import Conv2d, Flatten, Linear, MaxPool2d
from spikewright.models.neurons import LIF
from spikewright.toolchain.blocks import sdsa as block
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples
from spikewright.toolchain.spike_driven import check_graph

C = 4


def captured(variant: Variant, heads: int = 1) -> Graph:
    torch.manual_seed(3)
    net = nn.Sequential(
        Conv2d(2, 8, 3, stride=2, padding=1),  # the embedding: strided, no pool
        LIF(0.5, 0.2),
        Conv2d(8, PARTS[variant] * C, 1),
        LIF(0.5, 0.1),
        SpikeAttention(LIF(0.5, 1.0), C, variant=variant, heads=heads),
        Flatten(),
        Linear(C * 9, 5),
        LIF(0.5, 0.1),
    )
    return from_nir(agree(net, events(2, 6, 6)))


def deployed(variant: Variant) -> Deployment:
    samples = Samples(events(2, 6, 6).numpy(), None, "random", simulated=True)
    return deploy_graph(captured(variant), Options(), lambda: samples, name=variant, samples=lambda: samples)


@pytest.mark.parametrize("variant", ["channel", "token"])
def test_it_is_spike_driven_as_published_and_equal_on_the_backends(variant: Variant) -> None:
    graph = captured(variant)
    as_trained = check_graph(graph, input_kind="binary", payload_bits=8)
    made = deployed(variant)

    assert isinstance(graph["4"], block.SpikeAttention)
    assert as_trained.spike_driven
    assert {row.name: row.cost_class for row in as_trained.blocks}["4"] == "A"
    assert made.strategies == {"4": "causal"}
    assert made.check().spike_driven
    compared = made.compare(backends=("interpreter", "hw_sim"))
    assert compared.equal
    assert made.run_float(events(2, 6, 6).numpy()).any()
    assert net_agreement(graph, events(2, 6, 6).numpy(), precision="float64").differing == 0


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.parametrize("variant", ["channel", "token"])
def test_lava_sends_the_same_spikes(variant: Variant) -> None:
    assert deployed(variant).compare(backends=("interpreter", "lava"), limit=1).equal


def test_the_product_is_refused_with_its_number_of_coincidence_neurons() -> None:
    graph = captured("product", heads=2)
    samples = Samples(events(2, 6, 6).numpy(), None, "random", simulated=True)

    (found,) = check_graph(graph, input_kind="binary", payload_bits=8).violations
    assert "k^T v needs 72 coincidence neurons" in str(found.violation)
    assert net_agreement(graph, samples.x, precision="float64").differing == 0
    with pytest.raises(GateLoweringError, match="k\\^T v needs 72 coincidence neurons"):
        deploy_graph(graph, Options(), lambda: samples, name="product")


def test_a_max_pool_of_currents_in_the_embedding_is_a_violation() -> None:
    net = nn.Sequential(Conv2d(2, 4, 3, padding=1), MaxPool2d(2), LIF(0.5, 0.2), Flatten(), Linear(36, 3))
    graph = from_nir(agree(net, events(2, 6, 6)))

    found = check_graph(graph, input_kind="binary", payload_bits=8).violations

    assert any("MaxPool" in str(row.violation) for row in found)


def test_options_and_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match="heads 3 of 4 channels"):
        SpikeAttention(LIF(0.5, 1.0), 4, heads=3)
    with pytest.raises(ModelError, match=r"expected \(T, B, 12, H, W\)"):
        SpikeAttention(LIF(0.5, 1.0), 4)(torch.zeros(T, 1, 8, 3, 3))
