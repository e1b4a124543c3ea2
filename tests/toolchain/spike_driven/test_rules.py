"""The checker's single rules: pools, norms, gates, accumulators, delays, blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from checked_nets import MAP, T, block, conv, lif, net, only_violation
from int_nets import int_input

from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
    Accumulator,
    Affine,
    Array,
    Delay,
    GateNeuron,
    MaxPool,
    Multiply,
    Op,
    Output,
    Relu,
    Scale,
    SumPool,
)
from spikewright.toolchain.spike_driven import check_graph


def test_a_maximum_of_currents_or_of_payloads_is_refused_and_of_spikes_is_an_or() -> None:
    def pool(reads: str) -> MaxPool:
        return MaxPool(name="max", inputs=(reads,), kernel=(2, 2), stride=(2, 2))

    head = (conv("conv1", "in", 4, 1), lif("lif1", "conv1"))
    of_spikes = net(*head, pool("lif1"), conv("conv2", "max", 4, 4), lif("lif2", "conv2", (4, 4, 4)))
    of_currents = net(conv("conv1", "in", 4, 1), pool("conv1"), lif("lif1", "max", (4, 4, 4)))
    of_payloads = net(pool("in"), conv("conv1", "max", 4, 1), lif("lif1", "conv1", (4, 4, 4)))

    assert check_graph(of_spikes, input_kind="binary").spike_driven
    assert check_graph(of_payloads, input_kind="binary").spike_driven
    for graph, kind in ((of_currents, "binary"), (of_payloads, "graded")):
        found = only_violation(check_graph(graph, input_kind=kind))  # type: ignore[arg-type]
        assert (found.name, found.in_step_barrier) == ("max", True)


def test_a_batch_norm_on_spikes_may_scale_but_not_shift() -> None:
    def graph(shift: Array | None) -> Graph:
        norm = Scale(name="bn", inputs=("lif1",), scale=np.ones(4), shift=shift)
        return net(
            conv("conv1", "in", 4, 1), lif("lif1", "conv1"), norm, conv("conv2", "bn", 4, 4), lif("lif2", "conv2")
        )

    found = only_violation(check_graph(graph(np.ones(4)), input_kind="binary"))

    assert check_graph(graph(None), input_kind="binary").spike_driven
    assert (found.name, found.help) == ("conv2", "fold the shift of 'bn' into the bias of 'conv2'")


def test_average_pools_beside_a_map_fold_and_in_front_of_a_neuron_are_synapses() -> None:
    pool = SumPool(name="pool", inputs=("lif1",), kernel=(2, 2), stride=(2, 2), scale=0.25)
    head = (conv("conv1", "in", 4, 1), lif("lif1", "conv1"), pool)

    folded = check_graph(net(*head, conv("conv2", "pool", 4, 4), lif("lif2", "conv2", (4, 4, 4))), input_kind="binary")
    alone = check_graph(net(*head, lif("lif2", "pool", (4, 4, 4))), input_kind="binary")

    assert folded.spike_driven
    assert alone.spike_driven
    assert (block(folded, "pool").synapses, block(alone, "pool").synapses) == (0, 256)


def test_a_hand_made_gate_on_spikes_needs_a_payload_and_on_currents_is_class_c() -> None:
    def graph(*behind: Op) -> Graph:
        return net(
            conv("conv1", "in", 4, 1),
            lif("lif1", "conv1"),
            conv("count", "in", 4, 1),
            GateNeuron(name="gate", inputs=("count",), shape=MAP, bias=np.zeros(1)),
            *behind,
        )

    on_spikes = graph(Multiply(name="mul", inputs=("lif1", "gate")), conv("conv2", "mul", 4, 4), lif("lif2", "conv2"))
    on_currents = graph(conv("conv2", "lif1", 4, 4), Multiply(name="mul", inputs=("conv2", "gate")), lif("lif2", "mul"))

    found = only_violation(check_graph(on_spikes, input_kind="binary"))
    assert (
        found.violation == "Conv 'conv2' reads the unquantized gate of 'gate', not spikes: 9,216 dense MACs every step"
    )
    assert block(check_graph(on_spikes, input_kind="binary", payload_bits=8), "conv2").cost_class == "B"
    assert block(check_graph(on_currents, input_kind="binary"), "mul").cost_class == "C"


def test_an_accumulator_behind_a_bias_sends_without_events() -> None:
    def graph(bias: Array | None) -> Graph:
        return net(
            Affine(name="fc", inputs=("in",), weight=np.ones((5, 64)), bias=bias),
            Accumulator(name="acc", inputs=("fc",), shape=(5,)),
            Affine(name="read", inputs=("acc",), weight=np.ones((3, 5))),
            GateNeuron(name="gate", inputs=("read",), shape=(3,), bias=np.zeros(3), differences=True),
            Affine(name="current", inputs=("in",), weight=np.ones((3, 64))),
            lif("lif", ("current", "gate"), (3,), gates=1),
        )

    assert block(check_graph(graph(None), input_kind="binary"), "read").cost_class == "B"
    assert (
        only_violation(check_graph(graph(np.ones(5)), input_kind="binary")).help == "remove the bias in front of 'acc'"
    )


def test_a_negative_delay_looks_ahead() -> None:
    graph = net(conv("conv1", "in", 4, 1), Delay(name="ahead", inputs=("conv1",), steps=-2), lif("lif", "ahead"))

    found = only_violation(check_graph(graph, input_kind="binary"))

    assert (found.name, found.scope, found.causal) == ("ahead", "window(2)", False)


def test_a_net_without_spikes_is_refused_at_every_map_and_at_the_answer() -> None:
    graph = net(conv("conv1", "in", 4, 1), Relu(name="relu", inputs=("conv1",)), conv("conv2", "relu", 4, 4))

    assert [b.name for b in check_graph(graph, input_kind="dense").violations] == ["conv1", "conv2"]


def test_ops_that_share_a_block_share_a_row() -> None:
    ops = [
        replace(op, block="layer") if op.name in ("conv1", "lif1") else op
        for op in net(
            conv("conv1", "in", 4, 1), lif("lif1", "conv1"), conv("conv2", "lif1", 4, 4), lif("lif2", "conv2")
        )
    ]

    verdict = check_graph(Graph(tuple(ops), T), input_kind="binary")

    assert [b.name for b in verdict.blocks] == ["layer", "conv2", "lif2", "out"]
    assert verdict.blocks[0].ops == ("conv1", "lif1")


def test_an_integer_graph_is_refused_by_name() -> None:
    graph = Graph((int_input(name="in", shape=(3,)), Output(name="out", inputs=("in",))), T)

    with pytest.raises(UnsupportedNodeError, match="IntInput has no rule in the checker"):
        check_graph(graph, input_kind="binary")


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_the_value_of_an_accumulator_is_dense_and_only_its_counted_changes_are_messages(decay: float) -> None:
    total = Accumulator(name="sum", inputs=("conv1",), shape=MAP, decay=decay)
    read = net(conv("conv1", "in", 4, 1), total, conv("conv2", "sum", 4, 4), lif("lif2", "conv2"))

    found = only_violation(check_graph(read, input_kind="binary"))

    assert found.name == "conv2"
    assert found.cost_class == "D"
    assert found.help == "put a spiking neuron in the place of 'sum' (and retrain)"


def test_a_delay_of_spikes_that_starts_with_ones_is_dense() -> None:
    late = Delay(name="late", inputs=("lif1",), steps=2, initial=1.0)
    graph = net(
        conv("conv1", "in", 4, 1), lif("lif1", "conv1"), late, conv("conv2", "late", 4, 4), lif("lif2", "conv2")
    )

    found = only_violation(check_graph(graph, input_kind="binary"))

    assert (found.name, found.help) == ("conv2", "start 'late' at 0")


def test_a_neuron_of_several_spikes_a_step_sends_payloads_of_class_b_and_only_on_events() -> None:
    counting = replace(lif("lif1", "conv1"), max_spikes=None, reset="subtract", v_min=np.full((), -1.0))
    graph = net(conv("conv1", "in", 4, 1), counting, conv("conv2", "lif1", 4, 4), lif("lif2", "conv2"))

    verdict = check_graph(graph, input_kind="binary")

    assert verdict.spike_driven
    assert {row.name: row.cost_class for row in verdict.blocks if row.name in ("conv1", "lif1", "conv2")} == {
        "conv1": "A",
        "lif1": "B",
        "conv2": "B",
    }


def test_a_max_pool_of_several_spikes_a_step_is_refused() -> None:
    counting = replace(lif("lif1", "conv1"), max_spikes=2)
    pool = MaxPool(name="max", inputs=("lif1",), kernel=(2, 2), stride=(2, 2))
    graph = net(conv("conv1", "in", 4, 1), counting, pool, conv("conv2", "max", 4, 4), lif("lif2", "conv2", (4, 4, 4)))

    assert only_violation(check_graph(graph, input_kind="binary")).name == "max"
