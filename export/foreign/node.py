"""A module that stands for a NIR node: what a foreign class becomes where none of our modules says it."""

from __future__ import annotations

from collections.abc import Callable

import nir
from torch import Tensor, nn

Shape = tuple[int, ...]


class NodeModule(nn.Module):
    """A leaf that is written as the NIR node ``make(shape, out, dt_s, where)``; it is never run.

    Args:
        make: Shape of the input, shape of the output (T and B left out), length of a timestep in s and a place to the node.
        spiking: Whether its output is spikes, compared one by one.
    """

    def __init__(self, make: Callable[[Shape, Shape, float, str], nir.NIRNode], *, spiking: bool = False) -> None:
        super().__init__()
        self.make, self.spiking = make, spiking
        self.loop: Callable[[Shape], nir.NIRNode] | None = None  # a synapse from its spikes to itself, one step late

    def forward(self, x: Tensor) -> Tensor:
        """Refuse: what it computes is the foreign module's."""
        raise NotImplementedError("a NodeModule stands for a NIR node and is not run")
