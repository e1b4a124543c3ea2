"""``net.onnx`` and ``host.onnx`` in a bundle: entry point of ``spikewright.exporters``."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.export.onnx.agreement import agreement, net_agreement
from spikewright.export.onnx.model import host_model
from spikewright.export.onnx.record import About, recorded
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import ToolchainError
from spikewright.toolchain.integer import source_of
from spikewright.toolchain.shapes import shapes

COMPARED = 1 << 20
"""Values (step, neuron) of samples that are compared with the interpreter: enough to see an error, few enough for any net."""
LARGEST_COMPARED = 1 << 24
"""Values of one sample, above which none is run: it would take as long as the rest of a deployment."""


def export_onnx(deployment: Deployment, folder: Path) -> dict[str, str]:
    """Write ``net.onnx``, and ``host.onnx`` where there is a host part; return a note on each."""
    return {"net.onnx": _written(_net, deployment, folder), "host.onnx": _written(_host, deployment, folder)}


def _written(write: Any, deployment: Deployment, folder: Path) -> str:
    try:
        return str(write(deployment, folder))
    except ToolchainError as error:
        return f"not written: {error.where}: {error.what}"


def _samples(deployment: Deployment) -> NDArray[Any] | None:
    """Return the samples that are compared, as float64; None where there are none."""
    if deployment.samples is None:
        return None
    values = deployment.captured.timesteps * sum(prod(shape) for shape in shapes(deployment.captured).values())
    if values > LARGEST_COMPARED:
        return None
    return np.asarray(deployment.samples.x[:, : max(1, min(64, COMPARED // values))], np.float64)


def _net(deployment: Deployment, folder: Path) -> str:
    dense = deployment.host is not None
    card = deployment.card
    dataset = card.get("dataset")
    about = About(deployment.name, dataset if isinstance(dataset, str) else None, card, dense=dense)
    (folder / "net.onnx").write_bytes(recorded(deployment.captured, about).SerializeToString())
    x, T, seen = _samples(deployment), deployment.captured.timesteps, deployment.answer_steps
    halted = "" if seen == T else f"; it answers from all {T} steps, the chip from the first {seen} (--steps chip)"
    if x is None:
        return f"written; not compared with the interpreter{halted}"
    found = net_agreement(deployment.captured, x, dense=dense)
    return (
        f"written; in onnxruntime {found.differing} of {found.spikes} spikes on samples differ from the float "
        f"interpreter's, and the answer by {found.answer_error:.1e} at most{halted}"
    )


def _host(deployment: Deployment, folder: Path) -> str:
    if deployment.host is None:
        return "not written: the net has no host part"
    model = host_model(deployment.host.graph, source_of(deployment.integer).scale)
    (folder / "host.onnx").write_bytes(model.SerializeToString())
    x = _samples(deployment)
    if x is None:
        return "written; not compared with the interpreter"
    found = agreement(model, deployment, x)
    return (
        f"written; of {found.values} payloads on samples {found.off_by_one} differ by one unit from the interpreter's "
        f"and {found.off_by_more} by more"
    )
