"""What a large net is looked at on: a capture, calibration, golden input, check and report by the bytes of its values; told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import linear
from tiny import tiny_deployment, tiny_graph, tiny_samples
from torch import nn

import spikewright as sw
from spikewright.export.foreign import door
from spikewright.export.torch_to_nir.capture import capture_of
from spikewright.hw_sim import utilization as table
from spikewright.models.layers import Linear
from spikewright.models.neurons import lif
from spikewright.toolchain import pipeline
from spikewright.toolchain.calibration import sample_bytes, spread_over
from spikewright.toolchain.interpret import FloatRun
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.report import build
from spikewright.toolchain.spike_driven import deployed

B = 12


class Net(nn.Module):
    """A net that counts its forward passes by their samples."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.fire, self.out = Linear(6, 8), lif("N1"), Linear(8, 3)
        self.batches: list[int] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Net:
        made = Net()
        made.load_state_dict(self.state_dict())
        made.batches = self.batches
        return made.to(self.hidden.weight.dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.batches.append(x.shape[1])
        made: torch.Tensor = self.out(self.fire(self.hidden(x))).mean(0)
        return made


class OneBatch(Net):
    """A net that is made for so many samples."""

    def __deepcopy__(self, memo: dict[int, Any]) -> OneBatch:
        made = OneBatch()
        made.load_state_dict(self.state_dict())
        return made

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x + torch.zeros(x.shape[0], B, 1, dtype=x.dtype))


def example(samples: int = B) -> torch.Tensor:
    return (torch.rand(5, samples, 6, generator=torch.Generator().manual_seed(1)) < 0.4).float()


# ------------------------------------------------------------------------------------------------- captures
def test_a_capture_runs_a_large_net_on_two_samples_and_six_times_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    small = capture_of(net, example())
    assert small.compared == B

    net.batches.clear()
    monkeypatch.setattr(door, "CAPTURED_BYTES", 1)
    large = capture_of(net, example())

    assert large.compared == 2
    assert set(net.batches) == {2}
    assert len(net.batches) <= 6
    np.testing.assert_array_equal(large.example, example().numpy())
    assert large.graph.nodes.keys() == small.graph.nodes.keys()


def test_two_samples_never_look_like_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    monkeypatch.setattr(door, "CAPTURED_BYTES", 1)

    assert capture_of(net, example()[:2]).compared == 3


def test_a_net_made_for_its_own_number_of_samples_is_captured_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "CAPTURED_BYTES", 1)

    assert capture_of(OneBatch(), example()).compared == B


@pytest.mark.parametrize("layout", ["BT", "B"])
def test_all_samples_of_an_example_calibrate_in_any_layout(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Net()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x.transpose(0, 1) if layout == "BT" else x.unsqueeze(0).repeat(5, 1, 1)
            made: torch.Tensor = self.inner(y)
            return made

    x = example().transpose(0, 1) if layout == "BT" else example()[0]
    monkeypatch.setattr(door, "CAPTURED_BYTES", 1)

    found = capture_of(Turned(), x, layout=layout)

    assert found.compared == 2
    wanted = example().numpy() if layout == "BT" else np.repeat(example()[:1].numpy(), 5, 0)
    np.testing.assert_array_equal(found.example, wanted)


# ---------------------------------------------------------------------------------------------- calibration
def test_calibration_data_of_a_large_net_is_cut_evenly_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, samples = tiny_graph(), tiny_samples()
    ran: list[int] = []
    advance = FloatRun.advance
    monkeypatch.setattr(FloatRun, "advance", lambda self, x: ran.append(x.shape[1]) or advance(self, x))
    whole = deploy_graph(graph, Options(), samples, name="tiny", samples=samples)
    assert len(samples) in ran
    assert not [one for one in whole.diagnostics if one.code == "calibrated-on-few"]

    ran.clear()
    monkeypatch.setattr(pipeline, "CALIBRATED_BYTES", 3 * sample_bytes(graph))
    monkeypatch.setattr(pipeline, "GOLDEN_BYTES", sample_bytes(graph))
    made = deploy_graph(graph, Options(), samples, name="tiny", samples=samples)

    assert set(ran) == {1, 3}
    assert ran.count(3) == 1
    assert made.calibrated == f"3 of {samples.source}, evenly spaced"
    assert f"ranges and drift are of 3 of the {len(samples)} samples" in str(made)
    assert len(made.samples or ()) == len(samples)


def test_samples_spread_over_a_file_keep_their_labels() -> None:
    samples = replace(tiny_samples(), y=np.arange(len(tiny_samples())))

    for count, chosen in ((4, [0, 3, 6, 9]), (7, [0, 1, 3, 5, 6, 8, 10]), (1, [0]), (12, list(range(12)))):
        few = spread_over(samples, count)
        assert few.y is not None
        assert few.y.tolist() == chosen
        np.testing.assert_array_equal(few.x, samples.x[:, few.y])
    frame = replace(samples, x=np.broadcast_to(samples.x[:1], samples.x.shape))
    assert spread_over(frame, 5).x.strides[0] == 0


# ------------------------------------------------------------------------------------------ checks, reports
def test_a_check_and_a_report_look_at_what_the_bytes_allow_and_a_check_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = tiny_deployment()
    each = sample_bytes(made.captured)
    assert made.check().seen == ""
    monkeypatch.setattr(deployed, "AUDITED_BYTES", each)
    monkeypatch.setattr(deployed, "CHECKED_BYTES", 3 * each)
    monkeypatch.setattr(build, "CHECKED_BYTES", 3 * each)

    found, report = made.check(), made.report(backends=("interpreter", "hw_sim"))

    assert found.ok
    assert found.faithful is not None
    assert (found.faithful.samples, found.event_driven and found.event_driven.samples) == (1, 3)
    assert "looked at: layers and events of 1 sample; SOPs of 3 samples" in str(found)
    assert report.comparison is not None
    assert (report.comparison["samples"], report.accuracy.samples) == (3, len(made.samples or ()))


def test_of_one_long_sample_the_begin_is_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny_deployment()
    T = made.captured.timesteps
    monkeypatch.setattr(deployed, "AUDITED_BYTES", sample_bytes(made.captured) * 3 // T)

    found = made.check()

    assert found.ok
    assert f"of 1 sample, of {T} steps the first 3;" in str(found)
    assert found.audit is not None
    assert found.audit.events > 0


def test_what_cores_use_is_counted_once_for_mapper_rules_and_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    count = table._counted
    monkeypatch.setattr(table, "_counted", lambda program, chip: counted.append(id(program)) or count(program, chip))

    made = sw.deploy(linear(), calibration=np.ones((4, 2, 3), np.uint8), timesteps=4, dt_s=1e-3)
    str(made), made.report()

    assert len(counted) == len(set(counted))
