"""The small nets: shapes, twins, precision, and that tools can walk their forward by layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spikewright.models import layers
from spikewright.models.attention.gac import GAC
from spikewright.models.attention.ma import MALIF
from spikewright.models.errors import ModelError, TimestepsError
from spikewright.models.nets import GACDigits, MADigits, make
from spikewright.models.neurons import LIF

LEAVES = (
    layers.Conv2d, layers.Linear, layers.BatchNorm2d, layers.BatchNorm1d, layers.AvgPool2d, layers.Flatten, LIF, MALIF,
    GAC,
)  # fmt: skip


class LayerTracer(torch.fx.Tracer):
    """Stops at the layers a compiler knows."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, LEAVES)


@pytest.mark.parametrize(
    ("net", "arguments"),
    [
        ("ma_digits", {"T": 8}),
        ("ma_digits", {"T": 6, "variant": "paper", "dims": "CS"}),
        ("ma_digits", {"T": 6, "variant": "code", "gate": "hard"}),
        ("ma_digits", {"T": 4, "attention": False}),
        ("gac_digits", {"T": 6}),
        ("gac_digits", {"T": 4, "attention": False, "blocks": 3, "channels": 8}),
    ],
)
def test_a_net_is_walked_layer_by_layer_in_both_precisions(net: str, arguments: dict[str, object]) -> None:
    torch.manual_seed(0)
    module = make(net, arguments).eval()
    x = torch.rand(int(arguments["T"]), 3, 1, 8, 8).round()  # type: ignore[call-overload]

    graph = LayerTracer().trace(module)

    assert {node.op for node in graph.nodes} <= {"placeholder", "call_module", "call_function", "call_method", "output"}
    functions = {node.target for node in graph.nodes if node.op in ("call_function", "call_method")}
    assert {getattr(f, "__name__", f) for f in functions} <= {"add", "mean"}
    traced = torch.fx.GraphModule(module, graph)
    torch.testing.assert_close(traced(x), module(x))
    assert module(x).shape == (3, 10)
    assert module.double()(x.double()).dtype == torch.float64


def test_attention_is_in_every_conv_layer_of_ma_digits_and_the_twin_has_none() -> None:
    assert sum(isinstance(m, MALIF) for m in MADigits().modules()) == 2
    assert not any(isinstance(m, MALIF) for m in MADigits(attention=False).modules())
    assert sum(isinstance(m, GAC) for m in GACDigits().modules()) == 1
    assert not any(isinstance(m, GAC) for m in GACDigits(attention=False).modules())


def test_the_twins_differ_by_the_attentions_parameters_only() -> None:
    """MA: TA 2; CA 2 C^2 / 4 + C; SA 9 + 1; for C = 16 and 24. GAC: 2 T T/2 + 2 * 16 C^2, C = 16, T = 6."""
    assert _size(MADigits()) - _size(MADigits(attention=False)) == 2 * 2 + 128 + 16 + 288 + 24 + 2 * 10
    assert _size(GACDigits()) - _size(GACDigits(attention=False)) == 36 + 2 * 16 * 256


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_vanilla_nets_take_any_number_of_timesteps_and_attention_nets_only_theirs() -> None:
    x = torch.rand(5, 2, 1, 8, 8)

    assert MADigits(attention=False)(x).shape == (2, 10)
    for net in (MADigits(T=8), GACDigits(T=6)):
        with pytest.raises(TimestepsError, match="input of T = 5"):
            net(x)


def test_an_unknown_net_or_argument_is_refused() -> None:
    with pytest.raises(ModelError, match="no net 'vgg'; there are ma_digits, gac_digits"):
        make("vgg", {})
    with pytest.raises(ModelError, match="width"):
        make("ma_digits", {"width": 3})
