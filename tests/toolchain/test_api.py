"""The library: models in memory, what results look like, names that were meant, a backend that is compiled once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import linear
from report_nets import attentive, deployed, events
from tiny import T, tiny_deployment, tiny_graph, tiny_samples
from torch import nn

import spikewright as sw
from spikewright.models.layers import Linear
from spikewright.models.neurons import lif
from spikewright.toolchain import api, local_backends
from spikewright.toolchain.errors import BackendError, ImportingError, InputError
from spikewright.toolchain.report import fingerprint


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.fire, self.out = Linear(6, 8), lif("N1"), Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.out(self.fire(self.hidden(x))).mean(0)
        return made


def example() -> torch.Tensor:
    return (torch.rand(5, 4, 6, generator=torch.Generator().manual_seed(1)) < 0.4).float()


@pytest.fixture(scope="module")
def made() -> sw.Deployment:
    return tiny_deployment()


# --------------------------------------------------------------------------------------------- in memory
def test_a_module_in_memory_needs_one_example_and_nothing_else(tmp_path: Path) -> None:
    made = sw.deploy(Net(), example())

    assert made.name == "Net"
    assert made.calibrated == "4 samples of the example input"
    assert made.command == ""
    assert made.run().answer.shape == (4, 3)
    assert made.check().ok
    assert made.compare().equal
    made.save(tmp_path / "net")
    again = sw.load(tmp_path / "net")
    assert fingerprint(again.program) == fingerprint(made.program)
    np.testing.assert_array_equal(again.run(example().numpy()).answer, made.run(example()).answer)


def test_more_data_calibrates_in_place_of_the_example() -> None:
    x = np.tile(example().numpy(), (1, 3, 1))

    made = sw.deploy(Net(), example(), calibration=x, name="mine", mapping="greedy")

    assert (made.name, made.calibrated, made.options.mapping) == ("mine", "12 samples of given data", "greedy")
    assert made.samples is not None
    assert len(made.samples) == 12


def test_a_module_without_an_example_or_with_an_empty_one_is_refused() -> None:
    with pytest.raises(ImportingError, match="says nothing about the shape of its input"):
        sw.deploy(Net())
    with pytest.raises(InputError, match="the example is all zero"):
        sw.deploy(Net(), torch.zeros(5, 1, 6))
    with pytest.raises(ImportingError, match="an example input is for a model in memory"):
        sw.deploy("ma-digits", torch.zeros(5, 1, 6))
    with pytest.raises(ImportingError, match="a int is no model"):
        sw.deploy(3)


def test_a_nir_graph_and_a_graph_in_memory_deploy_and_want_calibration_data() -> None:
    spikes = np.ones((4, 6, 3), np.float32)

    by_nir = sw.deploy(linear(), calibration=spikes, timesteps=4, dt_s=1e-3)
    by_graph = sw.deploy(by_nir.captured, spikes)
    by_integers = sw.deploy(by_nir.integer, samples=spikes)

    assert by_nir.samples is not None
    assert by_nir.run().answer.tolist() == by_graph.run().answer.tolist() == by_integers.run().answer.tolist()
    for model in (linear(), tiny_graph()):
        with pytest.raises(InputError, match="names no data set to calibrate on") as refusal:
            sw.deploy(model, timesteps=T)
        assert "calibration=" in refusal.value.help


def test_a_model_in_memory_is_checked_as_trained() -> None:
    assert sw.check(Net(), example()).ok
    assert sw.check(attentive(), gates="causal").spike_driven


# ------------------------------------------------------------------------------------------------ options
def test_options_are_keywords_or_an_object() -> None:
    data = tiny_samples()

    by_words = sw.deploy(tiny_graph(), calibration=data, weight_bits=6, chip="demo", mapping="greedy")
    by_object = sw.deploy(
        tiny_graph(), calibration=data, options=sw.Options(chip="demo", weight_bits=6), mapping="greedy"
    )

    assert by_words.options == by_object.options == sw.Options(chip="demo", weight_bits=6, mapping="greedy")


@pytest.mark.parametrize(
    ("wrong", "where", "meant"),
    [
        ({"gates": "casual"}, "--gates", "'causal'"),
        ({"gate": "causal"}, "--gate", "'gates'"),
        ({"mapping": "balancd"}, "--mapping", "'balanced'"),
        ({"chip": "loih2"}, "chip 'loih2'", "'loihi2'"),
        ({"calibration": "digit"}, "digit", "'digits'"),
        ({"weight_bits": "8"}, "--weight-bits", ""),
    ],
)
def test_a_wrong_name_is_refused_with_the_one_that_was_meant(wrong: dict[str, object], where: str, meant: str) -> None:
    with pytest.raises(sw.ToolchainError) as refusal:
        sw.deploy(tiny_graph(), **({"calibration": tiny_samples()} | wrong))

    assert refusal.value.where == where
    assert (f"did you mean {meant}? " in refusal.value.help) == bool(meant)


def test_wrong_names_of_models_backends_and_their_options_are_refused_likewise(made: sw.Deployment) -> None:
    with pytest.raises(ImportingError) as no_model:
        sw.deploy("ma-digts")
    with pytest.raises(BackendError) as no_backend:
        made.run(backend="hwsim")
    with pytest.raises(InputError) as no_option:
        made.run(timming="cycle")
    with pytest.raises(InputError, match="'cicle'; analytic, cycle are allowed") as no_value:
        made.run(timing="cicle")
    with pytest.raises(InputError, match="backend 'interpreter' has no option 'timing'"):
        made.run(backend="interpreter", timing="cycle")

    for refusal, meant in ((no_model, "ma-digits"), (no_backend, "hw_sim"), (no_option, "timing"), (no_value, "cycle")):
        assert f"did you mean {meant!r}? " in refusal.value.help


# ------------------------------------------------------------------------------------------------ results
def test_every_result_is_one_line_a_text_plain_data_and_a_table(made: sw.Deployment) -> None:
    net = deployed(attentive(), events())
    results = [
        net,
        net.run(),
        net.run(backend="interpreter", numbers="float"),
        net.check(),
        net.compare(),
        net.report(),
    ]
    results += [found for found in (results[3].audit, results[3].event_driven, results[3].verdict) if found]

    for result in results:
        assert len(repr(result)) < 200
        assert "\n" not in repr(result)
        assert str(result) == result.text()
        assert isinstance(result.to_dict(), dict)
        assert result._repr_html_().startswith("<p><b>")
        assert len(result._repr_html_()) < 20_000
        assert all(isinstance(row, dict) for row in result.rows())
    assert "<Deployment net on loihi2: " in repr(net)
    assert len(repr(made.samples)) < 100


def test_tables_become_data_frames_and_without_pandas_the_command_is_named(
    made: sw.Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="needs pandas") as refusal:
        made.run().to_dataframe()
    assert refusal.value.help.startswith("pip install pandas")

    class Pandas:
        DataFrame = list

    monkeypatch.setitem(sys.modules, "pandas", Pandas)
    assert [row["layer"] for row in made.compare().to_dataframe()] == ["lif1", "lif2"]


def test_reports_are_written_by_their_ending(made: sw.Deployment, tmp_path: Path) -> None:
    report = made.report(limit=3, backends=())

    for kind in ("json", "html", "csv"):
        report.save(tmp_path / f"r.{kind}")
        assert (tmp_path / f"r.{kind}").read_text() == getattr(report, kind)()
    with pytest.raises(InputError, match=r"ends in '.htm'") as refusal:
        report.save(tmp_path / "r.htm")
    assert "did you mean 'html'?" in refusal.value.help


def test_a_report_runs_its_twin_on_as_many_samples(made: sw.Deployment) -> None:
    report = made.report(limit=3, twin=made, backends=())

    assert report.twin is not None
    assert report.twin.accuracy.samples == report.accuracy.samples == 3


# ----------------------------------------------------------------------------------------------- backends
def test_a_backend_compiles_a_deployment_once_and_then_simulates_no_sample_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, compiled, simulated = tiny_deployment(), [], []

    def compile(*what: object) -> object:
        compiled.append(what)
        return honest_compile(*what)

    def simulate(program: object, inputs: dict[str, np.ndarray], **options: object) -> object:
        simulated.append(next(iter(inputs.values())).shape[1])
        return honest_simulate(program, inputs, **options)

    honest_compile, honest_simulate = local_backends.compile, local_backends.simulate
    monkeypatch.setattr(local_backends, "compile", compile)
    monkeypatch.setattr(local_backends, "simulate", simulate)

    answers = [made.run(limit=n).answer for n in (3, 3, 5)]
    made.compare(limit=2)

    assert (len(compiled), simulated) == (1, [1, 3, 3, 5, 2])
    np.testing.assert_array_equal(answers[0], answers[2][:3])


OWN_BACKEND = """
from dataclasses import dataclass
from typing import ClassVar
from spikewright.toolchain.local_backends import HwSimBackend
from spikewright.toolchain.options import option

@dataclass(frozen=True)
class Slow:
    name: ClassVar[str] = "slow"
    counts: ClassVar[bool] = True
    pace: str = option("walk", "how fast", choices=("walk", "crawl"))
    def run(self, deployment, x, *, record=False, progress=None):
        print("at a", self.pace)
        return HwSimBackend().run(deployment, x, record=record)
"""


def test_a_backend_of_another_package_runs_compares_and_reports_with_its_own_options(
    made: sw.Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    info = tmp_path / "slow-1.0.dist-info"
    info.mkdir()
    (tmp_path / "slow.py").write_text(OWN_BACKEND)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[spikewright.backends]\nslow = slow:Slow\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    made.save(tmp_path / "net")

    assert made.run(backend="slow", pace="crawl", limit=2).summary["sops"] is not None
    assert made.compare(backends=["interpreter", "slow"], limit=2).equal
    assert made.report(backends=["interpreter", "slow"], limit=2).equal
    capsys.readouterr()
    from spikewright.toolchain.cli import main

    words = ["run", str(tmp_path / "net"), "--backend", "slow", "--limit", "2", "--trace", str(tmp_path / "t.npz")]
    assert main([*words, "--pace", "crawl"]) == 0
    assert capsys.readouterr().err.startswith("at a crawl\n")  # stdout is for the answer
    assert main([*words, "--timing", "cycle"]) == 2
    assert "backend 'slow' has no option 'timing'; it has pace" in capsys.readouterr().err


def test_the_machine_alone_loads_no_compiler_and_the_names_come_when_asked() -> None:
    code = (
        "import sys, spikewright, spikewright.hw_sim\n"
        "assert not [m for m in sys.modules if m.startswith('spikewright.toolchain')]\n"
        "assert 'torch' not in sys.modules\n"
        "assert set(dir(spikewright)) >= {'deploy', 'load', 'check', 'Options', 'Samples', 'Deployment'}\n"
        "spikewright.deploy\n"
        "assert 'torch' not in sys.modules and 'lava' not in sys.modules\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_the_repeat_command_is_of_names_and_files_only() -> None:
    options = sw.Options(gates="static")

    assert api.repeat_command("ma-digits", options, data=Path("d d")) == (
        "spikewright deploy ma-digits --data 'd d' --gates static"
    )
    assert api.repeat_command(Net(), options) == ""
    assert api.repeat_command("ma-digits", options, calibration=tiny_samples()) == ""
