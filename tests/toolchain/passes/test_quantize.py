"""Quantize and align: thresholds, units, exact identities, arrival steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from compile_random import lower
from int_nets import int_gate

from spikewright.hw_sim.fixed_point import STATE_MAX
from spikewright.toolchain.errors import PassError
from spikewright.toolchain.gates import gate_function, gate_levels
from spikewright.toolchain.integer import IntConnection, IntInput, IntNeuron, IntOutput
from spikewright.toolchain.interpret import run_float, run_int
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Add, Affine, Array, Conv, Delay, Input, Lif, Op, Output
from spikewright.toolchain.passes.align import Align
from spikewright.toolchain.passes.quantize import InputCode, Quantize


def neuron(name: str, *sources: str, n: int = 1, comparison: str = ">", beta: float = 0.0) -> Lif:
    return Lif(
        name=name,
        inputs=sources,
        shape=(n,),
        beta=np.array(beta),
        v_threshold=np.array(1.0),
        comparison=">=" if comparison == ">=" else ">",
    )


def dense(name: str, source: str, *rows: list[float], bias: Array | None = None) -> Affine:
    return Affine(name=name, inputs=(source,), weight=np.array(rows), bias=bias)


def graph(*ops: Op, n: int = 1, T: int = 4) -> Graph:
    return Graph((Input(name="in", shape=(n,)), *ops, Output(name="out", inputs=(ops[-1].name,))), timesteps=T)


@pytest.mark.parametrize(("comparison", "fires"), [(">", False), (">=", True)])
def test_an_exact_tie_fires_only_with_greater_or_equal(comparison: str, fires: bool) -> None:
    integer = Align()(Quantize()(graph(dense("fc", "in", [1.0]), neuron("lif", "fc", comparison=comparison))))

    spikes = run_int(integer, np.ones((4, 1, 1), np.int64)).recordings["lif"].out

    assert bool(spikes.any()) is fires


@pytest.mark.parametrize("bits", range(4, 13))
@pytest.mark.parametrize("gain", [1.0, 0.7])
@pytest.mark.parametrize("joined", [False, True])
def test_a_payload_as_large_as_the_threshold_fires_as_the_real_value_does(bits: int, gain: float, joined: bool) -> None:
    """Gates that saturate at 1 in front of neurons with threshold 1 (GAC) meet it exactly, at any width of the payload."""
    first = replace(neuron("lif", "in", n=2, beta=0.5), gain=np.array([gain]), v_threshold=np.array([gain, gain]))
    rest = (dense("fc", "lif", [0.37, -0.2], [0.1, 0.61]), neuron("sum", "in", "fc", n=2)) if joined else ()
    net = graph(first, *rest, n=2)
    integer = Align()(Quantize(input=InputCode("graded", 1.7), payload_bits=bits)(net))
    source = next(op for op in integer if isinstance(op, IntInput))
    x = np.ones((4, 1, 2))

    spikes = run_int(integer, np.rint(x / source.scale).astype(np.int64)).recordings["lif"].out

    np.testing.assert_array_equal(spikes, run_float(net, x)["lif"])
    assert spikes.any()


def test_a_strict_threshold_lies_on_the_grid_of_stock_loihi() -> None:
    integer = Quantize()(graph(dense("fc", "in", [0.37], [0.11]), neuron("lif", "fc", n=2)))["lif"]

    assert isinstance(integer, IntNeuron)
    assert (integer.soma.threshold % 64 == 0).all()


def test_each_output_channel_has_its_own_unit() -> None:
    integer = Quantize()(graph(dense("fc", "in", [0.5], [0.05]), neuron("lif", "fc", n=2)))

    fc, lif = integer["fc"], integer["lif"]
    assert isinstance(fc, IntConnection)
    assert isinstance(lif, IntNeuron)
    assert fc.synapses.weights.tolist() == [[254], [254]]
    np.testing.assert_allclose(lif.scale * 64 * 254, [0.5, 0.05])


def test_a_graded_identity_that_meets_synapses_is_an_exact_power_of_two(rng: np.random.Generator) -> None:
    conv = Conv(name="conv", inputs=("one",), weight=rng.normal(size=(2, 2, 3, 3)), padding=(1, 1))
    one = Lif(name="one", inputs=("in",), shape=(2, 4, 4), beta=np.array(0.5), v_threshold=np.array(1.0))
    two = Lif(name="two", inputs=("sum",), shape=(2, 4, 4), beta=np.array(0.5), v_threshold=np.array(1.0))
    ops = (Input(name="in", shape=(2, 4, 4)), one, conv, Add(name="sum", inputs=("in", "conv")), two)
    lowered = lower(Graph((*ops, Output(name="out", inputs=("two",))), timesteps=4))

    integer = Quantize(input=InputCode("graded", 1.0))(lowered)

    source, unit = integer["in"], integer["two"]
    assert isinstance(source, IntInput)
    assert isinstance(unit, IntNeuron)
    identity = next(op for op in integer if isinstance(op, IntConnection) and op.name.startswith("two"))
    weight = int(identity.synapses.weights)
    worth = (weight << identity.exponent) * float(unit.scale[0]) * 64
    assert weight & (weight - 1) == 0
    assert worth == pytest.approx(source.scale, rel=1e-12)
    assert round(1.0 / source.scale) <= 255


def test_weights_are_even_and_eight_bit(rng: np.random.Generator) -> None:
    conv = Conv(name="conv", inputs=("in",), weight=rng.normal(size=(3, 2, 3, 3)))
    lif = Lif(name="lif", inputs=("conv",), shape=(3, 2, 2), beta=np.array(0.5), v_threshold=np.array(1.0))
    made = Graph((Input(name="in", shape=(2, 4, 4)), conv, lif, Output(name="out", inputs=("lif",))), timesteps=2)

    integer = Quantize()(made)["conv"]

    assert isinstance(integer, IntConnection)
    assert (integer.synapses.weights % 2 == 0).all()
    assert int(np.abs(integer.synapses.weights).max()) == 254


def test_a_biased_neuron_behind_two_hops_starts_with_its_input() -> None:
    """The classic mismatch: a bias that integrates before the input arrives."""
    made = graph(
        dense("a", "in", [1.5]),
        neuron("one", "a"),
        dense("b", "one", [0.2], bias=np.array([0.3])),
        neuron("two", "b", beta=1.0),
        T=6,
    )
    x = np.array([1, 0, 1, 1, 0, 1], float).reshape(6, 1, 1)

    integer = Align()(Quantize()(made))

    assert [vars(integer[name])["start"] for name in ("in", "one", "two")] == [0, 1, 2]
    got = run_int(integer, x.astype(np.int64)).recordings["two"].out
    np.testing.assert_array_equal(got, run_float(made, x)["two"])


def test_the_shorter_branch_of_a_join_is_delayed() -> None:
    made = graph(
        dense("a", "in", [1.5]),
        neuron("one", "a"),
        dense("b", "one", [0.8]),
        dense("short", "in", [0.4]),
        Lif(name="two", inputs=("b", "short"), shape=(1,), beta=np.array(0.5), v_threshold=np.array(1.0)),
    )

    integer = Align()(Quantize()(made))

    assert (vars(integer["b"])["delay"], vars(integer["short"])["delay"]) == (1, 2)


def test_a_feedback_loop_longer_than_its_lag_is_refused() -> None:
    made = Graph(
        (
            Input(name="in", shape=(1,)),
            dense("a", "in", [1.5]),
            Delay(name="back", inputs=("two",), steps=1),
            dense("loop", "back", [0.5]),
            Lif(name="one", inputs=("a", "loop"), shape=(1,), beta=np.array(0.5), v_threshold=np.array(1.0)),
            dense("b", "one", [1.5]),
            neuron("two", "b"),
            Output(name="out", inputs=("two",)),
        ),
        timesteps=4,
    )

    with pytest.raises(PassError, match="connection 'loop': feeds back with a lag of 1 steps, fewer than the hops"):
        Align()(Quantize()(made))


def test_a_bias_in_front_of_a_synaptic_filter_is_refused() -> None:
    filtered = Lif(
        name="lif", inputs=("fc",), shape=(1,), beta=np.array(0.5), alpha=np.array(0.5), v_threshold=np.array(1.0)
    )

    with pytest.raises(PassError, match="has a bias in front of its synaptic filter"):
        Quantize()(graph(dense("fc", "in", [1.0], bias=np.array([0.1])), filtered))


def test_a_bias_in_front_of_a_filter_is_driven_by_a_neuron_that_always_fires() -> None:
    filtered = Lif(
        name="lif", inputs=("fc",), shape=(2,), beta=np.array(0.5), alpha=np.array(0.5), v_threshold=np.array(1.0)
    )
    made = graph(dense("fc", "in", [1.0], [0.5], bias=np.array([0.3, -0.2])), filtered, T=8)
    x = np.array([1, 0, 1, 1, 0, 1, 1, 0], float).reshape(8, 1, 1)

    lowered = lower(made)

    np.testing.assert_array_equal(run_float(lowered, x)["lif"], run_float(made, x)["lif"])
    recordings = run_int(Align()(Quantize()(lowered)), x.astype(np.int64)).recordings
    assert recordings["lif.on"].out.all()
    np.testing.assert_array_equal(recordings["lif"].out, run_float(made, x)["lif"])


@pytest.mark.parametrize("function", ["hard", "sigmoid", "pow2", "binary"])
def test_gate_tables_round_the_gate_function_to_the_nearest_level(function: str) -> None:
    unit = 0.01
    thresholds, levels = gate_levels(function, unit, 8)
    acc = np.arange(-900, 900)

    got = levels[np.searchsorted(thresholds, acc, side="right")] / 256

    wanted = gate_function(function, acc * unit)
    assert np.abs(got - wanted).max() <= (0.5 / 256 + 1e-9 if function in ("hard", "sigmoid") else 0)


def test_a_read_out_never_fires_and_keeps_half_of_its_range(rng: np.random.Generator) -> None:
    made = graph(dense("a", "in", [1.5]), neuron("one", "a"), dense("head", "one", [0.9], [-0.4]))
    x = np.ones((4, 2, 1))

    integer = Align()(Quantize(reach=float(np.abs(np.cumsum(run_float(made, x)["out"], 0)).max()))(made))

    output, total = integer["out"], integer["out.sum"]
    assert isinstance(output, IntOutput)
    assert isinstance(total, IntNeuron)
    answer = run_int(integer, x.astype(np.int64)).answer
    assert (total.soma.threshold == STATE_MAX).all()
    assert np.abs(answer).max() <= STATE_MAX // 2 + 64
    np.testing.assert_allclose(answer * output.scale, run_float(made, x)["out"].mean(axis=0), atol=0.02)


def test_levels_of_an_int_gate_cover_zero_to_one() -> None:
    thresholds, levels = gate_levels("hard", 0.01, 8)
    gate = int_gate(name="g", inputs=("c",), shape=(1,), thresholds=thresholds, levels=levels).soma

    assert (gate.levels[0], gate.levels[-1], len(gate.levels)) == (0, 256, len(thresholds) + 1)
