"""DepthGate: a causal gate per channel, from counts of the neuron's own spikes S, d = ``gate_delay`` steps late.

    n = n + mean_HW S / T;   g[t + d] = h(weight n + bias);   X'[t] = g[t] X[t],   g[t < d] = 1;   then the neuron

MACs per sample: T C.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from spikewright.toolchain.blocks import AttentionOps
from spikewright.toolchain.blocks.causal import OwnSpikes
from spikewright.toolchain.ops import Affine, Array, Op, Shape


@dataclass(frozen=True, eq=False, kw_only=True)
class DepthGate(OwnSpikes):
    """The gate and its neuron; ``parameters``: weight (C,), bias (C,)."""

    kind: ClassVar[str] = "depth-gate"

    def expected(self) -> Mapping[str, tuple[int | None, ...]]:
        """Return the shapes of its parameters."""
        return dict.fromkeys(("weight", "bias"), self.shape[:1])

    def gate_shapes(self) -> dict[str, Shape]:
        """Return the shape of its gate."""
        return {"C": (self.shape[0], *(1,) * (len(self.shape) - 1))}

    def mean(self, dim: str, spikes: Array) -> Array:
        """Return what is counted of one step's spikes."""
        return np.asarray(spikes.mean(axis=tuple(range(2, spikes.ndim))))

    def score(self, dim: str, count: Array) -> Array:
        """Return the argument of h."""
        return self.parameters["weight"] * count + self.parameters["bias"]

    def drivers(self, dim: str) -> list[Op]:
        """Return spike-count synapses and the gate neuron."""
        space = prod(self.shape[1:])
        weight = np.repeat(np.diag(self.parameters["weight"]), space, axis=1) / (space * self.timesteps)
        count = Affine(name=f"{self.name}.count", inputs=(self.name,), block=self.block, weight=weight)
        return [count, self.gate_neuron("depth", count.name, dim, self.parameters["bias"])]

    def cost(self, spikes: float | None = None) -> AttentionOps:
        """Count its operations per sample."""
        elements = self.timesteps * prod(self.shape)
        counted = elements if spikes is None else spikes
        return AttentionOps(generate=self.timesteps * self.shape[0], refine=elements, pooling=counted)
