"""ONNX both ways: in onnxruntime the net sends the interpreter's spikes, the host its payloads; the file reads back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Literal

import foreign_files
import numpy as np
import onnx
import pytest
from netx_nets import NETS
from onnx import TensorProto, helper
from onnx_nets import BLOCKS, NEURONS, T, block_net, dense_net, neuron_net, spike_attention_net
from random_nets import random_net
from zoo_nets import deployed

from spikewright.export.onnx import agreement, export_onnx, host_model, net_agreement, net_model
from spikewright.export.onnx.agreement import run_onnx
from spikewright.export.onnx.record import About, read_record, recorded
from spikewright.export.onnx.writer import Precision
from spikewright.toolchain import nirx
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.dequantize import to_float
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError
from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.importing import load_model
from spikewright.toolchain.integer import source_of
from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array, Delay, Input, Lif, Neuron, Output, SumPool, TransposedConv
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    return deployed("gac-digits", "auto", None)


def events(*shape: int, seed: int = 0) -> Array:
    return (np.random.default_rng(seed).random((T, 3, *shape)) < 0.5).astype(np.float64)


def images(*shape: int, still: bool) -> Array:
    frames = np.random.default_rng(0).normal(size=(1 if still else T, 3, *shape))
    return np.repeat(frames, T, axis=0) if still else frames


# -------------------------------------------------------------------------------------------- the whole net
@pytest.mark.parametrize("name", BLOCKS)
def test_every_family_and_variant_sends_the_interpreters_spikes(name: str) -> None:
    graph, x = block_net(BLOCKS[name]), events(2, 4, 6)

    found = net_agreement(graph, x, precision="float64")

    assert found.spikes > 0
    assert run_float(graph, x)["block"].any()
    assert (found.differing, found.answer_error) == (0, pytest.approx(0, abs=1e-9))
    assert net_agreement(graph, x).differing == 0


@pytest.mark.parametrize(("variant", "heads"), [("channel", 1), ("token", 1), ("product", 1), ("product", 2)])
def test_spike_driven_attention_sends_the_interpreters_spikes(
    variant: Literal["channel", "token", "product"], heads: int
) -> None:
    graph, x = spike_attention_net(variant, heads), events(2, 4, 6)

    found = net_agreement(graph, x, precision="float64")

    assert run_float(graph, x)["block"].any()
    assert (found.differing, found.answer_error) == (0, pytest.approx(0, abs=1e-9))


@pytest.mark.parametrize("name", NEURONS)
def test_every_field_of_a_neuron(name: str) -> None:
    graph, x = neuron_net(NEURONS[name]), events(6)

    assert run_float(graph, x)["lif"].any()
    assert net_agreement(graph, x, precision="float64").differing == 0
    back = read_record(recorded(graph, About()), "net.onnx")
    assert back is not None
    assert (run_float(back[0], x)["lif"] == run_float(graph, x)["lif"]).all()


def test_no_field_of_a_neuron_is_left_out() -> None:
    elsewhere = {"name", "inputs", "block", "shape", "gates", "output_gate"}  # in the nets with attention
    refused = {"membrane_gates", "pooled"}  # of lowered nets only; ours are written as captured
    usual = Lif(name="lif", shape=(4,), beta=np.array(0.5), v_threshold=np.array(2.0))

    def differs(neuron: Lif, field: str) -> bool:
        found, meant = getattr(neuron, field), getattr(usual, field)
        return bool(np.any(found != meant))

    tried = {f.name for f in fields(Lif) for neuron in NEURONS.values() if differs(neuron, f.name)}
    assert {f.name for f in fields(Lif)} - elsewhere - refused <= tried


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("seed", [3, 8, 12, 31])
def test_random_nets_send_the_interpreters_spikes_and_read_back_equal(seed: int, precision: Precision) -> None:
    graph, x = random_net(seed)

    found = net_agreement(graph, x, precision=precision)
    back = read_record(recorded(graph, About(precision=precision)), "net.onnx")

    assert found.differing == 0
    assert found.answer_error < 1e-5
    assert back is not None
    again, meant = run_float(back[0], x), run_float(graph, x)
    assert all((again[name] == meant[name]).all() for name in meant)


@pytest.mark.parametrize(
    "made",
    [
        foreign_files.a_line_as_long_as_its_channels, foreign_files.groups_and_unlike_axes,
        foreign_files.a_graph_inside_the_loop, foreign_files.integrators_in_the_middle,
        foreign_files.maps_behind_a_read_out, foreign_files.several_spikes_and_a_floor_each,
    ],
)  # fmt: skip
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_nets_of_nir_files_send_the_interpreters_spikes_and_read_back_equal(
    made: Callable[[], foreign_files.Case], precision: Precision, tmp_path: Path
) -> None:
    case = made()
    foreign_files.write(tmp_path / "net.nir", case.tree)
    graph = from_nir(nirx.read(tmp_path / "net.nir"), timesteps=len(case.x))

    found = net_agreement(graph, case.x, precision=precision)
    back = read_record(recorded(graph, About(precision=precision)), "net.onnx")

    assert (found.differing, found.answer_error) == (0, pytest.approx(0, abs=1e-5))
    assert back is not None
    np.testing.assert_array_equal(run_float(back[0], case.x)["output"], run_float(graph, case.x)["output"])


@pytest.mark.parametrize("name", NETS)
def test_nets_of_net_files_send_the_interpreters_spikes(name: str, rng: np.random.Generator) -> None:
    graph = to_float(NETS[name](rng))
    source = next(op for op in graph if isinstance(op, Input))
    x = rng.integers(0, 2, (graph.timesteps, 3, *source.shape)).astype(np.float64)

    found = net_agreement(graph, x, precision="float64")

    assert (found.differing, found.answer_error) == (0, pytest.approx(0, abs=1e-5))
    assert found.spikes > 0


def test_time_is_a_scan_and_nodes_are_called_after_block_and_op() -> None:
    graph = block_net(BLOCKS["ma-causal"])
    model = net_model(graph)
    longer = net_model(Graph(graph.ops, timesteps=40))

    assert [len(model.graph.node)] == [len(longer.graph.node)]
    nodes = {n.name: n for n in _every_node(model.graph)}
    made = {op.name for op in graph if not isinstance(op, Input | Output | Delay)}
    assert made <= set(nodes)
    assert {n.name for n in model.graph.node} & set(graph.by_name) == {"stem", "block", "flat", "late", "head", "sum"}
    assert [(p.key, p.value) for p in nodes["block.ca.count"].metadata_props] == [("namespace", "block/block.ca.count")]
    shapes = {info.name: _dims(info) for info in (*model.graph.value_info, *model.graph.input, *model.graph.output)}
    assert shapes["x"] == [T, "B", 2, 4, 6]
    assert shapes["answer"] == ["B", 3]
    assert shapes["block"] == [T, "B", 4, 4, 6]
    assert shapes["stem"] == ["T*B", 4, 4, 6]


def _every_node(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    nodes = list(graph.node)
    return nodes + [n for node in nodes for a in node.attribute if a.HasField("g") for n in _every_node(a.g)]


def _dims(info: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim]


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("still", [False, True])
def test_a_flat_real_input_with_parameters_per_neuron_and_a_recurrent_first_layer(recurrent: bool, still: bool) -> None:
    graph, x = dense_net(recurrent=recurrent), images(6, still=still)

    made = deploy_graph(graph, Options(), lambda: Samples(x, None, "random", simulated=True), name="dense")

    assert made.host is not None
    assert ("before" in made.host.graph) == recurrent
    assert (made.encode(x) == run_float(graph, x)["r0"]).all()
    assert net_agreement(graph, x, dense=True).differing == 0
    assert agreement(host_model(made.host.graph, source_of(made.integer).scale), made, x).off_by_one == 0


def test_an_op_without_onnx_form_is_refused_by_name() -> None:
    class Odd(Neuron):
        pass

    ops = (
        Input(name="in", shape=(2,)),
        Odd(name="odd", inputs=("in",), shape=(2,)),
        Output(name="out", inputs=("odd",)),
    )

    with pytest.raises(UnsupportedNodeError, match="op 'odd': Odd has no ONNX form"):
        net_model(Graph(ops, timesteps=2))


# ----------------------------------------------------------------------------------------------- the host part
def test_the_host_export_agrees_with_the_interpreter_to_one_unit(deployment: Deployment) -> None:
    assert deployment.host is not None
    assert deployment.samples is not None
    x, scale = np.asarray(deployment.samples.x[:, :16], np.float64), source_of(deployment.integer).scale

    found = agreement(host_model(deployment.host.graph, scale), deployment, x)

    assert found.values == 6 * 16 * 16 * 64
    assert found.off_by_more == 0
    assert found.off_by_one <= found.values // 1000
    assert agreement(host_model(deployment.host.graph, scale / 2), deployment, x[:, :4]).off_by_more > 0


@pytest.mark.parametrize(("still", "frames"), [(True, 1), (False, T)])
@pytest.mark.parametrize("name", ["gac-code", "gac-causal"])
def test_a_still_frame_is_computed_once_and_a_moving_one_in_every_step(name: str, still: bool, frames: int) -> None:
    graph, x = block_net(BLOCKS[name]), images(2, 4, 6, still=still)
    model = net_model(graph, dense=True, record=["block"])
    (gates,) = (n.output[0] for n in model.graph.node if n.op_type == "Conv" and "block/parameters/conv1" in n.input)
    model.graph.output.append(helper.make_tensor_value_info(gates, TensorProto.FLOAT, None))

    sent, features = run_onnx(model, x, ["block", gates])

    assert features.shape[0] == frames * 3
    assert np.abs(sent - run_float(graph, x)["block"]).max() < 1e-4


def test_a_transposed_convolution_behind_a_padding_wider_than_its_window_sends_the_interpreters_spikes() -> None:
    rng = np.random.default_rng(2)
    ops = (
        Input(name="input", shape=(3, 4, 6), binary=False),
        SumPool(name="padded", inputs=("input",), kernel=(1, 1), stride=(1, 1), padding=(2, 1), scale=2.0),
        TransposedConv(
            name="up",
            inputs=("padded",),
            weight=rng.normal(size=(2, 3, 3, 3)),
            bias=rng.normal(size=2),
            stride=(2, 2),
            padding=(1, 1),
            output_padding=(1, 1),
        ),
        Lif(name="fire", inputs=("up",), shape=(2, 16, 16), beta=np.full((), 0.5), v_threshold=np.ones(())),
        Output(name="y", inputs=("fire",)),
    )
    graph, x = Graph(ops, T), images(3, 4, 6, still=False)

    (sent,) = run_onnx(net_model(graph, dense=True, record=["fire"]), x, ["fire"])

    assert 0 < sent.mean() < 1
    np.testing.assert_array_equal(sent, run_float(graph, x)["fire"])


# --------------------------------------------------------------------------------------------- files, both ways
def test_the_exporter_writes_both_files_says_how_well_they_agree_and_is_silent(
    deployment: Deployment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    notes = export_onnx(deployment, tmp_path)

    assert notes["net.onnx"].startswith("written; in onnxruntime 0 of ")
    assert notes["host.onnx"].startswith("written; of ")
    assert notes["host.onnx"].endswith(" and 0 by more")
    assert capfd.readouterr() == ("", "")

    found = load_model(str(tmp_path / "net.onnx"))
    assert (found.name, found.dataset, found.card) == ("gac-digits", "digits", deployment.card)
    x = np.asarray(deployment.choose(limit=4).x, np.float64)
    again, meant = run_float(found.float_graph(), x), run_float(deployment.captured, x)
    assert all((again[name] == meant[name]).all() for name in meant)


def test_a_file_that_was_changed_after_it_was_written_is_refused(tmp_path: Path) -> None:
    model, path = recorded(block_net(BLOCKS["tcja-published-T"]), About()), tmp_path / "net.onnx"
    next(node for node in model.graph.node if node.op_type == "Sigmoid").op_type = "Relu"
    path.write_bytes(model.SerializeToString())

    with pytest.raises(ImportingError, match="node 'block/Sigmoid' is not as the record says"):
        load_model(str(path))


def test_weights_of_a_constant_may_be_others(tmp_path: Path) -> None:
    graph, path = dense_net(recurrent=False), tmp_path / "net.onnx"
    model = recorded(graph, About())
    held = next(c for c in model.graph.initializer if c.name == "r1/v_threshold")
    held.CopyFrom(onnx.numpy_helper.from_array(np.float32(2.0).reshape(()), held.name))
    path.write_bytes(model.SerializeToString())

    assert load_model(str(path)).float_graph()["r1"].v_threshold == 2  # type: ignore[attr-defined]


def test_another_onnx_file_is_refused_by_its_operators(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Relu", ["c"], ["y"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    weight = helper.make_tensor("w", TensorProto.FLOAT, (1, 1, 1, 1), [1.0])
    path = tmp_path / "cnn.onnx"
    onnx.save_model(helper.make_model(helper.make_graph(nodes, "cnn", values[:1], values[1:], [weight])), str(path))

    with pytest.raises(ImportingError, match=r"its operators are Conv \(1\), Relu \(1\)"):
        load_model(str(path))


@pytest.mark.parametrize("content", [b"", b"not protobuf", b"\x08\x09"])
def test_a_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)

    with pytest.raises(ImportingError, match="onnx"):
        load_model(str(path))
