"""What is lost of a file's numbers: fractions, weights and delays that lava-dl's loader cuts or clips without a word."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

import numpy as np

from spikewright.export.netx.file import FIELDS, Layer
from spikewright.export.netx.layers import MAX_DELAY
from spikewright.export.netx.weights import MIXED
from spikewright.toolchain.diagnostics import Diagnostic


def losses(layer: Layer) -> Iterator[Diagnostic]:
    """Yield a warning for every dataset of which something is lost."""
    for key in FIELDS:
        if key in layer.values:
            yield from _fractions(layer, key)
    yield from _clipped_weights(layer)
    if "delay" in layer:
        long = layer.ints("delay") > MAX_DELAY
        if long.any():
            what = (
                f"{long.sum()} of {long.size} delays, up to {layer.ints('delay').max()} steps, are cut to {MAX_DELAY}"
            )
            yield Diagnostic("netx-delays-clip", layer.where, f"{what}, as lava-dl's loader does", _TRAIN_DELAYS)


_TRAIN_DELAYS = f"train with delays of at most {MAX_DELAY} steps, or bring the net as .nir, whose delays may be longer"
_QUANTIZE = "export the quantized net: lava-dl's blocks write whole numbers where their synapses are quantized"


def _fractions(layer: Layer, key: str) -> Iterator[Diagnostic]:
    values = np.asarray(layer.values[key], np.float64)
    cut = values != np.trunc(values)
    if cut.any():
        gone = int((cut & (np.abs(values) < 1)).sum())
        zeros = f", {gone} of them become 0" if gone else ""
        what = (
            f"the fractions of {cut.sum()} of {cut.size} values of {key!r} are cut off{zeros}, as lava-dl's loader does"
        )
        yield Diagnostic("netx-fractions", layer.where, what, _QUANTIZE)


def _clipped_weights(layer: Layer) -> Iterator[Diagnostic]:
    """Yield weights of both signs that do not fit 9 bits; a layer's and its recurrent ones share them."""
    parts = [layer.ints(key).reshape(-1) for key in ("weight", "weight_rec") if key in layer.values]
    if not layer.kind.startswith("dense") or not parts:
        return
    weight = np.concatenate(parts)
    low, high = int(weight.min()), int(weight.max())
    outside = (weight < MIXED[0]) | (weight > MIXED[1])
    if low < 0 < high and outside.any():
        factor = ceil(max(high / MIXED[1], low / MIXED[0]))
        yield Diagnostic(
            "netx-weights-clip",
            layer.where,
            f"{outside.sum()} of {weight.size} weights, {low} .. {high}, are clipped to {MIXED[0]} .. {MIXED[1]}, as lava-dl's "
            "loader does",
            f"scale weights, bias and vThMant of the layer down by {factor}",
        )
