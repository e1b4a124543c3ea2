"""What quantizing lost on calibration data, measured against limits: each loss beyond its limit is a warning by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.deployment import Drift
from spikewright.toolchain.diagnostics import Diagnostic, Severity
from spikewright.toolchain.integer import IntConnection, IntNeuron
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.limits import (
    ANSWER_LIMIT,
    CHANNEL_LIMIT,
    FEW,
    MENDED_FROM,
    REFINED_FROM,
    SILENCED_LIMIT,
    SPARSE_LIMIT,
    SPIKES_LIMIT,
    ZEROED_LIMIT,
)
from spikewright.toolchain.ops import Array, Lif, Linear
from spikewright.toolchain.passes.synapses import LOW
from spikewright.toolchain.shapes import shapes

FINER = "train with the chip's numbers (see `spikewright train --target loihi2`), or rescale weights and threshold of the layer"


def losses(
    lowered: Graph,
    integer: Graph,
    drift: Drift,
    wanted: Array,
    got: Array,
    y: NDArray[np.int64] | None,
    tolerance: float,
) -> tuple[Diagnostic, ...]:
    """Return a warning for everything that quantizing lost beyond its limit.

    Args:
        lowered: The float graph.
        integer: The integer graph.
        drift: What a run of both on calibration data found.
        wanted: The float net's answers there, (B, n), and
        got: the integer net's, in the net's units.
        y: Class numbers (B,), or None.
        tolerance: Share of the samples that may be answered worse.
    """
    return (
        *_saturations(drift),
        *_weights(lowered, integer),
        *run_losses(drift, wanted, got, y, tolerance),
    )


def run_losses(
    drift: Drift, wanted: Array, got: Array, y: NDArray[np.int64] | None, tolerance: float
) -> tuple[Diagnostic, ...]:
    """Return what depends on the data alone of ``losses``: spikes, silent layers and neurons, answers; arguments as there."""
    return (*_spikes(drift), *_silenced(drift), *_answers(wanted, got, y, tolerance))


def _saturations(drift: Drift) -> Iterator[Diagnostic]:
    for name, (wraps, clips) in drift.saturations.items():
        if wraps:
            what = f"its current wraps around 24 bits {wraps:,} times on calibration data"
            yield Diagnostic("current-wraps", f"layer {name!r}", what, FINER)
        if clips:
            what = f"its voltage is clipped to 24 bits {clips:,} times on calibration data"
            yield Diagnostic("voltage-clips", f"layer {name!r}", what, FINER)


def _weights(lowered: Graph, integer: Graph) -> Iterator[Diagnostic]:
    for op in lowered:
        if not isinstance(op, Linear) or not isinstance(made := _made(integer, op.name), IntConnection):
            continue
        low = _made(integer, op.name + LOW)
        zero = made.synapses.weights.reshape(op.weight.shape) == 0
        if isinstance(low, IntConnection):
            zero &= low.synapses.weights.reshape(op.weight.shape) == 0
        size = np.abs(op.weight).reshape(op.weight.shape[0], -1)
        gone = np.where(zero.reshape(size.shape), size, 0.0)
        share, rows = (
            float(gone.sum() / max(size.sum(), 1e-300)),
            int((gone.sum(1) > CHANNEL_LIMIT * size.sum(1)).sum()),
        )
        if share > ZEROED_LIMIT or rows:
            what = f"{100 * share:.1f} % of its weight rounds to 0 (allowed {100 * ZEROED_LIMIT:.0f} %)"
            if rows:
                lost = f"{rows:,} of {len(size):,} output channels lose above {100 * CHANNEL_LIMIT:.0f} % of theirs"
                what = lost if share <= ZEROED_LIMIT else f"{what}; {lost}"
            yield Diagnostic("weights-vanish", f"map {op.name!r}", what, FINER)


def _made(integer: Graph, name: str) -> object:
    return integer.by_name.get(name)


def _spikes(drift: Drift) -> Iterator[Diagnostic]:
    for name, share in drift.spike_mismatch.items():
        was, now, size = drift.spikes.get(name, (0, 0, 0))
        differ, where = share * size, f"layer {name!r}"
        if was > FEW and not now:
            yield Diagnostic("layer-silent", where, f"sends nothing; the float net sends {was:,} spikes", FINER)
        elif share > SPIKES_LIMIT:
            what = (
                f"{100 * share:.1f} % of its spikes and silences differ from the float net's (allowed "
                f"{100 * SPIKES_LIMIT:.0f} %): {now:,} spikes for {was:,}"
            )
            yield Diagnostic("spikes-differ", where, what, FINER)
        elif max(was, now) > FEW and differ > SPARSE_LIMIT * (was + now):
            what = (
                f"it sends {now:,} spikes, the float net {was:,}, and {differ:,.0f} times only one of them does "
                f"({100 * differ / (was + now):.0f} %; allowed {100 * SPARSE_LIMIT:.0f} %)"
            )
            yield Diagnostic("spikes-differ", where, what, FINER)
        elif was == now == 0:
            what = "sends nothing on the calibration data, as the float net: what quantizing changes of it was not seen"
            yield Diagnostic("never-fires", where, what, "calibrate with data on which it fires (--calibrate)", "note")


def _silenced(drift: Drift) -> Iterator[Diagnostic]:
    for name, (count, neurons) in drift.silenced.items():
        if count and drift.spikes[name][1]:
            what = (
                f"{count:,} of its {neurons:,} neurons send nothing; in the float net each sends more than {FEW} spikes "
                f"(allowed {100 * SILENCED_LIMIT:.0f} %)"
            )
            severity: Severity = "warning" if count > SILENCED_LIMIT * neurons else "note"
            yield Diagnostic("neurons-silent", f"layer {name!r}", what, FINER, severity)


def _answers(wanted: Array, got: Array, y: NDArray[np.int64] | None, tolerance: float) -> Iterator[Diagnostic]:
    n = len(wanted)
    worse = changed(wanted, got, y)
    if worse > max(tolerance * n, 1 if tolerance else 0):
        against = "than the float net" if y is None else "than the float net is right about"
        what = f"{worse} of {n} samples are answered worse {against} (--tolerance allows {100 * tolerance:g} %)"
        yield Diagnostic("answers-change", "answer", what, f"allow more with --tolerance, or {FINER}")
    spread = float(np.std(wanted)) if wanted.size > 1 else float(np.abs(wanted).mean())
    error = float(np.abs(wanted - got).mean())
    if error > ANSWER_LIMIT * max(spread, 1e-12) and spread > 0:
        what = f"it is off by {error:.3g} on average; the float net's answers spread by {spread:.3g}"
        yield Diagnostic("answer-drifts", "answer", what, FINER)


def changed(wanted: Array, got: Array, y: NDArray[np.int64] | None) -> int:
    """Return how many samples are answered worse: fewer right ones, or without labels another class than the float net's.

    A class that the float net holds for as likely as its first is no change.
    """
    if wanted.shape[1] < 2:
        return 0
    chosen = got.argmax(axis=1)
    if y is not None and len(y) == len(wanted):
        return max(0, int((wanted.argmax(axis=1) == y).sum()) - int((chosen == y).sum()))
    return int((wanted[np.arange(len(wanted)), chosen] < wanted.max(axis=1) - 1e-12).sum())


def to_refine(found: tuple[Diagnostic, ...], drift: Drift, lowered: Graph) -> frozenset[str]:
    """Return the layers whose unit is worth a second projection; none where the net keeps what matters."""
    codes = {one.code for one in found if one.severity == "warning"}
    read = {f"map {name!r}" for op in lowered if isinstance(op, Lif) for name in op.currents}
    lost = bool(codes & {"answers-change", "answer-drifts", "layer-silent", "neurons-silent"})
    lost |= any(one.code == "weights-vanish" and one.where in read for one in found)
    if not lost and max(drift.spike_mismatch.values(), default=0.0) <= MENDED_FROM:
        return frozenset()
    layers = {op.name for op in lowered if isinstance(op, Lif)}
    return frozenset({name for name in layers if drift.spike_mismatch.get(name, 0.0) > REFINED_FROM} or layers)


@dataclass(frozen=True)
class Second:
    """The second projections of a layer.

    Args:
        layer: Its name.
        rows: Output channels, all maps together, that have one, of
        all_rows: so many.
        added: Synapses of them, beside
        first: those of the first projections.
    """

    layer: str
    rows: int
    all_rows: int
    added: int
    first: int


def second_projections(integer: Graph) -> list[Second]:
    """Return what second projections a net has, layer by layer."""
    sizes = shapes(integer)
    found = []
    for op in integer:
        if not isinstance(op, IntNeuron) or not any(name.endswith(LOW) for name in op.inputs):
            continue
        counts = dict.fromkeys(("rows", "all_rows", "added", "first"), 0)
        for name in op.currents:
            made = integer[name]
            assert isinstance(made, IntConnection)
            synapses = int(made.synapses.fan_in(sizes[made.inputs[0]], sizes[op.name]).sum())
            counts["added" if name.endswith(LOW) else "first"] += synapses
            if name.endswith(LOW):
                weights = np.atleast_1d(made.synapses.weights)
                rows = weights.reshape(len(weights), -1)
                counts["rows"] += int(rows.any(axis=1).sum())
                counts["all_rows"] += len(rows)
        found.append(Second(op.name, **counts))
    return found
