"""The neuron of a netx layer -> ``Lif`` or ``SigmaDelta``, as ``lava.lib.dl.netx.hdf5.Network`` builds it.

LIF(vth = vThMant, du = iDecay - 1, dv = vDecay, bias_mant = bias, bias_exp = 6): spike v > vThMant << 6, reset to 0; silent for
refDelay - 1 steps behind a spike.
SDNN: SigmaDelta(vth = vThMant, bias, spike_exp = 6, state_exp = 6), of an input layer Delta, with ``sigma_output`` Sigma.
"""

from __future__ import annotations

from math import prod

import numpy as np

from spikewright.export.netx.file import Layer
from spikewright.hw_sim.fixed_point import CURRENT_SHIFT, DECAY_ONE, STATE_MAX, THRESHOLD_MANTISSA_MAX, THRESHOLD_SHIFT
from spikewright.hw_sim.somas import Lif, SigmaDelta
from spikewright.toolchain.integer import IntArray
from spikewright.toolchain.ops import Shape

DEFAULT = (0, DECAY_ONE, 1 << 17)
"""iDecay, vDecay, vThMant of a layer without a neuron: u integrates, v = u + bias, never fires."""
REFUSED = {
    "RF": "a resonate-and-fire neuron turns a complex state, and no integer op here has one",
    "ADRF": "an adaptive resonate-and-fire neuron turns a complex state, and no integer op here has one",
    "ALIF": "an adaptive neuron moves its own threshold, and no integer op here does",
}
"""Neuron types, by the start of their name, and why they cannot be expressed."""


SPIKE_EXP, STATE_EXP = 6, 6
"""Binary places of a sigma-delta message, and of a state beyond them (``Network``'s defaults)."""
SDNN_STATE, SDNN_MESSAGE = 2.0 ** -(6 + SPIKE_EXP + STATE_EXP), 2.0 ** -(6 + SPIKE_EXP)
"""What a unit of a sigma-delta state, and of a message, is worth: weights and inputs of these files have 6 binary places."""


def soma(layer: Layer, shape: Shape, *, input_layer: bool = False) -> Lif | SigmaDelta:
    """Return the layer's neuron model.

    Args:
        layer: The layer.
        shape: (C, H, W) or (N,).
        input_layer: An input layer's drive is the bias itself, which no current decay filters.

    Raises:
        ImportingError: The neuron has no integer op here, or parameters of another shape.
    """
    check_kind(layer)
    if sigma_delta(layer):
        return _sdnn(layer, shape, input_layer)
    return Lif(
        _spread(layer, shape, "neuron/iDecay", DEFAULT[0]) if not input_layer else _one(DECAY_ONE),
        _spread(layer, shape, "neuron/vDecay", DEFAULT[1]),
        np.zeros(1, np.int64) if input_layer else _spread(layer, shape, "bias", 0) << CURRENT_SHIFT,
        np.minimum(_spread(layer, shape, "neuron/vThMant", DEFAULT[2]) << THRESHOLD_SHIFT, STATE_MAX),
        np.zeros(1, np.int64),
        refractory=refractory(layer),
    )


def sigma_delta(layer: Layer) -> bool:
    """Say whether the layer's neurons are sigma-delta neurons."""
    return layer.text("neuron/type", "CUBA") == "SDNN"


def _sdnn(layer: Layer, shape: Shape, input_layer: bool) -> SigmaDelta:
    """Return sigma-delta neurons; of an input layer the encoder, with ``sigma_output`` the read-out."""
    activation, one = layer.text("neuron/activation", "relu"), 1 << SPIKE_EXP + STATE_EXP
    if activation != "relu" and not (input_layer or sums_only(layer)):
        raise layer.error(
            f"has sigma-delta neurons with the activation {activation!r}; lava-dl's loader builds relu whatever is asked for",
            "train the layer with relu",
        )
    if sums_only(layer):
        return SigmaDelta(_one(0), _one(SigmaDelta.NEVER), STATE_EXP, rectify=False)
    threshold = np.minimum(_spread(layer, shape, "neuron/vThMant", 0) * one, SigmaDelta.NEVER)
    if input_layer:
        return SigmaDelta(_one(0), threshold, STATE_EXP, rectify=False, sums=False)
    return SigmaDelta(_spread(layer, shape, "bias", 0) * one, threshold, STATE_EXP)


def sums_only(layer: Layer) -> bool:
    """Say whether a sigma-delta layer is the read-out: its sums are the answer."""
    return "neuron/sigma_output" in layer


def check_kind(layer: Layer) -> None:
    """Refuse neurons that no integer op here is.

    Raises:
        ImportingError: With the reason.
    """
    kind = layer.text("neuron/type", "CUBA")
    if kind not in ("CUBA", "LOIHI", "SDNN"):
        known = "CUBA, LOIHI and SDNN are known here"
        why = next((text for start, text in REFUSED.items() if kind.startswith(start)), known)
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
    """Say whether the layer is read by its membrane: it has the largest threshold mantissa of 17 bits, or a larger one.

    Of sigma-delta neurons: whether it has none that sends.
    """
    if sigma_delta(layer):
        return sums_only(layer)
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
