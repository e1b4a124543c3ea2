"""Capture: what has no meaning in NIR is refused by its source line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from captured_nets import Wrapped, events
from torch import Tensor, nn

from spikewright.export.torch_to_nir import capture
from spikewright.hw_sim.errors import SpikewrightError
from spikewright.models.layers import AvgPool2d, BatchNorm1d, Conv2d, Linear, MaxPool2d
from spikewright.models.nets import MADigits
from spikewright.models.neurons import LIF, lif
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError


class Shifted(LIF):
    """Says LIF, delays its spikes."""

    def forward(self, current: Tensor) -> Tensor:
        """Return the spikes one step late."""
        return super().forward(current).roll(1, 0)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Wrapped(lambda m, x: x * x), "a product of two signals has no meaning in NIR"),
        (Wrapped(lambda m, x: torch.sigmoid(x)), "the op 'sigmoid' has no meaning in NIR"),
        (Wrapped(lambda m, x: torch.relu(x.mean(0))), "behind the mean over T that is not linear"),
        (Wrapped(lambda m, x: x.mean((0, 1))), "a mean over the samples of a batch"),
        (Wrapped(lambda m, x: torch.cat([x, x], 2)), "the op 'cat' joins signals that are not steps"),
        (Wrapped(lambda m, x: x[-1]), "the answer is of step 5 alone"),
        (Wrapped(lambda m, x: x if x.sum() > 0 else -x), "forward depends on values"),
        (Wrapped(lambda m, x: x + x.roll(1, 0)), "the op 'roll' has no meaning in NIR"),
        (nn.Sequential(nn.Softmax(-1)), "the module Softmax has no meaning in NIR"),
        (nn.Sequential(BatchNorm1d(4, track_running_stats=False)), "normalises by the batch it sees"),
        (Wrapped(lambda m, x: "x"), "forward returns a str"),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(net: nn.Module, message: str) -> None:
    x = events(4)

    with pytest.raises(UnsupportedNodeError, match=message) as caught:
        capture(net, x, name="my-net")

    assert caught.value.where.startswith("my-net")
    assert caught.value.help


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Conv2d(1, 2, 3, padding=1, padding_mode="circular"), "padding_mode 'circular'"),
        (AvgPool2d(2, ceil_mode=True), "pooling with ceil_mode=True"),
        (AvgPool2d(2, divisor_override=3), "average pooling with its own divisor"),
        (AvgPool2d(2, padding=1, count_include_pad=False), "average pooling with its own divisor"),
        (MaxPool2d(2, dilation=2), "max pooling with dilation"),
        (Linear(6, 2), r"a linear map of shape \(1, 6, 6\)"),
    ],
)
def test_options_without_a_meaning_are_refused(layer: nn.Module, message: str) -> None:
    with pytest.raises(UnsupportedNodeError, match=message) as caught:
        capture(nn.Sequential(layer), events(1, 6, 6))

    assert caught.value.where == "net: module '0'"


def test_a_refused_op_names_its_source_line() -> None:
    with pytest.raises(UnsupportedNodeError) as caught:
        capture(Wrapped(lambda m, x: torch.sigmoid(x)), events(4))

    assert f"{Path(__file__).name}:" in caught.value.where
    assert "torch.sigmoid(x)" in caught.value.where


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Sequential(Linear(4, 3), Shifted(0.5, 0.1)), "spikes differ between the module and its capture"),
    ],
)
def test_a_class_that_computes_something_else_is_found_out(make: Callable[[], nn.Module], message: str) -> None:
    torch.manual_seed(0)
    net = make()

    with pytest.raises(ImportingError, match=message):
        capture(net, events(4))


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (torch.zeros(0, 2, 4), r"the example has shape \(0, 2, 4\); expected \(T, B, ...\), none of them 0"),
        (torch.zeros(6, 0, 4), "none of them 0"),
        (torch.zeros(6), "none of them 0"),
        (torch.full((6, 2, 4), float("nan")), "not finite"),
        ([1, 2], "the example is a list"),
        (torch.zeros(6, 2, 5), r"0 refuses its input of shape \(6, 2, 5\)"),
    ],
)
def test_examples_that_do_not_fit_are_refused(example: Tensor, message: str) -> None:
    with pytest.raises(ImportingError, match=message):
        capture(nn.Sequential(Linear(4, 3), lif("N4")), example)


def test_an_example_of_another_t_than_the_nets_is_refused() -> None:
    with pytest.raises(SpikewrightError, match="input of T = 6; the layer was made for T = 8"):
        capture(MADigits(8, (8, 8)), events(1, 8, 8))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(value: float) -> None:
    net = nn.Sequential(Linear(4, 3), lif("N4"))
    with torch.no_grad():
        net[0].weight[1, 2] = value

    with pytest.raises(ImportingError, match=r"0.weight holds 1 values that are not finite .* of 12"):
        capture(net, events(4))


class Foreign(nn.Module):
    """Declares itself a block of some kind."""

    def __init__(self, kind: str, **options: object) -> None:
        super().__init__()
        self.kind, self.given, self.neuron = kind, options, lif("N1")

    def options(self) -> dict[str, object]:
        """Return the options of the block."""
        return self.given

    def forward(self, x: Tensor) -> Tensor:
        """Fire."""
        return self.neuron(x)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (
            Foreign("depth-gate"),
            "net: module '0': no attention block of kind 'depth-gate'; there are gac, ma, ma-attention, spike-attention, staa, "
            "tcja",
        ),
        (Foreign("ma", dims="T"), "net: module '0': block 'ma': .*missing 1 required keyword-only argument: 'variant'"),
        (
            Foreign("ma", dims="T", variant="new"),
            "net: module '0': block 'ma': MALIF: variant is 'new'; allowed are paper",
        ),
        (Foreign("ma", dims="T", variant="causal"), r"net: module '0': block 'ma': MALIF: parameters \[\]; expected"),
    ],
)
def test_a_module_that_declares_a_block_it_is_not_is_refused_by_name(block: nn.Module, message: str) -> None:
    with pytest.raises(SpikewrightError, match=message) as caught:
        capture(nn.Sequential(block), events(4))

    assert caught.value.help
