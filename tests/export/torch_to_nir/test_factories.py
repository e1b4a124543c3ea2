"""Capture of a user's factory: imported whatever stands beside it, refused by file and line."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from spikewright.export.torch_to_nir import capture, load_factory
from spikewright.export.torch_to_nir.importers import import_factory
from spikewright.toolchain.errors import ImportingError

NET = """
import torch
from torch import nn
from spikewright.models.layers import Linear
from spikewright.models.neurons import lif

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


def test_a_factory_may_return_a_nir_graph(tmp_path: Path) -> None:
    (tmp_path / "graph.py").write_text(
        "import nir, numpy as np\n"
        "def make():\n"
        "    nodes = {'input': nir.Input(np.array([2])), 's': nir.Scale(np.ones(2)), 'output': nir.Output(np.array([2]))}\n"
        "    return nir.NIRGraph(nodes, [('input', 's'), ('s', 'output')], type_check=False)\n"
    )

    found = import_factory(f"{tmp_path}/graph.py:make")

    assert found is not None
    assert (found.name, list(found.nir_graph.nodes)) == ("graph-make", ["input", "s", "output"])
    with pytest.raises(ImportingError, match=r"a nir\.NIRGraph has no layout"):
        import_factory(f"{tmp_path}/graph.py:make", layout="TB")


def test_files_that_are_missing_or_do_not_run_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import torch\nx = = 1\n")
    (tmp_path / "exits.py").write_text("raise SystemExit(3)\n")

    with pytest.raises(ImportingError, match="no such Python file"):
        load_factory(f"{tmp_path / 'none.py'}:make")
    with pytest.raises(ImportingError, match="the file raised SyntaxError"):
        load_factory(f"{tmp_path / 'bad.py'}:make")
    with pytest.raises(ImportingError, match="the file raised SystemExit: 3"):
        load_factory(f"{tmp_path / 'exits.py'}:make")


def test_an_error_is_shown_with_its_line_also_where_the_file_is_named_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.py").write_text("import torch\nx = = 1\n")
    (tmp_path / "exits.py").write_text("def make():\n    raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ImportingError) as syntax:
        load_factory("bad.py:make")
    with pytest.raises(ImportingError, match=r"make\(\) raised SystemExit: 3") as exit_:
        load_factory("exits.py:make")

    assert (syntax.value.where, exit_.value.where) == ("bad.py:2", "exits.py:2")


ODD = {
    "torch.ones(6, 2, 4).to_sparse()": "the example is a sparse tensor",
    "torch.ones(6, 2, 4, device='meta')": "the example is a tensor without data",
    "torch.ones(6, 2, 4, dtype=torch.complex64)": "the example is a tensor of complex numbers",
    "torch.nested.nested_tensor([torch.ones(2, 4)])": "the example is a nested tensor",
    "torch.quantize_per_tensor(torch.ones(6, 2, 4), 0.1, 0, torch.quint8)": "the example is a quantized tensor",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("example", ODD)
def test_an_example_that_is_no_plain_tensor_is_refused_by_its_kind(user_file: Path, example: str) -> None:
    user_file.write_text(user_file.read_text().replace("torch.ones(6, 2, 4)", example))
    with pytest.raises(ImportingError, match=ODD[example]):
        _captured(user_file)


FORWARDS = {
    "raise SystemExit(3)": "SystemExit: 3",
    "raise type('Mute', (Exception,), {'__str__': lambda s: 1 / 0})": "the net refuses an example of shape",
    "raise GeneratorExit": "GeneratorExit",
}


@pytest.mark.parametrize("line", FORWARDS)
def test_whatever_forward_raises_is_said_with_its_line(user_file: Path, line: str) -> None:
    user_file.write_text(user_file.read_text().replace("return self.lif(self.fc(x)).mean(0)", line))
    with pytest.raises(ImportingError, match=FORWARDS[line]) as error:
        _captured(user_file)
    assert f"my_net.py:{1 + user_file.read_text().splitlines().index(f'        {line}')}" in error.value.where


def test_layers_that_are_not_made_yet_are_refused_by_name(user_file: Path) -> None:
    user_file.write_text(user_file.read_text().replace("Linear(4, 3)", "nn.LazyLinear(3)"))
    with pytest.raises(ImportingError, match=r"fc\.weight is not made yet"):
        _captured(user_file)


def _captured(file: Path) -> None:
    loaded = load_factory(f"{file}:make")
    assert isinstance(loaded, tuple)
    capture(*loaded, dt_s=1e-3, name="net")
