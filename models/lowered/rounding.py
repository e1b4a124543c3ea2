r"""Rounding with a straight-through gradient: forward what the chip computes, backward what it rounds.

    through(x, y) = y,   d/dx = 1

All integers are floats here: below 2^24 they are exact in float32, products of two are made in float64.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spikewright.hw_sim.fixed_point import DECAY_ONE, STATE_LIMIT, STATE_MAX


class _Through(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rounded: Tensor) -> Tensor:
        return rounded.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def through(x: Tensor, rounded: Tensor) -> Tensor:
    """Return ``rounded``, of the shape of ``x``, with the gradient of ``x``."""
    found: Tensor = _Through.apply(x, rounded)  # type: ignore[no-untyped-call]
    return found


def decayed(state: Tensor, keep: Tensor) -> Tensor:
    """Return ``hw_sim.fixed_point.decay``: ``keep`` of 4096 parts of a state, towards zero."""
    exact = torch.trunc(state.detach().double() * keep.double() / DECAY_ONE)
    return through(state * (keep / DECAY_ONE), exact)


def gained(value: Tensor, level: Tensor, one: int) -> Tensor:
    """Return ``hw_sim.fixed_point.gain``: a value times level / one, towards zero."""
    exact = torch.trunc(value.detach().double() * level.detach().double() / one)
    return through(value * (level / one), exact)


def shifted(value: Tensor, exponent: int) -> Tensor:
    """Return a value times 2^exponent, rounded down."""
    scaled = value * 2.0**exponent
    return scaled if exponent >= 0 else through(scaled, torch.floor(scaled.detach()))


def wrapped(u: Tensor) -> Tensor:
    """Return ``hw_sim.fixed_point.wrap_current``."""
    u = torch.where(u > STATE_LIMIT, u - 2 * STATE_LIMIT, u)
    return torch.where(u <= -STATE_LIMIT, u + 2 * STATE_LIMIT, u)


def clipped(v: Tensor) -> Tensor:
    """Return ``hw_sim.fixed_point.clip_voltage``."""
    return v.clamp(-STATE_MAX, STATE_MAX)
