"""What quantizing lost on calibration data, measured against limits: each loss beyond its limit is a warning by name."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.deployment import Drift
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.integer import IntConnection, IntNeuron
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array, Lif, Linear

SPIKES_LIMIT = 0.05
"""Share of a layer's (step, sample, neuron) whose spike may differ: nets that keep their answers stay below, as a rule."""
SPARSE_LIMIT = 0.5
"""Differing spikes, as a share of those that either net sends: a quiet layer that keeps below 5 % can still be all wrong."""
FEW = 16
"""Spikes of a layer in all of the data, up to which a share of them says nothing."""
ZEROED_LIMIT = 0.1
"""Share of a map's weight, by size, that may round to 0: trained maps with a few large weights lose up to 8 % unharmed."""
ANSWER_LIMIT = 0.25
"""Mean change of an answer, as a share of how far the float net's answers lie apart: classes stand it, values do not."""
MENDED_FROM = 0.15
"""Share of a layer's spikes from which a finer unit is tried even where no answer changes: its cost is synapses and SOPs."""
REFINED_FROM = 0.01
"""Layers that lose less are left as they are."""
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
        *_spikes(drift),
        *_answers(wanted, got, y, tolerance),
    )


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
        low = _made(integer, f"{op.name}.low")
        zero = made.synapses.weights.reshape(op.weight.shape) == 0
        if isinstance(low, IntConnection):
            zero &= low.synapses.weights.reshape(op.weight.shape) == 0
        size = np.abs(op.weight).reshape(op.weight.shape[0], -1)
        gone = np.where(zero.reshape(size.shape), size, 0.0)
        share, rows = float(gone.sum() / max(size.sum(), 1e-300)), int((gone.sum(1) > 0.5 * size.sum(1)).sum())
        if share > ZEROED_LIMIT or rows:
            what = f"{100 * share:.1f} % of its weight rounds to 0 (allowed {100 * ZEROED_LIMIT:.0f} %)"
            what += f"; {rows} of its {len(size)} output channels lose most of theirs" if rows else ""
            yield Diagnostic("weights-vanish", f"map {op.name!r}", what, FINER)


def _made(integer: Graph, name: str) -> object:
    return integer.by_name.get(name)


def _spikes(drift: Drift) -> Iterator[Diagnostic]:
    for name, share in drift.spike_mismatch.items():
        was, now, size = drift.spikes.get(name, (0, 0, 0))
        differ = share * size
        if was > FEW and not now:
            yield Diagnostic(
                "layer-silent", f"layer {name!r}", f"sends nothing; the float net sends {was:,} spikes", FINER
            )
        elif share > SPIKES_LIMIT or (max(was, now) > FEW and differ > SPARSE_LIMIT * (was + now)):
            what = (
                f"{100 * share:.1f} % of its spikes and silences differ from the float net's (allowed "
                f"{100 * SPIKES_LIMIT:.0f} %): {now:,} spikes for {was:,}"
            )
            yield Diagnostic("spikes-differ", f"layer {name!r}", what, FINER)


def _answers(wanted: Array, got: Array, y: NDArray[np.int64] | None, tolerance: float) -> Iterator[Diagnostic]:
    n = len(wanted)
    worse = changed(wanted, got, y)
    if worse > max(1, tolerance * n):
        against = "than the float net" if y is None else "than the float net is right about"
        what = f"{worse} of {n} calibration samples are answered worse {against} (--tolerance allows {100 * tolerance:g} %)"
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
    codes = {one.code for one in found}
    read = {f"map {name!r}" for op in lowered if isinstance(op, Lif) for name in op.currents}
    lost = bool(codes & {"answers-change", "answer-drifts", "layer-silent"})
    lost |= any(one.code == "weights-vanish" and one.where in read for one in found)
    if not lost and max(drift.spike_mismatch.values(), default=0.0) <= MENDED_FROM:
        return frozenset()
    layers = {op.name for op in lowered if isinstance(op, Lif)}
    return frozenset({name for name in layers if drift.spike_mismatch.get(name, 0.0) > REFINED_FROM} or layers)


def kept_apart(integer: Graph) -> list[str]:
    """Return the layers that have a second projection."""
    return [op.name for op in integer if isinstance(op, IntNeuron) and any(name.endswith(".low") for name in op.inputs)]
