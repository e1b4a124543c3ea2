"""The numbers of ``run --json``: one flat dict with stable keys; counts are means per sample, whole-run totals beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Trace
from spikewright.toolchain.analysis.activity import Activity, activity
from spikewright.toolchain.analysis.energy import Energy, energy
from spikewright.toolchain.analysis.latency import Latency, latency
from spikewright.toolchain.analysis.ledger import ledger
from spikewright.toolchain.analysis.literature import Literature, literature
from spikewright.toolchain.analysis.macs import linear_macs_per_frame, macs_per_sample
from spikewright.toolchain.analysis.price_lists import list_prices, load_prices
from spikewright.toolchain.analysis.review import Review, review
from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.backends import RunResult
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.integer import replays_of
from spikewright.toolchain.passes.split_host import is_still
from spikewright.toolchain.replay import rounds, values_read

NO_TRACE = "this backend counts no events; the counters are those of `--backend hw_sim`, which gives the same spikes"


@dataclass(frozen=True)
class Analysis:
    """Everything that follows from one trace."""

    activity: Activity
    latency: Latency
    energy: Energy
    literature: Literature
    host_macs: int
    review: Review


def analyze(deployment: Deployment, trace: Trace) -> Analysis:
    """Analyze the trace of a deployment's run, fresh or loaded from a file."""
    counts = activity(deployment.integer, deployment.program, trace)
    time = latency(trace, deployment.chip)
    macs = host_macs(deployment)
    per = 1 / counts.samples
    convention = literature(
        binary=counts.sops.binary * per,
        graded=counts.sops.graded * per,
        gate_multiplies=sum(layer.gate_multiplies for layer in counts.layers) * per,
        host_macs=macs,
        ann_macs=linear_macs_per_frame(deployment.captured),
    )
    asked = review(
        counts,
        ledger(counts, deployment.chip, macs, _weight_bits(deployment)),
        convention.ann_macs,
        [load_prices(name) for name in list_prices()],
        _widths(deployment),
        deployment.options.seed,
    )
    return Analysis(counts, time, energy(trace, deployment.chip, time, macs), convention, macs, asked)


def _weight_bits(deployment: Deployment) -> int:
    """Return the bits a weight takes: as asked for, else as the chip has."""
    return deployment.options.weight_bits or deployment.chip.core.weight_bits


def _widths(deployment: Deployment) -> dict[str, int]:
    """Return the bits of weights, gated payloads and states."""
    core = deployment.chip.core
    return {"weight": _weight_bits(deployment), "payload": deployment.options.payload_bits, "state": core.state_bits}


def host_macs(deployment: Deployment) -> int:
    """Return the MACs the host computes per sample of its samples' kind; frames that repeat are computed once."""
    made = {op.block: op.of for op in replays_of(deployment.integer) if isinstance(op.of, AttentionBlock)}
    replayed = sum(round(block.cost().macs) for block in made.values())
    if deployment.host is None:
        return replayed
    samples = deployment.samples
    still = deployment.host.still if samples is None else is_still(samples.x)
    return replayed + macs_per_sample(deployment.host.graph, still=still)


def replay_of(deployment: Deployment) -> dict[str, int] | None:
    """Return how often a sample runs, and how many values the host reads out of all its runs; None where it runs once."""
    passes = rounds(deployment.integer)
    if not passes:
        return None
    read = values_read(deployment.integer) * deployment.integer.timesteps
    return {"runs": 1 + len(passes), "values_read": read}


def accuracy(answer: NDArray[Any], y: NDArray[np.int64] | None) -> float | None:
    """Return the share of samples whose largest answer is the label; None without labels."""
    if y is None or len(y) != len(answer) or not len(answer):
        return None
    return float((answer.argmax(axis=1) == np.asarray(y)).mean())


def run_summary(
    deployment: Deployment,
    result: RunResult,
    y: NDArray[np.int64] | None,
    *,
    backend: str = "",
    trace: Trace | None = None,
) -> dict[str, Any]:
    """Return what ``run --json`` prints.

    Args:
        deployment: What was run.
        result: What a backend answered.
        y: Labels (B,), or None.
        backend: Name of the backend, as printed.
        trace: Counters of the same payloads from another run, for a backend without counters of its own.
    """
    found = result.trace if result.trace is not None else trace
    samples = int(result.answer.shape[0])
    head: dict[str, Any] = {
        "backend": backend,
        "samples": samples,
        "accuracy": accuracy(result.answer, y),
        "timesteps": deployment.integer.timesteps,
        "startup_s": result.startup_s,
        "run_s": result.run_s,
        "samples_per_s": samples / result.run_s if result.run_s > 0 else None,
        "host_macs": host_macs(deployment),
        "replay": replay_of(deployment),
    }
    if found is None:
        return head | dict.fromkeys(COUNTED) | {"spike_rate": _recorded_rate(deployment, result), "reason": NO_TRACE}
    return head | _counted(analyze(deployment, found))


COUNTED = (
    "sops", "gate_multiplies", "latency_s", "bottleneck", "energy_j", "spike_rate", "neuron_updates", "messages", "hops",
    "host_messages", "saturations", "totals", "basis",
)  # fmt: skip
"""Keys that need counters; null, with a ``reason``, where there are none."""


def _counted(found: Analysis) -> dict[str, Any]:
    counts, price = found.activity, found.energy
    n, sops = counts.samples, counts.sops
    gains = sum(layer.gate_multiplies for layer in counts.layers)
    return {
        "sops": {
            "binary": sops.binary / n,
            "graded": sops.graded / n,
            "total": sops.total / n,
            "dense": sops.dense / n,
            "gate": sops.gate / n,
        },
        "gate_multiplies": gains / n,
        "latency_s": found.latency.per_sample.value,
        "bottleneck": str(found.latency.bottleneck),
        "energy_j": {
            "dynamic": price.dynamic.energy.value,
            "static": price.static.energy.value,
            "host": price.host.energy.value,
            "total": price.total.value,
            "basis": price.total.basis,
            "low": price.total.low,
            "high": price.total.high,
        },
        "spike_rate": counts.spike_rate,
        "neuron_updates": counts.total("neuron_updates") / n,
        "messages": counts.total("messages") / n,
        "hops": counts.total("hops") / n,
        "host_messages": counts.host_messages / n,
        "saturations": {
            "wraps": sum(layer.wraps for layer in counts.layers),
            "clips": sum(layer.clips for layer in counts.layers),
        },
        "totals": {
            "sops_binary": sops.binary,
            "sops_graded": sops.graded,
            "sops_gate": sops.gate,
            "sops_dense": sops.dense,
            "gate_multiplies": gains,
            "spikes": sum(layer.spikes for layer in counts.layers),
            "neuron_updates": counts.total("neuron_updates"),
        },
        "basis": {
            "counts": "simulated",
            "latency": found.latency.per_sample.basis,
            "energy": price.total.basis,
            "per": "sample",
        },
    }


def _recorded_rate(deployment: Deployment, result: RunResult) -> float | None:
    """Return the spike rate from recordings, where there are any."""
    spiking = [
        p.name
        for p in deployment.program.populations
        if p.kind != "none" and p.soma.counts_as_spikes and p.name in result.recordings
    ]
    outs = [result.recordings[name].out for name in spiking]
    size = sum(out.size for out in outs)
    return sum(int((out != 0).sum()) for out in outs) / size if size else None
