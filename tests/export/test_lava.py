"""Lava and the interpreter agree, bit for bit, on hand-made integer nets; all of them run side by side in one Lava run."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from int_nets import (
    int_conv,
    int_delta_relu,
    int_dense,
    int_gate,
    int_gate_link,
    int_gate_table,
    int_identity,
    int_input,
    int_lif,
    int_transposed_conv,
)
from mapped import mapped
from numpy.typing import NDArray

from spikewright.export.lava import LavaBackend, available
from spikewright.hw_sim.fixed_point import STATE_MAX
from spikewright.toolchain.backends import RunResult
from spikewright.toolchain.integer import IntInput, IntNeuron, IntOutput
from spikewright.toolchain.interpret import run_int
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op
from spikewright.toolchain.passes.align import Align

pytestmark = pytest.mark.lava
T, B, N = 9, 3, 8
Ints = NDArray[np.int64]
Net = tuple[Graph, Ints]
SILENT = np.full(1, STATE_MAX, np.int64)


def ints(*values: int) -> Ints:
    return np.array(values, np.int64)


def even(rng: np.random.Generator, *shape: int) -> Ints:
    return rng.integers(-127, 128, shape) * 2


def lif(name: str, *inputs: str, shape: tuple[int, ...] = (N,), **fields: object) -> IntNeuron:
    default = {"decay_v": ints(1000), "bias": ints(0), "threshold": ints(100 << 6)}
    return int_lif(name=name, inputs=inputs, shape=shape, **default | fields)  # type: ignore[arg-type]


def net(rng: np.random.Generator, *ops: Op, last: str = "l", binary: bool = True) -> Net:
    """Put a read-out behind ``last``; align."""
    source = next(op for op in ops if op.name == last)
    read_out = (
        int_dense(name="ro", inputs=(last,), weight=even(rng, 3, int(np.prod(source.shape)))),  # type: ignore[attr-defined]
        lif("o", "ro", shape=(3,), decay_v=ints(0), bias=ints(33), threshold=SILENT),
        IntOutput(name="y", inputs=("o",)),
    )
    shape = next(op for op in ops if isinstance(op, IntInput)).shape
    x = rng.integers(0, 2, (T, B, *shape)) if binary else rng.integers(-200, 256, (T, B, *shape))
    return Align()(Graph((*ops, *read_out), T)), x


def linear(rng: np.random.Generator) -> Net:
    first = int_dense(name="d", inputs=("x",), weight=even(rng, N, 6), exponent=1)
    return net(rng, int_input(name="x", shape=(6,)), first, lif("l", "d"))


def odd_mixed_weights_and_negative_exponent(rng: np.random.Generator) -> Net:
    return net(
        rng,
        int_input(name="x", shape=(6,)),
        int_dense(name="d", inputs=("x",), weight=rng.integers(-255, 256, (N, 6))),
        lif("h", "d"),
        int_dense(name="e", inputs=("h",), weight=rng.integers(-255, 256, (N, N)), exponent=-1),
        lif("l", "e", threshold=ints(50 << 6)),
    )


def sparse_weights(rng: np.random.Generator) -> Net:
    few = even(rng, N, 60) * (rng.random((N, 60)) < 0.05)
    return net(rng, int_input(name="x", shape=(60,)), int_dense(name="d", inputs=("x",), weight=few), lif("l", "d"))


def conv_with_stride_padding_dilation_groups(rng: np.random.Generator) -> Net:
    return net(
        rng,
        int_input(name="x", shape=(2, 6, 7)),
        int_conv(
            name="c", inputs=("x",), weight=even(rng, 4, 1, 3, 2), stride=(2, 1), padding=(1, 0), groups=2, exponent=1
        ),
        lif("h", "c", shape=(4, 3, 6), bias=rng.integers(-50, 200, 72), threshold=rng.integers(1, 100, 72) << 6),
        int_conv(name="c2", inputs=("h",), weight=even(rng, 2, 4, 2, 2), dilation=(1, 2), padding=(0, 1)),
        lif("l", "c2", shape=(2, 2, 6), decay_v=rng.integers(0, 4096, 24)),
    )


def transposed_conv_with_stride_and_padding(rng: np.random.Generator) -> Net:
    weight = even(rng, 3, 2, 3, 3)
    wider = {"stride": (2, 2), "padding": (1, 1), "output_padding": (1, 1)}
    return net(
        rng,
        int_input(name="x", shape=(2, 3, 2)),
        int_transposed_conv(name="c", inputs=("x",), weight=weight, exponent=1, **wider),
        lif("l", "c", shape=(3, 6, 4), bias=rng.integers(-50, 200, 72)),
    )


def conv_beyond_24_bits(rng: np.random.Generator) -> Net:
    return net(
        rng,
        int_input(name="x", shape=(2, 5, 5), payload_bits=8, signed=True),
        int_conv(name="c", inputs=("x",), weight=even(rng, 2, 2, 3, 3), padding=(1, 1), exponent=7),
        lif("l", "c", shape=(2, 5, 5), decay_u=ints(0), decay_v=ints(2000), threshold=ints(1 << 18)),
        binary=False,
    )


def wide_images(rng: np.random.Generator) -> Net:
    conv = int_conv(name="c", inputs=("x",), weight=even(rng, 1, 1, 2, 2), stride=(2, 20))
    return net(rng, int_input(name="x", shape=(1, 4, 200)), conv, lif("l", "c", shape=(1, 2, 10)))


def biases(rng: np.random.Generator) -> Net:
    """Biases make neurons fire before their input arrives: the classic mismatch."""
    ops: list[Op] = [int_input(name="x", shape=(6,))]
    last = "x"
    for depth, name in enumerate(("a", "b", "c", "l")):
        ops.append(int_dense(name=f"{name}.in", inputs=(last,), weight=even(rng, N, 6 if depth == 0 else N)))
        bias = rng.integers(-4096, 4096, N) << rng.integers(0, 4, N)
        ops.append(lif(name, f"{name}.in", bias=bias))
        last = name
    return net(rng, *ops)


def residual_with_delays(rng: np.random.Generator) -> Net:
    return net(
        rng,
        int_input(name="x", shape=(N,), payload_bits=8, signed=True),
        int_dense(name="d", inputs=("x",), weight=even(rng, N, N)),
        lif("h", "d", threshold=ints(1000 << 6)),
        int_dense(name="e", inputs=("h",), weight=even(rng, N, N)),
        lif("k", "e"),
        int_dense(name="f", inputs=("k",), weight=even(rng, N, N)),
        int_identity(name="skip", inputs=("x",), weight=64, exponent=-3),
        int_identity(name="skip2", inputs=("h",), weight=-60, exponent=1),
        lif("l", "f", "skip", "skip2", bias=ints(77)),
        binary=False,
    )


def recurrent_loop(rng: np.random.Generator) -> Net:
    return net(
        rng,
        int_input(name="x", shape=(6,)),
        int_dense(name="d", inputs=("x",), weight=even(rng, N, 6)),
        int_dense(name="r", inputs=("l",), weight=even(rng, N, N), lag=1),
        lif("l", "d", "r", decay_u=ints(700), bias=ints(100)),
    )


def decaying_current_on_stock_neurons(rng: np.random.Generator) -> Net:
    return net(
        rng,
        int_input(name="x", shape=(6,)),
        int_dense(name="d", inputs=("x",), weight=even(rng, N, 6)),
        lif("h", "d", decay_u=ints(0), decay_v=ints(0), threshold=ints(1000 << 6)),
        int_dense(name="e", inputs=("h",), weight=even(rng, N, N)),
        int_dense(name="e2", inputs=("x",), weight=even(rng, N, 6)),
        lif("l", "e", "e2", decay_u=ints(512), bias=ints(4095 << 7), threshold=ints(25000 << 6)),
    )


def gates_with_feedback(rng: np.random.Generator) -> Net:
    return net(
        rng,
        int_input(name="x", shape=(6,)),
        int_gate_table(name="tab", shape=(1,), table=rng.integers(100, 257, (T, 1))),
        int_gate_link(name="tl", inputs=("tab",), port=1),
        int_dense(name="d", inputs=("x",), weight=even(rng, N, 6)),
        int_gate_link(name="gl", inputs=("g",), lag=3),
        lif("l", "d", "gl", "tl", shape=(2, 2, 2), gates=2, bias=ints(77), threshold=ints(6411), rectify=True),
        int_dense(name="e", inputs=("l",), weight=even(rng, 2, N)),
        int_delta_relu(name="r", inputs=("e",), shape=(2,), shift=1, decay=ints(100)),
        int_dense(name="f", inputs=("r",), weight=even(rng, 2, 2)),
        int_gate(
            name="g",
            inputs=("f",),
            shape=(2,),
            thresholds=ints(-2000, 0, 2000),
            levels=ints(50, 100, 200, 256),
            bias=ints(-9, 9),
            decay=ints(4096),
        ),
    )


def subtract_reset_and_full_thresholds(rng: np.random.Generator) -> Net:
    return net(
        rng,
        int_input(name="x", shape=(6,)),
        int_dense(name="d", inputs=("x",), weight=even(rng, N, 6)),
        lif("h", "d", reset="subtract", threshold=ints(6400 - 1), v_reset=ints(6400)),
        int_dense(name="e", inputs=("h",), weight=even(rng, N, N)),
        lif("l", "e", decay_v=ints(4096), threshold=ints(-1), v_reset=ints(-50)),
    )


def spike_counts_of_a_stock_neuron(rng: np.random.Generator) -> Net:
    graph, x = linear(rng)
    ops = [op for op in graph if op.name in ("x", "d", "l")]
    return Graph((*ops, IntOutput(name="y", inputs=("l",), readout="spikes")), T), x


MAKERS: tuple[Callable[[np.random.Generator], Net], ...] = (
    linear,
    odd_mixed_weights_and_negative_exponent,
    sparse_weights,
    conv_with_stride_padding_dilation_groups,
    conv_beyond_24_bits,
    wide_images,
    biases,
    residual_with_delays,
    recurrent_loop,
    decaying_current_on_stock_neurons,
    gates_with_feedback,
    subtract_reset_and_full_thresholds,
    spike_counts_of_a_stock_neuron,
    transposed_conv_with_stride_and_padding,
)


@pytest.fixture(scope="module")
def nets() -> dict[str, Net]:
    return {make.__name__: make(np.random.default_rng(i)) for i, make in enumerate(MAKERS)}


@pytest.fixture(scope="module")
def results(nets: dict[str, Net]) -> dict[str, RunResult]:
    installed, command = available()
    assert installed, f"Lava is part of the tests: {command}"
    heard: list[tuple[int, int]] = []
    found = LavaBackend().run_many(
        list(nets.values()), record=True, progress=lambda done, total: heard.append((done, total))
    )
    assert heard[-1] == (B * len(nets), B * len(nets))
    assert all(a[0] <= b[0] for a, b in pairwise(heard))
    return dict(zip(nets, found, strict=True))


@pytest.mark.parametrize("name", [make.__name__ for make in MAKERS])
def test_lava_gives_the_interpreters_spikes_and_states(
    name: str, nets: dict[str, Net], results: dict[str, RunResult]
) -> None:
    wanted, got = run_int(*nets[name]), results[name]

    np.testing.assert_array_equal(got.answer, wanted.answer)
    assert got.recordings.keys() == wanted.recordings.keys()
    for op, recording in wanted.recordings.items():
        np.testing.assert_array_equal(got.recordings[op].out, recording.out, err_msg=op)
        np.testing.assert_array_equal(got.recordings[op].v, recording.v, err_msg=op)
        assert (got.recordings[op].u is None) == (recording.u is None)
        if recording.u is not None:
            np.testing.assert_array_equal(got.recordings[op].u, recording.u, err_msg=op)


@pytest.mark.parametrize("name", [make.__name__ for make in MAKERS])
def test_the_nets_are_alive(name: str, results: dict[str, RunResult]) -> None:
    """Equality of silent nets would prove nothing: some neuron in front of the read-out fires, and not all at every step."""
    spikes = [r.out for op, r in results[name].recordings.items() if op != "o"]

    assert any(0 < np.mean(out != 0) < 1 for out in spikes)


def test_a_bias_integrates_only_from_the_arrival_of_the_input(
    results: dict[str, RunResult], nets: dict[str, Net]
) -> None:
    """The read-out of ``biases`` starts at chip step 5; had it integrated from step 0, v would be 5 biases higher."""
    graph, _ = nets["biases"]
    weight = graph["ro"].synapses.weight  # type: ignore[attr-defined]
    recordings = results["biases"].recordings

    first = (recordings["l"].out[0] @ weight.T << 6) + 33

    np.testing.assert_array_equal(recordings["o"].v[0], first)


def test_every_sample_starts_from_zero_state(results: dict[str, RunResult], nets: dict[str, Net]) -> None:
    """Samples stream through one run: the last, run alone by the oracle, shows the same states."""
    for name in ("recurrent_loop", "gates_with_feedback"):
        graph, x = nets[name]
        alone = run_int(graph, x[:, -1:])
        for op, recording in alone.recordings.items():
            np.testing.assert_array_equal(results[name].recordings[op].v[:, -1:], recording.v, err_msg=f"{name} {op}")


def test_without_record_only_the_answer_comes_back(nets: dict[str, Net]) -> None:
    graph, x = nets["linear"]

    result = LavaBackend().run(mapped(graph), x)

    np.testing.assert_array_equal(result.answer, run_int(graph, x).answer)
    assert not result.recordings
    assert result.startup_s > 0
    assert result.run_s > 0
