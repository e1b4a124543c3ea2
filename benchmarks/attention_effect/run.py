"""Do one job: train the net, count what it does on the test images, price it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.attention_effect.chip import chip_energy
from benchmarks.attention_effect.count import BATCH, Counts, attention_ops, count
from benchmarks.attention_effect.plan import Job
from benchmarks.attention_effect.store import Result, place
from spikewright.models.attention.gain import ScalarGainLIF
from spikewright.models.attention.ma import MALIF
from spikewright.models.nets import make
from spikewright.models.train.data import Data, training_data
from spikewright.models.train.fit import Epoch, Running, fit
from spikewright.toolchain.analysis.paper_energy import (
    COMPLETE,
    COMPLETE_T,
    PUBLISHED,
    PaperEnergy,
    SpikingLayer,
    paper_energy,
)

ACCOUNTINGS = {"published": PUBLISHED, "complete": COMPLETE, "complete_T": COMPLETE_T}


def do(job: Job, out: Path, root: Path | None, on_epoch: Callable[[Epoch], None]) -> Result:
    """Train, count and price; a training that was interrupted goes on from its last whole epoch.

    Args:
        job: What to do.
        out: Folder of the results, where the state of a training under way is kept.
        root: Folder of the data sets.
        on_epoch: Called after every epoch.
    """
    recipe = job.recipe()
    train = _first(training_data(recipe, "train", root), job.images[0])
    test = _first(training_data(recipe, "test", root), job.images[1])
    state = place(out, job).with_suffix(".state")
    state.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    torch.manual_seed(job.seed)
    module = make(recipe.net, recipe.arguments).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fit(module, train, recipe, job.seed, Running(precision=job.precision, state=state), on_epoch)
    seconds = time.perf_counter() - start
    found = figures(module, test)
    found["chip"] = chip_energy(module, train, test, job.net)
    state.unlink(missing_ok=True)
    return found | {
        "train_s": seconds,
        "train_images": len(train),
        "test_images": len(test),
        "epochs": job.epochs,
        "precision": job.precision,
    }


def _first(data: Data, limit: int | None) -> Data:
    return data if limit is None else data.take(torch.arange(min(limit, len(data))))


def figures(module: nn.Module, test: Data) -> Result:
    """Return everything that is counted on the test images, per sample, and the formula's energies."""
    counts = count(module, test)
    ops = attention_ops(module, counts)
    return {
        "accuracy": counts.right / counts.samples,
        "spikes": counts.spikes,
        "spikes_behind_stem": counts.spikes_behind_stem,
        "neurons": sum(_size(layer.shape) for layer in counts.neurons.values()),
        "nasar": counts.nasar,
        "lasar": {name: layer.events / layer.opportunities for name, layer in counts.neurons.items()},
        "sops_binary": counts.sops(graded=False),
        "sops_graded": counts.sops(graded=True),
        "attention_macs": sum(o.macs for o in ops),
        "attention_multiplies": sum(o.refine for o in ops),
        "parameters": sum(p.numel() for p in module.parameters()),
        "gains": gains(module, test),
        "energy": {name: _energy(counts, ops, test.timesteps, name) for name in ACCOUNTINGS},
    }


def _size(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())


def _energy(counts: Counts, ops: list[Any], timesteps: int, name: str) -> dict[str, Any]:
    layers = [
        SpikingLayer(layer.macs, layer.events / layer.opportunities, layer.graded)
        for key, layer in counts.synapses.items()
        if key != counts.first
    ]
    found: PaperEnergy = paper_energy(
        counts.synapses[counts.first].macs, layers, ops, timesteps=timesteps, accounting=ACCOUNTINGS[name]
    )
    return asdict(found) | {"total_j": found.total_j, "unit": "J"}


def gains(module: nn.Module, test: Data) -> list[float]:
    """Return the mean gain of every layer of MA's released code on some test images, or a fair twin's learnt scalar gains."""
    found: list[float] = []
    hooks = []
    for layer in module.modules():
        if isinstance(layer, ScalarGainLIF) and layer.scaled:
            found.append(float(layer.gain.detach()))
        elif isinstance(layer, MALIF) and layer.variant == "code":
            hooks.append(layer.register_forward_pre_hook(lambda m, x: found.append(float(_mean_gain(m, x[0])))))
    part = test.take(torch.arange(min(BATCH, len(test))))
    with torch.no_grad():
        module(part.steps(part.x))
    for hook in hooks:
        hook.remove()
    return found


def _mean_gain(layer: MALIF, current: torch.Tensor) -> torch.Tensor:
    """Mean over the elements whose gain can be seen: the ReLU hides those of negative currents."""
    return layer.trace(current).gains[current > 0].mean()
