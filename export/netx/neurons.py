"""The neuron of a netx layer -> ``Lif``, as ``lava.lib.dl.netx.hdf5.Network`` builds it.

LIF(vth = vThMant, du = iDecay - 1, dv = vDecay, bias_mant = bias, bias_exp = 6): spike v > vThMant << 6, reset to 0.
"""

from __future__ import annotations

from math import prod

import numpy as np

from spikewright.export.netx.file import Layer
from spikewright.hw_sim.fixed_point import CURRENT_SHIFT, DECAY_ONE, STATE_MAX, THRESHOLD_MANTISSA_MAX, THRESHOLD_SHIFT
from spikewright.hw_sim.somas import Lif
from spikewright.toolchain.integer import IntArray
from spikewright.toolchain.integer import lif as plain
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
        ImportingError: The neuron has no integer op here, or a value is out of range.
    """
    decay_u, decay_v, mantissa = parameters(layer)
    return plain(
        decay_u=_one(DECAY_ONE if input_layer else decay_u),
        decay_v=_one(decay_v),
        bias=np.zeros(1, np.int64) if input_layer else _bias(layer, shape),
        threshold=_one(min(mantissa << THRESHOLD_SHIFT, STATE_MAX)),
    )


def parameters(layer: Layer) -> tuple[int, int, int]:
    """Return (iDecay, vDecay, vThMant).

    Raises:
        ImportingError: As ``lif``.
    """
    if "neuron" not in layer:
        return DEFAULT
    kind = layer.text("neuron/type") if "neuron/type" in layer else "none"
    if kind not in ("CUBA", "LOIHI"):
        why = next((text for start, text in REFUSED.items() if kind.startswith(start)), "CUBA and LOIHI are known here")
        raise layer.error(f"has neurons of type {kind!r}: {why}", "train the layer with CUBA neurons")
    decays = layer.number("neuron/iDecay"), layer.number("neuron/vDecay")
    for name, value in zip(("iDecay", "vDecay"), decays, strict=True):
        if not 0 <= value <= DECAY_ONE:
            raise layer.error(
                f"{name} is {value}; 0 .. {DECAY_ONE} is allowed", "decays have 12 bits; 4096 forgets everything"
            )
    return *decays, layer.number("neuron/vThMant")


def silent(layer: Layer) -> bool:
    """Say whether the layer is read by its membrane: it has the largest threshold mantissa of 17 bits, or a larger one."""
    return parameters(layer)[2] >= THRESHOLD_MANTISSA_MAX


def _bias(layer: Layer, shape: Shape) -> IntArray:
    """Return the bias of every neuron in C order: stored one a neuron (W, H, C), one a channel, or one for all."""
    if "bias" not in layer:
        return np.zeros(1, np.int64)
    bias = layer.ints("bias") << CURRENT_SHIFT
    if bias.size == 1:
        return bias.reshape(1)
    if len(shape) == 3 and bias.shape == shape[::-1]:
        return bias.transpose(2, 1, 0).reshape(-1)
    if bias.size == shape[0]:
        return np.repeat(bias.reshape(-1), prod(shape[1:]))
    raise layer.error(f"'bias' has shape {bias.shape}; its neurons have {shape}", "give one bias a channel")


def _one(value: int) -> IntArray:
    return np.full(1, value, np.int64)
