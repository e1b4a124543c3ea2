"""Gate functions h from a real score to a gain in [0, 1], and the guard of a layer made for one T.

    sigmoid  1 / (1 + exp(-x))
    hard     clip(x / 4 + 1/2, 0, 1)
    pow2     the nearest of {0, 1/8, 1/4, 1/2, 1} to hard(x), a tie upward: a shift on the chip
    binary   1 where hard(x) >= 1/2, else 0: a mask

``pow2`` and ``binary`` pass the gradient of ``hard`` straight through.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from spikewright.models.errors import ModelError, TimestepsError

Gate = Literal["sigmoid", "hard", "pow2", "binary"]
GATES: tuple[Gate, ...] = ("sigmoid", "hard", "pow2", "binary")

POW2_LEVELS = (0.0, 0.125, 0.25, 0.5, 1.0)
"""The gains a shift can make."""


def hard(x: Tensor) -> Tensor:
    """Return clip(x / 4 + 1/2, 0, 1)."""
    return (x / 4.0 + 0.5).clamp(0.0, 1.0)


def _nearest_pow2(y: Tensor) -> Tensor:
    level = torch.zeros_like(y)
    for low, high in pairwise(POW2_LEVELS):
        level = level + (y >= (low + high) / 2.0).to(y.dtype) * (high - low)
    return level


def apply_gate(gate: Gate, x: Tensor) -> Tensor:
    """Return the gain h(x) in [0, 1] of a score."""
    match gate:
        case "sigmoid":
            return torch.sigmoid(x)
        case "hard":
            return hard(x)
        case "pow2":
            y = hard(x)
            return y + (_nearest_pow2(y) - y).detach()
        case "binary":
            y = hard(x)
            return y + ((y >= 0.5).to(y.dtype) - y).detach()


def check_gate(gate: str, where: str) -> None:
    """Refuse a gate function that does not exist."""
    if gate not in GATES:
        raise ModelError(f"gate {gate!r}; allowed are {', '.join(GATES)}", where=where, help="use gate='hard'")


class FixedTimesteps(nn.Module):
    """A layer made for one number of steps T: refuses an input, and a checkpoint, of another.

    Args:
        timesteps: T.
    """

    def __init__(self, timesteps: int) -> None:
        super().__init__()
        if timesteps < 1:
            raise TimestepsError(
                f"T = {timesteps}; T is at least 1",
                where=type(self).__name__,
                help="give a positive number of timesteps",
            )
        self.timesteps = timesteps

    def check_timesteps(self, found: int) -> None:
        """Refuse an input of ``found`` steps other than T."""
        if found != self.timesteps:
            raise TimestepsError(
                f"input of T = {found}; the layer was made for T = {self.timesteps}",
                where=type(self).__name__,
                help=f"feed {self.timesteps} timesteps, or make and train the net with T = {found}",
            )

    def get_extra_state(self) -> Tensor:
        """Return T, to be kept with the weights."""
        return torch.tensor([self.timesteps])

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse weights of another T."""
        found = int(state.item())
        if found != self.timesteps:
            raise TimestepsError(
                f"weights trained for T = {found}; the layer was made for T = {self.timesteps}",
                where=type(self).__name__,
                help=f"make the net with T = {found}, or train it anew with T = {self.timesteps}",
            )


def register(module: nn.Module, parameters: Mapping[str, nn.Parameter]) -> None:
    """Register parameters under their names, in order."""
    for name, parameter in parameters.items():
        module.register_parameter(name, parameter)


def uniform(*shape: int, fan_in: int) -> nn.Parameter:
    """Make a parameter drawn from U(-1/sqrt(fan_in), 1/sqrt(fan_in)): torch's default for linear maps and convolutions."""
    bound = fan_in**-0.5
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))
