"""Lowering passes: gates, host part, residuals, max pooling; exact where they say so, refused where they cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikewright.toolchain.blocks.gac import GAC
from spikewright.toolchain.blocks.ma import MALIF
from spikewright.toolchain.errors import GateLoweringError, UnsupportedNodeError
from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
    Accumulator,
    Add,
    Affine,
    Array,
    Conv,
    GateNeuron,
    Input,
    Lif,
    MaxPool,
    Op,
    Output,
    Relu,
)
from spikewright.toolchain.passes.lower_gates import LowerGates, Strategy, mean_gates, strategies_for
from spikewright.toolchain.passes.lower_max_pool import LowerMaxPool
from spikewright.toolchain.passes.normal_form import NormalForm
from spikewright.toolchain.passes.split_host import split_host

T, C, H = 6, 4, 5


def lif(name: str, *sources: str, shape: tuple[int, ...] = (C, H, H)) -> Lif:
    return Lif(name=name, inputs=sources, shape=shape, beta=np.array(0.3), v_threshold=np.array(0.3), comparison=">=")


def graph(*ops: Op) -> Graph:
    return Graph((Input(name="in", shape=(C, H, H)), *ops, Output(name="out", inputs=(ops[-1].name,))), timesteps=T)


def attention(rng: np.random.Generator, dims: str, variant: str, decay: float = 1.0) -> MALIF:
    causal = variant == "causal"
    parameters: dict[str, Array] = {
        "ca_w0": rng.normal(size=(2, C)) * 3,
        "ca_w1": rng.normal(size=(C, 2)) * 3,
        "sa_kernel": rng.normal(size=(1, 1 if causal else 2, 3, 3)) * 2,
    }
    if causal:
        parameters |= {"ta_w": np.array(9.0), "ta_b": np.array(0.5), "ca_b": rng.normal(size=C), "sa_b": np.array(0.7)}
    else:
        parameters |= {"ta_w0": rng.normal(size=(3, T)), "ta_w1": rng.normal(size=(T, 3))}
    return MALIF(
        name="att",
        inputs=("in",),
        neuron=lif("att", "in"),
        dims=dims,
        variant="causal" if causal else ("code" if variant == "code" else "paper"),
        timesteps=T,
        parameters=parameters,
        gate="hard" if causal else "sigmoid",
        decay=decay,
    )


@pytest.mark.parametrize("dims", ["T", "C", "S", "TC", "TS", "CS", "TCS"])
@pytest.mark.parametrize("decay", [1.0, 0.0])
def test_causal_gates_lower_exactly(rng: np.random.Generator, dims: str, decay: float) -> None:
    before = graph(attention(rng, dims, "causal", decay))
    x = rng.normal(size=(T, 3, C, H, H))

    after = LowerGates("causal")(before)

    assert not any(isinstance(op, MALIF) for op in after)
    assert sum(isinstance(op, GateNeuron) for op in after) == len(dims)
    assert sum(isinstance(op, Accumulator) for op in after) == ("C" in dims)
    np.testing.assert_array_equal(run_float(after, x)["att"], run_float(before, x)["att"])
    assert run_float(before, x)["att"].any()


@pytest.mark.parametrize("variant", ["paper", "code", "causal"])
def test_static_gates_are_exact_for_the_sample_they_were_measured_on(rng: np.random.Generator, variant: str) -> None:
    """One sample: its mean gates are its gates, except that the paper's in-step gates are averaged over T."""
    dims = "T" if variant == "paper" else "TCS"
    before = graph(attention(rng, dims, variant))
    x = rng.normal(size=(T, 1, C, H, H))

    after = LowerGates("static", mean_gates(before, run_float(before, x)))(before)

    np.testing.assert_array_equal(run_float(after, x)["att"], run_float(before, x)["att"])


def test_static_paper_gates_scale_the_whole_membrane(rng: np.random.Generator) -> None:
    before = graph(attention(rng, "CS", "paper"))
    x = rng.normal(size=(T, 2, C, H, H))
    means = mean_gates(before, run_float(before, x))

    neuron = LowerGates("static", means)(before)["att"]

    assert isinstance(neuron, Lif)
    scale = means["att"]["C"].mean(axis=0) * means["att"]["S"].mean(axis=0)
    np.testing.assert_allclose(neuron.beta, 0.3 * scale)
    np.testing.assert_allclose(neuron.gain, scale)


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_a_published_variant_cannot_be_lowered_causally(rng: np.random.Generator, variant: str) -> None:
    with pytest.raises(GateLoweringError, match=r"block 'att': MA attention .*cannot be lowered by 'causal'"):
        LowerGates("causal")(graph(attention(rng, "TCS", variant)))


def gac(rng: np.random.Generator, source: str) -> GAC:
    return GAC(
        name="gac",
        inputs=(source,),
        neuron=lif("gac", source),
        timesteps=T,
        parameters={
            "ta_w0": rng.normal(size=(3, T)),
            "ta_w1": rng.normal(size=(T, 3)),
            "conv0": rng.normal(size=(C, C, 4, 4)),
            "conv1": rng.normal(size=(C, C, 4, 4)),
        },
    )


def test_the_host_part_ends_at_the_graded_spikes_of_the_encoder(rng: np.random.Generator) -> None:
    stem = Conv(name="stem", inputs=("in",), weight=rng.normal(size=(C, C, 3, 3)), padding=(1, 1))
    before = graph(stem, gac(rng, "stem"), lif("next", "gac"))
    x = rng.normal(size=(T, 2, C, H, H))

    chip, host = split_host(before)

    assert (host.boundary, host.graded) == ("gac", True)
    assert [op.name for op in chip] == ["gac", "next", "out"]
    sent = run_float(host.graph, x)["gac"]
    np.testing.assert_array_equal(run_float(chip, sent)["next"], run_float(before, x)["next"])


def test_a_real_input_that_reaches_two_neurons_becomes_their_spikes_beside_each_other(rng: np.random.Generator) -> None:
    before = graph(lif("a", "in"), lif("b", "in"), lif("c", "a", "b"))
    x = rng.normal(size=(T, 2, C, H, H))

    chip, host = split_host(before)

    assert chip.input.shape == (2 * C, H, H)
    sent = run_float(host.graph, x)[host.boundary]
    np.testing.assert_array_equal(run_float(chip, sent)["c"], run_float(before, x)["c"])


def test_a_residual_sum_becomes_synapses_of_every_neuron_that_reads_it(rng: np.random.Generator) -> None:
    branch = Conv(name="branch", inputs=("one",), weight=rng.normal(size=(C, C, 3, 3)), padding=(1, 1))
    total = Add(name="total", inputs=("in", "branch"))
    before = graph(
        lif("one", "in"), branch, total, lif("two", "total"), replace(lif("three", "total"), inputs=("total", "two"))
    )
    x = (rng.random((T, 2, C, H, H)) < 0.3).astype(float)

    after = NormalForm("all")(before)

    assert not any(isinstance(op, Add) for op in after)
    assert after["two"].inputs == ("in", "branch@two")
    np.testing.assert_array_equal(run_float(after, x)["three"], run_float(before, x)["three"])


def test_a_shortcut_convolution_on_membranes_becomes_kernels_on_the_spikes_in_front(rng: np.random.Generator) -> None:
    bias, twice = rng.normal(size=C), rng.normal(size=(C, C, 1, 1))
    branch = Conv(name="branch", inputs=("one",), weight=rng.normal(size=(C, C, 3, 3)), padding=(1, 1), bias=bias)
    shortcut = Conv(name="shortcut", inputs=("total",), weight=twice, bias=bias)
    before = graph(
        lif("one", "in"), branch, Add(name="total", inputs=("in", "branch")), shortcut, lif("two", "shortcut")
    )
    x = (rng.random((T, 2, C, H, H)) < 0.3).astype(float)

    after = NormalForm("all")(before)

    assert [(op.name, op.inputs) for op in after if isinstance(op, Conv)] == [
        ("shortcut.0", ("in",)),
        ("shortcut.1", ("one",)),
    ]
    np.testing.assert_array_equal(run_float(after, x)["two"], run_float(before, x)["two"])


def test_max_pooling_of_spikes_is_an_or(rng: np.random.Generator) -> None:
    before = graph(lif("one", "in"), MaxPool(name="pool", inputs=("one",), kernel=(2, 2), stride=(2, 2)))
    x = rng.normal(size=(T, 2, C, H, H))

    after = LowerMaxPool()(before)

    assert isinstance(after["pool"], Lif)
    np.testing.assert_array_equal(run_float(after, x)["pool"], run_float(before, x)["pool"])


def test_max_pooling_of_graded_values_is_refused(rng: np.random.Generator) -> None:
    before = graph(
        Affine(name="fc", inputs=("in",), weight=rng.normal(size=(C * H * H, C * H * H))),
        Relu(name="relu", inputs=("fc",)),
    )
    pooled = graph(*before.ops[1:-1], MaxPool(name="pool", inputs=("relu",), kernel=(2, 2), stride=(2, 2)))

    with pytest.raises(UnsupportedNodeError, match="max pooling of Relu 'relu', which is not binary spikes"):
        LowerMaxPool()(pooled)


@pytest.mark.parametrize("wanted", ["static", "causal"])
def test_an_encoder_in_front_of_the_first_spike_takes_no_other_strategy_than_host(
    rng: np.random.Generator, wanted: Strategy
) -> None:
    with pytest.raises(GateLoweringError, match=f"block 'gac': gated attention coding cannot be lowered by '{wanted}'"):
        strategies_for([gac(rng, "in")], wanted)

    assert strategies_for([gac(rng, "in")], "host") == {"gac": "host"}
    both = [gac(rng, "in"), attention(rng, "TCS", "causal")]
    assert strategies_for(both, wanted) == {"gac": "host", "att": wanted}


@pytest.mark.parametrize("wanted", ["host", "shift"])
def test_a_block_behind_the_first_spike_is_refused_where_a_strategy_does_not_fit(
    rng: np.random.Generator, wanted: Strategy
) -> None:
    with pytest.raises(GateLoweringError, match=f"block 'att': MA attention .* cannot be lowered by '{wanted}'"):
        strategies_for([attention(rng, "TCS", "causal")], wanted)
