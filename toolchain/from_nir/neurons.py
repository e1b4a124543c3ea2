"""NIR neurons, in seconds, to ops, in steps, by forward Euler.

LIF      v = beta v + gain i + leak      beta = 1 - dt/tau, gain = r dt/tau, leak = (1 - beta) v_leak
CubaLIF  u = alpha u + gain_u i; v = beta v + gain u + leak    alpha = 1 - dt/tau_syn, gain_u = w_in dt/tau_syn
IF       v = v + gain i                  gain = 1 if r = 1 (norse, sinabs, snnTorch) or r = 1/dt (SpikingJelly)
LI, CubaLI, I: the same without spikes
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import nir
import numpy as np

from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError
from spikewright.toolchain.nirx.metadata import settings
from spikewright.toolchain.ops import Accumulator, Array, Lif, Op, Scale, Shape

TOLERANCE = 1e-5
"""Relative rounding allowed between parameters that say the same: float32 has 24 bits."""


@dataclass(frozen=True)
class Place:
    """Where a node stands: its name, its operands, the shape of its input, dt in s, and the file for error messages."""

    name: str
    inputs: tuple[str, ...]
    shape: Shape
    dt_s: float
    where: str

    @property
    def here(self) -> str:
        """Say where, for an error."""
        return f"{self.where}: node {self.name!r}"


def lif(node: nir.NIRNode, at: Place) -> Lif:
    """Discretise a LIF, CubaLIF or IF.

    Raises:
        ImportingError: A parameter does not fit the shape, dt or its own metadata.
    """
    fire = settings(node.metadata, at.here)
    c = _constants(node, at)
    zero, one = np.zeros(()), np.ones(())
    if fire.max_spikes != 1 and np.min(node.v_threshold) <= 0:
        raise ImportingError(
            f"several spikes a step at a threshold of {np.min(node.v_threshold):g}",
            where=at.here,
            help="give thresholds above 0, or max_spikes 1",
        )
    return Lif(
        name=at.name,
        inputs=at.inputs,
        shape=at.shape,
        v_threshold=fit(node.v_threshold, "v_threshold", at),
        v_reset=fit(node.v_reset, "v_reset", at),
        comparison=fire.comparison,
        reset=fire.reset,
        refractory=fire.refractory,
        max_spikes=fire.max_spikes,
        v_min=None if fire.v_min is None else fit(fire.v_min, "v_min", at),
        v_start=fit(fire.v_start, "v_start", at),
        beta=c["beta"],
        gain=c["gain"],
        alpha=c.get("alpha", zero),
        gain_u=c.get("gain_u", one),
        leak=c.get("leak", zero),
    )


def integrator(node: nir.NIRNode, at: Place) -> list[Op]:
    """Discretise an I, LI or CubaLI as accumulators.

    Raises:
        UnsupportedNodeError: Its time constant differs between neurons.
    """
    c = _constants(node, at)
    ops: list[Op] = []
    source = at.inputs
    if "alpha" in c:
        ops.append(Scale(name=f"{at.name}.w_in", inputs=source, scale=c["gain_u"], block=at.name))
        decay = _one(c["alpha"], "tau_syn", at)
        ops.append(
            Accumulator(
                name=f"{at.name}.u",
                inputs=(ops[-1].name,),
                shape=at.shape,
                decay=decay,
                rectify=False,
                block=at.name,
            )
        )
        source = (ops[-1].name,)
    leak = c.get("leak")
    shift = None if leak is None or not np.any(leak) else leak
    ops.append(Scale(name=f"{at.name}.r", inputs=source, scale=c["gain"], shift=shift, block=at.name))
    decay = _one(c["beta"], "tau", at)
    ops.append(Accumulator(name=at.name, inputs=(ops[-1].name,), shape=at.shape, decay=decay, rectify=False))
    return ops


def fit(value: Any, what: str, at: Place) -> Array:
    """Return a parameter as a scalar, per channel, or in full: a scalar, (C,) or full array is taken.

    Raises:
        ImportingError: It has another shape, or values that are not finite.
    """
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        array = np.full(1, np.nan)
    if array.size == 0 or not np.all(np.isfinite(array)):
        raise ImportingError(f"{what} is no finite number", where=at.here, help="export the net again")
    if array.size and array.min() == array.max() and (array.size == 1 or array.shape in (at.shape, at.shape[:1])):
        return np.array(array.flat[0])
    if array.shape == at.shape[:1]:
        return array
    if array.shape != at.shape:
        raise ImportingError(
            f"{what} has shape {array.shape}; its input has {at.shape}",
            where=at.here,
            help=f"give {what} as a scalar, one value a channel, or {prod(at.shape)} values of shape {at.shape}",
        )
    channels = array.reshape(at.shape[0], -1)
    uniform = bool(np.all(channels == channels[:, :1]))
    return channels[:, 0].copy() if uniform else array


def _constants(node: nir.NIRNode, at: Place) -> dict[str, Array]:
    found: dict[str, Array] = {}
    match node:
        case nir.I() | nir.IF():
            found = {"beta": np.ones(()), "gain": _if_gain(node, at)}
        case nir.LI() | nir.LIF():
            beta, rate = _decay(node.tau, "tau", at)
            found = {"beta": beta, "gain": fit(node.r, "r", at) * rate}
        case _:
            alpha, rate_u = _decay(node.tau_syn, "tau_syn", at)
            beta, rate = _decay(node.tau_mem, "tau_mem", at)
            found = {"alpha": alpha, "gain_u": fit(node.w_in, "w_in", at) * rate_u}
            found |= {"beta": beta, "gain": fit(node.r, "r", at) * rate}
    found |= _exact(found, node, at)
    if hasattr(node, "v_leak"):
        leak = (1 - found["beta"]) * fit(node.v_leak, "v_leak", at)
        found |= {"leak": leak} | _exact({"leak": leak}, node, at)
    return found


def _decay(tau: Any, what: str, at: Place) -> tuple[Array, Array]:
    """Return 1 - dt/tau and dt/tau."""
    seconds = fit(tau, what, at)
    if np.min(seconds) < at.dt_s * (1 - TOLERANCE):
        raise ImportingError(
            f"{what} is {np.min(seconds):g} s, shorter than one timestep of {at.dt_s:g} s",
            where=at.here,
            help="give the dt the net was made with (--dt, in s)",
        )
    rate = np.minimum(at.dt_s / seconds, 1.0)
    return 1 - rate, rate


def _if_gain(node: nir.I | nir.IF, at: Place) -> Array:
    """Detect the convention of r: 1 (v += i) or 1/dt (dv/dt = r i)."""
    r = fit(node.r, "r", at)
    if "gain" in node.metadata:
        return r * at.dt_s
    if np.allclose(r, 1, rtol=TOLERANCE) or np.allclose(r * at.dt_s, 1, rtol=TOLERANCE):
        return np.ones(())
    raise ImportingError(
        f"r is {np.min(r):g} .. {np.max(r):g}; its gain per step is clear for r = 1 or r = 1/dt = {1 / at.dt_s:g} only",
        where=at.here,
        help="put the factor into the weights in front, or give the dt the net was made with (--dt, in s)",
    )


def _exact(found: dict[str, Array], node: nir.NIRNode, at: Place) -> dict[str, Array]:
    """Return the constants that the metadata record without rounding, after checking them against the fields."""
    exact: dict[str, Array] = {}
    for key in ("alpha", "beta", "gain", "gain_u", "leak"):
        if key not in node.metadata or key not in found:
            continue
        value = fit(node.metadata[key], f"metadata {key}", at)
        if not np.allclose(value, found[key], rtol=TOLERANCE, atol=TOLERANCE):
            raise ImportingError(
                f"metadata {key} {np.ravel(value)[0]:g} contradicts the fields: {np.ravel(found[key])[0]:g} "
                f"at dt = {at.dt_s:g} s",
                where=at.here,
                help="give the dt the net was made with (--dt, in s), or remove the metadata",
            )
        exact[key] = value
    return exact


def _one(value: Array, what: str, at: Place) -> float:
    if value.ndim:
        raise UnsupportedNodeError(
            f"{what} differs between its neurons; a neuron without spikes takes one for all",
            where=at.here,
            help=f"split the node by {what}",
        )
    return float(value)
