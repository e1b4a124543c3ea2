"""Our forms of foreign neurons and attention, with weights copied: what the tables' makers call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import nir
import numpy as np
import torch
from torch import Tensor, nn

from spikewright.export.foreign.node import NodeModule
from spikewright.export.foreign.registry import Site
from spikewright.models.attention.gac import GAC
from spikewright.models.attention.ma import MALIF, MAAttention
from spikewright.models.attention.tcja import TCJA
from spikewright.models.neurons import LIF, Comparison, Reset
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError


def value(parameter: Any) -> Any:
    """Return a parameter as a number if it is one, else as a float64 array with leading axes of one removed."""
    if isinstance(parameter, Tensor):
        array = parameter.detach().double().cpu().numpy()
        return float(array.reshape(-1)[0]) if array.size == 1 else array
    return float(parameter)


def full(parameter: Any, shape: tuple[int, ...]) -> Any:
    """Return a parameter in the shape of the neurons: a number, one a channel ((C,), (C, 1, 1)), or all.

    Raises:
        ImportingError: It has another shape.
    """
    array = np.asarray(parameter, np.float64)
    if array.ndim > len(shape):
        array = array.reshape(array.shape[array.ndim - len(shape) :])
    if array.ndim == 1 and len(shape) > 1 and array.shape[0] == shape[0]:
        array = array.reshape(-1, *(1,) * (len(shape) - 1))
    try:
        return np.broadcast_to(array, shape).copy()
    except ValueError as error:
        raise ImportingError(
            f"a neuron parameter of shape {array.shape} does not fit {shape}",
            where="neuron",
            help="one, one a channel, or all",
        ) from error


def neuron(
    site: Site,
    *,
    beta: Any,
    threshold: Any,
    gain: Any = 1.0,
    v_reset: Any = 0.0,
    subtract: bool = False,
    comparison: Comparison = ">=",
) -> nn.Module:
    """Return v = beta v + gain x; s = v >= threshold; to v_reset, or minus the threshold: a LIF, or a node.

    Raises:
        UnsupportedNodeError: A decay outside 0 to 1, or a threshold at which a neuron at rest fires.
    """
    parameters = {"beta": beta, "threshold": threshold, "gain": gain, "v_reset": v_reset}
    site.need(
        bool(np.all(np.asarray(beta) >= 0) and np.all(np.asarray(beta) <= 1)),
        f"a neuron that keeps {np.ravel(beta)[0]:g} of its membrane per step; allowed are 0 to 1",
        "train with a decay in this range",
    )
    reset: Reset = "subtract" if subtract else "value"
    if all(np.ndim(p) == 0 for p in parameters.values()):
        return LIF(
            float(beta), float(threshold), gain=float(gain), v_reset=float(v_reset), reset=reset, comparison=comparison
        )
    exact = {"beta": beta, "gain": gain}

    def make(shape: tuple[int, ...], out: tuple[int, ...], dt_s: float, where: str) -> nir.NIRNode:
        b, theta, g, to = (full(p, shape) for p in parameters.values())
        metadata = {"comparison": comparison, "reset": reset}
        metadata |= {k: p if np.ndim(p) == 0 else full(p, shape) for k, p in exact.items()}
        if np.all(b == 1):
            return nir.IF(r=g / dt_s, v_threshold=theta, v_reset=to, metadata=metadata)
        if np.any(b == 1):
            raise UnsupportedNodeError(
                "some of its neurons leak and some do not", where=where, help="train all with a leak, or none"
            )
        tau = dt_s / (1 - b)
        return nir.LIF(
            tau=tau, r=g * tau / dt_s, v_leak=np.zeros(shape), v_threshold=theta, v_reset=to, metadata=metadata
        )

    return NodeModule(make, spiking=True)


def current_based(
    site: Site,
    *,
    alpha: Any,
    beta: Any,
    threshold: Any,
    gain_u: Any = 1.0,
    subtract: bool = False,
    comparison: Comparison = ">=",
) -> nn.Module:
    """Return u = alpha u + gain_u x; v = beta v + u; s = v >= threshold; to 0, or minus the threshold: a CubaLIF."""
    inside = all(np.all(np.asarray(d) >= 0) and np.all(np.asarray(d) < 1) for d in (alpha, beta))
    site.need(inside, "a current or membrane that keeps all of itself per step", "use decays below 1")

    def make(shape: tuple[int, ...], out: tuple[int, ...], dt_s: float, where: str) -> nir.NIRNode:
        a, b, g, theta = (full(p, shape) for p in (alpha, beta, gain_u, threshold))
        return nir.CubaLIF(
            tau_syn=dt_s / (1 - a),
            tau_mem=dt_s / (1 - b),
            r=1 / (1 - b),
            v_leak=np.zeros(shape),
            v_threshold=theta,
            v_reset=np.zeros(shape),
            w_in=g / (1 - a),
            metadata={"comparison": comparison, "reset": "subtract" if subtract else "value"},
        )

    return NodeModule(make, spiking=True)


def fires_at_tie(act: Callable[..., Any], site: Site, *more: Any) -> Comparison:
    """Return ">=" where a spike function fires at 0, else ">".

    Raises:
        UnsupportedNodeError: It does not answer with spikes.
    """
    with torch.no_grad():
        y = act(torch.tensor([-1.0, -1e-6, 0.0, 1e-6, 1.0]), *more).double().tolist()
    site.need(
        y[:2] == [0.0, 0.0] and y[3:] == [1.0, 1.0] and y[2] in (0.0, 1.0),
        f"a spike function that gives {y} round 0",
        "use a step",
    )
    return ">=" if y[2] else ">"


def fill(module: nn.Module, weights: Mapping[str, Tensor], site: Site) -> nn.Module:
    """Copy weights into a module of ours, in their precision.

    Raises:
        UnsupportedNodeError: One has another shape.
    """
    for name, weight in weights.items():
        old = getattr(module, name)
        site.need(
            tuple(old.shape) == tuple(weight.shape),
            f"{name} has shape {tuple(weight.shape)}; expected {tuple(old.shape)}",
            "make the block for the T and C of its input",
        )
        setattr(module, name, nn.Parameter(weight.detach().clone(), requires_grad=False))
    return module.eval()


def ma(lif: nn.Module | None, site: Site, *, dims: str, weights: Mapping[str, Tensor]) -> nn.Module:
    """Return MA attention in the form of the released code, with its neuron if it has one; ``weights`` by our names."""
    shape = site.shape
    site.need(
        lif is None or isinstance(lif, LIF),
        "an attention in front of a neuron with parameters a channel",
        "use one decay and threshold for all",
    )
    T, C = site.steps, shape[0]
    hidden = {d: weights[f"{d.lower()}a_w0"].shape[0] for d in dims if d != "S"}
    kernel = weights["sa_kernel"].shape[-1] if "S" in dims else None
    for d, size in (("T", T), ("C", C)):
        if d in dims:
            found = weights[f"{d.lower()}a_w0"].shape[1]
            site.need(
                found == size,
                f"its weights are for {d} = {found}; its input has {d} = {size}",
                "give an example of this size",
            )
    plane = (shape[1], shape[2]) if len(shape) == 3 else None
    rt, rc = _ratio(T, hidden.get("T")), _ratio(C, hidden.get("C"))
    made: nn.Module
    if isinstance(lif, LIF):
        made = MALIF(lif, T, C, plane, dims=dims, variant="code", kernel=kernel, reduction_t=rt, reduction_c=rc)
    else:
        made = MAAttention(T, C, plane, dims=dims, kernel=kernel, reduction_t=rt, reduction_c=rc)
    return fill(made, weights, site)


def _ratio(size: int, hidden: int | None) -> int:
    """Return an r with size // r == hidden."""
    return 1 if hidden is None else next((r for r in range(1, size + 1) if size // r == hidden), 1)


def tcja(site: Site, *, tla: Tensor | None, cla: Tensor | None) -> nn.Module:
    """Return TCJA as published; without one of the kernels, TLA or CLA alone."""
    dims: Literal["T", "C", "TC"] = "TC" if tla is not None and cla is not None else "C" if tla is None else "T"
    made = TCJA(
        site.steps,
        site.shape[0],
        dims=dims,
        tla_kernel=1 if tla is None else tla.shape[-1],
        cla_kernel=1 if cla is None else cla.shape[-1],
    )
    return fill(made, {k: w for k, w in (("tla", tla), ("cla", cla)) if w is not None}, site)


def gac(lif: Any, site: Site, weights: Mapping[str, Tensor]) -> nn.Module:
    """Return gated attention coding with its neuron."""
    site.need(
        isinstance(lif, LIF), "a gate on a neuron with parameters a channel", "use one decay and threshold for all"
    )
    return fill(GAC(lif, site.steps, site.shape[0], kernel=weights["conv0"].shape[-1]), weights, site)


def flat(weight: Tensor) -> Tensor:
    """Return the matrix of a convolution of size 1."""
    return weight.flatten(1)
