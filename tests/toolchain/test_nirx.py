"""Extension nodes and their files: nothing is lost, nothing broken is let in, nothing half-written stays."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

from spikewright.toolchain import nirx
from spikewright.toolchain.errors import ImportingError, InputError, ToolchainError, UnsupportedNodeError
from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.nirx import hdf5
from spikewright.toolchain.nirx.registry import EXTENSION_VERSION

SHAPE = (4, 6, 6)
HAS_ONE = nir.Input(np.array(SHAPE))
"""Stands for a neuron that fits."""


def neuron(shape: tuple[int, ...] = SHAPE) -> nir.LIF:
    return nir.LIF(
        tau=np.full(shape, 2e-3),
        r=np.ones(shape),
        v_leak=np.zeros(shape),
        v_threshold=np.full(shape, 0.3),
        v_reset=np.zeros(shape),
        metadata={"comparison": ">=", "reset": "subtract", "beta": 0.5, "gain": 0.5},
    )


def batch_norm(rng: np.random.Generator) -> nirx.BatchNorm:
    mean, variance, weight, bias = rng.random((4, 4)).astype(np.float32)
    return nirx.BatchNorm(mean, variance, weight, bias, 1e-5, SHAPE)


def attentive(parameters: dict[str, np.ndarray], dims: str, inner: nir.NIRNode | None = HAS_ONE) -> nirx.AttentionNode:
    options = {"dims": dims, "variant": "causal", "gate": "hard", "gate_delay": 3, "decay": 1.0}
    return nirx.AttentionNode("ma", neuron() if inner is HAS_ONE else inner, parameters, options, 8, SHAPE)


def gate_of(parameters: dict[str, np.ndarray], shape: tuple[int, ...] = SHAPE, **changed: str) -> nirx.AttentionNode:
    options = {
        "dims": "TC",
        "variant": "published",
        "gate": "sigmoid",
        "gate_delay": 0,
        "memory": "table",
        "decay": 1.0,
    }
    return nirx.AttentionNode("tcja", None, parameters, options | changed, 8, shape)


def reconstructed(parameters: dict[str, np.ndarray], **changed: str | int) -> nirx.AttentionNode:
    options = {"variant": "causal", "gate": "hard", "gate_delay": 3, "decay": 1.0}
    return nirx.AttentionNode("staa", neuron(), parameters, options | changed, 8, SHAPE)


def causal(rng: np.random.Generator) -> nirx.AttentionNode:
    parameters = {
        "ta_w": np.array(-4.0, np.float32),
        "ta_b": np.array(1.8),
        "ca_w0": rng.random((2, 4)),
        "ca_w1": rng.random((4, 2)).astype(np.float32),
        "ca_b": rng.random(4),
        "sa_kernel": rng.random((1, 1, 3, 3)),
        "sa_b": np.array(1.8),
    }
    return attentive(parameters, "TCS")


def coding(rng: np.random.Generator) -> nirx.AttentionNode:
    parameters = {"ta_w0": rng.random((4, 8)), "ta_w1": rng.random((8, 4))}
    parameters |= {"conv0": rng.random((4, 4, 4, 4)), "conv1": rng.random((4, 4, 4, 4))}
    return nirx.AttentionNode("gac", neuron(), parameters, {"gate": "sigmoid", "variant": "code"}, 8, SHAPE)


def joint(rng: np.random.Generator) -> nirx.AttentionNode:
    parameters = {"tla": rng.random((4, 4, 3)), "cla": rng.random((8, 8, 2)).astype(np.float32)}
    return gate_of(parameters)


def staa(rng: np.random.Generator) -> nirx.AttentionNode:
    parameters = {"pe": rng.random((8, 4)), "ta_w": np.array(-4.0), "ta_b": np.array(1.8), "ca_b": rng.random(4)}
    parameters |= {"ca_w0": rng.random((2, 4)), "ca_w1": rng.random((4, 2))}
    return reconstructed(parameters)


def graph_of(*nodes: nir.NIRNode, metadata: dict[str, object] | None = None) -> nir.NIRGraph:
    """A chain, from a (4, 6, 6) input on."""
    names = ["input", *(f"n{i}" for i in range(len(nodes))), "output"]
    ends = [nir.Input(np.array(SHAPE)), *nodes, nir.Output(np.array(SHAPE))]
    edges = list(pairwise(names))
    return nir.NIRGraph(dict(zip(names, ends, strict=True)), edges, metadata=metadata or {}, type_check=False)


def test_every_extension_node_reads_back_without_loss(rng: np.random.Generator, tmp_path: Path) -> None:
    pool = nirx.MaxPool2d((2, 3), (1, 2), (0, 1))
    nodes = (batch_norm(rng), causal(rng), coding(rng), pool, joint(rng), staa(rng))
    graph = graph_of(*nodes, metadata={"dt": 1e-3, "timesteps": 8})

    nirx.write(tmp_path / "a.nir", graph)
    back = nirx.read(tmp_path / "a.nir")

    assert nirx.difference(graph, back) is None
    assert nirx.same(graph, back)
    assert back.nodes["n1"].parameters["ca_w1"].dtype == np.float32
    assert back.nodes["n1"].neuron.metadata == neuron().metadata
    assert nirx.extension_names(back) == ["n0", "n1", "n2", "n3", "n4", "n5"]


def test_tcja_and_staa_nodes_check_their_parameters(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"TCJA: tla has shape \(4, 4, 3\); expected \(6, 6, n\)"):
        gate_of(joint(rng).parameters, shape=(6, 3, 3))
    with pytest.raises(ValueError, match=r"TCJA: cla has shape \(8, 8, 2\); expected \(1, 1, n\)"):
        gate_of(joint(rng).parameters, variant="causal", memory="count")
    with pytest.raises(ValueError, match=r"gate_delay 0, decay 1.0; expected timesteps >= 1, gate_delay >= 1"):
        reconstructed(staa(rng).parameters, gate_delay=0)
    with pytest.raises(ValueError, match=r"STAALIF: parameters .* expected"):
        reconstructed(staa(rng).parameters, variant="reconstruction")


def test_metadata_of_all_kinds_and_edge_order_survive(tmp_path: Path) -> None:
    metadata = {
        "s": "text",
        "f": 0.1,
        "i": 3,
        "b": True,
        "a": np.arange(3, dtype=np.int8),
        "d": {"inner": 1.5},
        "l": ["x", "y"],
    }
    nodes = {
        "input": nir.Input(np.array([2])),
        "z": nir.Scale(np.ones(2)),
        "a": nir.Scale(np.ones(2)),
        "o": nir.Output(np.array([2])),
    }
    edges = [("z", "o"), ("input", "z"), ("a", "o"), ("input", "a")]
    graph = nir.NIRGraph(nodes, edges, metadata=metadata, type_check=False)

    nirx.write(tmp_path / "m.nir", graph)
    back = nirx.read(tmp_path / "m.nir")

    assert nirx.difference(graph, back) is None
    assert back.edges == edges
    assert (type(back.metadata["i"]), type(back.metadata["f"]), type(back.metadata["b"])) == (int, float, bool)


def test_a_graph_without_extensions_is_a_plain_nir_file(tmp_path: Path) -> None:
    conv = nir.Conv2d((6, 6), np.ones((4, 4, 3, 3), np.float32), (1, 1), (1, 1), (1, 1), 1, np.zeros(4, np.float32))
    graph = graph_of(conv, neuron(), metadata={"dt": 1e-3, "timesteps": 8})
    nirx.write(tmp_path / "plain.nir", graph)

    theirs = nir.read(tmp_path / "plain.nir")

    assert nirx.extension_names(graph) == []
    np.testing.assert_array_equal(theirs.nodes["n1"].tau, graph.nodes["n1"].tau)
    assert float(theirs.metadata["dt"]) == 1e-3


def test_our_reader_reads_what_nir_writes_nested_graphs_and_strings_included(tmp_path: Path) -> None:
    inner = nir.NIRGraph.from_list(nir.Linear(np.eye(3)), nir.Threshold(np.ones(3)))
    graph = nir.NIRGraph.from_list(nir.Affine(np.ones((3, 2)), np.zeros(3)), inner)
    nir.write(tmp_path / "theirs.nir", graph)

    back = nirx.read(tmp_path / "theirs.nir")

    assert nirx.difference(graph, back) is None


@pytest.mark.parametrize("change", ["value", "dtype", "edge", "metadata", "type", "shape"])
def test_graphs_that_differ_anywhere_are_not_the_same(rng: np.random.Generator, change: str) -> None:
    one, other = graph_of(batch_norm(rng), neuron()), graph_of(batch_norm(np.random.default_rng(0)), neuron())
    assert nirx.same(one, other)
    match change:
        case "value":
            other.nodes["n0"].mean[1] += 1e-6
        case "dtype":
            other.nodes["n0"].mean = other.nodes["n0"].mean.astype(np.float64)
        case "edge":
            other.edges.reverse()
        case "metadata":
            other.nodes["n1"].metadata["comparison"] = ">"
        case "type":
            other.nodes["n1"] = nir.IF(*(np.ones(SHAPE),) * 3)
        case "shape":
            other.nodes["n0"].shape = (4, 36)

    assert not nirx.same(one, other)


def test_a_truncated_file_is_refused_with_where_what_and_help(rng: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / "cut.nir"
    nirx.write(path, graph_of(causal(rng)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(ImportingError, match="not a readable NIR file") as caught:
        nirx.read(path)

    assert caught.value.where == str(path)
    assert "truncated" in caught.value.help


@pytest.mark.parametrize("content", [b"", b"this is text", b"\x89HDF\r\n\x1a\n" + b"\0" * 50])
def test_a_file_that_is_no_hdf5_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.nir").write_bytes(content)

    with pytest.raises(ImportingError, match="not a readable NIR file"):
        nirx.read(tmp_path / "x.nir")


def test_an_hdf5_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.nir", "w") as file:
        file.create_dataset("weights", data=np.ones(3))

    with pytest.raises(ImportingError, match="not a readable NIR file"):
        nirx.read(tmp_path / "x.nir")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportingError) as caught:
        nirx.read(tmp_path / "none.nir")

    assert str(caught.value) == f"{tmp_path / 'none.nir'}: no such file\n  help: name a .nir file"


def test_an_unknown_node_type_is_refused_by_name(rng: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / "u.nir"
    nirx.write(path, graph_of(batch_norm(rng)))
    with h5py.File(path, "a") as file:
        del file["node/nodes/n0/type"]
        file["node/nodes/n0/type"] = "Softmax"

    with pytest.raises(
        UnsupportedNodeError, match=r"node type Softmax; known are Affine, .*AttentionNode, BatchNorm, MaxPool2d"
    ) as caught:
        nirx.read(path)

    assert caught.value.where == f"{path}: node 'n0'"


def test_values_that_are_not_finite_are_refused_by_node_and_field(rng: np.random.Generator, tmp_path: Path) -> None:
    node = causal(rng)
    node.parameters["ca_w0"][1, 2] = np.nan
    nirx.write(tmp_path / "nan.nir", graph_of(batch_norm(rng), node))

    with pytest.raises(ImportingError, match=r"ca_w0 holds 1 values that are not finite .* of 8") as caught:
        nirx.read(tmp_path / "nan.nir")

    assert caught.value.where.endswith("node 'n1'")


def test_fields_that_a_node_does_not_have_are_refused(rng: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / "f.nir"
    nirx.write(path, graph_of(batch_norm(rng)))
    with h5py.File(path, "a") as file:
        file["node/nodes/n0/momentum"] = 0.1

    with pytest.raises(ImportingError, match="BatchNorm has fields momentum; it takes metadata, mean, variance"):
        nirx.read(path)


def test_a_missing_field_is_refused(rng: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / "f.nir"
    nirx.write(path, graph_of(neuron()))
    with h5py.File(path, "a") as file:
        del file["node/nodes/n0/tau"]

    with pytest.raises(ImportingError, match="LIF lacks tau") as caught:
        nirx.read(path)

    assert "node 'n0'" in caught.value.where


def test_an_edge_to_nowhere_is_refused(tmp_path: Path) -> None:
    graph = graph_of(neuron())
    graph.edges.append(("n0", "ghost"))
    nirx.write(tmp_path / "e.nir", graph)

    with pytest.raises(ImportingError, match="names 'ghost', which is no node"):
        nirx.read(tmp_path / "e.nir")


def test_a_file_of_a_newer_extension_version_is_refused(tmp_path: Path) -> None:
    nirx.write(tmp_path / "v.nir", graph_of(neuron(), metadata={"extension_version": EXTENSION_VERSION + 1}))

    with pytest.raises(ImportingError, match=f"reads up to {EXTENSION_VERSION}"):
        nirx.read(tmp_path / "v.nir")


def test_a_name_with_a_slash_is_refused_before_it_corrupts_the_file(tmp_path: Path) -> None:
    graph = graph_of(neuron())
    graph.nodes["a/b"] = graph.nodes.pop("n0")

    with pytest.raises(ImportingError, match="takes no '/'"):
        nirx.write(tmp_path / "s.nir", graph)

    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(rng: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / "a.nir"
    nirx.write(path, graph_of(batch_norm(rng)))
    before = path.read_bytes()

    with pytest.raises(ImportingError, match="dtype object"):
        nirx.write(path, graph_of(neuron(), metadata={"bad": object()}))

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_an_error_of_the_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written") as caught:
        nirx.write(tmp_path / "no" / "a.nir", graph_of(neuron()))

    assert caught.value.where == str(tmp_path / "no" / "a.nir")


def test_a_file_gets_the_rights_that_any_new_file_gets(rng: np.random.Generator, tmp_path: Path) -> None:
    nirx.write(tmp_path / "a.nir", graph_of(batch_norm(rng)))
    (tmp_path / "b").touch()

    assert (tmp_path / "a.nir").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_the_same_graph_gives_the_same_bytes(rng: np.random.Generator, tmp_path: Path) -> None:
    graph = graph_of(causal(rng))
    for name in ("a", "b"):
        nirx.write(tmp_path / name, graph)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda r: nirx.BatchNorm(r.random(3), r.random(4), r.random(4), r.random(4), 1e-5, SHAPE), "mean has shape"),
        (lambda r: nirx.BatchNorm(*r.random((3, 4)), -np.ones(3), 1e-5, SHAPE), "bias has shape"),
        (lambda r: nirx.BatchNorm(r.random(4), -np.ones(4), *r.random((2, 4)), 1e-5, SHAPE), "expected > 0"),
        (lambda r: nirx.MaxPool2d((0, 2), (1, 1), (0, 0)), "expected kernel and stride >= 1"),
        (lambda r: attentive({}, "X"), "dims is 'X'"),
        (
            lambda r: attentive({}, "T"),
            r"expected \['ta_b', 'ta_w'\]",
        ),
        (lambda r: attentive({}, "T", neuron((4,))), "neuron has shape"),
        (lambda r: attentive({}, "T", None), "neuron is a NoneType"),
        (lambda r: nirx.AttentionNode("tcja", neuron(), {}, {}, 8, SHAPE), "has a neuron; expected none"),
        (lambda r: nirx.AttentionNode("gac", neuron(), {}, {"gate": "soft"}, 8, SHAPE), "gate is 'soft'"),
    ],
)
def test_nodes_refuse_parameters_that_do_not_fit(rng: np.random.Generator, make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(rng)


WRONG = (
    "text",
    -1,
    0.5,
    10**18,
    float("nan"),
    np.zeros(0),
    np.ones((3,) * 5),
    np.array(["a", "b"], dtype=object),
    None,
)


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("coding", "causal")]


@pytest.mark.parametrize("kind", ["conv", "pool", "norm", *SLOW])
def test_no_broken_field_gets_through_as_anything_but_an_error_of_the_input(
    rng: np.random.Generator, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hdf5, "_watched", lambda path: None)  # hundreds of files, all written by h5py itself
    two = np.array([2, 2])
    nodes = {
        "conv": nir.Conv2d((6, 6), np.ones((4, 4, 3, 3)), (1, 1), (1, 1), (1, 1), 1, np.zeros(4)),
        "coding": coding(rng),
        "causal": causal(rng),
        "pool": nir.AvgPool2d(two, two, two - 2),
        "norm": batch_norm(rng),
    }
    whole = graph_of(nodes[kind], metadata={"dt": 1e-3, "timesteps": 8, "readout": "mean"})
    nirx.write(tmp_path / "whole.nir", whole)
    names: list[str] = []
    with h5py.File(tmp_path / "whole.nir") as file:
        file.visit(names.append)
    refused = 0
    for name in names:
        for wrong in WRONG:
            (tmp_path / "broken.nir").write_bytes((tmp_path / "whole.nir").read_bytes())
            with h5py.File(tmp_path / "broken.nir", "a") as file:
                del file[name]
                if wrong is not None:
                    file[name] = wrong
            try:
                from_nir(nirx.read(tmp_path / "broken.nir"))
            except ToolchainError:
                refused += 1
    assert refused > len(names)


def test_scalars_of_any_type_stand_beside_arrays(tmp_path: Path) -> None:
    full = np.ones(3)
    node = nir.IF(full, full * 2, full * 0)
    node.r, node.v_reset = np.float32(1), np.float16(0)
    ends = {"input": nir.Input(np.array([3])), "n": node, "output": nir.Output(np.array([3]))}
    nirx.write(tmp_path / "net.nir", nir.NIRGraph(ends, [("input", "n"), ("n", "output")], type_check=False))

    read = nirx.read(tmp_path / "net.nir").nodes["n"]

    assert [np.shape(value) for value in (read.r, read.v_threshold, read.v_reset)] == [(), (3,), ()]
