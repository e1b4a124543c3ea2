"""``--steps chip`` of ``.net`` files: all layers stop after chip step T, alike on every backend and in every counter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import netx_in_lava
import numpy as np
import pytest
from command_line import Cli, linear, spikes
from netx_nets import NETS, T, driven_net, even, graph, int_dense, int_input, ints, lif, payloads

from spikewright import deploy, load
from spikewright.export.lava import LavaBackend
from spikewright.export.netx.write import export_net
from spikewright.hw_sim.fixed_point import STATE_MAX
from spikewright.toolchain import nirx
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.integer import IntOutput
from spikewright.toolchain.interpret import run_int
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.local_backends import HwSimBackend
from spikewright.toolchain.spike_driven.audit import audit


def summing_net(rng: np.random.Generator) -> Graph:
    """Two layers, and a silent read-out that sums in v."""
    net = graph(
        int_input(name="x", shape=(8,)),
        int_dense(name="a", inputs=("x",), weight=even(rng, 6, 8)),
        lif("l1", "a", shape=(6,)),
        int_dense(name="b", inputs=("l1",), weight=even(rng, 3, 6)),
        lif("l2", "b", shape=(3,), decay_v=ints(0), threshold=ints(STATE_MAX)),
    )
    return net.map(lambda op: replace(op, readout="membrane", scale=1 / T) if isinstance(op, IntOutput) else op)


ALL = NETS | {"summing": summing_net}


def deployed(net: Graph, folder: Path, **options: object) -> Deployment:
    """Deploy a net, as a file where the format holds it."""
    if net.output.readout == "membrane":  # type: ignore[attr-defined]
        return deploy(net, **options)
    export_net(net, folder / "net.net")
    return deploy(str(folder / "net.net"), **options)


@pytest.mark.parametrize("name", ALL)
def test_a_halted_chip_shows_the_first_steps_of_every_layer(
    name: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    net = ALL[name](rng)
    steps, x = net.timesteps, payloads(net, rng, 3)
    whole, halted = (deployed(net, tmp_path, steps=how) for how in ("layer", "chip"))

    due, got = run_int(whole.integer, x), run_int(halted.integer, x)

    starts = {op.name: op.start for op in halted.integer if hasattr(op, "start")}
    assert list(starts.values()) == list(range(len(starts)))
    for layer, recording in due.recordings.items():
        life = steps + (name == "driven") - starts[layer]
        for state in ("out", "v"):
            mine, theirs = getattr(got.recordings[layer], state), getattr(recording, state)
            np.testing.assert_array_equal(mine[:life], theirs[:life], err_msg=f"{layer} {state}")
            assert not mine[life:].any(), (layer, state)
    read = halted.integer.output.inputs[0]
    shown, life = due.recordings[read], steps + (name == "driven") - starts[read]
    counts = shown.out[:life].sum(axis=0) if net.output.readout == "spikes" else shown.v[life - 1]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(got.answer, counts)
    assert halted.answer_scale == pytest.approx(whole.answer_scale * steps / life)


@pytest.mark.parametrize("timing", ["analytic", "cycle"])
@pytest.mark.parametrize("name", ALL)
def test_the_machine_halts_as_the_interpreter_and_counts_no_more(
    name: str, timing: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    net = ALL[name](rng)
    x = payloads(net, rng, 3)
    made = deployed(net, tmp_path, steps="chip")

    run = HwSimBackend(timing=timing).run(made, x, record=True)  # type: ignore[arg-type]
    wanted = run_int(made.integer, x)

    np.testing.assert_array_equal(run.answer, wanted.answer)
    for layer, recording in wanted.recordings.items():
        for state in ("out", "v", "u"):
            due = getattr(recording, state)
            if due is not None:
                np.testing.assert_array_equal(getattr(run.recordings[layer], state), due, err_msg=f"{layer} {state}")
    assert run.trace is not None
    assert run.trace.chip_steps == net.timesteps + (name == "driven")
    assert audit(made.program, run.trace.spikes, run.trace).ok
    if run.trace.cycle is not None:
        np.testing.assert_array_equal(run.trace.cycle.sops, run.trace.sops_binary + run.trace.sops_graded)


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_a_halted_chip_did_what_lava_dls_loader_does_in_as_many_steps(
    name: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    net = NETS[name](rng)
    x = payloads(net, rng, 1)
    made = deployed(net, tmp_path, steps="chip")
    sent = {"bias": x[0, 0]} if name == "driven" else {"x": x[:, 0]}
    reset = {"conv": {"reset_offset": 1}, "driven": {}}
    options = {"reset_interval": net.timesteps, **reset[name]} if name in reset else {}

    mine = run_int(made.integer, x)
    lava = netx_in_lava.run(tmp_path / "net.net", tmp_path / "lava", net.timesteps, **sent, **options)  # type: ignore[arg-type]

    for i, (layer, recording) in enumerate(mine.recordings.items()):
        behind = i + (name != "driven")
        shown = lava.spikes[i][behind:].reshape(-1, *recording.out.shape[2:])
        np.testing.assert_array_equal(recording.out[: len(shown), 0], shown, err_msg=layer)
        assert recording.out.sum() == shown.sum()
        np.testing.assert_array_equal(recording.v[len(shown) - 1, 0], lava.v[i].reshape(shown.shape[1:]), err_msg=layer)
    assert sum(recording.out.sum() for recording in mine.recordings.values()) > 20


@pytest.mark.lava
@pytest.mark.slow
def test_lava_halts_as_the_interpreter(tmp_path: Path, rng: np.random.Generator) -> None:
    nets = [make(rng) for make in ALL.values()]
    graphs = [deployed(net, tmp_path, steps="chip").integer for net in nets]
    inputs = [payloads(net, rng, 2) for net in nets]

    got = LavaBackend().run_many(list(zip(graphs, inputs, strict=True)), record=True)

    for name, halted, x, result in zip(ALL, graphs, inputs, got, strict=True):
        wanted = run_int(halted, x)
        np.testing.assert_array_equal(result.answer, wanted.answer, err_msg=name)
        for layer, recording in wanted.recordings.items():
            np.testing.assert_array_equal(result.recordings[layer].out, recording.out, err_msg=f"{name} {layer}")
            np.testing.assert_array_equal(result.recordings[layer].v, recording.v, err_msg=f"{name} {layer}")


def test_deploy_manifest_run_and_report_say_where_the_layers_stop(
    tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    cli, net = Cli(capsys), driven_net(rng)
    export_net(net, tmp_path / "net.net")
    np.savez(tmp_path / "x.npz", x=payloads(net, rng, 4))
    words = ("deploy", tmp_path / "net.net", "--samples", tmp_path / "x.npz", "--out", tmp_path / "made")

    code, told, _ = cli(*words, "--steps", "chip")

    said = "all layers stop after chip step 12, so that deeper ones run fewer: 0.input 12, 1.conv 11, 3.dense 10"
    assert code == 0
    assert said in " ".join(told.split())
    made = load(tmp_path / "made")
    assert (made.options.steps, made.program.stop) == ("chip", 13)
    assert "--steps chip" in made.command
    for verb in ("run", "report"):
        code, told, _ = cli(verb, tmp_path / "made")
        assert (code, said in " ".join(told.split())) == (0, True)
    page = made.report().html()
    assert "13 = T 12 + depth 1" in page
    assert said in page
    assert cli("check", tmp_path / "made")[0] in (0, 1)
    assert cli("compare", tmp_path / "made")[0] == 0

    code, told, _ = cli(*words)
    assert "on silicon that stops all layers after chip step 12, the read-out '3.dense' runs 10" in told


def test_the_float_twin_of_a_halted_net_answers_from_the_same_steps(tmp_path: Path, rng: np.random.Generator) -> None:
    net = summing_net(rng).map(
        lambda op: replace(op, soma=replace(op.soma, decay_v=ints(0))) if op.name == "l1" else op
    )
    x = payloads(net, rng, 5).astype(np.float64)
    made = deploy(net, samples=x, steps="chip")

    answer = made.run(backend="interpreter", numbers="float").answer

    np.testing.assert_allclose(answer, made.run(backend="interpreter").answer * made.answer_scale)
    np.testing.assert_allclose(answer, made.run_float(x))


def test_a_chip_that_is_halted_before_the_read_out_starts_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    export_net(driven_net(rng), tmp_path / "net.net")

    with pytest.raises(InputError) as caught:
        deploy(str(tmp_path / "net.net"), timesteps=2, steps="chip")

    assert "the read-out '3.dense' starts at chip step 2" in str(caught.value)
    assert "--timesteps 3" in str(caught.value)
    assert deploy(str(tmp_path / "net.net"), timesteps=3, steps="chip").answer_steps == 1


def test_steps_are_refused_for_a_net_that_is_no_net_file(tmp_path: Path) -> None:
    nirx.write(tmp_path / "n.nir", linear())

    with pytest.raises(InputError, match="--steps"):
        deploy(str(tmp_path / "n.nir"), timesteps=4, calibration=str(spikes(tmp_path / "x.npz")), steps="chip")
