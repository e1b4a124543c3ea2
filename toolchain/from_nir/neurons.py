"""NIR neurons, in seconds, to ops, in steps.

LIF      v = beta v + gain i + leak      beta = 1 - dt/tau (or exp(-dt/tau)), gain = r (1 - beta), leak = (1 - beta) v_leak
CubaLIF  u = alpha u + gain_u i; v = beta v + gain u + leak    alpha of tau_syn, gain_u = w_in (1 - alpha)
IF       v = v + gain i                  gain = 1 if r = 1 (norse, sinabs, snnTorch) or r = 1/dt (SpikingJelly)
LI, CubaLI, I: the same without spikes (``integrators``)

An input gain that is not above 0 stands in front, as a factor on the current: a neuron of the chip has none.
tau = infinity (snnTorch's beta = 1): beta = 1, and gain 1 where r is infinite, too.
Subtraction one step late, v = beta v + x - v_threshold s[t - 1], is v_threshold / beta at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import nir
import numpy as np

from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError
from spikewright.toolchain.from_nir.meaning import Meaning
from spikewright.toolchain.nirx.metadata import Settings
from spikewright.toolchain.ops import Accumulator, Array, Lif, Op, Scale, Shape
from spikewright.toolchain.parameters import aligned, grid, least

TOLERANCE = 1e-5
"""Relative rounding allowed between parameters that say the same: float32 has 24 bits."""


@dataclass(frozen=True)
class Place:
    """Where a node stands: its name, operands, the shape of its input, and what its neurons mean; ``where`` is the file."""

    name: str
    inputs: tuple[str, ...]
    shape: Shape
    where: str
    meaning: Meaning = field(default_factory=Meaning)

    @property
    def here(self) -> str:
        """Say where, for an error."""
        return f"{self.where}: node {self.name!r}"

    @property
    def dt_s(self) -> float:
        """Length of a timestep in s."""
        return self.meaning.dt_s


def neurons(node: nir.NIRNode, at: Place) -> list[Op]:
    """Discretise a LIF, CubaLIF or IF; see ``lif``. An input gain that is not above 0 becomes a factor in front."""
    made = lif(node, at)
    gain = grid(made.gain, at.shape) * grid(made.gain_u, at.shape)
    if np.min(gain) > 0:
        return [made]
    factor = Scale(name=f"{at.name}.r", inputs=at.inputs, scale=least(gain, at.shape), block=at.name)
    return [factor, replace(made, inputs=(factor.name,), gain=np.ones(()), gain_u=np.ones(()))]


def lif(node: nir.NIRNode, at: Place) -> Lif:
    """Discretise a LIF, CubaLIF or IF.

    Raises:
        ImportingError: A parameter does not fit the shape, dt, or its own metadata.
    """
    means = at.meaning.of(node.metadata, at.here)
    c = {"alpha": np.zeros(()), "gain_u": np.ones(()), "leak": np.zeros(()), **_constants(node, means, at)}
    threshold = fit(node.v_threshold, "v_threshold", at)
    v_reset = fit(0.0 if node.v_reset is None else node.v_reset, "v_reset", at)
    late = means.reset == "subtract-late"
    arrays = {"v_threshold": threshold, "v_reset": v_reset, **c}
    named = {"leak": getattr(node, "v_leak", 0.0), "reset": v_reset}
    start = named[means.v_start] if isinstance(means.v_start, str) else means.v_start
    arrays["v_start"] = fit(start, "v_start", at)
    if means.v_min is not None:
        arrays["v_min"] = fit(means.v_min, "v_min", at)
    if late and means.max_spikes != 1:
        raise UnsupportedNodeError(
            "subtracts its threshold one step late and fires several times a step",
            where=at.here,
            help="--reset subtract, or --max-spikes 1",
        )
    if late:
        arrays["v_subtract"] = _late(threshold, c["beta"], at)
    if means.max_spikes != 1 and np.min(threshold) <= 0:
        raise ImportingError(
            f"several spikes a step at a threshold of {np.min(threshold):g}; it must be above 0",
            where=at.here,
            help="--max-spikes 1, or correct v_threshold",
        )
    full: dict[str, Any] = {name: least(value, at.shape) for name, value in arrays.items()}
    return Lif(
        name=at.name,
        inputs=at.inputs,
        shape=at.shape,
        comparison=means.comparison,  # type: ignore[arg-type]  # checked by nirx.metadata
        reset="value" if means.reset == "value" else "subtract",
        refractory=means.refractory or 1,
        max_spikes=means.max_spikes or None,
        **full,
    )


def _late(threshold: Array, beta: Array, at: Place) -> Array:
    if np.min(beta) <= 0:
        raise UnsupportedNodeError(
            "subtracts its threshold one step late, and forgets all of v in one (beta = 0)",
            where=at.here,
            help="--reset subtract or value, or another dt",
        )
    return np.asarray(threshold / beta)


def integrator(node: nir.NIRNode, at: Place) -> list[Op]:
    """Discretise an I, LI or CubaLI as an accumulator of its current, all gains in front of it."""
    c = {"alpha": np.zeros(()), "gain_u": np.ones(()), "leak": np.zeros(())}
    c |= _constants(node, at.meaning.of(node.metadata, at.here), at)
    full = {name: least(value, at.shape) for name, value in c.items()}
    gain = least(np.asarray(c["gain"] * c["gain_u"]), at.shape)
    filters, leaks = bool(np.any(full["alpha"])), bool(np.any(full["leak"]))
    shift = full["leak"] if leaks and not filters else None
    current = Scale(name=f"{at.name}.r", inputs=at.inputs, scale=gain, shift=shift, block=at.name)
    made = Accumulator(
        name=at.name,
        inputs=(current.name,),
        shape=at.shape,
        decay=_plain(full["beta"]),
        alpha=_plain(full["alpha"]),
        leak=_plain(full["leak"]) if filters else 0.0,
        rectify=False,
    )
    return [current, made]


def _plain(value: Array) -> float | Array:
    return value if value.ndim else float(value)


def fit(value: Any, what: str, at: Place, *, infinite: bool = False) -> Array:
    """Return a parameter so that numpy spreads it over the signal (``parameters.aligned``).

    Args:
        value: A scalar, one value a channel, or one a value of the signal.
        what: Its name.
        at: Where it stands.
        infinite: Whether infinity is a value (tau and r of a neuron that does not leak).

    Raises:
        ImportingError: It has another shape, or values that are not finite.
    """
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        array = np.full(1, np.nan)
    bad = np.isnan(array) if infinite else ~np.isfinite(array)
    if array.size == 0 or bad.any():
        raise ImportingError(f"{what} is no finite number", where=at.here, help="export the net again")
    fitted = aligned(array, at.shape)
    if fitted is None:
        raise ImportingError(
            f"{what} has shape {array.shape}; its input has {at.shape}",
            where=at.here,
            help=f"give {what} as a scalar, one value a channel, or {prod(at.shape)} values of shape {at.shape}",
        )
    return fitted


def _constants(node: nir.NIRNode, means: Settings, at: Place) -> dict[str, Array]:
    """Return the factors of the equations, each aligned with the signal."""
    found: dict[str, Array]
    match node:
        case nir.I() | nir.IF():
            found = {"beta": np.ones(()), "gain": _if_gain(node, at)}
        case nir.LI() | nir.LIF():
            found = _membrane(node.tau, "tau", node.r, means, at)
        case _:
            found = _current(node, means, at) | _membrane(node.tau_mem, "tau_mem", node.r, means, at)
            if at.meaning.dialect.filtered_once_more:
                w_in = fit(node.w_in, "w_in", at)
                found |= {"gain_u": found["alpha"] * w_in, "gain": np.ones(())}
            if at.meaning.dialect.jumps:
                found |= {"gain_u": fit(node.w_in, "w_in", at)}
    found |= _exact(found, node, at)
    if hasattr(node, "v_leak"):
        leak = (1 - found["beta"]) * fit(node.v_leak, "v_leak", at)
        found |= {"leak": leak} | _exact({"leak": leak}, node, at)
    return found


def _membrane(tau: Any, what: str, r: Any, means: Settings, at: Place) -> dict[str, Array]:
    beta, gain = _filter(tau, what, r, "r", means, at)
    return {"beta": beta, "gain": gain}


def _current(node: nir.NIRNode, means: Settings, at: Place) -> dict[str, Array]:
    alpha, gain = _filter(node.tau_syn, "tau_syn", node.w_in, "w_in", means, at)
    return {"alpha": alpha, "gain_u": gain}


def _filter(tau: Any, what: str, weight: Any, weight_name: str, means: Settings, at: Place) -> tuple[Array, Array]:
    """Return what a leaky integrator keeps in a step, and its gain."""
    times, factor = fit(tau, what, at, infinite=True), fit(weight, weight_name, at, infinite=True)
    step = at.meaning.step
    if np.min(times) <= 0 or (means.decay == "euler" and np.min(times) < step * (1 - TOLERANCE)):
        raise at.meaning.too_short(float(np.min(times)), what, at.here)
    rate = np.minimum(step / times, 1.0)
    keep = 1 - rate if means.decay == "euler" else np.exp(-step / times)
    endless = np.isinf(times) & np.isinf(factor)
    if (np.isinf(factor) & ~endless).any():
        raise ImportingError(f"{weight_name} is infinite, {what} is not", where=at.here, help="export the net again")
    return keep, np.where(endless, 1.0, np.where(endless, 0.0, factor) * (1 - keep))


def _if_gain(node: nir.I | nir.IF, at: Place) -> Array:
    """Detect the convention of r: 1 (v += i) or 1/dt (dv/dt = r i)."""
    r, dt = fit(node.r, "r", at), at.dt_s
    match at.meaning.dialect.gain:
        case "r":
            return r
        case "r dt" if "gain" not in node.metadata and not np.allclose(r * dt, 1, rtol=TOLERANCE):
            raise ImportingError(
                f"r is {np.min(r):g} .. {np.max(r):g}; this dialect writes 1/dt = {1 / dt:g}",
                where=at.here,
                help=f"--dt {1 / np.max(r):g} if the net was made with it, or another --dialect",
            )
        case "r dt":
            return r * dt
    if "gain" in node.metadata:
        return r * dt
    if np.allclose(r, 1, rtol=TOLERANCE) or np.allclose(r * dt, 1, rtol=TOLERANCE):
        return np.ones(())
    raise ImportingError(
        f"r is {np.min(r):g} .. {np.max(r):g}; its gain per step is clear for r = 1 or r = 1/dt = {1 / dt:g} only",
        where=at.here,
        help="put the factor into the weights in front, or give the dt the net was made with (--dt, in s), "
        "or the framework it comes from (--dialect)",
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
