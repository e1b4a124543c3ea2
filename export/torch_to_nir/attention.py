"""Attention modules and their neurons to NIR nodes, with time constants in seconds.

::

    tau = dt / (1 - beta),   r = gain tau / dt        so that  beta = 1 - dt/tau,  gain = r dt/tau
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikewright.models.attention.gac import GatedAttentionCoding
from spikewright.models.attention.ma import MALIF
from spikewright.models.attention.staa import STAALIF
from spikewright.models.attention.tcja import TCJA
from spikewright.models.neurons import LIF, AdaptiveLIF, Neuron
from spikewright.toolchain import nirx
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError

Shape = tuple[int, ...]
AttentionModule = MALIF | GatedAttentionCoding | TCJA | STAALIF
PARAMETERS: dict[type[AttentionModule], tuple[str, ...]] = {
    MALIF: ("ta_w0", "ta_w1", "ta_w", "ta_b", "ca_w0", "ca_w1", "ca_b", "sa_kernel", "sa_b"),
    GatedAttentionCoding: ("ta_w0", "ta_w1", "conv0", "conv1"),
    TCJA: ("tla", "cla"),
    STAALIF: (
        *("pe", "gc_key", "gc_query", "gc_scale", "gc_shift", "gc_value", "sa_w0", "sa_w1"),
        *("ta_w", "ta_b", "ca_w0", "ca_w1", "ca_b"),
    ),
}


def neuron(module: Neuron, shape: Shape, dt_s: float, where: str) -> nir.NIRNode:
    """Convert a neuron: a LIF, or an IF where beta is 1; comparison, reset and the exact constants in its metadata.

    Raises:
        UnsupportedNodeError: The neuron is of a class without a meaning in NIR.
        ImportingError: Its constants are out of range.
    """
    beta, gain = _constants(module, where)
    if not (np.all(np.asarray(beta) >= 0) and np.all(np.asarray(beta) <= 1)):
        raise ImportingError(f"beta {beta}; allowed are 0 to 1", where=where, help="train with a beta in this range")
    metadata: dict[str, Any] = {"comparison": module.comparison, "reset": module.reset, "beta": beta, "gain": gain}
    threshold, reset = np.full(shape, module.v_threshold), np.full(shape, module.v_reset)
    if np.ndim(beta) == 0 and beta == 1:
        return nir.IF(r=np.full(shape, gain / dt_s), v_threshold=threshold, v_reset=reset, metadata=metadata)
    tau = _full(dt_s / (1 - beta), shape)
    return nir.LIF(
        tau=tau,
        r=_full(gain, shape) * tau / dt_s,
        v_leak=np.zeros(shape),
        v_threshold=threshold,
        v_reset=reset,
        metadata=metadata,
    )


def _constants(module: Neuron, where: str) -> tuple[Any, Any]:
    """Return beta and gain: numbers, or one per channel."""
    match module:
        case LIF():
            return module.beta, module.gain
        case AdaptiveLIF():
            beta = torch.sigmoid(module.decay_logit.detach().double()).cpu().numpy()
            return np.minimum(beta, 1 - 2.0**-24), module.gain.detach().double().cpu().numpy()
        case _:
            raise UnsupportedNodeError(
                f"the neuron {type(module).__name__} has no meaning in NIR",
                where=where,
                help="use spikewright.models.neurons.LIF or AdaptiveLIF",
            )


def _full(value: Any, shape: Shape) -> NDArray[np.float64]:
    array = np.asarray(value, np.float64)
    return np.broadcast_to(array.reshape(array.shape + (1,) * (len(shape) - array.ndim)), shape).copy()


def attention(module: AttentionModule, shape: Shape, dt_s: float, where: str) -> nir.NIRNode:
    """Convert an attention block, with its neuron if it has one."""
    found = {
        name: value.detach().cpu().numpy().copy()
        for name in PARAMETERS[next(kind for kind in PARAMETERS if isinstance(module, kind))]
        if isinstance(value := getattr(module, name, None), Tensor)
    }
    if isinstance(module, TCJA):
        return nirx.JointGate(
            found,
            dims=module.dims,
            variant=module.variant,
            timesteps=module.timesteps,
            gate=module.gate,
            gate_delay=module.gate_delay if module.variant == "causal" else 0,
            memory=module.cla_memory if module.variant == "causal" else "table",
            decay=module.decay,
            shape=shape,
        )
    inner = neuron(module.neuron, shape, dt_s, where)
    match module:
        case GatedAttentionCoding():
            return nirx.GatedCoding(inner, found, timesteps=module.timesteps, gate=module.gate, shape=shape)
        case STAALIF():
            return nirx.StaaLif(
                inner,
                found,
                variant=module.variant,
                timesteps=module.timesteps,
                gate=module.gate,
                gate_delay=module.gate_delay,
                decay=module.decay,
                shape=shape,
            )
        case _:
            return nirx.AttentiveLif(
                inner,
                found,
                dims=module.dims,
                variant=module.variant,
                timesteps=module.timesteps,
                gate=module.gate,
                gate_delay=module.gate_delay,
                decay=module.decay,
                shape=shape,
            )
