"""How an ONNX model's results compare with the interpreter's, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from spikewright.export.onnx.model import net_model
from spikewright.export.onnx.writer import Precision
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.interpret import answer, run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array
from spikewright.toolchain.passes.split_host import fires

SAME = 1e-4
"""What is sent (spikes, or spikes times gains of at most 1) counts as differing above this."""
SILENT = 3
"""Level of onnxruntime's log that shows errors alone."""


def run_onnx(model: onnx.ModelProto, x: NDArray[Any], names: Sequence[str]) -> list[NDArray[Any]]:
    """Run a model in onnxruntime on ``x`` (T, B, *shape); return the outputs called ``names``."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    options.intra_op_num_threads = 1  # its threads wait busily, and take the cores of whatever runs beside
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
    )
    kind = np.float64 if session.get_inputs()[0].type == "tensor(double)" else np.float32
    return [np.asarray(found) for found in session.run(list(names), {"x": np.ascontiguousarray(x, kind)})]


@dataclass(frozen=True)
class Agreement:
    """How the host's export compares with the interpreter's float64 payloads: values, how many differ by one unit, by more."""

    values: int
    off_by_one: int
    off_by_more: int


def agreement(model: onnx.ModelProto, deployment: Deployment, x: Array) -> Agreement:
    """Run the host's export on ``x`` (T, B, *shape) and compare its payloads."""
    got = run_onnx(model, x, ["payload"])[0]
    gap = np.abs(got - deployment.encode(x.astype(np.float32).astype(np.float64)))
    return Agreement(gap.size, int((gap == 1).sum()), int((gap > 1).sum()))


@dataclass(frozen=True)
class NetAgreement:
    """How the net's export compares with the float interpreter.

    Args:
        spikes: (step, sample, neuron) that were compared.
        differing: How many of them differ.
        answer_error: Largest absolute difference of the answers.
    """

    spikes: int
    differing: int
    answer_error: float


def net_agreement(
    graph: Graph, x: NDArray[Any], *, precision: Precision = "float32", dense: bool = False
) -> NetAgreement:
    """Write a graph, run it on ``x`` (T, B, *shape) in onnxruntime, and compare every spike and the answer."""
    names = [op.name for op in graph if fires(op)]
    model = net_model(graph, precision=precision, dense=dense, record=names)
    seen = x.astype(np.float32).astype(np.float64)
    got = dict(zip(["answer", *names], run_onnx(model, seen, ["answer", *names]), strict=True))
    meant = run_float(graph, seen)
    differing = sum(int((np.abs(got[name] - meant[name]) > SAME).sum()) for name in names)
    error = np.abs(got["answer"] - answer(graph, meant)).max(initial=0.0)
    return NetAgreement(sum(meant[name].size for name in names), differing, float(error))
