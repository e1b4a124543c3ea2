r"""A gate that attends to nothing, ours: MA-SNN's fair twins, to tell attention from the scaling and the ReLU it comes with.

From the current X (T, B, ...) to spikes, one learnable number a for the whole layer::

    X = g X,  g = sigmoid(a)        (gain)
    X = relu(X)                     (relu)
    S = neuron(X)

MA's gates are products of sigmoids, always below 1, and near sigmoid(0)^dims before training; its released code adds a ReLU.
A layer with that gain and that ReLU, and nothing that looks at the data, shows what they do by themselves. Behind a batch
norm the gain adds no function (the norm's own scale could take it up): it changes where training starts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from spikewright.models.errors import ModelError
from spikewright.models.neurons import LIF

GATE_AT_REST = 0.5
"""sigmoid(0): one of MA's gates at score 0."""


class ScalarGainLIF(nn.Module):
    """A neuron behind a scalar gain and, if asked for, a ReLU; equations above.

    Args:
        neuron: The spiking neuron.
        gain: g at the start, above 0 to 1; exactly 1 stays 1 (its gradient is 0); None: no gain.
        relu: Whether negative current is cut off.
    """

    score: nn.Parameter  # ()

    def __init__(self, neuron: LIF, *, gain: float | None = None, relu: bool = False) -> None:
        super().__init__()
        if gain is not None and not 0.0 < gain <= 1.0:
            raise ModelError(
                f"gain {gain}; allowed are above 0 to 1", where="ScalarGainLIF", help=f"use gain={GATE_AT_REST**3}"
            )
        self.neuron, self.scaled, self.relu = neuron, gain is not None, relu
        if gain is not None:
            self.score = nn.Parameter(torch.tensor(math.inf if gain == 1.0 else math.log(gain / (1.0 - gain))))

    @property
    def gain(self) -> Tensor:
        """g, (); 1 without a gain."""
        return torch.sigmoid(self.score) if self.scaled else torch.ones(())

    def forward(self, current: Tensor) -> Tensor:
        """Return the spikes (T, B, ...) of a current (T, B, ...), from zero state."""
        if self.scaled:
            current = self.gain * current
        spikes: Tensor = self.neuron(torch.relu(current) if self.relu else current)
        return spikes

    def extra_repr(self) -> str:
        """Return the arguments, for ``print(module)``."""
        return f"gain={float(self.gain.detach()):.3g}, relu={self.relu}"
