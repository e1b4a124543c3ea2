r"""STAA-style spatial-temporal attention aggregator, after Zhang et al., "STAA-SNN", CVPR 2025 (arXiv 2503.02689).

provenance: reconstruction. No code and no full text were available: only the pieces' names, their order and a few constants
are the authors'; placements, shapes and the norm are ours. Results must be called "STAA-style".

``reconstruction``, from a layer's current X (T, B, C, H, W) to graded spikes::

    position      X[t] = X[t] + pe[t]                                                   pe (T, C)
    aggregator    k = softmax_HW(gc_key . X[t]);  c = sum_HW k X[t]                     ("softmax")
                  c = mean_HW S[t - 1], from this layer's own spikes, c[0] = 0          ("count")
                  X[t] = h(gc_value relu(LN(gc_query c))) X[t]                          compression r = 4
    adaptive LIF  V = M V + N X[t];  S[t] = [V >= threshold];  V = 0 where S            M, N per channel
    step att.     y[t] = a[t] S[t],  a = h(sa_w1 relu(sa_w0 mean_CHW S)) over all T
    TSRD          in training, y[t] = S[t] with probability ``skip`` per step: the attention of that step is left out

``causal``, ours, for hardware: position as above (or none); the aggregator's spike-count form and the step attention become
gates on the current from the layer's own earlier spikes, see ``models.attention.causal`` with dims "TC"; the output is binary.
TSRD then opens all gates of a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear

from spikewright.models.attention.causal import (
    CountGates,
    GateStep,
    GateTrace,
    causal_parameters,
    check_causal,
    spikes_of,
    trace_of,
)
from spikewright.models.attention.gates import Gate, apply_gate, check_gate, register, uniform
from spikewright.models.errors import ModelError
from spikewright.models.neurons import AdaptiveLIF, Neuron

Variant = Literal["reconstruction", "causal"]
PROVENANCE = "reconstruction"
COMPRESSION = 4
"""r of the aggregator; the paper's best."""
SKIP = 0.1
"""beta of TSRD, time-step random dropout; the paper's best."""
POSITION_STD = 0.02
"""Standard deviation of the position encoding at the start; ours."""


class STAALIF(CountGates):
    """Position encoding, spatial aggregator, adaptive LIF and step attention in one layer; equations above.

    Args:
        T: Timesteps; baked into the position encoding and the step attention.
        channels: C.
        variant: ``"reconstruction"`` or ``"causal"``.
        aggregator: ``"softmax"`` or ``"count"``, for the reconstruction; causal is always by count.
        gate: The gate function; None: hard for causal, else sigmoid.
        gate_delay: Steps from the spikes a causal gate counts to the step it acts on; at least 3.
        decay: lambda, the share of a causal count kept per step.
        reduction_c: r, the aggregator's compression.
        position: Whether there is a position encoding.
        skip: Probability of TSRD per step, in training.
        neuron: The neuron; None: ``AdaptiveLIF(channels)``.
    """

    kind = "staa"

    pe: nn.Parameter  # (T, C)
    gc_key: nn.Parameter  # (1, C)
    gc_query: nn.Parameter  # (C // r, C)
    gc_scale: nn.Parameter  # (C // r,), LN
    gc_shift: nn.Parameter  # (C // r,), LN
    gc_value: nn.Parameter  # (C, C // r)
    sa_w0: nn.Parameter  # (T // 2, T)
    sa_w1: nn.Parameter  # (T, T // 2)

    def __init__(
        self,
        T: int,
        channels: int,
        *,
        variant: Variant = "reconstruction",
        aggregator: Literal["softmax", "count"] = "softmax",
        gate: Gate | None = None,
        gate_delay: int = 3,
        decay: float = 1.0,
        reduction_c: int = COMPRESSION,
        position: bool = True,
        skip: float = SKIP,
        neuron: Neuron | None = None,
    ) -> None:
        super().__init__(T)
        causal = variant == "causal"
        _check(variant, aggregator, channels // reduction_c, T if causal else T // 2, skip)
        self.gate: Gate = gate if gate is not None else "hard" if causal else "sigmoid"
        check_gate(self.gate, "STAALIF")
        self.channels, self.dims, self.variant, self.aggregator = channels, "TC", variant, aggregator
        self.gate_delay, self.decay, self.position, self.skip = gate_delay, float(decay), position, skip
        if causal:
            check_causal("STAALIF", self.dims, gate_delay, decay)
        self.neuron = neuron if neuron is not None else AdaptiveLIF(channels)
        parameters: dict[str, nn.Parameter] = {}
        if position:
            parameters["pe"] = nn.Parameter(POSITION_STD * torch.randn(T, channels))
        if causal:
            parameters |= causal_parameters(self.dims, channels, channels // reduction_c, 1)
        else:
            parameters |= _reconstruction_parameters(T, channels, channels // reduction_c, aggregator)
        register(self, parameters)

    def forward(self, current: Tensor) -> Tensor:
        """Return the spikes, graded by the step attention (causal: binary), of the shape of ``current``.

        It is (T, B, C, H, W).
        """
        spikes = spikes_of(self._steps(current))
        if self.variant == "causal":
            return spikes
        return self.step_gains(spikes)[:, :, None, None, None] * spikes

    def trace(self, current: Tensor) -> GateTrace:
        """Return binary spikes, membrane before reset and the gains on the current, all of its shape.

        It is (T, B, C, H, W).
        """
        return trace_of(self._steps(current))

    def _steps(self, current: Tensor) -> Iterator[GateStep]:
        self.check_timesteps(current.shape[0])
        if current.ndim != 5 or current.shape[2] != self.channels:
            raise ModelError(
                f"current of shape {tuple(current.shape)}; expected (T, B, {self.channels}, H, W)",
                where="STAALIF",
                help="make the layer with the channels of the current it reads",
            )
        x = current + self.pe[:, None, :, None, None] if self.position else current
        return self.causal_steps(self.neuron, x) if self.variant == "causal" else self._reconstruction(x)

    def options(self) -> dict[str, str | int | float]:
        """Return the options of the block."""
        return {name: getattr(self, name) for name in ("variant", "gate", "gate_delay", "decay")}

    def step_gains(self, spikes: Tensor) -> Tensor:
        """Return the step attention a (T, B) of binary spikes; 1 where TSRD skips a step."""
        score = linear(torch.relu(linear(spikes.flatten(2).mean(2).t(), self.sa_w0)), self.sa_w1).t()
        gain = apply_gate(self.gate, score)
        return torch.where(self._skipped(gain)[:, None], torch.ones_like(gain), gain)

    def _skipped(self, like: Tensor) -> Tensor:
        """Draw which steps go without attention (T,); none in evaluation."""
        if not self.training or self.skip == 0.0:
            return torch.zeros(self.timesteps, dtype=torch.bool, device=like.device)
        return torch.rand(self.timesteps, device=like.device) < self.skip

    def _reconstruction(self, x: Tensor) -> Iterator[GateStep]:
        v: Tensor | None = None
        s = torch.zeros_like(x[0])
        for current in x:
            gain = self._aggregate(current, s)[:, :, None, None]
            u = self.neuron.integrate(v, gain * current)
            s, v = self.neuron.fire(u)
            yield GateStep(s, u, gain)

    def _aggregate(self, current: Tensor, before: Tensor) -> Tensor:
        """Return the aggregator's gains (B, C) from a step's current and the step before's spikes, (B, C, H, W)."""
        if self.aggregator == "softmax":
            maps = current.flatten(2)
            weight = torch.softmax((self.gc_key @ maps), dim=2)
            context = (weight * maps).sum(2)
        else:
            context = before.flatten(2).mean(2)
        hidden = linear(context, self.gc_query)
        hidden = torch.relu(layer_norm(hidden, hidden.shape[1:], self.gc_scale, self.gc_shift))
        return apply_gate(self.gate, linear(hidden, self.gc_value))

    def _next_gain(self, s: Tensor, counts: dict[str, Tensor]) -> Tensor:
        gain = super()._next_gain(s, counts)
        if self.training and self.skip > 0.0 and float(torch.rand(())) < self.skip:
            return torch.ones_like(gain)
        return gain

    def extra_repr(self) -> str:
        """Return the arguments, for ``print(module)``."""
        return f"T={self.timesteps}, channels={self.channels}, variant={self.variant}, gate={self.gate}, {PROVENANCE}"


def _reconstruction_parameters(t: int, c: int, hidden: int, aggregator: str) -> dict[str, nn.Parameter]:
    parameters = {"gc_key": uniform(1, c, fan_in=c)} if aggregator == "softmax" else {}
    return parameters | {
        "gc_query": uniform(hidden, c, fan_in=c),
        "gc_scale": nn.Parameter(torch.ones(hidden)),
        "gc_shift": nn.Parameter(torch.zeros(hidden)),
        "gc_value": uniform(c, hidden, fan_in=hidden),
        "sa_w0": uniform(t // 2, t, fan_in=t),
        "sa_w1": uniform(t, t // 2, fan_in=t // 2),
    }


def _check(variant: str, aggregator: str, hidden_c: int, hidden_t: int, skip: float) -> None:
    if variant not in ("reconstruction", "causal"):
        raise ModelError(
            f"variant {variant!r}; allowed are reconstruction, causal", where="STAALIF", help="use variant='causal'"
        )
    if aggregator not in ("softmax", "count"):
        raise ModelError(
            f"aggregator {aggregator!r}; allowed are softmax, count", where="STAALIF", help="use aggregator='count'"
        )
    if hidden_c < 1 or hidden_t < 1:
        raise ModelError("no hidden unit is left", where="STAALIF", help="use T >= 2 and reduction_c <= channels")
    if not 0.0 <= skip < 1.0:
        raise ModelError(f"skip {skip}; allowed are 0 to below 1", where="STAALIF", help="use skip=0.1")
