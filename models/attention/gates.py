"""Gate functions h of ``toolchain.gates`` in torch, and the guard of a layer made for one T.

``pow2`` and ``binary`` pass the gradient of ``hard`` straight through.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from spikewright.models.errors import ModelError, TimestepsError
from spikewright.toolchain.gates import GATES, POW2_LEVELS, GateName

Gate = GateName


def hard(x: Tensor) -> Tensor:
    """Return clip(x / 4 + 1/2, 0, 1). Of any shape (..., n)."""
    return (x / 4.0 + 0.5).clamp(0.0, 1.0)


def _nearest_pow2(y: Tensor) -> Tensor:
    level = torch.zeros_like(y)
    for low, high in pairwise(POW2_LEVELS.tolist()):
        level = level + (y >= (low + high) / 2.0).to(y.dtype) * (high - low)
    return level


def apply_gate(gate: Gate, x: Tensor) -> Tensor:
    """Return the gain h(x) in [0, 1] of a score. Of any shape (..., n)."""
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
    """Refuse a gate function that does not exist.

    Raises:
        ModelError: The name, and those that exist.
    """
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
        """Refuse an input of ``found`` steps other than T.

        Raises:
            TimestepsError: It has another number of steps.
        """
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
        """Refuse weights of another T.

        Raises:
            TimestepsError: They were trained for another number of steps.
        """
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
    """Make a parameter drawn from U(-1/sqrt(fan_in), 1/sqrt(fan_in)): torch's default for linear maps and convolutions.

    Source: He et al., arXiv:1502.01852, as ``torch.nn.Linear.reset_parameters`` calls it with a = sqrt(5).
    """
    bound = fan_in**-0.5
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))
