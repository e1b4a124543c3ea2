"""Capture: every net becomes a graph with equal spikes, and what has no meaning in NIR is refused by its source line."""

from __future__ import annotations

import copy
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.torch_to_nir import capture, load_factory
from export.torch_to_nir.importers import import_checkpoint, import_factory
from hw_sim.errors import SpikeforgeError
from models import zoo
from models.attention.ma import MAAttention
from models.layers import AvgPool2d, BatchNorm1d, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, MeanOverTime
from models.nets import GACDigits, MADigits
from models.neurons import LIF, lif
from toolchain import nirx
from toolchain.errors import ImportingError, UnsupportedNodeError
from toolchain.from_nir import from_nir
from toolchain.interpret import answer, run_float

T, B = 6, 2


class Wrapped(nn.Module):
    """A module whose forward is a function of it."""

    def __init__(self, forward: Callable[..., Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        """Call the function."""
        return self.function(self, x)


def events(*shape: int, seed: int = 0) -> Tensor:
    """Binary input (T, B, *shape)."""
    return (torch.rand(T, B, *shape, generator=torch.Generator().manual_seed(seed)) > 0.5).float()


def trained(module: nn.Module, x: Tensor) -> nn.Module:
    """Move the batch norms' statistics off their defaults."""
    torch.manual_seed(1)
    module.train()
    for _ in range(3):
        module(x)
    return module.eval()


def agree(module: nn.Module, x: Tensor) -> nir.NIRGraph:
    """Capture on one input; compare the answers on another."""
    graph = capture(module, x)
    other = x[:, torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(2))].flip(-1)
    lowered = from_nir(graph)
    found = answer(lowered, run_float(lowered, other.double().numpy()))
    with torch.no_grad():
        y = copy.deepcopy(module).double().eval()(other.double())
    expected = y if y.ndim == 2 else y.mean(0)
    np.testing.assert_allclose(found, expected.flatten(1).numpy(), atol=1e-9)
    return graph


# ------------------------------------------------------------------------------------------- nets, modules
@pytest.mark.parametrize("variant", ["paper", "code", "causal"])
@pytest.mark.parametrize("dims", ["T", "C", "S", "TC", "TS", "CS", "TCS"])
def test_every_form_of_ma_is_captured_with_equal_spikes(variant: str, dims: str) -> None:
    torch.manual_seed(0)
    net = MADigits(T, (8, 8), variant=variant, dims=dims)
    x = events(1, 8, 8)

    graph = agree(trained(net, x), x)

    assert graph.nodes["lif1"].variant == variant
    assert nirx.extension_names(graph) == ["bn1", "bn2", "bn_fc", "lif1", "lif2"]


@pytest.mark.parametrize("gate", ["sigmoid", "hard", "pow2", "binary"])
def test_gac_with_residual_blocks_is_captured_with_equal_payloads(gate: str) -> None:
    torch.manual_seed(0)
    net = GACDigits(T, 8, blocks=3, gate=gate)
    x = torch.rand(B, 1, 8, 8).expand(T, B, 1, 8, 8)

    graph = agree(trained(net, x), x)

    assert ("encoder", "blocks.0.add") in graph.edges
    assert ("blocks.0.bn2", "blocks.0.add") in graph.edges


@pytest.mark.parametrize("name", zoo.names())
def test_every_checkpoint_of_the_zoo_is_captured(name: str) -> None:
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


# ---------------------------------------------------------------------------------------------- refusals
class Doubled(nn.Linear):
    """Says Linear, computes twice it."""

    def forward(self, input: Tensor) -> Tensor:
        """Return twice the linear map."""
        return 2 * super().forward(input)


class Shifted(LIF):
    """Says LIF, delays its spikes."""

    def forward(self, current: Tensor) -> Tensor:
        """Return the spikes one step late."""
        return super().forward(current).roll(1, 0)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Wrapped(lambda m, x: x * 2), "the op 'mul' has no meaning in NIR"),
        (Wrapped(lambda m, x: torch.relu(x)), "the op 'relu' has no meaning in NIR"),
        (Wrapped(lambda m, x: x + 1.0), "a sum with a constant or a factor"),
        (Wrapped(lambda m, x: torch.add(x, x, alpha=2)), "a sum with a constant or a factor"),
        (Wrapped(lambda m, x: m.fc(x.mean(0)), fc=Linear(4, 2)), "a mean over T that is not the last op"),
        (Wrapped(lambda m, x: x.mean(1)), r"a mean over axes \[1\] of \(6, 2, 4\)"),
        (Wrapped(lambda m, x: x.flatten(1)), r"flattens \(6, 2, 4\) to \(6, 8\); T and B stay axes"),
        (Wrapped(lambda m, x: torch.cat([x, x], 2)), "the op 'cat' has no meaning in NIR"),
        (Wrapped(lambda m, x: x.reshape(T * B, 4)), "the op 'reshape' has no meaning in NIR"),
        (Wrapped(lambda m, x: torch.stack([s for s in x])), "forward cannot be traced"),
        (Wrapped(lambda m, x: x if x.sum() > 0 else -x), "forward cannot be traced"),
        (nn.Sequential(nn.Softmax(-1)), "the module Softmax has no meaning in NIR"),
        (nn.Sequential(MAAttention(T, 8, reduction_c=2, dims="TC")), "the module MAAttention has no meaning in NIR"),
        (nn.Sequential(BatchNorm1d(4, track_running_stats=False)), "normalises by the batch it sees"),
        (Wrapped(lambda m, x: (x, x)), "forward returns a tuple"),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(net: nn.Module, message: str) -> None:
    x = events(8) if "MAAttention" in message else events(4)

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

    assert "test_torch_to_nir.py:" in caught.value.where
    assert "torch.sigmoid(x)" in caught.value.where


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (nn.Sequential(Doubled(4, 3)), "its output differs from the module's by"),
        (nn.Sequential(Linear(4, 3), Shifted(0.5, 0.1)), "spikes differ between the module and its capture"),
    ],
)
def test_a_class_that_computes_something_else_is_found_out(net: nn.Module, message: str) -> None:
    torch.manual_seed(0)

    with pytest.raises(ImportingError, match=message):
        capture(net, events(4))


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (torch.zeros(0, 2, 4), r"the example has shape \(0, 2, 4\); expected \(T, B, ...\), none of them 0"),
        (torch.zeros(6, 0, 4), "none of them 0"),
        (torch.zeros(6, 4), "none of them 0"),
        (torch.full((6, 2, 4), float("nan")), "not finite"),
        ([1, 2], "the example is a list"),
        (torch.zeros(6, 2, 5), r"0 refuses its input of shape \(6, 2, 5\)"),
    ],
)
def test_examples_that_do_not_fit_are_refused(example: Tensor, message: str) -> None:
    with pytest.raises(ImportingError, match=message):
        capture(nn.Sequential(Linear(4, 3), lif("N4")), example)


def test_an_example_of_another_t_than_the_nets_is_refused() -> None:
    with pytest.raises(SpikeforgeError, match="input of T = 6; the layer was made for T = 8"):
        capture(MADigits(8, (8, 8)), events(1, 8, 8))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(value: float) -> None:
    net = nn.Sequential(Linear(4, 3), lif("N4"))
    with torch.no_grad():
        net[0].weight[1, 2] = value

    with pytest.raises(ImportingError, match=r"0.weight holds 1 values that are not finite .* of 12"):
        capture(net, events(4))


# ---------------------------------------------------------------------------------------------- factories
NET = """
import torch
from torch import nn
from models.layers import Linear
from models.neurons import lif

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.lif = Linear(4, 3), lif("N4")
        self.example_input = torch.ones(6, 2, 4)

    def forward(self, x):
        return self.lif(self.fc(x)).mean(0)

def make():
    return Net()

def pair():
    net = Net()
    example, net.example_input = net.example_input, None
    return net, example

def mute():
    net = Net()
    del net.example_input
    return net

def number():
    return 3

def broken():
    return {}["weights"]
"""


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    """A user's file, beside a folder ``models`` of their own."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("raise RuntimeError('the wrong models')\n")
    path = tmp_path / "my_net.py"
    path.write_text(textwrap.dedent(NET))
    return path


@pytest.mark.parametrize("factory", ["make", "pair"])
def test_a_users_factory_is_imported_whatever_its_folder_holds(
    user_file: Path, factory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(user_file.parent)
    path = list(sys.path)

    imported = import_factory(f"my_net.py:{factory}")

    assert imported is not None
    assert imported.name == f"my_net-{factory}"
    assert list(imported.nir_graph.nodes) == ["input", "fc", "lif", "output"]
    assert sys.path == path
    assert "my_net" not in sys.modules


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("nothing", "no function 'nothing'; the file defines Net, make, pair, mute, number, broken"),
        ("number", r"number\(\) returned a int; expected a torch.nn.Module"),
        ("mute", r"mute\(\) says nothing about the shape of its input"),
        ("broken", r"broken\(\) raised KeyError: 'weights'"),
    ],
)
def test_factories_that_cannot_be_used_are_refused(user_file: Path, factory: str, message: str) -> None:
    with pytest.raises(ImportingError, match=message) as caught:
        load_factory(f"{user_file}:{factory}")

    assert str(user_file) in caught.value.where
    if factory == "broken":
        line = NET.splitlines().index('    return {}["weights"]') + 1
        assert caught.value.where == f"{user_file}:{line}"


def test_files_that_are_missing_or_do_not_run_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import torch\nx = = 1\n")
    (tmp_path / "exits.py").write_text("raise SystemExit(3)\n")

    with pytest.raises(ImportingError, match="no such Python file"):
        load_factory(f"{tmp_path / 'none.py'}:make")
    with pytest.raises(ImportingError, match="the file raised SyntaxError"):
        load_factory(f"{tmp_path / 'bad.py'}:make")
    with pytest.raises(ImportingError, match="the file raised SystemExit: 3"):
        load_factory(f"{tmp_path / 'exits.py'}:make")


def test_no_warning_is_given_on_the_way() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        capture(nn.Sequential(Linear(4, 3), lif("N4"), MeanOverTime()), events(4))
