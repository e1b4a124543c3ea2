"""Which process an op becomes, and which values are refused before anything is built; no Lava is started."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from int_nets import int_conv, int_dense, int_gate, int_gate_link, int_identity, int_input, int_lif
from mapped import mapped

from spikewright.export.lava import LavaBackend, stock
from spikewright.export.lava.bounds import worst
from spikewright.export.lava.nodes import Plan, load, save
from spikewright.export.lava.plan import plan
from spikewright.hw_sim.synapses import gate_index
from spikewright.toolchain.errors import BackendError, InputError
from spikewright.toolchain.integer import IntConnection, IntOutput
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op, Relu
from spikewright.toolchain.passes.align import Align


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


LIF: dict[str, Any] = {"decay_v": ints(1000), "bias": ints(0), "threshold": ints(6400)}


def small(weight: np.ndarray | None = None, **fields: Any) -> Graph:
    """Two dense layers; ``fields`` change the neuron in the middle."""
    ops: list[Op] = [
        int_input(name="x", shape=(2,)),
        int_dense(name="d", inputs=("x",), weight=ints(2, -4, 6, 8).reshape(2, 2) if weight is None else weight),
        int_lif(name="l", inputs=("d",), shape=(2,), **LIF | fields),
        int_dense(name="e", inputs=("l",), weight=ints(2, -4).reshape(1, 2)),
        int_lif(name="o", inputs=("e",), shape=(1,), **LIF),
        IntOutput(name="y", inputs=("o",)),
    ]
    return Align()(Graph(tuple(ops), 4))


def planned(graph: Graph) -> Plan:
    return plan(graph, 4, 2, Path("/nowhere"), record=False)


def kind(graph: Graph, name: str) -> str:
    return next(node.kind for node in planned(graph).nodes if node.name == name)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "lif"),
        ({"decay_u": ints(0)}, "lif"),
        ({"bias": ints(4095 << 7, -(4096 << 7))}, "lif"),
        ({"threshold": ints(131071 << 6)}, "lif"),
        ({"bias": ints(4097)}, "neuron"),
        ({"bias": ints(4096 << 7)}, "neuron"),
        ({"threshold": ints(6401)}, "neuron"),
        ({"threshold": ints(-64)}, "neuron"),
        ({"threshold": ints((1 << 23) - 1)}, "neuron"),
        ({"decay_v": ints(4096)}, "neuron"),
        ({"reset": "subtract"}, "neuron"),
        ({"v_reset": ints(64)}, "neuron"),
        ({"rectify": True}, "neuron"),
    ],
)
def test_a_neuron_is_stock_only_where_stock_means_the_same(fields: dict[str, Any], expected: str) -> None:
    assert kind(small(**fields), "l") == expected


def test_a_neuron_read_with_a_lag_is_silent_outside_its_window() -> None:
    """A stock neuron goes on firing after its last step; with a lag that would reach the next sample."""
    graph = small()
    back = int_dense(name="r", inputs=("l",), weight=ints(2, 2, 2, 2).reshape(2, 2), lag=1)
    ops = [replace(op, inputs=("d", "r")) if op.name == "l" else op for op in graph]
    looped = Align()(Graph((*ops[:2], back, *ops[2:]), 4))

    assert kind(looped, "l") == "neuron"
    assert planned(looped).period == 5


def test_the_biases_of_a_stock_neuron_are_mantissas_and_exponents() -> None:
    bias = ints(0, 4095, -4096, 4096, -8192, 5 << 14, 4095 << 7)

    split = stock.split_bias(bias)

    assert split is not None
    np.testing.assert_array_equal(split[0] << split[1], bias)
    assert split[1].max() <= 7
    assert stock.split_bias(ints(4097)) is None


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (ints(-256, 254), [[-256, 254]]),
        (ints(0, 255), [[0, 255]]),
        (ints(-255, 0), [[-255, 0]]),
        (ints(-3, 5), [[0, 5], [-3, 0]]),
        (ints(-256, 3), []),
        (ints(-256, -1), []),
    ],
)
def test_weights_are_put_on_lavas_grid_without_loss_or_not_at_all(
    weight: np.ndarray, expected: list[list[int]]
) -> None:
    found = stock.grids(weight)

    assert [part.tolist() for part in found] == expected
    assert not found or np.array_equal(sum(found), weight)


def test_sums_beyond_lavas_buffers_take_wide_synapses() -> None:
    conv = int_conv(name="c", inputs=("x",), weight=np.full((1, 1, 3, 3), 254), exponent=12)
    graph = Graph((int_input(name="x", shape=(1, 3, 3)), conv), 1)

    assert worst(graph, 1)["c"] == 9 * 254 << 12
    assert stock.synapses(conv, (1, 3, 3), 9 * 254 << 12, 0) is None
    assert stock.synapses(replace(conv, exponent=11), (1, 3, 3), 9 * 254 << 11, 0) is not None


def test_gate_levels_reach_the_neurons_they_belong_to() -> None:
    assert gate_index((2,), (2, 1, 3)).tolist() == [0, 0, 0, 1, 1, 1]
    assert gate_index((1, 2, 2), (2, 2, 2)).tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert gate_index((1,), (2, 2)).tolist() == [0, 0, 0, 0]
    assert gate_index((2, 1), (2, 2)).tolist() == [0, 0, 1, 1]


def test_a_plan_survives_its_files(tmp_path: Path) -> None:
    before = planned(small())

    save(before, tmp_path)
    after = load(tmp_path)

    assert (after.edges, after.steps, after.period) == (before.edges, before.steps, before.period)
    for a, b in zip(before.nodes, after.nodes, strict=True):
        assert (a.name, a.kind, a.parameters.keys()) == (b.name, b.kind, b.parameters.keys())
        np.testing.assert_equal(dict(b.parameters), dict(a.parameters))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (small(weight=ints(2, 2, 2, 300).reshape(2, 2)), r"op 'd': weight 2 \.\. 300; allowed -256 \.\. 255"),
        (small(decay_v=ints(4097)), r"op 'l': decay_v 4097 \.\. 4097; allowed 0 \.\. 4096"),
        (small(decay_u=ints(-1)), r"op 'l': decay_u -1 \.\. -1; allowed"),
        (small(bias=ints(1 << 24)), r"op 'l': bias 16777216 \.\. 16777216; allowed"),
        (small(threshold=ints(1 << 23)), r"op 'l': threshold 8388608 \.\. 8388608; allowed"),
        (small(threshold=np.array([0.5])), r"op 'l': threshold is of type float64"),
    ],
)
def test_values_lava_would_take_silently_are_refused_by_name(graph: Graph, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        planned(graph)


def test_payloads_and_gates_out_of_range_are_refused_by_name() -> None:
    wide_input = Graph((int_input(name="x", shape=(2,), payload_bits=25),), 1)
    loud = int_gate(name="g", inputs=("d",), shape=(2,), thresholds=ints(0), levels=ints(0, 300), start=1)
    gated = Graph((*small().ops[:2], loud), 1)

    with pytest.raises(BackendError, match="op 'x': payload_bits 25"):
        planned(wide_input)
    with pytest.raises(BackendError, match=r"op 'g': levels 0 \.\. 300; allowed 0 \.\. 256"):
        planned(gated)


def test_a_graph_that_is_not_aligned_is_refused() -> None:
    late = small().map(lambda op: replace(op, delay=2) if isinstance(op, IntConnection) and op.name == "e" else op)

    with pytest.raises(BackendError, match="op 'e': delay 2"):
        planned(late)


def test_an_op_without_a_process_is_refused_by_name() -> None:
    strange = Relu(name="strange", inputs=("x",))

    with pytest.raises(BackendError, match="op 'strange': Relu has no Lava process"):
        plan(Graph((int_input(name="x", shape=(2,)), strange), 1), 1, 1, Path("/nowhere"), record=False)


@pytest.mark.parametrize(
    "x", [np.zeros((4, 1, 3), int), np.zeros((0, 1, 2), int), np.full((4, 1, 2), 2), np.zeros((4, 1, 2))]
)
def test_input_that_does_not_fit_is_refused(x: np.ndarray) -> None:
    with pytest.raises(InputError, match="input 'x'"):
        LavaBackend().run(mapped(small()), x)


def test_identities_and_links_have_processes_too() -> None:
    ops = (
        int_input(name="x", shape=(2,)),
        int_identity(name="i", inputs=("x",), weight=64),
        int_gate(name="g", inputs=("i",), shape=(2,), thresholds=ints(0), levels=ints(0, 256)),
        int_gate_link(name="gl", inputs=("g",)),
        int_identity(name="j", inputs=("x",), weight=-255),
        int_lif(name="o", inputs=("j", "gl"), shape=(2,), gates=1, **LIF),
        IntOutput(name="y", inputs=("o",)),
    )

    found = planned(Align()(Graph(ops, 4))).stock()

    assert found == {"feed": 1, "identity": 2, "neuron": 2, "delay": 2}
