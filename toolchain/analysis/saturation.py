"""What a run lost at the ends of 24 bits: currents that wrapped around, voltages that were clipped."""

from __future__ import annotations

from spikewright.toolchain.backends import RunResult
from spikewright.toolchain.diagnostics import Diagnostic

HELP = "deploy again with calibration data as busy as this (--calibrate), or with --headroom for what it did not show"


def saturations(result: RunResult | None) -> tuple[Diagnostic, ...]:
    """Return a warning for every layer of a run whose state left 24 bits; none where the backend does not count it."""
    found = []
    for name, (wraps, clips) in _counts(result).items():
        if wraps:
            what = f"its current wrapped around 24 bits {wraps:,} times in this run: a large input acts as its opposite"
            found.append(Diagnostic("current-wraps", f"layer {name!r}", what, HELP))
        if clips:
            what = f"its voltage was clipped to 24 bits {clips:,} times in this run"
            found.append(Diagnostic("voltage-clips", f"layer {name!r}", what, HELP))
    return tuple(found)


def _counts(result: RunResult | None) -> dict[str, tuple[int, int]]:
    if result is None:
        return {}
    if result.trace is None:
        return result.saturations
    return {name: (count.wraps, count.clips) for name, count in result.trace.populations.items()}
