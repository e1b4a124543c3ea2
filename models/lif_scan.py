"""The LIF recurrence over T as one compiled loop each way, for tensors on a CPU; what the loop in torch gives, in fewer passes.

    u[t] = beta v[t-1] + gain x[t];   s[t] = [u[t] > theta] or [u[t] >= theta];   v[t] = u[t] after reset
    du[t] = dv[t] (1 - r[t]) + (ds[t] + dr[t]) d[t],   dr[t] = v_reset dv[t] - u[t] dv[t]   (reset to a value)
    du[t] = dv[t] + (ds[t] + dr[t]) d[t],              dr[t] = -theta dv[t]                 (reset by subtraction)
    dx[t] = gain du[t];   dv[t-1] = beta du[t];   d = the surrogate's ds/du;   dr = 0 where the reset is detached

Spikes, membranes and gradients are torch's to the bit (up to the order of one sum where v_reset is not 0). A step of x may lie
in memory as it likes (channels last, say); the result lies the same way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikewright.hw_sim.jit import kernel
from spikewright.models.surrogate import ATan, Rectangular, Surrogate, Triangular

if TYPE_CHECKING:
    from spikewright.models.neurons import LIF, Neuron

RECTANGULAR, TRIANGULAR, ATAN, OTHER = range(4)
"""Surrogates the loop knows by itself; another one's derivative is computed by torch beforehand."""
BLOCK = 4096
"""Elements whose membranes stay in the cache while T is walked."""

Array = NDArray[Any]


@kernel
def _forward(
    x: Array, u: Array, s: Array, last: Array, beta: Any, gain: Any, theta: Any, v_reset: Any, strict: bool,
    subtract: bool,
) -> None:  # fmt: skip
    """Write membranes ``u``, spikes ``s`` (T, N) and the membrane after the last reset ``last`` (N,) of currents x (T, N)."""
    steps, size = u.shape
    zero, one = u.dtype.type(0), u.dtype.type(1)
    for start in range(0, size, BLOCK):
        count = min(BLOCK, size - start)
        v = last[start : start + count]
        for t in range(steps):
            for i in range(count):
                drive = gain * x[t, start + i]
                membrane = drive if t == 0 else beta * v[i] + drive
                fires = membrane > theta if strict else membrane >= theta
                spike = one if fires else zero
                u[t, start + i] = membrane
                s[t, start + i] = spike
                v[i] = membrane - theta * spike if subtract else membrane * (one - spike) + v_reset * spike


@kernel
def _backward(  # noqa: C901 (kinds of surrogates, each a loop that vectorises)
    u: Array, kind: int, p: Any, q: Any, centre: Any, d: Array, ds: Array, dv: Array, dx: Array, beta: Any, gain: Any,
    theta: Any, v_reset: Any, strict: bool, subtract: bool, detached: bool,
) -> None:  # fmt: skip
    """Write the gradient ``dx`` (T, N) from those of the spikes ``ds`` and of the last membrane ``dv`` (N,), overwritten."""
    steps, size = u.shape
    zero, one = u.dtype.type(0), u.dtype.type(1)
    bump = np.empty(BLOCK, u.dtype)
    for start in range(0, size, BLOCK):
        count = min(BLOCK, size - start)
        carried = dv[start : start + count]
        for t in range(steps - 1, -1, -1):
            if kind == RECTANGULAR:
                for i in range(count):
                    bump[i] = q if abs(u[t, start + i] - theta - centre) < p else zero
            elif kind == TRIANGULAR:
                for i in range(count):
                    bump[i] = max(p - abs(u[t, start + i] - theta), zero) / q
            elif kind == ATAN:
                for i in range(count):
                    y = q * (u[t, start + i] - theta)
                    bump[i] = p / (y * y + one)
            else:
                for i in range(count):
                    bump[i] = d[t, start + i]
            for i in range(count):
                membrane = u[t, start + i]
                fires = membrane > theta if strict else membrane >= theta
                spike = one if fires else zero
                reset = zero
                kept = carried[i] if subtract else carried[i] * (one - spike)
                if not detached:
                    reset = -(theta * carried[i]) if subtract else v_reset * carried[i] - carried[i] * membrane
                du = kept + (ds[t, start + i] + reset) * bump[i]
                dx[t, start + i] = gain * du
                carried[i] = beta * du


def fits(steps: Tensor) -> bool:
    """Whether currents (T, ...) can be scanned: on the CPU, float32 or float64, each step dense in memory."""
    if steps.device.type != "cpu" or steps.dtype not in (torch.float32, torch.float64) or steps.numel() == 0:
        return False
    expected = 1
    for stride, size in sorted((st, n) for st, n in zip(steps[0].stride(), steps.shape[1:], strict=True) if n > 1):
        if stride != expected:
            return False
        expected *= size
    return True


def scan(neuron: LIF, current: Tensor) -> Tensor:
    """Return the spikes (T, ...) of currents that ``fits``, from zero state."""
    spikes: Tensor = _Scan.apply(current, neuron, neuron.beta, neuron.gain)[0]  # type: ignore[no-untyped-call]
    return spikes


def fire(neuron: Neuron, membrane: Tensor) -> tuple[Tensor, Tensor]:
    """Return one step's spikes and the membrane after reset; ``membrane[None]`` ``fits``."""
    spikes, after = _Scan.apply(membrane[None], neuron, 0.0, 1.0)  # type: ignore[no-untyped-call]
    return spikes[0], after


class _Scan(torch.autograd.Function):
    """From currents (T, ...) to spikes (T, ...) and the membrane after the last reset, both differentiable."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, neuron: Neuron, beta: float, gain: float) -> tuple[Tensor, Tensor]:
        once = x.shape[0] == 1 and gain == 1.0  # u = x: written over by itself
        s, last = _like(x), torch.empty_strided(x.shape[1:], x.stride()[1:], dtype=x.dtype)
        u = x if once else _like(x)
        _forward(_flat(x), _flat(u), _flat(s), _flat(last[None])[0], *_constants(neuron, x, beta, gain))
        ctx.neuron, ctx.beta, ctx.gain = neuron, beta, gain
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(u)
        return s, last

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor, None, None, None]:
        (u,) = ctx.saved_tensors
        neuron: Neuron = ctx.neuron
        kind, p, q, centre = _shape(neuron.surrogate)
        d = neuron.surrogate.derivative(u - neuron.v_threshold) if kind == OTHER else u
        ds = _like(u).zero_() if grads[0] is None else _as(grads[0], u)
        dv, dx, number = _like(u[:1]), _like(u), _number(u)
        if grads[1] is None:
            dv.zero_()
        else:
            dv.copy_(grads[1][None])
        _backward(
            _flat(u), kind, number(p), number(q), number(centre), _flat(_as(d, u)), _flat(ds), _flat(dv)[0],
            _flat(dx), *_constants(neuron, u, ctx.beta, ctx.gain), neuron.detach_reset,
        )  # fmt: skip
        return dx, None, None, None


def _shape(surrogate: Surrogate) -> tuple[int, float, float, float]:
    """Return a surrogate's kind and three constants for the loop."""
    match surrogate:
        case Rectangular(half_width=half, height=height, centre=centre):
            return RECTANGULAR, half, height, centre
        case Triangular(gamma=gamma):
            return TRIANGULAR, gamma, gamma**2, 0.0
        case ATan(alpha=alpha):
            return ATAN, alpha / 2.0, math.pi / 2.0 * alpha, 0.0
        case _:
            return OTHER, 0.0, 0.0, 0.0


def _constants(neuron: Neuron, like: Tensor, beta: float, gain: float) -> tuple[Any, ...]:
    number = _number(like)
    numbers = (number(value) for value in (beta, gain, neuron.v_threshold, neuron.v_reset))
    return *numbers, neuron.comparison == ">", neuron.reset == "subtract"


def _number(like: Tensor) -> Callable[[float], Any]:
    """Return the scalar type that multiplies ``like`` as a Python number does in torch."""
    return np.float32 if like.dtype == torch.float32 else np.float64


def _like(x: Tensor) -> Tensor:
    """Return an empty tensor of the shape of ``x``, its steps laid out as those of ``x``, one behind the other."""
    return torch.empty_strided(x.shape, (x[0].numel(), *x.stride()[1:]), dtype=x.dtype)


def _as(x: Tensor, like: Tensor) -> Tensor:
    """Return ``x`` with its steps laid out as those of ``like``."""
    return x if x.stride()[1:] == like.stride()[1:] else _like(like).copy_(x)


def _flat(x: Tensor) -> Array:
    """View (T, ...) with dense steps as (T, N), in the order of memory."""
    view: Array = x.detach().as_strided((x.shape[0], x[0].numel()), (x.stride(0), 1)).numpy()
    return view
