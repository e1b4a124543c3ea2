"""The silence term: what biases alone drive above the margin, and nothing of the net is changed by asking."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spikewright.models.layers import BatchNorm2d, Conv2d
from spikewright.models.nets import MADigits, MAEventNet, make
from spikewright.models.neurons import Neuron, lif
from spikewright.models.train.recipes import RECIPES
from spikewright.models.train.silence import MARGIN, silence_loss

T = 4
REACHED = 1 + 0.5 + 0.25 + 0.125
"""What N4 (beta 1/2, threshold 1) gathers in four steps of a current of 1."""


def layered(bias: float) -> nn.Sequential:
    """Return two layers of N4 whose norms add a bias."""
    net = nn.Sequential(
        Conv2d(1, 2, 3, padding=1, bias=False), BatchNorm2d(2), lif("N4"),
        Conv2d(2, 2, 3, padding=1, bias=False), BatchNorm2d(2), lif("N4"),
    )  # fmt: skip
    for layer in net:
        if isinstance(layer, BatchNorm2d):
            nn.init.constant_(layer.bias, bias)
    return net


@pytest.mark.parametrize(
    ("bias", "encoded", "layers"), [(0.6, False, 2), (0.6, True, 1), (0.45, False, 0), (-2.0, False, 0)]
)
def test_it_is_what_biases_reach_above_the_margin_layer_by_layer(bias: float, encoded: bool, layers: int) -> None:
    found = silence_loss(layered(bias), torch.ones(1, 5, 5), T, encoded=encoded)
    assert float(found.detach()) == pytest.approx(layers * (REACHED * bias - MARGIN), abs=1e-6)


def test_one_channel_among_many_weighs_as_much_as_all() -> None:
    net = layered(-1.0)
    with torch.no_grad():
        net[1].bias[0] = 0.6
    found = silence_loss(net, torch.ones(1, 5, 5), T, encoded=False)
    assert float(found.detach()) == pytest.approx(REACHED * 0.6 - MARGIN, abs=1e-6)


def test_its_gradient_lowers_the_biases_that_fire() -> None:
    net = layered(0.6)
    silence_loss(net, torch.ones(1, 5, 5), T, encoded=False).backward()
    for layer in net:
        if isinstance(layer, BatchNorm2d):
            assert layer.bias.grad is not None
            assert (layer.bias.grad > 0).all()


def test_the_net_is_left_as_it_was() -> None:
    net, x = layered(0.6), torch.rand(T, 2, 1, 5, 5)
    net[0].eval()
    modes = [module.training for module in net.modules()]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    silence_loss(net, x[0, 0], T, encoded=False)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(m.held is None for m in net.modules() if isinstance(m, Neuron))
    assert net(x).any()


@pytest.mark.parametrize("name", ["ma-digits", "gac-digits", "tcja-digits", "staa-digits", "sdsa-digits", "qk-digits"])
def test_every_family_can_be_asked(name: str) -> None:
    recipe = RECIPES[name]
    net = make(recipe.net, recipe.arguments)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.constant_(layer.bias, 3.0)
    found = silence_loss(net, torch.ones(1, 8, 8), recipe.timesteps, encoded=recipe.coding == "direct")
    assert float(found.detach()) > 0


def test_a_layer_whose_spikes_are_the_answer_may_fire() -> None:
    net = layered(0.6)
    last = net[-1]
    assert isinstance(last, Neuron)
    last.answers = True
    found = silence_loss(net, torch.ones(1, 5, 5), T, encoded=False)
    assert float(found.detach()) == pytest.approx(REACHED * 0.6 - MARGIN, abs=1e-6)


@pytest.mark.parametrize(
    ("net", "answers"),
    [
        (MAEventNet("gesture", T=2, attention=False, width=0.25), True),
        (MAEventNet("gesture", T=2, dims="CS", width=0.25), True),
        (MAEventNet("gesture", T=2, dims="TCS", variant="causal", width=0.25), False),  # its gate counts its spikes
        (MADigits(attention=False), True),
    ],
)
def test_the_last_neurons_of_a_net_that_answers_in_spikes_may_fire(net: nn.Module, answers: bool) -> None:
    neurons = [m for m in net.modules() if isinstance(m, Neuron)]

    assert [m.answers for m in neurons] == [False] * (len(neurons) - 1) + [answers]
