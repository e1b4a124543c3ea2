"""Where stock Lava means exactly the same: the parameters of its Conv, Dense, Sparse and LIFReset, or None.

Lava's LIF (``PyLifResetModelBitAcc``): u and v in int32, ``du = decay_u - 1``, bias = mantissa << exponent, strict threshold
``vth << 6``, reset to 0. Its synapses: 8-bit weights, even where the signs are mixed; sums in 24 (Conv) or 32 bits (Dense).
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.fixed_point import (
    BIAS_EXPONENT_MAX,
    BIAS_MANTISSA,
    DECAY_ONE,
    THRESHOLD_MANTISSA_MAX,
    THRESHOLD_SHIFT,
)
from spikewright.hw_sim.linear import planar
from spikewright.hw_sim.somas import Lif
from spikewright.hw_sim.synapses import ConvSynapses, DenseSynapses, IdentitySynapses, Shape
from spikewright.toolchain.integer import IntArray, IntConnection, IntNeuron

CONV_SUM = 1 << 23
"""Conv wraps its sums to 24 bits."""
CURRENT_SUM = 1 << 24
"""A sum ``a`` below this keeps ``(a << 6) + v + bias`` inside LIF's int32 where u is memoryless,"""
DECAYING_SUM = 1 << 18
"""and below this also where u decays: one wrap then brings u back into 24 bits."""
SMALL = 127
"""Conv keeps kernel, stride, padding, dilation and groups in int8."""
SPARSE_DENSITY = 0.1
"""A dense map with a smaller share of non-zero weights is a Sparse process."""


def lif(op: IntNeuron, current: int, lagged: bool) -> dict[str, Any] | None:
    """Return the parameters of ``LIFReset`` that make it this neuron, or None.

    Args:
        op: The neuron.
        current: Largest |a| that can arrive in one step.
        lagged: Whether anyone reads it with a lag, so that spikes after its window would reach the next sample.
    """
    soma = op.soma
    if type(soma) is not Lif or lagged or current >= (DECAYING_SUM if soma.filters else CURRENT_SUM):
        return None
    bias = split_bias(soma.bias)
    if bias is None or not _as_stock(soma):
        return None
    return {
        "shape": (op.size,),
        "du": _number(soma.decay_u - 1),
        "dv": _number(soma.decay_v),
        "vth": _number(soma.threshold >> THRESHOLD_SHIFT),
        "bias_mant": np.broadcast_to(bias[0], (op.size,)).copy(),
        "bias_exp": np.broadcast_to(bias[1], (op.size,)).copy(),
    }


def _as_stock(soma: Lif) -> bool:
    """Say whether a neuron's equation and thresholds are stock: no gate, a strict threshold on the grid, reset to 0."""
    threshold = soma.threshold
    return (
        not (soma.gates or soma.rectify or soma.reset_interval)
        and soma.refractory == soma.max_spikes == 1
        and not (soma.floored or soma.v_start.any())
        and soma.reset == "value"
        and not soma.v_reset.any()
        and bool(np.all(soma.decay_v < DECAY_ONE))
        and bool(np.all((threshold >= 0) & (threshold % (1 << THRESHOLD_SHIFT) == 0)))
        and bool(np.all(threshold >> THRESHOLD_SHIFT <= THRESHOLD_MANTISSA_MAX))
    )


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


def synapses(op: IntConnection, shape: Shape, largest: int, bits: int) -> list[tuple[str, dict[str, Any]]] | None:
    """Return stock processes (kind, parameters) whose sum is this connection, or None.

    Args:
        op: The connection.
        shape: Shape of its source.
        largest: Largest |a|.
        bits: Message bits, 0 for binary spikes.
    """
    match op.synapses:
        case ConvSynapses() as kernel:
            return conv(kernel, op.exponent, shape, largest, bits)
        case DenseSynapses(weight=weight) if largest < CURRENT_SUM:
            return dense(weight, op.exponent, bits)
        case IdentitySynapses(weight=weight) if largest < CURRENT_SUM and weight and len(grids(_array(weight))) == 1:
            options = {"weight_exp": op.exponent, "num_message_bits": bits}
            return [("identity", {"size": prod(shape), "weight": int(weight), **options})]
        case _:
            return None


def conv(
    op: ConvSynapses, exponent: int, shape: Shape, largest: int, bits: int
) -> list[tuple[str, dict[str, Any]]] | None:
    """Return a ``Conv`` (in Lava's W, H, C order), or None."""
    small = max(*op.weight.shape[2:], *op.stride, *op.padding, *op.dilation, op.groups) <= SMALL
    if exponent < 0 or largest >= CONV_SUM or not small:
        return None
    weight = (op.weight << exponent)[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)
    parameters = {
        "weight": np.ascontiguousarray(weight, np.int32),
        "input_shape": tuple(int(n) for n in planar(shape)[::-1]),
        "stride": tuple(op.stride[::-1]),
        "padding": tuple(op.padding[::-1]),
        "dilation": tuple(op.dilation[::-1]),
        "groups": op.groups,
        "num_message_bits": bits,
    }
    return [("conv", parameters)]


def dense(weight: IntArray, exponent: int, bits: int) -> list[tuple[str, dict[str, Any]]] | None:
    """Return ``Dense`` or ``Sparse`` processes, or None.

    Odd weights of both signs lose their lowest bit in one process: they become an excitatory and an inhibitory one.
    """
    parts = grids(weight)
    if not parts or (len(parts) > 1 and exponent < 0):
        return None
    kind = "sparse" if np.count_nonzero(weight) < SPARSE_DENSITY * weight.size else "dense"
    options = {"weight_exp": exponent, "num_message_bits": bits}
    return [(kind, {"weights": part.astype(np.int32), **options}) for part in parts]


def _array(weight: int) -> IntArray:
    return np.full(1, weight, np.int64)


def grids(weight: IntArray) -> list[NDArray[np.int64]]:
    """Return weights that lie on Lava's grid and sum to ``weight``: one array, two (by sign), or none where it cannot."""
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    if low < 0 < high:
        if low >= -256 and high <= 254 and not np.any(weight % 2):
            return [weight]
        return [np.maximum(weight, 0), np.minimum(weight, 0)] if low >= -255 and high <= 255 else []
    return [weight] if low >= -255 and high <= 255 else []
