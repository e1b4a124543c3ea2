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
from torch import nn

from spikewright.models.neurons import LIF, AdaptiveLIF, Neuron
from spikewright.toolchain import nirx
from spikewright.toolchain.blocks import block_class
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError

Shape = tuple[int, ...]


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


def attention(module: Any, shape: Shape, steps: int, dt_s: float, where: str) -> nir.NIRNode:
    """Convert a module that says which block it is: its ``kind``, ``options()``, own parameters, and ``neuron`` if it has one.

    One that sends another shape than it reads has a method ``sent(shape)``.

    Raises:
        UnsupportedNodeError: No installed package registers the kind.
        ImportingError: The block's class does not take what the module gives.
    """
    block = block_class(str(module.kind), where)
    shape = tuple(module.sent(shape)) if hasattr(module, "sent") else shape
    parameters = {name: value.detach().cpu().numpy().copy() for name, value in module.named_parameters(recurse=False)}
    inner = neuron(module.neuron, shape, dt_s, where) if block.spiking else None
    T = int(getattr(module, "timesteps", steps))
    try:
        return nirx.AttentionNode(block.kind, inner, parameters, module.options(), T, shape)
    except (ValueError, TypeError) as error:
        help = f"give the options and parameters that {block.__module__}.{block.__name__} takes"
        raise ImportingError(f"block {block.kind!r}: {error}", where=where, help=help) from error


def is_block(module: nn.Module) -> bool:
    """Say whether a module declares itself an attention block."""
    return isinstance(getattr(module, "kind", None), str) and callable(getattr(module, "options", None))
