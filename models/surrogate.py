"""Surrogate gradients: a spike is a step forward, s = [u > theta] or [u >= theta], and ds/du backward is a chosen bump.

    rectangular          ds/du = height          for |x - centre| < half_width       (N1, N2, N3; N6 round u = 0)
    triangular           ds/du = max(0, gamma - |x|) / gamma^2              (N4)
    atan                 ds/du = (alpha / 2) / (1 + (pi alpha x / 2)^2)     (N5)
    piecewise quadratic  ds/du = max(0, alpha - alpha^2 |x|)                (N5)
    tanh                 ds/du = slope (1 - tanh^2(slope x)) / (2 tanh(slope / 2))   for |x| < 1/2   (N7)

with x = u - theta. Every bump of the papers has area 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


class Surrogate(Protocol):
    """A pseudo-derivative of the Heaviside step."""

    def derivative(self, x: Tensor) -> Tensor:
        """Return ds/du at x = u - theta."""


@dataclass(frozen=True)
class Rectangular:
    """ds/du = height for abs(x - centre) < half_width, else 0."""

    half_width: float = 0.5
    height: float = 1.0
    centre: float = 0.0

    def derivative(self, x: Tensor) -> Tensor:
        """Return ds/du at x = u - theta."""
        return ((x - self.centre).abs() < self.half_width).to(x.dtype) * self.height


@dataclass(frozen=True)
class Triangular:
    """ds/du = max(0, gamma - abs(x)) / gamma^2."""

    gamma: float = 1.0

    def derivative(self, x: Tensor) -> Tensor:
        """Return ds/du at x = u - theta."""
        return (self.gamma - x.abs()).clamp(min=0.0) / self.gamma**2


@dataclass(frozen=True)
class ATan:
    """ds/du = (alpha / 2) / (1 + (pi alpha x / 2)^2), as in SpikingJelly."""

    alpha: float = 2.0

    def derivative(self, x: Tensor) -> Tensor:
        """Return ds/du at x = u - theta."""
        return self.alpha / 2.0 / (1.0 + (math.pi / 2.0 * self.alpha * x) ** 2)


@dataclass(frozen=True)
class PiecewiseQuadratic:
    """ds/du = max(0, alpha - alpha^2 abs(x)), as in SpikingJelly."""

    alpha: float = 1.0

    def derivative(self, x: Tensor) -> Tensor:
        """Return ds/du at x = u - theta."""
        return (self.alpha - self.alpha**2 * x.abs()).clamp(min=0.0)


@dataclass(frozen=True)
class TanhWindow:
    """ds/du = slope (1 - tanh^2(slope x)) / (2 tanh(slope / 2)) for abs(x) < 1/2: a tanh step on the clamped membrane.

    The slope is ours: FSTA-SNN's settings, the source of N7, name the shape only.
    """

    slope: float = 3.0

    def derivative(self, x: Tensor) -> Tensor:
        """Return ds/du at x = u - theta."""
        bump = self.slope * (1.0 - torch.tanh(self.slope * x) ** 2) / (2.0 * math.tanh(self.slope / 2.0))
        return bump * (x.abs() < 0.5).to(x.dtype)


class _Spike(torch.autograd.Function):
    """The step forward, the surrogate backward."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, threshold: float, strict: bool, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(u)
        ctx.threshold, ctx.surrogate = threshold, surrogate
        return (u > threshold if strict else u >= threshold).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (u,) = ctx.saved_tensors
        return grads[0] * ctx.surrogate.derivative(u - ctx.threshold), None, None, None


def spike(u: Tensor, threshold: float, *, strict: bool, surrogate: Surrogate) -> Tensor:
    """Return 1 where the membrane passes the threshold (``strict``: >, else >=), differentiable by the surrogate."""
    result: Tensor = _Spike.apply(u, threshold, strict, surrogate)  # type: ignore[no-untyped-call]
    return result
