"""Capture of gated attention coding: both variants, with equal payloads; on a host, in ONNX, and refused on events."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captured_nets import T, agree, events
from torch import nn

from spikewright.export.onnx import agreement, host_model
from spikewright.models.attention.gac import GAC, GatedAttentionCoding
from spikewright.models.layers import Conv2d, Flatten, Linear
from spikewright.models.neurons import LIF
from spikewright.toolchain.blocks import gac as block
from spikewright.toolchain.deployment import Options, Samples
from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.integer import IntInput
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.spike_driven import check_graph


def captured(variant: str) -> Graph:
    torch.manual_seed(0)
    encoder = GAC(LIF(0.5, 0.1), T, 4, kernel=4, variant=variant)  # type: ignore[arg-type]
    if variant == "causal":
        encoder.ta.data = torch.linspace(0.5, 2, T)
    net = nn.Sequential(Conv2d(2, 4, 3, padding=1), encoder, Flatten(), Linear(4 * 36, 5), LIF(0.5, 0.1), Linear(5, 3))
    return from_nir(agree(net, events(2, 6, 6)))


def images() -> Samples:
    frame = np.random.default_rng(0).random((1, 6, 2, 6, 6)).astype(np.float32)
    return Samples(np.repeat(frame, T, axis=0), None, "random", simulated=True)


@pytest.mark.parametrize("variant", ["code", "causal"])
def test_both_variants_run_on_the_host_in_front_of_the_first_spike(variant: str) -> None:
    graph = captured(variant)

    made = deploy_graph(graph, Options(gates="host"), images(), name="gac", samples=images())

    assert isinstance(graph["1"], block.GAC)
    assert graph["1"].variant == variant
    assert made.strategies == {"1": "host"}
    assert made.host is not None
    scale = next(op for op in made.integer if isinstance(op, IntInput)).scale
    assert agreement(host_model(made.host.graph, scale), made, images().x).off_by_more == 0


def test_the_causal_variant_looks_at_no_later_step_but_is_dense_on_the_chip() -> None:
    frames = check_graph(captured("causal"), input_kind="dense", still=False, strategies={"1": "host"}, payload_bits=8)
    events_in = check_graph(captured("causal"), input_kind="binary", payload_bits=8)

    assert frames.spike_driven
    (found,) = events_in.violations
    assert (found.name, found.family, found.causal, found.cost_class) == ("1", "gac", True, "D")
    assert "computes its gate on the chip" in str(found.violation)


@pytest.mark.parametrize("variant", ["code", "causal"])
def test_on_events_the_host_computes_it(variant: str) -> None:
    x = events(2, 6, 6).numpy()

    made = deploy_graph(
        captured(variant), Options(gates="auto"), Samples(x, None, "random", simulated=True), name="gac"
    )

    assert made.host is not None
    assert made.strategies == {"1": "host"}
    assert made.compare(x, backends=("interpreter", "hw_sim")).equal


def test_the_name_it_had_is_kept() -> None:
    assert GatedAttentionCoding is GAC
