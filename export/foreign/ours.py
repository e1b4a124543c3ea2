"""Our forms of foreign neurons and attention, with weights copied: what the tables' makers call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikewright.export.foreign.node import NodeModule
from spikewright.export.foreign.registry import Site
from spikewright.models.attention.gac import GAC
from spikewright.models.attention.ma import MAAttention, Rectifier
from spikewright.models.attention.tcja import TCJA
from spikewright.models.neurons import LIF, Comparison, Reset
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError

Array = NDArray[np.float64]


def value(parameter: Any) -> Any:
    """Return a parameter as a number if it is one, else as a float64 array with leading axes of one removed."""
    if isinstance(parameter, Tensor):
        array = parameter.detach().double().cpu().numpy()
        return float(array.reshape(-1)[0]) if array.size == 1 else array
    return float(parameter)


def array(parameter: Tensor) -> Array:
    """Return a tensor's numbers, float64, as they are."""
    return parameter.detach().double().cpu().numpy().copy()


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
    leak: Any = 0.0,
    v_reset: Any = 0.0,
    v_start: Any = 0.0,
    v_min: Any = None,
    max_spikes: int | None = 1,
    refractory: int = 1,
    subtract: bool | Literal["late"] = False,
    comparison: Comparison = ">=",
) -> nn.Module:
    """Return v = beta v + gain x + leak; s = v >= threshold; to v_reset, or minus the threshold: a LIF, or a node.

    ``subtract`` "late": the threshold is taken off in the next step, as ``threshold / beta`` at once; beta must be above 0.
    ``v_start``, ``v_min``, ``max_spikes`` and ``refractory`` are those of ``toolchain.ops.Lif``.

    Raises:
        UnsupportedNodeError: A decay outside 0 to 1, or a threshold at which a neuron at rest fires.
    """
    parameters = {"beta": beta, "threshold": threshold, "gain": gain, "v_reset": v_reset, "leak": leak}
    _check_decay(site, beta)
    more = _more(site, threshold, v_start, v_min, max_spikes, refractory)
    reset: Reset = "subtract" if subtract else "value"
    if not more and subtract != "late" and not np.any(leak) and all(np.ndim(p) == 0 for p in parameters.values()):
        return LIF(
            float(beta), float(threshold), gain=float(gain), v_reset=float(v_reset), reset=reset, comparison=comparison
        )
    exact = {"beta": beta, "gain": gain} | ({"leak": leak} if np.any(leak) else {})

    def make(shape: tuple[int, ...], out: tuple[int, ...], dt_s: float, where: str) -> nir.NIRNode:
        b, theta, g, to, drift = (full(p, shape) for p in parameters.values())
        metadata = {"comparison": comparison, "reset": _reset(subtract)} | _written(more, shape)
        metadata |= {k: p if np.ndim(p) == 0 else full(p, shape) for k, p in exact.items()}
        if np.all(b == 1) and not np.any(drift):
            return nir.IF(r=g / dt_s, v_threshold=theta, v_reset=to, metadata=metadata)
        tau, r, v_leak = _leaky(b, g, drift, dt_s, where)
        return nir.LIF(tau=tau, r=r, v_leak=v_leak, v_threshold=theta, v_reset=to, metadata=metadata)

    return NodeModule(make, spiking=max_spikes == 1)


def current_based(
    site: Site,
    *,
    alpha: Any,
    beta: Any,
    threshold: Any,
    gain: Any = 1.0,
    gain_u: Any = 1.0,
    v_reset: Any = 0.0,
    v_start: Any = 0.0,
    v_min: Any = None,
    max_spikes: int | None = 1,
    refractory: int = 1,
    subtract: bool | Literal["late"] = False,
    comparison: Comparison = ">=",
) -> nn.Module:
    """Return u = alpha u + gain_u x; v = beta v + gain u; s = v >= threshold; to v_reset, or minus the threshold: a CubaLIF.

    Raises:
        UnsupportedNodeError: A decay outside 0 to 1; for currents 1 is outside.
    """
    _check_current(site, alpha)
    _check_decay(site, beta)
    more = _more(site, threshold, v_start, v_min, max_spikes, refractory)

    def make(shape: tuple[int, ...], out: tuple[int, ...], dt_s: float, where: str) -> nir.NIRNode:
        a, b, g, g_u, theta, to = (full(p, shape) for p in (alpha, beta, gain, gain_u, threshold, v_reset))
        metadata: dict[str, Any] = {"comparison": comparison, "reset": _reset(subtract)}
        exact = {"alpha": alpha, "beta": beta, "gain": gain, "gain_u": gain_u}
        metadata |= {k: p if np.ndim(p) == 0 else full(p, shape) for k, p in exact.items()}
        tau, r, v_leak = _leaky(b, g, np.zeros(shape), dt_s, where)
        return nir.CubaLIF(
            tau_syn=dt_s / (1 - a),
            tau_mem=tau,
            r=r,
            v_leak=v_leak,
            v_threshold=theta,
            v_reset=to,
            w_in=g_u / (1 - a),
            metadata=metadata | _written(more, shape),
        )

    return NodeModule(make, spiking=max_spikes == 1)


def _reset(subtract: bool | Literal["late"]) -> str:
    return "subtract-late" if subtract == "late" else "subtract" if subtract else "value"


def integrator(site: Site, *, beta: Any, gain: Any = 1.0) -> nn.Module:
    """Return v = beta v + gain x, sent in every step: a read-out.

    Raises:
        UnsupportedNodeError: A decay outside 0 to 1.
    """
    _check_decay(site, beta)

    def make(shape: tuple[int, ...], out: tuple[int, ...], dt_s: float, where: str) -> nir.NIRNode:
        b, g = full(beta, shape), full(gain, shape)
        metadata = {k: p if np.ndim(p) == 0 else full(p, shape) for k, p in (("beta", beta), ("gain", gain))}
        if np.all(b == 1):
            return nir.I(r=g / dt_s, metadata=metadata)
        tau, r, v_leak = _leaky(b, g, np.zeros(shape), dt_s, where)
        return nir.LI(tau=tau, r=r, v_leak=v_leak, metadata=metadata)

    return NodeModule(make)


def filtered_integrator(site: Site, *, alpha: Any, beta: Any, gain: Any = 1.0) -> nn.Module:
    """Return u = alpha u + x; v = beta v + gain u, sent in every step: a read-out.

    Raises:
        UnsupportedNodeError: A decay outside 0 to 1; for currents 1 is outside.
    """
    _check_current(site, alpha)
    _check_decay(site, beta)

    def make(shape: tuple[int, ...], out: tuple[int, ...], dt_s: float, where: str) -> nir.NIRNode:
        a, b, g = (full(p, shape) for p in (alpha, beta, gain))
        exact = {"alpha": alpha, "beta": beta, "gain": gain, "gain_u": 1.0}
        tau, r, v_leak = _leaky(b, g, np.zeros(shape), dt_s, where)
        return nir.CubaLI(
            tau_syn=dt_s / (1 - a),
            tau_mem=tau,
            r=r,
            v_leak=v_leak,
            w_in=1 / (1 - a),
            metadata={k: p if np.ndim(p) == 0 else full(p, shape) for k, p in exact.items()},
        )

    return NodeModule(make)


def delay(steps: int) -> nn.Module:
    """Return y[t] = x[t - steps]."""
    return NodeModule(lambda shape, out, dt_s, where: nir.Delay(np.full(shape, steps * dt_s)))


def _leaky(beta: Array, gain: Array, drift: Array, dt_s: float, where: str) -> tuple[Array, Array, Array]:
    """Return tau, r and v_leak of neurons; of those that keep all of v, endless tau and r and no leak.

    Raises:
        UnsupportedNodeError: One of these drifts, or scales what it takes.
    """
    keeps = beta == 1
    if np.any(keeps & ((drift != 0) | (gain != 1))):
        raise UnsupportedNodeError(
            "some of its neurons leak and some do not, and one that does not drifts or scales its input",
            where=where,
            help="train all with a leak, or none, or with an input gain of 1",
        )
    lost = np.where(keeps, 1.0, 1 - beta)
    tau, r = np.where(keeps, np.inf, dt_s / lost), np.where(keeps, np.inf, gain / lost)
    return tau, r, drift / lost


def _check_current(site: Site, alpha: Any) -> None:
    kept = np.asarray(alpha)
    site.need(
        bool(np.all(kept >= 0) and np.all(kept < 1)),
        "a current that keeps all of itself per step",
        "use decays below 1",
    )


def _check_decay(site: Site, beta: Any) -> None:
    kept = np.asarray(beta)
    site.need(
        bool(np.all(kept >= 0) and np.all(kept <= 1)),
        f"a neuron that keeps {np.ravel(beta)[0]:g} of its membrane per step; allowed are 0 to 1",
        "train with a decay in this range",
    )


def _more(
    site: Site, threshold: Any, v_start: Any, v_min: Any, max_spikes: int | None, refractory: int
) -> dict[str, Any]:
    """Return what NIR has no field for, where it is not as by default, as a node's metadata says it."""
    site.need(
        max_spikes == 1 or bool(np.all(np.asarray(threshold) > 0)),
        "several spikes a step at a threshold of 0 or less",
        "train with thresholds above 0",
    )
    found: dict[str, Any] = {} if max_spikes == 1 else {"max_spikes": max_spikes or 0}
    found |= {} if refractory == 1 else {"refractory": refractory}
    found |= {} if v_min is None else {"v_min": v_min}
    return found | ({"v_start": v_start} if np.any(v_start) else {})


def _written(more: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    return {key: p if np.ndim(p) == 0 else full(p, shape) for key, p in more.items()}


def each_to_itself(made: nn.Module, weight: Any, site: Site) -> nn.Module:
    """Return a neuron with a synapse of this weight from each of its neurons to itself, one step late.

    Raises:
        UnsupportedNodeError: Weights that differ between the pixels of a map: a convolution shares them.
    """
    whole = full(weight, site.shape)
    if not np.any(whole):
        return made
    if len(site.shape) == 1:
        return recurrent(made, np.diag(whole), None, site)
    site.need(
        len(site.shape) == 3 and bool(np.all(whole == whole[:, :1, :1])),
        "a synapse of each neuron to itself whose weight differs between pixels",
        "use one value a channel",
    )
    kernel = np.zeros((len(whole), len(whole), 1, 1))
    kernel[range(len(whole)), range(len(whole)), 0, 0] = whole[:, 0, 0]
    return recurrent(made, kernel, None, site)


def recurrent(made: nn.Module, weight: Any, bias: Any, site: Site) -> nn.Module:
    """Return a neuron with synapses from its spikes to itself, one step late: a matrix (n, n), or a kernel (C, C, k, k).

    Raises:
        UnsupportedNodeError: The weights do not lead from the neurons back to them.
    """
    weight, shape = np.asarray(weight, np.float64), site.shape
    square = weight.shape[0] == weight.shape[1] == shape[0] and all(k % 2 for k in weight.shape[2:])
    site.need(
        square and weight.ndim == {1: 2, 3: 4}.get(len(shape)),
        f"recurrent weights of shape {weight.shape} for neurons of shape {shape}",
        "use a matrix over features, or a kernel of odd size over maps",
    )
    diagonal = weight.ndim == 4 and not np.any(weight * (1 - np.eye(len(weight)))[:, :, None, None])

    def loop(_: tuple[int, ...]) -> nir.NIRNode:
        if weight.ndim == 2:
            return nir.Linear(weight) if bias is None else nir.Affine(weight, np.asarray(bias, np.float64))
        c = len(weight)
        return nir.Conv2d(
            input_shape=shape[1:],
            weight=weight[range(c), range(c)][:, None].copy() if diagonal else weight,
            stride=(1, 1),
            padding=tuple(k // 2 for k in weight.shape[2:]),
            dilation=(1, 1),
            groups=c if diagonal else 1,
            bias=np.zeros(c) if bias is None else np.asarray(bias, np.float64),
        )

    if isinstance(made, NodeModule):
        made.loop = loop
        return made
    from spikewright.export.torch_to_nir.attention import neuron as written

    out = NodeModule(lambda s, o, dt_s, where: written(made, s, dt_s, where), spiking=True)  # type: ignore[arg-type]
    out.loop = loop
    return out


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


def ma(
    lif: nn.Module | None, site: Site, *, dims: str, weights: Mapping[str, Tensor], rectifier: Rectifier = "relu"
) -> nn.Module:
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
    alone = MAAttention(T, C, plane, dims=dims, kernel=kernel, reduction_t=rt, reduction_c=rc, rectifier=rectifier)
    made = alone.with_neuron(lif) if isinstance(lif, LIF) else alone
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
