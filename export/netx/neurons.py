"""The neuron of a netx layer -> ``Lif``, as ``lava.lib.dl.netx.hdf5.Network`` builds it.

LIF(vth = vThMant, du = iDecay - 1, dv = vDecay, bias_mant = bias, bias_exp = 6): spike v > vThMant << 6, reset to 0; silent for
refDelay - 1 steps behind a spike.
"""

from __future__ import annotations

from math import prod

import numpy as np

from spikewright.export.netx.file import Layer
from spikewright.hw_sim.fixed_point import CURRENT_SHIFT, DECAY_ONE, STATE_MAX, THRESHOLD_MANTISSA_MAX, THRESHOLD_SHIFT
from spikewright.hw_sim.somas import Lif
from spikewright.toolchain.integer import IntArray
from spikewright.toolchain.ops import Shape

DEFAULT = (0, DECAY_ONE, 1 << 17)
"""iDecay, vDecay, vThMant of a layer without a neuron: u integrates, v = u + bias, never fires."""
REFUSED = {
    "SDNN": "a sigma-delta neuron sends a change only when it exceeds vThMant, and no integer op here has a send threshold",
    "RF": "a resonate-and-fire neuron turns a complex state, and no integer op here has one",
    "ADRF": "an adaptive resonate-and-fire neuron turns a complex state, and no integer op here has one",
    "ALIF": "an adaptive neuron moves its own threshold, and no integer op here does",
}
"""Neuron types, by the start of their name, and why they cannot be expressed."""


def lif(layer: Layer, shape: Shape, *, input_layer: bool = False) -> Lif:
    """Return the layer's neuron model.

    Args:
        layer: The layer.
        shape: (C, H, W) or (N,).
        input_layer: An input layer's drive is the bias itself, which no current decay filters.

    Raises:
        ImportingError: The neuron has no integer op here, or parameters of another shape.
    """
    check_kind(layer)
    return Lif(
        _spread(layer, shape, "neuron/iDecay", DEFAULT[0]) if not input_layer else _one(DECAY_ONE),
        _spread(layer, shape, "neuron/vDecay", DEFAULT[1]),
        np.zeros(1, np.int64) if input_layer else _spread(layer, shape, "bias", 0) << CURRENT_SHIFT,
        np.minimum(_spread(layer, shape, "neuron/vThMant", DEFAULT[2]) << THRESHOLD_SHIFT, STATE_MAX),
        np.zeros(1, np.int64),
        refractory=refractory(layer),
    )


def check_kind(layer: Layer) -> None:
    """Refuse neurons that no integer op here is.

    Raises:
        ImportingError: With the reason.
    """
    kind = layer.text("neuron/type", "CUBA")
    if kind not in ("CUBA", "LOIHI"):
        why = next((text for start, text in REFUSED.items() if kind.startswith(start)), "CUBA and LOIHI are known here")
        raise layer.error(f"has neurons of type {kind!r}: {why}", "train the layer with CUBA neurons")


def refractory(layer: Layer) -> int:
    """Return refDelay: steps of a spike and the silence behind it; 1 (and 0) is no silence.

    lava-dl's loader ignores it; the chip does not.
    """
    delays = layer.ints("neuron/refDelay") if "neuron/refDelay" in layer else _one(1)
    if delays.min() != delays.max():
        raise layer.error(
            f"'neuron/refDelay' runs from {delays.min()} to {delays.max()} in one layer; one value is allowed",
            "give all neurons of the layer one refDelay",
        )
    return max(1, int(delays.flat[0]))


def silent(layer: Layer) -> bool:
    """Say whether the layer is read by its membrane: it has the largest threshold mantissa of 17 bits, or a larger one."""
    mantissas = layer.ints("neuron/vThMant") if "neuron" in layer else _one(DEFAULT[2])
    return bool((mantissas >= THRESHOLD_MANTISSA_MAX).all())


def _spread(layer: Layer, shape: Shape, key: str, default: int) -> IntArray:
    """Return a parameter of every neuron in C order: stored one a neuron (C order or (W, H, C)), one a channel, or one for all.

    A layer without neurons has ``default``; so has a bias that is not there.
    """
    if key not in layer and (key == "bias" or "neuron" not in layer):
        return _one(default)
    values = layer.ints(key)
    if values.size == 1:
        return values.reshape(1)
    if len(shape) == 3 and values.shape == shape[::-1]:
        return values.transpose(2, 1, 0).reshape(-1)
    flat = values.reshape(-1)
    if values.size == shape[0]:
        return np.repeat(flat, prod(shape[1:]))
    if values.shape == shape or (values.ndim == 1 and values.size == prod(shape)):
        return flat
    raise layer.error(
        f"{key!r} has shape {values.shape}; its neurons have {shape}",
        "give one for all, one a channel, or one a neuron",
    )


def _one(value: int) -> IntArray:
    return np.full(1, value, np.int64)
