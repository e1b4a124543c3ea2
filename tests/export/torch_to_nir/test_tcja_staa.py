"""Capture of TCJA and STAA-style layers: every form, with equal spikes and payloads; and of adaptive neurons."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from captured_nets import T, agree, events, trained
from torch import nn

from spikewright.models.attention.staa import STAALIF
from spikewright.models.attention.tcja import TCJA
from spikewright.models.layers import Conv2d, Flatten, Linear, MaxPool2d
from spikewright.models.nets.small import SmallNet
from spikewright.models.neurons import AdaptiveLIF, lif
from spikewright.toolchain import nirx

TCJA_FORMS: list[dict[str, Any]] = [
    {},
    {"dims": "T", "tla_kernel": 3},
    {"variant": "causal", "dims": "T", "gate": "binary", "gate_delay": 0},
    {"variant": "causal", "dims": "C", "cla_memory": "count", "gate": "pow2"},
    {"variant": "causal", "dims": "C", "gate_delay": 1},
    {"variant": "causal", "dims": "TC", "cla_memory": "count", "decay": 0.5},
]
STAA_FORMS: list[dict[str, Any]] = [
    {},
    {"aggregator": "count", "position": False},
    {"variant": "causal"},
    {"variant": "causal", "position": False, "gate": "sigmoid", "gate_delay": 4},
]


@pytest.mark.parametrize("form", TCJA_FORMS)
def test_every_form_of_tcja_is_captured_with_equal_payloads(form: dict[str, Any]) -> None:
    torch.manual_seed(0)
    gate = TCJA(T, 6, **form)
    net = nn.Sequential(Conv2d(2, 6, 3, padding=1), lif("N5"), gate, MaxPool2d(2), Flatten(), Linear(96, 4))
    with torch.no_grad():
        net[0].weight.mul_(3)

    graph = agree(net, events(2, 8, 8))

    assert nirx.extension_names(graph) == ["2", "3"]
    assert graph.nodes["2"].options["dims"] == gate.dims


@pytest.mark.parametrize("form", STAA_FORMS)
def test_every_form_of_a_staa_layer_is_captured_with_equal_payloads(form: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer = STAALIF(T, 8, **form)
    with torch.no_grad():
        layer.neuron.gain.uniform_(0.5, 2.0)
        layer.neuron.decay_logit.uniform_(-2, 2)
    net = nn.Sequential(Conv2d(2, 8, 3, padding=1), layer, Flatten(), Linear(512, 4))

    graph = agree(net, events(2, 8, 8))

    assert nirx.extension_names(graph) == ["1"]


def test_an_adaptive_neuron_is_captured_with_its_constants_per_channel() -> None:
    torch.manual_seed(0)
    neuron = AdaptiveLIF(8)
    with torch.no_grad():
        neuron.gain.uniform_(0.5, 2.0)
        neuron.decay_logit.uniform_(-2, 2)
    net = nn.Sequential(Conv2d(2, 8, 3, padding=1), neuron, Flatten(), Linear(512, 4))

    graph = agree(net, events(2, 8, 8))

    assert nirx.extension_names(graph) == []


@pytest.mark.parametrize("variant", ["published", "causal"])
@pytest.mark.parametrize("attention", ["tcja", "staa"])
def test_the_small_nets_are_captured(attention: str, variant: str) -> None:
    torch.manual_seed(0)
    net = SmallNet(T, 8, 2, attention=attention, variant=variant, channels=(4, 8, 8))  # type: ignore[arg-type]
    x = events(2, 8, 8)

    agree(trained(net, x), x)
