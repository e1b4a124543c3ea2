"""What a run lost on its own data: at the ends of 24 bits and of the input, and layers that do not fire as in calibration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from spikewright.hw_sim import Trace
from spikewright.toolchain.backends import RunResult
from spikewright.toolchain.coding import saturated
from spikewright.toolchain.deployment import Deployment, Drift
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.limits import FEW, UNLIKE

HELP = "deploy again with calibration data as busy as this (--calibrate), or with --headroom for what it did not show"

UNLIKE_HELP = "calibrate with data like this (--calibrate)"

INTEGER_HELP = "its integers are the file's own: scale weights, biases and thresholds of the layer down together"


def lost(made: Deployment, x: NDArray[Any] | None, *results: RunResult | None) -> tuple[Diagnostic, ...]:
    """Return what a run of data lost that its deployment does not tell already.

    Args:
        made: What ran.
        x: The data (T, B, *shape) in the net's own coding; None: it came as payloads.
        results: The same run on one or more backends; None: there is none.
    """
    found = list(saturations(*results, quantized=made.drift is not None))
    if x is not None and made.host is None:
        found += saturated(made.integer, x)
    trace = next((result.trace for result in results if result is not None and result.trace is not None), None)
    if trace is not None and made.drift is not None:
        found += _unlike(made.drift, trace)
    return tuple(one for one in found if one not in made.diagnostics)


def _unlike(drift: Drift, trace: Trace) -> Iterator[Diagnostic]:
    """Yield the layers that fall silent on this data, and those that fire at another rate than what drift was measured at."""
    for name, (_, sent, size) in drift.spikes.items():
        count = trace.populations.get(name)
        if count is None or not size or not count.opportunities:
            continue
        where, due = f"layer {name!r}", sent / size * count.opportunities
        if due > FEW and not count.spikes:
            what = f"sends nothing on this data; at the rate of the calibration data it would send {due:,.0f} spikes"
            yield Diagnostic("layer-silent", where, what, UNLIKE_HELP)
        elif max(due, count.spikes) > FEW and not due / UNLIKE <= count.spikes <= due * UNLIKE:
            rate, usual = count.spikes / count.opportunities, sent / size
            what = f"{rate:.3g} spikes a neuron and step, {usual:.3g} on the calibration data, where its drift was measured"
            yield Diagnostic("unlike-calibration", where, what, UNLIKE_HELP, "note")


def saturations(*results: RunResult | None, quantized: bool = True) -> tuple[Diagnostic, ...]:
    """Return a warning for every layer of a run whose state left 24 bits, or a note that no backend counts it.

    Args:
        results: The same run on one or more backends; None: there is none.
        quantized: Whether the integers are ours.
    """
    runs = [result for result in results if result is not None]
    counted = [counts for counts in map(_counts, runs) if counts is not None]
    if runs and not counted:
        what = "no backend of this run counts currents that wrap around 24 bits, or voltages that are clipped"
        return (Diagnostic("saturation-uncounted", "run", what, "run it on hw_sim or interpreter too", "note"),)
    found, help = [], HELP if quantized else INTEGER_HELP
    for name, (wraps, clips) in counted[0].items() if counted else ():
        if wraps:
            what = f"its current wrapped around 24 bits {wraps:,} times in this run: a large input acts as its opposite"
            found.append(Diagnostic("current-wraps", f"layer {name!r}", what, help))
        if clips:
            what = f"its voltage was clipped to 24 bits {clips:,} times in this run"
            found.append(Diagnostic("voltage-clips", f"layer {name!r}", what, help))
    return tuple(found)


def _counts(result: RunResult) -> dict[str, tuple[int, int]] | None:
    if result.trace is None:
        return result.saturations
    return {name: (count.wraps, count.clips) for name, count in result.trace.populations.items()}
