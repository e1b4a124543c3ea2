"""The checker: published nets and their lowerings, planted violations, random nets, and the audit of real runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from compile_random import compile_random
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_nets import random_net

from hw_sim import Trace, load_chip, simulate
from toolchain.deployment import Deployment, Options, Samples
from toolchain.errors import InputError, UnsupportedNodeError
from toolchain.int_ops import IntInput
from toolchain.ir import Graph
from toolchain.mapping import map_graph
from toolchain.ops import (
    Accumulator,
    Add,
    Affine,
    Array,
    AttentiveLif,
    Conv,
    Delay,
    GatedCoding,
    GateNeuron,
    Input,
    Lif,
    MaxPool,
    Multiply,
    Op,
    Output,
    Relu,
    Scale,
    SumPool,
)
from toolchain.pipeline import deploy_graph
from toolchain.spike_driven import Block, Verdict, audit, check_graph
from toolchain.spike_driven.walk import fan_out

T = 8
MAP = (4, 8, 8)
DIMS = ("T", "C", "S", "TC", "TS", "CS", "TCS")
seeds = st.integers(min_value=0, max_value=2**31)


# ------------------------------------------------------------------------------------------------ nets
def lif(name: str, reads: str | tuple[str, ...], shape: tuple[int, ...] = MAP, **fields: Any) -> Lif:
    inputs = (reads,) if isinstance(reads, str) else reads
    return Lif(name=name, inputs=inputs, shape=shape, beta=np.full((), 0.5), v_threshold=np.ones(()), **fields)


def conv(name: str, reads: str, out: int, inside: int, kernel: int = 3, stride: int = 1, bias: float = 0.0) -> Conv:
    weight = np.random.default_rng(len(name)).choice([-1.0, 1.0], size=(out, inside, kernel, kernel)) / kernel
    pad = kernel // 2
    return Conv(
        name=name,
        inputs=(reads,),
        weight=weight,
        bias=np.full(out, bias) if bias else None,
        padding=(pad, pad),
        stride=(stride, stride),
    )


def net(*ops: Op) -> Graph:
    """Return a net from binary events (1, 8, 8) whose last op is its answer."""
    return Graph((Input(name="in", shape=(1, 8, 8)), *ops, Output(name="out", inputs=(ops[-1].name,))), T)


def attention(variant: str, dims: str, decay: float = 1.0) -> AttentiveLif:
    k = {"paper": 7, "code": 3, "causal": 3}[variant]
    parameters: dict[str, Array] = {
        "ta_w0": np.ones((2, T)),
        "ta_w1": np.ones((T, 2)),
        "ca_w0": np.ones((2, 4)) * 0.3,
        "ca_w1": np.ones((4, 2)),
        "sa_kernel": np.ones((1, 1 if variant == "causal" else 2, k, k)),
        "ta_w": np.ones(()),
        "ta_b": np.ones(()),
        "ca_b": np.ones(4),
        "sa_b": np.ones(()),
    }
    return AttentiveLif(
        name="ma",
        inputs=("conv1",),
        neuron=lif("ma", "conv1"),
        dims=dims,
        variant=variant,  # type: ignore[arg-type]
        timesteps=T,
        parameters=parameters,
        gate="hard" if variant == "causal" else "sigmoid",
        decay=decay,
    )


def ma(variant: str, dims: str, decay: float = 1.0) -> Graph:
    return net(
        conv("conv1", "in", 4, 1), attention(variant, dims, decay), conv("conv2", "ma", 4, 4), lif("lif2", "conv2")
    )


def gac(*behind: Op, gate: str = "sigmoid") -> Graph:
    parameters = {
        "ta_w0": np.ones((4, T)),
        "ta_w1": np.ones((T, 4)),
        "conv0": np.full((4, 4, 4, 4), 0.01),
        "conv1": np.full((4, 4, 4, 4), 0.01),
    }
    encoder = GatedCoding(
        name="encoder",
        inputs=("stem",),
        neuron=lif("encoder", "stem"),
        timesteps=T,
        parameters=parameters,
        gate=gate,  # type: ignore[arg-type]
    )
    blocks = (
        lif("lif1", "encoder"),
        conv("conv1", "lif1", 4, 4),
        lif("lif2", "conv1"),
        conv("conv2", "lif2", 4, 4),
        Add(name="add1", inputs=("conv2", "encoder")),
        lif("lif3", "add1"),
        conv("conv3", "lif3", 4, 4),
        Add(name="add2", inputs=("conv3", "add1")),
        lif("lif4", "add2"),
        Affine(name="fc", inputs=("lif4",), weight=np.ones((3, 256)), bias=np.ones(3)),
    )
    return net(conv("stem", "in", 4, 1), encoder, *(behind or blocks))


HOST = frozenset({"in", "stem", "encoder", "host.out"})


def block(verdict: Verdict, name: str) -> Block:
    return next(b for b in verdict.blocks if b.name == name)


def only_violation(verdict: Verdict) -> Block:
    assert not verdict.spike_driven
    (found,) = verdict.violations
    return found


# ------------------------------------------------------------------------------------- nets that are sound
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


# --------------------------------------------------------------------------------------------- attention
@pytest.mark.parametrize("dims", DIMS)
def test_causal_ma_is_spike_driven_with_gains_of_class_c_and_counts_of_class_a(dims: str) -> None:
    verdict = check_graph(ma("causal", dims), input_kind="binary")

    found = block(verdict, "ma")
    assert verdict.spike_driven
    assert (found.family, found.cost_class, found.causal, found.in_step_barrier) == ("ma", "C", True, False)
    assert found.gate_multiplies == 256 * len(dims)
    counts = {"T": 256, "C": 256 * 2 + 2 * 4, "S": 22 * 22 * 4}
    assert found.synapses == sum(counts[d] for d in dims)
    assert found.notes[0] == "gates from its own spikes, 3 steps late"


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_a_leaking_channel_gate_would_send_without_an_event_unless_decay_is_1_or_0(decay: float) -> None:
    verdict = check_graph(ma("causal", "C", decay), input_kind="binary")

    assert verdict.spike_driven == (decay in (0.0, 1.0))
    if decay == 0.5:
        found = only_violation(verdict)
        assert found.violation == (
            "Affine 'ma.ca.excite' reads the sum in 'ma.ca.hidden' (it leaks by 0.5, so it changes in every step "
            "without an event), not spikes: 8 dense MACs every step"
        )
        assert found.help == "train and deploy with decay = 1 (or 0)"


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("variant", ["paper", "code"])
def test_published_ma_streams_only_where_no_gate_needs_a_later_step(variant: str, dims: str) -> None:
    found = only_violation(check_graph(ma(variant, dims), input_kind="binary"))

    ahead = variant == "code" or "T" in dims
    inside = variant == "paper" and dims != "T"
    assert (found.name, found.family, found.cost_class) == ("ma", "ma", "D")
    assert (found.causal, found.scope) == ((False, "sequence") if ahead else (True, "state"))
    assert found.in_step_barrier == inside
    assert ("is not causal" in str(found.violation)) == ahead
    assert ("inside the step" in str(found.violation)) == inside
    assert found.help == "deploy with --gates static, or train variant 'causal'"


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("variant", ["paper", "code", "causal"])
def test_static_gates_mend_every_variant(variant: str, dims: str) -> None:
    verdict = check_graph(ma(variant, dims), input_kind="binary", strategies={"ma": "static"})

    folded = variant == "paper" and "T" not in dims
    assert verdict.spike_driven
    assert block(verdict, "ma").cost_class == ("A" if folded else "C")
    assert block(verdict, "ma").causal


def test_what_stands_behind_a_non_causal_block_waits_and_is_not_blamed() -> None:
    verdict = check_graph(ma("code", "T"), input_kind="binary")

    assert [b.name for b in verdict.violations] == ["ma"]
    assert block(verdict, "conv1").witness == "in -> conv1: accumulates weights of binary spikes"
    for name in ("conv2", "lif2", "out"):
        assert block(verdict, name).witness.endswith("; waits for later steps of 'ma'")
        assert block(verdict, name).causal


def test_a_barrier_allows_gates_inside_the_step_but_not_the_temporal_gate() -> None:
    allowed = check_graph(ma("paper", "CS"), input_kind="binary", strategies={"ma": "barrier"})
    refused = check_graph(ma("paper", "TCS"), input_kind="binary", strategies={"ma": "barrier"})

    assert allowed.spike_driven
    assert block(allowed, "ma").in_step_barrier
    assert block(allowed, "ma").cost_class == "C"
    assert "its TA pools over all 8 steps" in str(only_violation(refused).violation)


def test_replay_is_exact_but_offline_and_so_not_spike_driven() -> None:
    found = only_violation(check_graph(ma("paper", "CS"), input_kind="binary", strategies={"ma": "replay"}))

    assert not found.causal
    assert "exact but offline" in str(found.violation)


def test_a_lowering_that_the_variant_refuses_changes_nothing_and_says_why() -> None:
    found = only_violation(check_graph(ma("code", "C"), input_kind="binary", strategies={"ma": "causal"}))

    assert found.notes[0].startswith(
        "cannot be lowered by 'causal': its channel and spatial gates pool over all T steps"
    )


def test_gac_on_the_host_with_a_payload_is_spike_driven() -> None:
    verdict = check_graph(gac(), input_kind="dense", host=HOST, payload_bits=8, fits=True)

    assert verdict.spike_driven
    assert {b.name: b.cost_class for b in verdict.blocks if b.where == "host"} == {"stem": "D", "encoder": "D"}
    assert block(verdict, "encoder").family == "gac"
    assert block(verdict, "encoder").macs_per_step == 4 * 4 + 2 * 4 * 4 * 16 * 64
    assert block(verdict, "encoder").notes[0].startswith("once per sample")
    assert block(verdict, "stem").fits is None
    assert [b.name for b in verdict.blocks if b.cost_class == "B"] == ["lif1", "add1", "lif3", "add2", "lif4"]
    assert [b.cost_class for b in verdict.blocks if b.name.startswith("conv")] == ["A", "A", "A"]


def test_the_host_is_found_from_the_strategy_and_from_folded_names() -> None:
    by_strategy = check_graph(gac(), input_kind="dense", strategies={"encoder": "host"}, payload_bits=8)
    by_fold = check_graph(gac(), input_kind="dense", host=frozenset({"encoder"}), payload_bits=8)

    assert by_strategy.spike_driven
    assert by_strategy.rows() == by_fold.rows()


def test_gac_on_events_is_not_causal_even_on_the_host() -> None:
    found = only_violation(check_graph(gac(), input_kind="binary", host=HOST, payload_bits=8))

    assert (found.name, found.causal, found.scope) == ("encoder", False, "sequence")


def test_gac_on_the_chip_is_blamed_for_its_dense_gate_and_the_stem_for_the_real_input() -> None:
    verdict = check_graph(gac(), input_kind="dense", payload_bits=8)

    assert [b.name for b in verdict.violations] == ["stem", "encoder"]
    assert "run 'stem' on the host in front of the first spike" in block(verdict, "stem").help
    assert (
        block(verdict, "encoder").help
        == "run the block on the host in front of the first spike (deploy with --gates host)"
    )


@pytest.mark.parametrize(("gate", "cost_class"), [("binary", "A"), ("pow2", "B")])
def test_gates_of_few_levels_need_no_payload_bits(gate: str, cost_class: str) -> None:
    verdict = check_graph(gac(gate=gate), input_kind="dense", host=HOST)

    assert verdict.spike_driven
    assert block(verdict, "lif1").cost_class == cost_class


@pytest.mark.parametrize("late", ["conv1", "lif2"])
def test_host_work_behind_the_first_spike_is_a_violation(late: str) -> None:
    found = only_violation(check_graph(gac(), input_kind="dense", host=HOST | {late}, payload_bits=8))

    assert found.violation == "Conv 'conv1' is host work, but reads 'lif1' behind the first spike"
    assert found.help == "let the host end at 'lif1'"


# ------------------------------------------------------------------------------------ planted violations
def residual(*shortcut: Op) -> Graph:
    """An MS-ResNet block that halves the map, its shortcut on the sum of currents."""
    return net(
        conv("stem", "in", 4, 1),
        lif("lif0", "stem"),
        conv("conv1", "lif0", 4, 4),
        lif("lif1", "conv1"),
        conv("conv2", "lif1", 4, 4),
        Add(name="add", inputs=("conv2", "stem")),
        lif("lif2", "add"),
        conv("conv3", "lif2", 8, 4, stride=2),
        *shortcut,
        Add(name="join", inputs=("conv3", "shortcut")),
        lif("lif3", "join", (8, 4, 4)),
    )


def test_a_shortcut_convolution_on_membranes_is_named_with_path_cost_and_cure() -> None:
    verdict = check_graph(residual(conv("shortcut", "add", 8, 4, 1, stride=2)), input_kind="binary", fits=True)

    assert (
        verdict.text()
        == """\
NOT spike-driven: 1 violation; 12 blocks on the chip (class 11 A, 1 D), 0 on the host

block     family   class  causal  barrier  fits  where  MACs/step  synapses  verdict
stem      vanilla  A      yes     -        yes   chip           0     5,808  ok
lif0      vanilla  A      yes     -        yes   chip           0         0  ok
conv1     vanilla  A      yes     -        yes   chip           0     7,744  ok
lif1      vanilla  A      yes     -        yes   chip           0         0  ok
conv2     vanilla  A      yes     -        yes   chip           0    15,488  ok
add       vanilla  A      yes     -        yes   chip           0         0  ok
lif2      vanilla  A      yes     -        yes   chip           0         0  ok
conv3     vanilla  A      yes     -        yes   chip           0     3,872  ok
shortcut  vanilla  D      yes     -        yes   chip         512         0  VIOLATION
join      vanilla  A      yes     -        yes   chip           0         0  ok
lif3      vanilla  A      yes     -        yes   chip           0         0  ok
out       vanilla  A      yes     -        yes   chip           0         0  ok

violation 1: block 'shortcut'
  what: Conv 'shortcut' reads the membrane of 'add', not spikes: 512 dense MACs every step
  path: in -> stem -> add -> shortcut: real values of 'conv2' and 'stem' arrive in every step, event or not
  cost: 512 MACs per step
  help: insert a LIF in front of 'shortcut' (and retrain)

notes
  add: 2 neuron layers read it; each gets its own synapses from every branch"""
    )


def test_the_cure_of_the_shortcut_cures_it() -> None:
    mended = residual(lif("lif_s", "add"), conv("shortcut", "lif_s", 8, 4, 1, stride=2))

    assert check_graph(mended, input_kind="binary").spike_driven


def test_a_float_convolution_after_the_first_spike_is_a_violation() -> None:
    graph = net(
        conv("conv1", "in", 4, 1),
        lif("lif1", "conv1"),
        conv("conv2", "lif1", 4, 4),
        Relu(name="relu", inputs=("conv2",)),
        conv("conv3", "relu", 4, 4),
        lif("lif2", "conv3"),
    )

    found = only_violation(check_graph(graph, input_kind="binary"))

    assert (found.name, found.cost_class, found.macs_per_step) == ("conv3", "D", 4 * 4 * 9 * 64)
    assert found.violation == (
        "Conv 'conv3' reads the rectified real values of 'relu', not spikes: 9,216 dense MACs every step"
    )
    assert found.witness == (
        "in -> conv1 -> lif1 -> conv2 -> relu -> conv3: real values of 'relu' arrive in every step, event or not"
    )
    assert found.help == "insert a LIF in front of 'conv3' (and retrain)"


def test_two_maps_in_a_row_are_a_violation_at_the_second() -> None:
    graph = net(
        conv("conv1", "in", 4, 1), conv("conv2", "conv1", 4, 4), conv("conv3", "conv2", 4, 4), lif("lif", "conv3")
    )

    verdict = check_graph(graph, input_kind="binary")

    assert [b.name for b in verdict.violations] == ["conv2", "conv3"]
    assert "reads the real-valued current of 'conv1'" in str(block(verdict, "conv2").violation)


def test_an_unquantized_gate_in_front_of_a_convolution_is_a_violation() -> None:
    graph = gac(conv("conv1", "encoder", 4, 4), lif("lif1", "conv1"))

    found = only_violation(check_graph(graph, input_kind="dense", host=HOST))

    assert (found.name, found.cost_class, found.macs_per_step) == ("conv1", "D", 9216)
    assert found.violation == (
        "Conv 'conv1' reads the unquantized gate of 'encoder', not spikes: 9,216 dense MACs every step"
    )
    assert found.witness == (
        "in -> stem -> encoder -> conv1: the spikes of 'encoder' carry real values, not integer payloads"
    )
    assert found.help == "send the gate as an 8-bit payload (--payload-bits 8)"
    assert check_graph(graph, input_kind="dense", host=HOST, payload_bits=8).spike_driven


def test_an_unquantized_gate_on_an_identity_path_is_a_violation_at_every_neuron_that_reads_it() -> None:
    verdict = check_graph(gac(), input_kind="dense", host=HOST)

    assert [b.name for b in verdict.violations] == ["lif1", "lif3", "lif4"]
    assert block(verdict, "lif3").witness.startswith("in -> stem -> encoder -> add1 -> lif3: ")


def test_a_temporal_gate_in_streaming_mode_is_a_violation() -> None:
    found = only_violation(check_graph(ma("paper", "T"), input_kind="binary"))

    assert found.violation == (
        "AttentiveLif 'ma' (MA T, variant 'paper') is not causal: its TA pools over all 8 steps, "
        "so step 0 waits for step 7"
    )
    assert found.witness == "in -> conv1 -> ma: TA of step 0 reads the current of step 7"
    assert found.macs_per_step == 2 * 2 * 2  # two paths through 2 hidden units and back, per step
    assert found.help == "deploy with --gates static, or train variant 'causal'"


# -------------------------------------------------------------------------------------------- single rules
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
            lif("lif", "read", (3,)),
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
    graph = Graph((IntInput(name="in", shape=(3,)), Output(name="out", inputs=("in",))), T)

    with pytest.raises(UnsupportedNodeError, match="IntInput has no rule in the checker"):
        check_graph(graph, input_kind="binary")


# ------------------------------------------------------------------------------------------- random nets
@settings(max_examples=60)
@given(seed=seeds)
def test_every_random_net_that_the_compiler_takes_is_spike_driven(seed: int) -> None:
    graph, x = random_net(seed)

    assert check_graph(graph, input_kind="binary" if x.max(initial=0) <= 1 else "graded").violations == ()


@settings(max_examples=60)
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


# ------------------------------------------------------------------------------------------------- audit
def recorded(graph: Graph, x: Array, gates: Any) -> tuple[Deployment, Trace, dict[str, Any]]:
    made = deploy_graph(graph, Options(gates=gates), Samples(x.astype(np.float32), None, "random"), name="net")
    source = next(op.name for op in made.integer if isinstance(op, IntInput))
    payload = made.encode(x)
    trace = simulate(made.program, {source: payload}, record=True)
    return made, trace, {**trace.spikes, source: payload}


@pytest.fixture
def events(rng: np.random.Generator) -> Array:
    return np.asarray((rng.random((T, 3, 1, 8, 8)) < 0.3).astype(np.float64))


@pytest.fixture
def images(rng: np.random.Generator) -> Array:
    return np.repeat(rng.random((1, 3, 1, 8, 8)), T, axis=0)


def test_the_audit_of_gated_graded_and_binary_messages_agrees_with_the_counters(events: Array, images: Array) -> None:
    made, trace, out = recorded(ma("causal", "TCS"), events, "causal")
    found = audit(made.program, out, trace)
    assert found.ok
    assert min(found.sops.values()) > 0
    assert sum(found.sops.values()) == int(trace.sops.sum())
    assert (found.bias_driven, found.silent_sops) == ((), 0)

    made, trace, out = recorded(gac(), images, "host")
    found = audit(made.program, out, trace)
    assert found.ok
    assert found.sops["graded"] > 0


@settings(max_examples=30)
@given(seed=seeds)
def test_the_audit_passes_on_random_nets(seed: int) -> None:
    graph, x = random_net(seed)
    integer, payload = compile_random(graph, x)
    program = map_graph(integer, load_chip("loihi2"))
    trace = simulate(program, {"in": payload}, record=True)

    assert audit(program, {**trace.spikes, "in": payload}, trace).text().startswith("audit passed")


def test_the_audit_finds_one_sop_too_many(events: Array) -> None:
    made, trace, out = recorded(ma("causal", "TCS"), events, "causal")
    counters = trace.sops_binary.copy()
    step, core = np.argwhere(counters)[0]
    counters[step, core] += 1

    found = audit(made.program, out, replace(trace, sops_binary=counters))

    assert not found.ok
    assert found.differences == 1
    was = int(counters[step, core])
    assert found.text().splitlines()[0].startswith("audit FAILED: ")
    assert found.text().splitlines()[2] == (
        f"    binary SOPs of core {core} in chip step {step}: events cause {was - 1}, the trace counts {was}"
    )


def test_an_event_that_is_missing_from_the_record_lacks_exactly_its_fan_out(events: Array) -> None:
    made, trace, out = recorded(ma("causal", "TCS"), events, "causal")
    t, b, *where = np.argwhere(out["ma"])[0]
    fewer = out["ma"].copy()
    fewer[t, b, *where] = 0
    reached = fan_out(made.program, "ma", int(np.ravel_multi_index(where, MAP)))

    whole = audit(made.program, out, trace)
    lacking = audit(made.program, out | {"ma": fewer}, trace)

    assert not lacking.ok
    assert whole.sops["binary"] - lacking.sops["binary"] == sum(reached.values()) > 0


def test_deleting_one_input_event_lowers_the_counted_sops_by_exactly_its_fan_out(events: Array) -> None:
    made, trace, _ = recorded(ma("causal", "TCS"), events, "causal")
    payload = made.encode(events)
    t, b, *where = np.argwhere(payload)[-1]
    payload[t, b, *where] = 0
    reached = fan_out(made.program, "in", int(np.ravel_multi_index(where, (1, 8, 8))))

    fewer = simulate(made.program, {"in": payload})

    assert {name: trace.projections[name].sops - fewer.projections[name].sops for name in reached} == reached
    assert reached["conv1"] > 0


def test_populations_that_fire_without_input_are_named_and_those_they_drive_are_not(events: Array) -> None:
    graph = net(
        conv("conv1", "in", 4, 1, bias=0.8), lif("lif1", "conv1"), conv("conv2", "lif1", 4, 4), lif("lif2", "conv2")
    )
    made, trace, out = recorded(graph, events, "auto")

    found = audit(made.program, out, trace)

    assert found.ok
    assert found.bias_driven == ("lif1",)
    assert found.silent_sops > 0


def test_the_audit_wants_the_output_of_every_population(events: Array) -> None:
    made, trace, out = recorded(ma("causal", "T"), events, "causal")
    del out["ma"]

    with pytest.raises(InputError, match="recorded output has shape None"):
        audit(made.program, out, trace)


def test_the_synapses_of_the_verdict_are_those_of_the_machine(images: Array) -> None:
    made, trace, _ = recorded(gac(), images, "host")

    verdict = check_graph(made.captured, input_kind="dense", host=HOST, payload_bits=8)

    dense = sum(p.dense_sops for p in trace.projections.values()) / (trace.samples * trace.steps)
    assert sum(b.synapses for b in verdict.blocks) == dense
