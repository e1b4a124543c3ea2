"""Fine-tuning a deployment: it learns, its integers are those of the ordinary pipeline, neurons fall silent without input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest
from command_line import Cli
from residual_nets import stream
from tiny import tiny_graph
from trained_nets import biased, deployed, quarters

import spikewright as sw
from spikewright.hw_sim import somas
from spikewright.models.lowered.chip_net import TRAINED, WHY_NOT
from spikewright.models.lowered.finetune import TunedEpoch
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.integer import IntNeuron
from spikewright.toolchain.ops import Affine, Relay

HOW = {"epochs": 6, "rate": 0.05, "batch": 16}


def accuracy(made: Deployment) -> float:
    found = made.run(backend="interpreter").accuracy
    assert found is not None
    return found


def test_a_deployment_learns_and_is_one_like_any_other(tmp_path: Path) -> None:
    made, seen = deployed(), list[TunedEpoch]()
    again = sw.finetune(made, quarters(160), on_epoch=seen.append, **HOW)
    assert accuracy(made) < 0.5
    assert accuracy(again) > 0.9
    assert [epoch.number for epoch in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[-1].loss < seen[0].loss
    assert again.compare(limit=16).equal
    check = again.check()
    assert check.ok
    assert any(one.code == "fine-tuned" for one in again.diagnostics)
    again.save(tmp_path / "net")
    assert accuracy(sw.load(tmp_path / "net")) == accuracy(again)


def test_a_nir_graph_needs_no_module() -> None:
    rng, ones = np.random.default_rng(3), np.ones(4)
    graph = nir.NIRGraph.from_list(
        nir.Input({"input": np.array([32])}),
        nir.Affine(rng.normal(size=(4, 32)) / 4, 0 * ones),
        nir.LIF(tau=2e-3 * ones, r=2 * ones, v_leak=0 * ones, v_threshold=ones),
        nir.Output({"output": np.array([4])}),
    )
    flat = [sw.Samples(s.x.reshape(*s.x.shape[:2], 32), s.y, s.dataset) for s in (quarters(160), quarters(64, seed=2))]
    made = sw.deploy(graph, calibration=flat[0], samples=flat[1], dt_s=1e-3, timesteps=5)
    again = sw.finetune(made, flat[0], **HOW)
    assert accuracy(again) > max(0.8, accuracy(made))
    assert again.compare(limit=16).equal


def test_the_hosts_part_stays_as_it_is_and_what_lies_behind_it_learns() -> None:
    made = deployed(real=True)
    x, y = quarters(160).x * 0.75, quarters(160).y
    again = sw.finetune(made, x, y, **HOW)
    assert made.host is not None
    assert again.host is not None
    assert [op.name for op in again.host.graph] == [op.name for op in made.host.graph]
    assert np.array_equal(again.host.graph["conv"].weight, made.host.graph["conv"].weight)  # type: ignore[attr-defined]
    assert accuracy(again) > accuracy(made)


def test_the_silence_term_stops_what_fires_without_input() -> None:
    made = deployed(biased(tiny_graph(), 0.8))
    before = made.check().event_driven
    loud = sw.finetune(made, quarters(96), **HOW)
    quiet = sw.finetune(made, quarters(96), silence=1.0, **HOW)
    after = [again.check().event_driven for again in (loud, quiet)]
    assert before is not None
    assert before.share < 0.6
    assert after[0] is not None
    assert after[1] is not None
    assert after[0].share < 0.8
    assert after[1].share == 1.0
    assert accuracy(quiet) > accuracy(made)


def test_a_net_whose_streams_go_by_relays_learns() -> None:
    graph, _ = stream(0, blocks=2)
    rng = np.random.default_rng(1)
    read = Affine(name="fc", inputs=("end",), weight=rng.normal(size=(4, 36)) / 6)
    graph = graph.with_ops([*(op for op in graph if op.name != "out"), read, replace(graph["out"], inputs=("fc",))])
    samples = quarters(64)
    x = np.repeat(samples.x, 2, axis=3)[:4, :, :, 1:7, [0, 0, 1, 2, 3, 3]]  # 2 x 6 x 6, of 4 steps
    samples = replace(samples, x=np.ascontiguousarray(x))
    made = sw.deploy(graph, calibration=samples, samples=samples, streams="relay", mapping="greedy")
    assert any(isinstance(op, Relay) for op in made.lowered)

    again = sw.finetune(made, samples, epochs=4, rate=0.02, batch=16)

    assert any(isinstance(op, Relay) for op in again.lowered)
    assert accuracy(again) > accuracy(made) + 0.2
    assert again.compare(limit=8).equal


def test_training_with_real_numbers_learns_too() -> None:
    made = deployed()
    again = sw.finetune(made, quarters(96), numbers="float", loss="cross-entropy", **HOW)
    assert accuracy(again) > accuracy(made) + 0.2


def refused(made: Deployment, *data: object, **how: object) -> str:
    with pytest.raises(InputError) as error:
        sw.finetune(made, *data, **how)
    return str(error.value)


def test_neurons_without_a_gradient_are_refused_by_the_true_reason() -> None:
    assert {*somas.KINDS.values()} == {*TRAINED, *WHY_NOT, somas.Source}
    made = deployed()
    (lif, *_) = [op for op in made.integer if isinstance(op, IntNeuron)]
    held = somas.HeldSum(np.zeros(1, np.int64))
    planted = replace(made, integer=made.integer.replace((lif,), replace(lif, soma=held)))
    said = refused(planted, quarters(8))
    assert f"HeldSum {lif.name!r} cannot be trained: it is a factor of a gate of two counts" in said
    assert "train the model itself" in said


def test_what_cannot_be_trained_is_refused_before_any_work() -> None:
    made, samples = deployed(), quarters(8)
    assert "names no data set" in refused(made)
    assert "no labels" in refused(made, samples.x)
    assert "the net answers 4" in refused(made, samples.x, np.full(8, 4))
    assert "shape" in refused(made, samples.x[:2], samples.y)
    assert "--epochs" in refused(made, samples, epochs=0)
    assert "no option 'epoch'" in refused(made, samples, epoch=3)
    integers = sw.deploy(made.integer, samples=samples)
    assert "came as integers" in refused(integers, samples)


def test_the_command_trains_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, data = Cli(capsys), tmp_path / "train.npz"
    deployed().save(tmp_path / "net")
    np.savez(data, x=quarters(96).x, y=quarters(96).y)
    words = ("finetune", tmp_path / "net", "--train", data, "--epochs", 4, "--rate", 0.05, "--batch", 16)
    code, stdout, _ = cli(*words, "--out", tmp_path / "tuned")
    assert code == 0
    assert "% before" in stdout
    again = sw.load(tmp_path / "tuned")
    assert again.command.startswith("spikewright finetune")
    assert accuracy(again) > accuracy(sw.load(tmp_path / "net"))
    assert "leave it out" in cli.refused(*words, "--out", tmp_path / "other", "--chip", "loihi2")
