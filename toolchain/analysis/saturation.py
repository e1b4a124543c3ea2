"""What a run lost at the ends of 24 bits: currents that wrapped around, voltages that were clipped."""

from __future__ import annotations

from spikewright.toolchain.backends import RunResult
from spikewright.toolchain.diagnostics import Diagnostic

HELP = "deploy again with calibration data as busy as this (--calibrate), or with --headroom for what it did not show"

INTEGER_HELP = "its integers are the file's own: scale weights, biases and thresholds of the layer down together"


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
