"""Sigma-delta nets: lava-dl's SDNN files as an input like any other, against lava-dl's own loader, the machine and Lava."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from int_nets import int_conv, int_dense, int_identity, int_input
from netx_in_lava import run
from netx_nets import Ints, dense, even, ints, kernel_layer, write

from spikewright.export.lava.profiler import Loihi2HwCfg, Profiler, RunSteps
from spikewright.export.lava.profiler.network import Network
from spikewright.export.netx import export_net, import_net
from spikewright.export.netx.write import loading
from spikewright.hw_sim import SigmaDelta, load_chip
from spikewright.hw_sim.somas import Saturations
from spikewright.toolchain.api import deploy
from spikewright.toolchain.dequantize import to_float
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError
from spikewright.toolchain.integer import IntConnection, IntNeuron, IntOutput
from spikewright.toolchain.interpret import answer, run_float, run_int
from spikewright.toolchain.ir import Graph

T, ONE = 7, 1 << 12
"""Steps, and a unit of a mantissa in a state."""
SDNN: dict[str, Any] = {"neuron/type": "SDNN", "neuron/vThMant": 6, "neuron/activation": np.bytes_(b"relu")}


def changes(name: str, reads: str, shape: tuple[int, ...], bias: Ints, threshold: int) -> IntNeuron:
    return IntNeuron(name=name, inputs=(reads,), shape=shape, soma=SigmaDelta(bias * ONE, ints(threshold * ONE)))


def sdnn_net(rng: np.random.Generator) -> Graph:
    """An encoder, convolutions with biases one a channel and one a neuron, a dense layer, and the sums of one that is read."""
    encoder = SigmaDelta(ints(0), ints(3 * ONE), rectify=False, sums=False)
    sums = SigmaDelta(ints(0), ints(SigmaDelta.NEVER), rectify=False)
    return Graph(
        (
            int_input(name="x", shape=(2, 9, 7), payload_bits=11, signed=True),
            int_identity(name="i", inputs=("x",), weight=64, exponent=6),
            IntNeuron(name="l0", inputs=("i",), shape=(2, 9, 7), soma=encoder),
            int_conv(name="c1", inputs=("l0",), weight=even(rng, 4, 2, 3, 3) // 4 * 2, stride=(2, 1), padding=(1, 0)),
            changes("l1", "c1", (4, 5, 5), np.repeat(rng.integers(-20, 20, 4), 25), 2),
            int_conv(name="c2", inputs=("l1",), weight=even(rng, 3, 4, 3, 3) // 4 * 2),
            changes("l2", "c2", (3, 3, 3), rng.integers(-20, 20, 27), 0),
            int_dense(name="d3", inputs=("l2",), weight=even(rng, 5, 27) // 2 * 2),
            changes("l3", "d3", (5,), rng.integers(-20, 60, 5), 9),
            int_dense(name="d4", inputs=("l3",), weight=even(rng, 2, 5)),
            IntNeuron(name="l4", inputs=("d4",), shape=(2,), soma=sums),
            IntOutput(name="y", inputs=("l4",), readout="membrane", scale=2.0**-18, held=True),
        ),
        T,
    )


def frames(rng: np.random.Generator, samples: int = 1) -> Ints:
    """Return pictures that change a little from step to step, (T, B, 2, 9, 7)."""
    return np.cumsum(rng.integers(-9, 10, (T, samples, 2, 9, 7)), axis=0)


def on_lavas_clock(net: Graph) -> Graph:
    """Return a net whose messages take a step each, as between Lava's processes, so that no layer starts behind another."""
    return net.map(lambda op: replace(op, lag=1) if isinstance(op, IntConnection) and op.inputs != ("x",) else op)


@pytest.mark.lava
@pytest.mark.slow
def test_an_exported_net_runs_in_lava_dls_loader_as_in_the_interpreter(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    net, x = sdnn_net(rng), frames(rng)
    export_net(net, tmp_path / "net.net")

    mine = run_int(on_lavas_clock(net), x)
    lava = run(tmp_path / "net.net", tmp_path / "lava", T, x=x[:, 0])

    for i, recording in enumerate(mine.recordings.values()):
        if recording.out.any():
            np.testing.assert_array_equal(recording.out[:, 0], lava.spikes[i].reshape(recording.out[:, 0].shape))
        np.testing.assert_array_equal(recording.v[-1, 0] * (i > 0), lava.v[i].reshape(recording.v[-1, 0].shape))
    assert sum(np.count_nonzero(r.out) for r in mine.recordings.values()) > 300
    np.testing.assert_array_equal(mine.recordings["l4"].v[:, 0], lava.spikes[-1].reshape(T, 2))


@pytest.mark.lava
@pytest.mark.slow
def test_a_file_is_a_model_like_any_other_on_every_backend(tmp_path: Path, rng: np.random.Generator) -> None:
    export_net(sdnn_net(rng), tmp_path / "net.net")
    made = deploy(str(tmp_path / "net.net"), chip="loihi2", timesteps=T, samples=frames(rng, 2).astype(float))

    assert made.compare(backends=("interpreter", "hw_sim", "lava")).equal
    blocks = {block.name: block for block in made.check().verdict.blocks}
    (stream,) = blocks["1.conv"].streams
    assert stream.kind == "graded"
    assert 0 < stream.density < 1
    assert blocks["1.conv"].cost_class == "B"


def test_import_of_an_export_is_the_same_net_and_its_answer_is_no_mean(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    net, x = sdnn_net(rng), frames(rng, 2)
    export_net(net, tmp_path / "net.net")
    back = import_net(tmp_path / "net.net", timesteps=T)

    mine, theirs = run_int(net, x), run_int(back, x)

    for wanted, got in zip(mine.recordings.values(), theirs.recordings.values(), strict=True):
        np.testing.assert_array_equal(wanted.out, got.out)
        np.testing.assert_array_equal(wanted.v, got.v)
    longer = import_net(tmp_path / "net.net", timesteps=4 * T)
    assert back.output.scale == longer.output.scale == 2.0**-18  # type: ignore[attr-defined]
    assert "does not reset sigma-delta neurons" in loading(net)


def test_the_float_reading_answers_within_the_rounding_of_what_is_sent(rng: np.random.Generator) -> None:
    net, x = sdnn_net(rng), frames(rng, 2)

    twin = to_float(net)
    got, wanted = run_int(net, x).answer, answer(twin, run_float(twin, x.astype(float)))

    np.testing.assert_allclose(wanted, got, atol=2.0**13)
    assert np.abs(got).max() > 2.0**16


@pytest.mark.parametrize("steps", ["layer", "chip"])
def test_the_captured_net_holds_its_last_answer_wherever_a_chip_stops(
    steps: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    net, x = sdnn_net(rng), frames(rng, 2)
    export_net(net, tmp_path / "net.net")

    made = deploy(str(tmp_path / "net.net"), samples=x, timesteps=T, steps=steps)

    captured = answer(made.captured, run_float(made.captured, x.astype(float)))
    np.testing.assert_allclose(captured, run_int(net, x).answer, atol=2.0**13)
    same = np.array_equal(run_int(made.integer, x).answer, run_int(net, x).answer)
    assert same == (steps == "layer")  # a chip that stops earlier answers from fewer steps
    assert any(one.code == "netx-steps" for one in made.diagnostics)


def test_a_change_that_leaves_the_payload_is_counted_and_the_rest_follows() -> None:
    soma = SigmaDelta(ints(0), ints(1), shift=2, payload_bits=3)
    state, full, sent = soma.start((1,)), Saturations(), []

    for a in (100, 0, 0, 0, 0, -100, 0, 0, 0, 0):
        sent.append(int(soma.step(state, ints(a), full=full)[0]))

    assert sent == [7, 7, 7, 4, 0, -8, -8, -8, -1, 0]
    assert full.clips == 6
    assert soma.largest_payload() == 8


def test_its_program_runs_twice_a_step_on_every_core(tmp_path: Path, rng: np.random.Generator) -> None:
    export_net(sdnn_net(rng), tmp_path / "net.net")
    made = deploy(str(tmp_path / "net.net"), chip="loihi2", timesteps=T)
    x = frames(rng).astype(float)

    report, trace = made.report(x), made.run(x).trace
    assert trace is not None
    neurons = np.bincount(np.concatenate([p.core[p.core >= 0] for p in made.program.populations]))
    assert (trace.neuron_updates == 2 * neurons).all()
    assert report.analysis is not None
    layers = report.analysis.activity.layers
    assert sum(layer.neuron_updates for layer in layers) == 2 * neurons.sum() * trace.chip_steps
    assert all(layer.attention_sops == 0 for layer in layers)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([dense(np.eye(2), **{**SDNN, "neuron/activation": np.bytes_(b"tanh")})], "activation 'tanh'"),
        (
            [dense(np.eye(2), **SDNN), {"type": "average", "shape": np.array([1])}],
            "averages changes of sigma-delta neurons",
        ),
        ([dense(np.eye(2), **SDNN, bias=np.array([3000.0, 0.0]))], "bias"),
    ],
)
def test_what_no_sigma_delta_neuron_here_is_is_refused(
    layers: list[dict[str, Any]], words: str, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match=words) as found:
        import_net(write(tmp_path / "net.net", *layers), timesteps=4)
    assert isinstance(found.value, ImportingError) or "allowed" in str(found.value)


def test_a_net_of_changes_without_a_read_out_answers_with_their_sum(tmp_path: Path) -> None:
    weight = np.full((1, 1, 1, 1), 64)
    layer = kernel_layer("conv", weight, (1, 2, 2)) | SDNN | {"neuron/vThMant": 0}
    net = import_net(write(tmp_path / "net.net", layer), timesteps=3, input_shape=(1, 2, 2), payload_bits=8)

    result = run_int(net, np.array([64, 0, 3]).repeat(4).reshape(3, 1, 1, 2, 2))

    assert result.answer.tolist() == [[67] * 4]
    assert net.output.held  # type: ignore[attr-defined]


def test_neurons_that_the_format_has_not_are_named(tmp_path: Path, rng: np.random.Generator) -> None:
    net = sdnn_net(rng)
    signed = net.map(
        lambda op: replace(op, soma=replace(op.soma, rectify=False)) if op.name == "l3" else op  # type: ignore[attr-defined]
    )
    with pytest.raises(UnsupportedNodeError, match="signed sum"):
        export_net(signed, tmp_path / "net.net")
    assert load_chip("loihi2").core.payload_bits >= 16


def test_a_script_steps_it_as_lava_does_and_its_dendrite_counter_is_twice_the_neurons(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    net, x = sdnn_net(rng), frames(rng)
    export_net(net, tmp_path / "net.net")
    with pytest.warns(UserWarning, match="no effect on sigma-delta"):
        script = Network(tmp_path / "net.net", reset_interval=4)
    script.drive(x[:, 0])
    config = Loihi2HwCfg()
    profiler = Profiler.init(config)
    profiler.activity_probe()
    script.run(RunSteps(num_steps=T), config)

    seen = profiler.activity
    np.testing.assert_array_equal(seen.dendrite_updates_silicon_estimate, seen.dendrite_updates)
    wanted = run_int(on_lavas_clock(net), x)
    neurons = sum(recording.v[0, 0].size for recording in wanted.recordings.values())
    assert seen.dendrite_updates.sum() == 2 * neurons * T
    assert len(script) == 5
