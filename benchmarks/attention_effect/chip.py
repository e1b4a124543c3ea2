"""The energy of a trained net on our simulated chip, where it deploys, else why not."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from spikewright.export.torch_to_nir import capture
from spikewright.models.attention.gac import GAC
from spikewright.models.attention.gain import ScalarGainLIF
from spikewright.models.attention.ma import MALIF
from spikewright.models.attention.staa import STAALIF
from spikewright.models.attention.tcja import TCJA
from spikewright.models.train.data import Data
from spikewright.toolchain.analysis import analyze
from spikewright.toolchain.analysis.quantity import Quantity
from spikewright.toolchain.errors import ToolchainError
from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.local_backends import HwSimBackend
from spikewright.toolchain.options import Options
from spikewright.toolchain.passes.lower_gates import Strategy
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples

RELU = "a ReLU between a current and its neuron has no lowering"
CALIBRATION, SAMPLES = 256, 200
"""Training images that calibrate, test images that are run."""


def chip_energy(module: nn.Module, train: Data, test: Data, name: str) -> dict[str, Any]:
    """Deploy for Loihi 2, run, and price; ``{"reason": ...}`` where the net is refused.

    Causal gates are lowered exactly, GAC runs on the host; other attention gets constant gates if they cost a point at most.
    """
    if any(isinstance(m, ScalarGainLIF) and m.relu for m in module.modules()):
        return {"reason": RELU}
    options = Options(gates=_gates(module))
    calibration, samples = _samples(train, CALIBRATION), _samples(test, SAMPLES)
    try:
        graph = capture(folded(module), torch.from_numpy(calibration.x[:, :4]), name=name)
        made = deploy_graph(
            from_nir(graph, where=name),
            options,
            calibration,
            name=name,
            samples=samples,
            held_out=partial(_ends, train),
        )
        result = HwSimBackend().run(made, made.encode(np.asarray(samples.x, np.float64)))
    except ToolchainError as error:
        return {"reason": str(error).partition("\n")[0]}
    assert result.trace is not None
    assert samples.y is not None
    energy = analyze(made, result.trace).energy
    return {
        "samples": len(samples.y),
        "accuracy": float((result.answer.argmax(1) == samples.y).mean()),
        "gates": sorted(set(made.strategies.values())),
        "agreement": None if made.drift is None else made.drift.agreement,
        **{line.name: _figure(line.energy) for line in energy.lines},
        "total": _figure(energy.total),
    }


def _gates(module: nn.Module) -> Strategy:
    modules = list(module.modules())
    if any(isinstance(m, GAC) for m in modules):
        return "host"
    causal = any(isinstance(m, MALIF | STAALIF | TCJA) and m.variant == "causal" for m in modules)
    return "causal" if causal else "auto"


def _samples(data: Data, limit: int) -> Samples:
    return _taken(data, 0, min(limit, len(data)))


def _ends(data: Data, limit: int) -> Samples:
    """Return the last ``limit`` samples, which decide about constants."""
    return replace(_taken(data, max(0, len(data) - limit), len(data)), split="train", total=len(data), last=True)


def _taken(data: Data, start: int, stop: int) -> Samples:
    part = data.take(torch.arange(start, stop))
    return Samples(np.ascontiguousarray(part.steps(part.x).numpy()), part.y.numpy(), "", part.simulated)


def _figure(quantity: Quantity) -> dict[str, Any]:
    return {
        "value": quantity.value,
        "unit": quantity.unit,
        "basis": quantity.basis,
        "low": quantity.low,
        "high": quantity.high,
    }


def folded(module: nn.Module) -> nn.Module:
    """Return a copy whose scalar gains are in the batch norms in front of them: g (s x + b) = (g s) x + g b.

    Exact in real arithmetic; what lies between (an average pool) is linear. A layer with a ReLU stays.
    """
    net = copy.deepcopy(module)
    for parent in [m for m in net.modules() if isinstance(m, nn.Sequential)]:
        norm: nn.BatchNorm2d | None = None
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                norm = child
            elif isinstance(child, ScalarGainLIF) and not child.relu and norm is not None:
                norm.weight.data.mul_(child.gain.detach())
                norm.bias.data.mul_(child.gain.detach())
                setattr(parent, name, child.neuron)
    return net
