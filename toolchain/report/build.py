"""Build a report: run a deployment, check it, compare backends, and put its twin without attention beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Program
from spikewright.toolchain.analysis import (
    PriceList,
    Quantity,
    accuracy,
    analyze,
    duty_cycle,
    judged,
    load_prices,
    lost,
    run_summary,
    utilization,
)
from spikewright.toolchain.backends import RunResult
from spikewright.toolchain.budget import CHECKED_BYTES
from spikewright.toolchain.bundle import versions
from spikewright.toolchain.compare import Comparison, compare
from spikewright.toolchain.deployment import Bars, Deployment, silent
from spikewright.toolchain.diagnostics import RUN, Diagnostic, refuse_losses
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.report.model import Accuracy, Report
from spikewright.toolchain.samples import Samples
from spikewright.toolchain.spike_driven import Audit, EventDriven, Faithful, Verdict, event_driven
from spikewright.toolchain.spike_driven.deployed import audited, few, silence_of, verdict_of
from spikewright.toolchain.streaming import Payloads, run_parts

MACHINE = "hw_sim"
"""The backend whose counters a report prefers, and whose answer is called on chip."""
COMPARED = 20
"""Samples at most on which a report compares backends spike by spike (see ``budget.CHECKED_BYTES``)."""


def report_on(
    made: Deployment,
    samples: Samples,
    *,
    backends: Sequence[str] = (),
    twin: Report | None = None,
    prices: Sequence[str | Path] = (),
    rate_hz: float | None = None,
    strict: bool = False,
    progress: Bars = silent,
) -> Report:
    """Run all samples on interpreter and machine, compare backends on the first ``COMPARED``, audit, and build the report.

    Args:
        made: The net.
        samples: What to run.
        backends: To compare.
        twin: Report of the net without attention.
        prices: Files of price lists beside those that ship.
        rate_hz: Samples a second to give the power at.
        strict: Refuse data on which anything is lost beyond the limits.
        progress: Makes a progress callback by a title.

    Raises:
        BackendError: A backend is not there.
        InputError: A price list cannot be read, or samples take longer than ``rate_hz`` leaves them.
        PassError: ``strict``, and something is lost.
    """
    lists = [load_prices(path) for path in prices]
    for name in backends:  # one that is not there ends it here, not behind the runs
        made.backend(name)
    payloads = Payloads(made, made.check_input(samples.x))
    runs = {
        name: run_parts(made, made.backend(name), payloads, False, progress(f"{made.name} on {name}"))
        for name in ("interpreter", MACHINE)
    }
    comparison = None
    if backends:
        compared = Payloads(made, few(made, samples, COMPARED, CHECKED_BYTES).x)
        comparison = compare(
            made, backends, compared, progress=lambda name: progress(f"{made.name}, compared on {name}")
        )
    nothing, trace = silence_of(made), runs[MACHINE].trace
    found = audited(made, samples, nothing)
    report = build_report(
        made,
        runs,
        verdict_of(made, trace),
        comparison,
        twin,
        samples.y,
        samples=samples,
        audit=found.audit,
        captured=found.faithful,
        event_driven=None if trace is None else event_driven(made.program, trace, nothing),
    )
    if strict or made.options.strict:
        refuse_losses(report.diagnostics, made.name, RUN)
    return asked_of(report, lists, rate_hz)


def asked_of(report: Report, prices: Sequence[PriceList], rate_hz: float | None) -> Report:
    """Return a report under further price lists, and with the power at a rate of samples.

    Raises:
        InputError: Samples take longer than the rate leaves them.
    """
    found = report.analysis
    if found is None:
        return report
    more = replace(found, review=found.review.under(prices))
    if rate_hz is None:
        return replace(report, analysis=more)
    p = report.chip.static_power
    chips = -(-max(len(found.activity.cores), 1) // report.chip.mesh.usable_cores_per_chip)
    static = Quantity(p.nominal, "W", p.basis, p.low, p.high).times(chips)
    return replace(report, analysis=more, duty=duty_cycle(found.energy, found.latency, static, rate_hz))


def build_report(
    deployment: Deployment,
    runs: Mapping[str, RunResult],
    verdict: Verdict | None,
    comparison: Comparison | None = None,
    twin: Report | None = None,
    y: NDArray[np.int64] | None = None,
    *,
    float_accuracy: float | None = None,
    samples: Samples | None = None,
    audit: Audit | None = None,
    captured: Faithful | None = None,
    event_driven: EventDriven | None = None,
) -> Report:
    """Collect everything known about a deployed net.

    Args:
        deployment: The net.
        runs: By backend name, all on the same samples.
        verdict: Of the checker, or None.
        comparison: Of the backends, or None.
        twin: Report of the same net without attention.
        y: Labels of the samples.
        float_accuracy: Of the captured float net on the same samples; None: computed where the samples are at hand.
        samples: What was run; None: the first ones that travel with the deployment.
        audit: What the dynamic audit of a run found.
        captured: What stands between the captured net and that run.
        event_driven: How much of the run its input caused.
    """
    given = deployment.samples if samples is None else samples
    deployment = replace(deployment, samples=given)
    counted = _counted(runs)
    trace = None if counted is None else counted.trace
    return Report(
        name=deployment.name,
        card=dict(deployment.card),
        chip=deployment.chip,
        options=asdict(deployment.options),
        strategies=dict(deployment.strategies),
        dataset=str(deployment.card.get("dataset", "")) if given is None else given.dataset,
        simulated_events=given is not None and given.simulated,
        input_kind=deployment.input.kind,
        parameters=int(deployment.card.get("parameters") or _parameters(deployment.captured)),
        accuracy=_accuracy(deployment, runs, y, float_accuracy, given),
        spike_driven=None if verdict is None else verdict.spike_driven,
        verdict=() if verdict is None else tuple(verdict.rows()),
        audit=None if audit is None else audit.to_dict(),
        captured=None if captured is None else captured.to_dict() | {"headline": captured.headline()},
        event_driven=None if event_driven is None else event_driven.to_dict(),
        analysis=None if trace is None else analyze(deployment, trace),
        uses=utilization(deployment.program, deployment.chip),
        decided=deployment.decided,
        drift=deployment.drift,
        passes=deployment.passes,
        runs={
            name: _timeless(run_summary(deployment, run, y, backend=name, trace=trace)) for name, run in runs.items()
        },
        comparison=None if comparison is None else _timeless(comparison.to_dict()),
        speeds=() if comparison is None else comparison.speeds,
        twin=twin,
        versions=versions(),
        fingerprints=_fingerprints(deployment, given),
        diagnostics=(*deployment.diagnostics, *_lost(deployment, given, counted)),
    )


def _lost(made: Deployment, samples: Samples | None, run: RunResult | None) -> tuple[Diagnostic, ...]:
    """Return what the run of the samples lost, and what integers and float net make of the first samples."""
    found = lost(made, None if samples is None else samples.x, run)
    if samples is None:
        return found
    least = len(few(made, samples, COMPARED, CHECKED_BYTES))
    return (*found, *judged(made, samples, (*made.diagnostics, *found), least=least).found)


WALL_CLOCK = ("startup_s", "run_s", "samples_per_s", "speed")
"""Keys of a run or comparison that differ from run to run: a report leaves them out, so that equal inputs give equal files."""


def _timeless(summary: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in summary.items() if key not in WALL_CLOCK}


def _counted(runs: Mapping[str, RunResult]) -> RunResult | None:
    """Return the run with counters, the machine's first."""
    ordered = sorted(runs.items(), key=lambda item: item[0] != MACHINE)
    return next((run for _, run in ordered if run.trace is not None), None)


def _accuracy(
    deployment: Deployment,
    runs: Mapping[str, RunResult],
    y: NDArray[np.int64] | None,
    float_accuracy: float | None,
    samples: Samples | None,
) -> Accuracy:
    count = max((len(run.answer) for run in runs.values()), default=0)
    reference = next((name for name in ("interpreter", "lava", *runs) if name in runs and name != MACHINE), "")
    if float_accuracy is None and samples is not None and 0 < count <= samples.x.shape[1]:
        float_accuracy = accuracy(deployment.run_float(samples.x[:, :count]), y)
    return Accuracy(
        float=_share(float_accuracy, "measured"),
        quantized=_share(accuracy(runs[reference].answer, y), "simulated") if reference else None,
        on_chip=_share(accuracy(runs[MACHINE].answer, y), "simulated") if MACHINE in runs else None,
        card=_share(deployment.card.get("accuracy"), "measured"),
        samples=count,
        reference=reference,
    )


def _share(value: Any, basis: str) -> Quantity | None:
    if not isinstance(value, int | float):
        return None
    return Quantity(float(value), "", "measured" if basis == "measured" else "simulated")


def _parameters(graph: Graph) -> int:
    """Return the numbers in the maps and attention of a float graph (folded batch norms are in them)."""
    found = 0
    for op in graph:
        found += sum(
            int(np.size(array)) for array in (getattr(op, "weight", ()), getattr(op, "bias", ())) if array is not None
        )
        found += sum(int(np.size(array)) for array in getattr(op, "parameters", {}).values())
    return found


def _fingerprints(deployment: Deployment, samples: Samples | None) -> dict[str, str]:
    found = {"program": fingerprint(deployment.program)}
    if samples is not None:
        digest = hashlib.sha256()
        for step in samples.x:
            digest.update(np.ascontiguousarray(step, np.float32).data)
        found["samples"] = digest.hexdigest()
    return found


def fingerprint(program: Program) -> str:
    """Return the SHA-256 of a program's integers, in a fixed order."""
    digest = hashlib.sha256()
    _absorb(digest, program)
    return digest.hexdigest()


def _absorb(digest: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        wide = value.astype(np.int64)
        digest.update(f"{wide.shape}".encode())
        digest.update(np.ascontiguousarray(wide).tobytes())
    elif is_dataclass(value):
        digest.update(type(value).__name__.encode())
        for f in fields(value):
            _absorb(digest, getattr(value, f.name))
    elif isinstance(value, tuple):
        for part in value:
            _absorb(digest, part)
    else:
        digest.update(repr(value).encode())
