"""The checker: nets that are spike-driven, their classes, and random nets that are or are not."""

from __future__ import annotations

import numpy as np
from checked_nets import block, conv, lif, ma, net
from example_counts import examples
from hypothesis import assume, given
from random_nets import random_net, seeds

from spikewright.toolchain.ops import Affine, Conv, Delay, Lif, Relu
from spikewright.toolchain.spike_driven import check_graph


def test_a_vanilla_net_is_spike_driven_and_all_of_class_a() -> None:
    graph = net(
        conv("conv1", "in", 4, 1, bias=0.1), lif("lif1", "conv1"), conv("conv2", "lif1", 4, 4), lif("lif2", "conv2")
    )

    verdict = check_graph(graph, input_kind="binary", fits=True)

    assert verdict.spike_driven
    assert {b.cost_class for b in verdict.blocks} == {"A"}
    assert [b.name for b in verdict.blocks] == ["conv1", "lif1", "conv2", "lif2", "out"]
    assert all(b.causal and b.fits and b.where == "chip" and b.macs_per_step == 0 for b in verdict.blocks)
    assert block(verdict, "conv2").synapses == 22 * 22 * 4 * 4  # 3 x 3 taps on 8 x 8 pixels, padding left out
    assert block(verdict, "conv2").witness == "in -> conv1 -> lif1 -> conv2: accumulates weights of binary spikes"
    assert block(verdict, "lif1").scope == "state"


def test_event_counts_make_the_first_layer_class_b_and_no_other() -> None:
    graph = net(conv("conv1", "in", 4, 1), lif("lif1", "conv1"), conv("conv2", "lif1", 4, 4), lif("lif2", "conv2"))

    verdict = check_graph(graph, input_kind="graded")

    assert verdict.spike_driven
    assert {b.name: b.cost_class for b in verdict.blocks if b.cost_class != "A"} == {"conv1": "B"}


def test_rows_are_plain_and_hold_the_stable_names() -> None:
    (first, *_) = check_graph(ma("causal", "TCS"), input_kind="binary", fits=True).rows()

    stable = {"name", "family", "cost_class", "causal", "in_step_barrier", "fits", "witness", "macs_per_step", "help"}
    assert stable <= set(first)
    assert {type(value) for value in first.values()} <= {str, bool, int, list, type(None)}


def test_a_recurrent_net_reaches_a_fixed_point_and_is_spike_driven() -> None:
    graph = net(
        Affine(name="fc", inputs=("in",), weight=np.ones((5, 64))),
        Delay(name="late", inputs=("lif",), steps=1),
        Affine(name="back", inputs=("late",), weight=np.ones((5, 5))),
        lif("lif", ("fc", "back"), (5,)),
    )

    verdict = check_graph(graph, input_kind="binary")

    assert verdict.spike_driven
    assert block(verdict, "back").witness == "in -> fc -> lif -> late -> back: accumulates weights of binary spikes"


def test_neurons_that_a_bias_makes_fire_are_allowed_and_named() -> None:
    graph = net(
        conv("conv1", "in", 4, 1, bias=0.8), lif("lif1", "conv1"), conv("conv2", "lif1", 4, 4), lif("lif2", "conv2")
    )

    verdict = check_graph(graph, input_kind="binary")

    assert verdict.spike_driven
    assert block(verdict, "lif1").notes == ("256 of 256 neurons of 'lif1' fire without any event, by their bias",)
    assert block(verdict, "lif2").notes == ()


@examples(60)
@given(seed=seeds)
def test_every_random_net_that_the_compiler_takes_is_spike_driven(seed: int) -> None:
    graph, x = random_net(seed)

    assert check_graph(graph, input_kind="binary" if x.max(initial=0) <= 1 else "graded").violations == ()


@examples(60)
@given(seed=seeds)
def test_a_random_net_that_loses_a_neuron_in_front_of_a_map_is_a_violation_at_that_map(seed: int) -> None:
    graph, _ = random_net(seed)
    maps = {op.inputs[0]: op.name for op in graph if isinstance(op, Conv | Affine)}
    alone = [op for op in graph if isinstance(op, Lif) and op.name in maps and len(op.inputs) == 1]
    lost = next((op for op in alone if isinstance(graph[op.inputs[0]], Conv | Affine)), None)
    assume(lost is not None)
    assert lost is not None

    verdict = check_graph(graph.replace((lost,), Relu(name="no_neuron", inputs=lost.inputs)), input_kind="binary")

    assert maps[lost.name] in [name for b in verdict.violations for name in b.ops]
