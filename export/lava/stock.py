"""Where stock Lava means exactly the same: the parameters of its Conv, Dense, Sparse and LIFReset, or None.

Lava's LIF (``PyLifResetModelBitAcc``): u and v in int32, ``du = decay_u - 1``, bias = mantissa << exponent, strict threshold
``vth << 6``, reset to 0. Its synapses: 8-bit weights, even where the signs are mixed; sums in 24 (Conv) or 32 bits (Dense).
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.fixed_point import DECAY_ONE, THRESHOLD_SHIFT
from spikewright.toolchain.int_ops import IntArray, IntConv, IntDense, IntIdentity, IntLif

CONV_SUM = 1 << 23
"""Conv wraps its sums to 24 bits."""
CURRENT_SUM = 1 << 24
"""A sum ``a`` below this keeps ``(a << 6) + v + bias`` inside LIF's int32 where u is memoryless,"""
DECAYING_SUM = 1 << 18
"""and below this also where u decays: one wrap then brings u back into 24 bits."""
VTH_MAX = (1 << 17) - 1
"""Threshold mantissa, 17 bits unsigned."""
BIAS_MANTISSA = (-(1 << 12), (1 << 12) - 1)
"""Bias mantissa, 13 bits signed; exponent 0 .. 7."""
BIAS_EXPONENT_MAX = 7
SMALL = 127
"""Conv keeps kernel, stride, padding, dilation and groups in int8."""
SPARSE_DENSITY = 0.1
"""A dense map with a smaller share of non-zero weights is a Sparse process."""


def lif(op: IntLif, current: int, lagged: bool) -> dict[str, Any] | None:
    """Return the parameters of ``LIFReset`` that make it this neuron, or None.

    Args:
        op: The neuron.
        current: Largest |a| that can arrive in one step.
        lagged: Whether anyone reads it with a lag, so that spikes after its window would reach the next sample.
    """
    threshold, bias = op.threshold, split_bias(op.bias)
    memoryless = bool(np.all(op.decay_u == DECAY_ONE))
    exact = (
        not (op.gates or op.rectify or lagged)
        and op.reset == "value"
        and not op.v_reset.any()
        and bool(np.all(op.decay_v < DECAY_ONE))
        and bool(np.all((threshold >= 0) & (threshold % (1 << THRESHOLD_SHIFT) == 0)))
        and bool(np.all(threshold >> THRESHOLD_SHIFT <= VTH_MAX))
        and current < (CURRENT_SUM if memoryless else DECAYING_SUM)
    )
    if not exact or bias is None:
        return None
    size = prod(op.shape)
    return {
        "shape": (size,),
        "du": _number(op.decay_u - 1),
        "dv": _number(op.decay_v),
        "vth": _number(threshold >> THRESHOLD_SHIFT),
        "bias_mant": np.broadcast_to(bias[0], (size,)).copy(),
        "bias_exp": np.broadcast_to(bias[1], (size,)).copy(),
    }


def split_bias(bias: IntArray) -> tuple[IntArray, IntArray] | None:
    """Return mantissas and exponents with ``bias = mantissa << exponent``, or None where a bias has none."""
    low, high = BIAS_MANTISSA
    mantissa, exponent = bias.copy(), np.zeros_like(bias)
    for _ in range(BIAS_EXPONENT_MAX):
        large = (mantissa < low) | (mantissa > high)
        if np.any(large & (mantissa % 2 != 0)):
            return None
        mantissa, exponent = np.where(large, mantissa >> 1, mantissa), exponent + large
    return None if np.any((mantissa < low) | (mantissa > high)) else (mantissa, exponent)


def _number(values: IntArray) -> int | IntArray:
    """Return one integer where all values are equal; Lava's models also take one a neuron."""
    return int(values[0]) if np.all(values == values[0]) else values


def conv(op: IntConv, shape: tuple[int, ...], largest: int, bits: int) -> dict[str, Any] | None:
    """Return the parameters of ``Conv`` (in Lava's W, H, C order), or None.

    Args:
        op: The convolution.
        shape: Its input (C, H, W).
        largest: Largest |a|.
        bits: Message bits, 0 for binary spikes.
    """
    small = max(*op.weight.shape[2:], *op.stride, *op.padding, *op.dilation, op.groups) <= SMALL
    if op.exponent < 0 or largest >= CONV_SUM or not small:
        return None
    weight = (op.weight << op.exponent)[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)
    return {
        "weight": np.ascontiguousarray(weight, np.int32),
        "input_shape": tuple(int(n) for n in shape[::-1]),
        "stride": tuple(op.stride[::-1]),
        "padding": tuple(op.padding[::-1]),
        "dilation": tuple(op.dilation[::-1]),
        "groups": op.groups,
        "num_message_bits": bits,
    }


def dense(op: IntDense | IntIdentity, size: int, largest: int, bits: int) -> list[tuple[str, dict[str, Any]]] | None:
    """Return ``Dense`` or ``Sparse`` processes (kind, parameters) whose sum is this map, or None.

    Odd weights of both signs lose their lowest bit in one process: they become an excitatory and an inhibitory one.
    """
    if largest >= CURRENT_SUM:
        return None
    if isinstance(op, IntIdentity):
        parts = grids(np.full(1, op.weight, np.int64))
        if len(parts) != 1 or op.weight == 0:
            return None
        return [
            ("identity", {"size": size, "weight": int(op.weight), "weight_exp": op.exponent, "num_message_bits": bits})
        ]
    parts = grids(op.weight)
    if not parts or (len(parts) > 1 and op.exponent < 0):
        return None
    kind = "sparse" if np.count_nonzero(op.weight) < SPARSE_DENSITY * op.weight.size else "dense"
    options = {"weight_exp": op.exponent, "num_message_bits": bits}
    return [(kind, {"weights": part.astype(np.int32), **options}) for part in parts]


def grids(weight: IntArray) -> list[NDArray[np.int64]]:
    """Return weights that lie on Lava's grid and sum to ``weight``: one array, two (by sign), or none where it cannot."""
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    if low < 0 < high:
        if low >= -256 and high <= 254 and not np.any(weight % 2):
            return [weight]
        return [np.maximum(weight, 0), np.minimum(weight, 0)] if low >= -255 and high <= 255 else []
    return [weight] if low >= -255 and high <= 255 else []
