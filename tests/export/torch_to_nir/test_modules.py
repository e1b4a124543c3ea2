"""Capture: every net becomes a graph with equal spikes."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from captured_nets import B, T, Wrapped, agree, events, trained
from torch import Tensor, nn

from spikewright.export.torch_to_nir import capture
from spikewright.export.torch_to_nir.importers import import_checkpoint
from spikewright.models import zoo
from spikewright.models.layers import (
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    MeanOverTime,
)
from spikewright.models.nets import GACDigits, MADigits
from spikewright.models.neurons import LIF, lif
from spikewright.toolchain import nirx
from spikewright.toolchain.from_nir import from_nir

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("variant", ["paper", "code", "causal", "sda"])
@pytest.mark.parametrize("dims", ["T", "C", "S", "TC", "TS", "CS", "TCS"])
def test_every_form_of_ma_is_captured_with_equal_spikes(variant: str, dims: str) -> None:
    torch.manual_seed(0)
    net = MADigits(T, (8, 8), variant=variant, dims=dims)
    x = events(1, 8, 8)

    graph = agree(trained(net, x), x)

    assert graph.nodes["lif1"].options["variant"] == variant
    assert nirx.extension_names(graph) == ["bn1", "bn2", "bn_fc", "lif1", "lif2"]


@pytest.mark.parametrize("gate", ["sigmoid", "hard", "pow2", "binary"])
def test_gac_with_residual_blocks_is_captured_with_equal_payloads(gate: str) -> None:
    torch.manual_seed(0)
    net = GACDigits(T, 8, blocks=3, gate=gate)
    x = torch.rand(B, 1, 8, 8).expand(T, B, 1, 8, 8)

    graph = agree(trained(net, x), x)

    assert ("encoder", "blocks.0.add") in graph.edges
    assert ("blocks.0.bn2", "blocks.0.add") in graph.edges


@pytest.mark.parametrize("name", [name for name in zoo.names() if zoo.card(name).dataset == "digits"])
def test_every_checkpoint_on_digits_is_captured(name: str) -> None:  # the others: tests/models/test_zoo_deploys.py
    imported = import_checkpoint(name)

    assert imported is not None
    assert imported.card["accuracy"] > 0.9
    assert imported.nir_graph.metadata["timesteps"] == imported.card["timesteps"]


@pytest.mark.parametrize("name", ["N1", "N2", "N3", "N4", "N5"])
def test_all_papers_neurons_keep_their_constants(name: str) -> None:
    torch.manual_seed(0)
    neuron = lif(name)
    net = nn.Sequential(Linear(12, 9), neuron, MeanOverTime())
    graph = agree(net, torch.rand(T, B, 12))

    op = from_nir(graph)["1"]
    assert (float(op.beta), float(op.gain), float(op.v_threshold)) == (neuron.beta, neuron.gain, neuron.v_threshold)
    assert (float(op.v_reset), op.reset, op.comparison) == (neuron.v_reset, neuron.reset, neuron.comparison)


def test_a_beta_of_one_is_an_if_and_soft_reset_survives() -> None:
    torch.manual_seed(0)
    graph = agree(nn.Sequential(Linear(12, 9), LIF(1.0, 0.7, gain=0.5, reset="subtract")), torch.rand(T, B, 12))

    assert isinstance(graph.nodes["1"], nir.IF)
    assert graph.nodes["1"].metadata == {"comparison": ">=", "reset": "subtract", "beta": 1.0, "gain": 0.5}


def test_plain_layers_of_all_kinds() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        Conv2d(2, 6, (3, 5), stride=(1, 2), padding=(1, 0), groups=2),
        BatchNorm2d(6),
        lif("N3"),
        nn.Sequential(Conv2d(6, 6, 3, padding="same", dilation=2, bias=False), MaxPool2d(2, stride=1), nn.Identity()),
        lif("N4"),
        AvgPool2d(3, stride=2, padding=1),
        Dropout(0.5),
        Flatten(),
        Linear(18, 5, bias=False),
        BatchNorm1d(5, affine=False),
        MeanOverTime(),
    )
    x = events(2, 6, 8)

    graph = agree(trained(net, x), x)

    assert [type(n).__name__ for n in graph.nodes.values()] == [
        "Input", "Conv2d", "BatchNorm", "LIF", "Conv2d", "MaxPool2d", "LIF",
        "AvgPool2d", "Flatten", "Linear", "BatchNorm", "Output",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "head",
    [
        lambda m, x: m.fc(x.mean((-2, -1))).mean(0),
        lambda m, x: m.fc(x.mean(dim=(3, 4), keepdim=True).flatten(2)).mean(dim=0),
        lambda m, x: m.fc(torch.flatten(torch.mean(x, [3, 4], True), 2)),
        lambda m, x: torch.mean(m.fc((x.mean((3, 4)) + x.mean((3, 4))).contiguous()), 0),
        lambda m, x: m.fc(torch.add(m.one(x), m.one(x) + m.one(x)).mean((-1, -2))).mean(0),
    ],
)
def test_ways_to_pool_flatten_and_add(head: Callable[..., Tensor]) -> None:
    torch.manual_seed(0)
    net = Wrapped(
        lambda m, x: head(m, m.lif(m.conv(x))), conv=Conv2d(1, 4, 3), lif=lif("N4"), one=lif("N1"), fc=Linear(4, 3)
    )

    agree(net, events(1, 6, 6))


def test_a_sum_with_one_reader_is_two_edges_and_one_with_several_a_node() -> None:
    torch.manual_seed(0)

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        a = m.a(x)
        y = m.b(a) + a
        return (m.c(y) + y).mean(0)

    graph = agree(Wrapped(forward, a=lif("N4"), b=Linear(5, 5), c=Linear(5, 5)), torch.rand(T, B, 5) * 2)

    assert [e for e in graph.edges if e[1] == "output"] == [("c", "output"), ("add", "output")]
    assert np.all(graph.nodes["add"].scale == 1)


def test_a_module_called_twice_becomes_two_nodes() -> None:
    net = Wrapped(lambda m, x: m.fc(m.lif(m.fc(m.lif(x)))), lif=lif("N4"), fc=Linear(5, 5))

    assert {"lif", "lif_2", "fc", "fc_2"} < set(agree(net, torch.rand(T, B, 5) * 2).nodes)


def test_weights_keep_their_precision_and_the_module_stays_as_it_is() -> None:
    net = nn.Sequential(Linear(4, 3), lif("N4")).train()
    before = copy.deepcopy(net.state_dict())

    graph = capture(net, events(4))

    assert graph.nodes["0"].weight.dtype == np.float32
    assert net.training
    assert all(torch.equal(before[k], v) and v.dtype == torch.float32 for k, v in net.state_dict().items())


def test_a_net_without_extensions_is_a_file_that_nir_reads(tmp_path: Path) -> None:
    net = nn.Sequential(Conv2d(1, 4, 3, padding=1), lif("N3"), AvgPool2d(2), Flatten(), Linear(64, 3), MeanOverTime())
    graph = capture(net, events(1, 8, 8))

    nirx.write(tmp_path / "plain.nir", graph)

    theirs = nir.read(tmp_path / "plain.nir")
    np.testing.assert_array_equal(theirs.nodes["0"].weight, graph.nodes["0"].weight)
    assert nirx.same(graph, nirx.read(tmp_path / "plain.nir"))


def test_no_warning_is_given_on_the_way() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        capture(nn.Sequential(Linear(4, 3), lif("N4"), MeanOverTime()), events(4))


class Doubled(nn.Linear):
    """A linear map of a user's own: twice the sum."""

    def forward(self, input: Tensor) -> Tensor:
        """Return twice the linear map."""
        return 2 * super().forward(input)


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: x * 2,
        lambda m, x: torch.relu(x),
        lambda m, x: x + 1.0,
        lambda m, x: torch.add(x, x, alpha=2),
        lambda m, x: x - torch.tensor([1.0, 2.0, 3.0, 4.0]),
        lambda m, x: m.fc(x.mean(0)),
        lambda m, x: torch.stack([m.fc(s) for s in x]).mean(0),
        lambda m, x: sum(m.fc(s) for s in x) / len(x),
        lambda m, x: x.unflatten(2, (2, 2)).mean(3).mean(0),
        lambda m, x: m.lif(m.doubled(x)).mean(0),
    ],
)
def test_what_torch_writes_in_many_ways_is_followed(forward: Callable[..., Tensor]) -> None:
    torch.manual_seed(0)
    net = Wrapped(forward, fc=Linear(4, 2), lif=lif("N1"), doubled=Doubled(4, 3))

    agree(net, events(4))
