"""The host part as ONNX gives the interpreter's payloads, to one unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from zoo_nets import deployed

from spikewright.export.onnx import agreement, export_host, host_model
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.integer import IntInput
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Delay, Input, Output


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    return deployed("gac-digits", "auto", None)


def test_the_host_export_agrees_with_the_interpreter_to_one_unit(deployment: Deployment) -> None:
    assert deployment.host is not None
    assert deployment.samples is not None
    source = next(op for op in deployment.integer if isinstance(op, IntInput))
    x = np.asarray(deployment.samples.x[:, :32], np.float64)

    found = agreement(host_model(deployment.host.graph, source.scale), deployment, x)

    assert found.values == 6 * 32 * 16 * 64
    assert found.off_by_more == 0
    assert found.off_by_one <= found.values // 1000


def test_a_wrong_scale_is_noticed(deployment: Deployment) -> None:
    assert deployment.host is not None
    assert deployment.samples is not None
    source = next(op for op in deployment.integer if isinstance(op, IntInput))
    x = np.asarray(deployment.samples.x[:, :4], np.float64)

    assert agreement(host_model(deployment.host.graph, source.scale / 2), deployment, x).off_by_more > 0


def test_the_exporter_writes_a_file_and_says_how_well_it_agrees(deployment: Deployment, tmp_path: Path) -> None:
    notes = export_host(deployment, tmp_path)

    assert (tmp_path / "host.onnx").stat().st_size > 0
    assert notes["host.onnx"].startswith("written; of 393216 payloads on samples")


def test_an_op_without_onnx_form_is_refused_by_name() -> None:
    graph = Graph(
        (
            Input(name="in", shape=(1, 2, 2)),
            Delay(name="late", inputs=("in",), steps=1),
            Output(name="out", inputs=("late",)),
        ),
        timesteps=2,
    )

    with pytest.raises(UnsupportedNodeError, match="op 'late': Delay has no ONNX form here"):
        host_model(graph, 1.0)
