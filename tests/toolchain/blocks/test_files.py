"""Blocks in files: those of version 1, a node type a block, are read as they were; what no package registers is named."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import h5py
import numpy as np
import pytest

from spikewright.toolchain import graph_io, nirx
from spikewright.toolchain.block_registry import GROUP, load_block
from spikewright.toolchain.blocks import AttentionBlock, block_class
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError
from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.ir import Graph

OLD = Path(__file__).parent / "version1"
"""Written by the release before blocks had one node type: one block of each kind, on (2, 3, 3), T = 4."""
SUMS = {"coding": 1319.817673284, "ma": 1001.0, "joint": 596.5, "staa": 1179.0}
"""What that release computed: each signal times 1, 2, 3, ..., summed."""


def sums(graph: Graph) -> dict[str, float]:
    x = 4 * np.random.default_rng(1).normal(size=(4, 2, 2, 3, 3))
    signals = run_float(graph, x)
    return {n: float((signals[n].ravel() * np.arange(1, signals[n].size + 1)).sum()) for n in SUMS}


def test_a_nir_file_of_version_1_means_what_it_meant(tmp_path: Path) -> None:
    graph = nirx.read(OLD / "blocks.nir")

    assert [graph.nodes[name].kind for name in SUMS] == ["gac", "ma", "tcja", "staa"]
    assert sums(from_nir(graph)) == pytest.approx(SUMS, abs=1e-8)
    nirx.write(tmp_path / "new.nir", graph)
    assert nirx.same(graph, nirx.read(tmp_path / "new.nir"))


def test_blocks_in_a_bundle_come_back_as_they_were(tmp_path: Path) -> None:
    graph_io.save(from_nir(nirx.read(OLD / "blocks.nir")), tmp_path / "graph.npz")

    graph = graph_io.load(tmp_path / "graph.npz")

    blocks = [op for op in graph if isinstance(op, AttentionBlock)]
    assert [op.kind for op in blocks] == ["gac", "ma", "tcja", "staa"]
    assert [op.shape for op in blocks] == [(2, 3, 3)] * 4
    assert sums(graph) == pytest.approx(SUMS, abs=1e-8)


def test_a_kind_that_no_package_registers_is_refused_by_node(tmp_path: Path) -> None:
    nirx.write(tmp_path / "a.nir", nirx.read(OLD / "blocks.nir"))
    with h5py.File(tmp_path / "a.nir", "a") as file:
        del file["node/nodes/ma/kind"]
        file["node/nodes/ma/kind"] = "depth-gate"

    with pytest.raises(UnsupportedNodeError) as caught:
        nirx.read(tmp_path / "a.nir")

    assert str(caught.value) == (
        f"{tmp_path / 'a.nir'}: node 'ma': no attention block of kind 'depth-gate'; "
        "there are gac, ma, ma-attention, spike-attention, staa, tcja\n"
        "  help: install the package that registers it (entry point group 'spikewright.blocks')"
    )
    with pytest.raises(UnsupportedNodeError, match="block 'depth-gate': no attention block of kind"):
        block_class("depth-gate")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("gate_delay", 1.5, "MALIF: gate_delay is 1.5; expected a whole number"),
        ("gate_delay", "late", "MALIF: gate_delay is 'late'; expected a whole number"),
        ("decay", "slow", "MALIF: decay is 'slow'; expected a number"),
        ("gate", 3, "MALIF: gate is 3; expected text"),
        ("depth", 3, "unexpected keyword argument 'depth'"),
        ("gate_delay", np.ones(2), "gate_delay holds .*; expected one number or text"),
    ],
)
def test_an_option_that_a_block_does_not_take_is_an_error_of_the_file(
    option: str, value: object, message: str, tmp_path: Path
) -> None:
    nirx.write(tmp_path / "a.nir", nirx.read(OLD / "blocks.nir"))
    with h5py.File(tmp_path / "a.nir", "a") as file:
        options = file["node/nodes/ma/options"]
        if option in options:
            del options[option]
        options[option] = value

    with pytest.raises(ImportingError, match=message) as caught:
        nirx.read(tmp_path / "a.nir")

    assert caught.value.where == f"{tmp_path / 'a.nir'}: node 'ma'"


def test_a_graph_with_an_op_of_a_package_that_is_gone_is_refused_by_its_name() -> None:
    structure, arrays = graph_io.to_parts(from_nir(nirx.read(OLD / "blocks.nir")))
    structure["ops"][1]["type"] = "DepthGate"

    with pytest.raises(UnsupportedNodeError, match="op type 'DepthGate': no op of this name"):
        graph_io.from_parts(structure, arrays, "a bundle")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_package.block:Block", "no_such_package.block:Block cannot be loaded"),
        ("spikewright.toolchain.blocks.ma:Missing", "cannot be loaded"),
        ("spikewright.toolchain.ops:Lif", "spikewright.toolchain.ops:Lif is no AttentionBlock of kind 'own'"),
        ("spikewright.toolchain.blocks.ma:MALIF", "is no AttentionBlock of kind 'own'"),
    ],
)
def test_a_package_that_registers_no_block_is_named(value: str, message: str) -> None:
    with pytest.raises(ImportingError, match=message) as caught:
        load_block(EntryPoint("own", value, GROUP))

    assert caught.value.where == "entry point 'own' of 'spikewright.blocks'"
