"""Causal gates, ours, for hardware: spike counts of the layer's own output S, d = ``gate_delay`` steps late, gate its current.

m = lambda m + mean_CHW S / T;   g_T[t + d] = h(ta_w m + ta_b)
n = lambda n + mean_HW S / T;    g_C[t + d] = h(ca_w1 relu(ca_w0 n) + ca_b)
a = lambda a + mean_C S / T;     g_S[t + d] = h(sa_kernel * a + sa_b)
X'[t] = g_T[t] g_C[t] g_S[t] X[t],   g[t < d] = 1;   then the neuron
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from spikewright.models.attention.gates import FixedTimesteps, Gate, apply_gate, uniform
from spikewright.models.errors import ModelError
from spikewright.models.layers import join_steps
from spikewright.models.neurons import Neuron

OPEN_GATE_BIAS = 1.8
"""Initial bias of a causal gate: hard(1.8) = 0.95, so training starts from an almost ungated net."""

CAUSAL_GAIN = 4.0
"""Initial scale of the causal gates' weights over torch's default: spike rates near 0.1 must still move a gate."""


class GateTrace(NamedTuple):
    """What a layer did: spikes, the membrane before reset, and the total gain on the current (or, paper, membrane)."""

    spikes: Tensor
    membrane: Tensor
    gains: Tensor


class GateStep(NamedTuple):
    """One step of a gated layer (B, C, H, W): spikes, membrane before reset, and the total gain; None: 1."""

    spikes: Tensor
    membrane: Tensor
    gain: Tensor | None


def spikes_of(steps: Iterable[GateStep]) -> Tensor:
    """Run all steps and keep their spikes (T, B, C, H, W)."""
    return join_steps([step.spikes for step in steps])


def trace_of(steps: Iterable[GateStep]) -> GateTrace:
    """Run all steps and keep everything."""
    kept = list(steps)
    gains = [torch.ones_like(u) if gain is None else gain.expand_as(u) for _, u, gain in kept]
    return GateTrace(join_steps([s for s, _, _ in kept]), join_steps([u for _, u, _ in kept]), join_steps(gains))


class CountGates(FixedTimesteps):
    """A layer that can gate its current by its own earlier spikes; see the equations above."""

    dims: str
    gate: Gate
    gate_delay: int
    decay: float
    ta_w: nn.Parameter  # ()
    ta_b: nn.Parameter  # ()
    ca_w0: nn.Parameter  # (C // r, C)
    ca_w1: nn.Parameter  # (C, C // r)
    ca_b: nn.Parameter  # (C,)
    sa_kernel: nn.Parameter  # (1, 1, k, k)
    sa_b: nn.Parameter  # ()

    def causal_steps(self, neuron: Neuron, x: Tensor) -> Iterator[GateStep]:
        """Run the steps of a current (T, B, C, H, W) through the gates and the neuron, from zero state."""
        v: Tensor | None = None
        counts: dict[str, Tensor] = {}
        pending: list[Tensor] = []
        for t, current in enumerate(x):
            gain = pending[t - self.gate_delay] if t >= self.gate_delay else None
            u = neuron.integrate(v, current if gain is None else gain * current)
            s, v = neuron.fire(u)
            if t + self.gate_delay < self.timesteps:
                pending.append(self._next_gain(s, counts))
            yield GateStep(s, u, gain)

    def _next_gain(self, s: Tensor, counts: dict[str, Tensor]) -> Tensor:
        """Add spikes (B, C, H, W) to the counts (updated in place) and return the gain, broadcastable to them."""
        gain: Tensor | None = None
        for d in self.dims:
            mean = s.mean({"T": (1, 2, 3), "C": (2, 3), "S": (1,)}[d], keepdim=True) / self.timesteps
            counts[d] = mean if d not in counts else self.decay * counts[d] + mean
            gate = apply_gate(self.gate, self._score(d, counts[d]))
            gain = gate if gain is None else gain * gate
        if gain is None:  # dims is never empty: checked in the constructors
            raise AssertionError("no dims")
        return gain

    def _score(self, d: str, count: Tensor) -> Tensor:
        match d:
            case "T":
                return self.ta_w * count + self.ta_b
            case "C":
                hidden = torch.relu(linear(count.flatten(1), self.ca_w0))
                return linear(hidden, self.ca_w1, self.ca_b)[:, :, None, None]
            case _:
                return conv2d(count, self.sa_kernel, self.sa_b.reshape(1), padding=self.sa_kernel.shape[-1] // 2)


def check_causal(where: str, dims: str, gate_delay: int, decay: float) -> None:
    """Refuse a delay shorter than the gate's way (3 synapses with a channel gate, else 2), and a decay outside 0 to 1.

    The delay is in steps.

    Raises:
        ModelError: The value, and what is allowed.
    """
    hops = 3 if "C" in dims else 2
    if gate_delay < hops:
        raise ModelError(
            f"gate_delay {gate_delay}; a causal gate over {dims} passes {hops} synapses, one step each",
            where=where,
            help=f"use gate_delay={hops} or more",
        )
    if not 0.0 <= decay <= 1.0:
        raise ModelError(f"decay {decay}; allowed are 0 to 1", where=where, help="use decay=1.0")


def causal_parameters(dims: str, channels: int, hidden: int, kernel: int) -> dict[str, nn.Parameter]:
    """Make the parameters of the gates over ``dims``: open, and steep enough to move."""
    parameters: dict[str, nn.Parameter] = {}
    if "T" in dims:
        parameters["ta_w"] = nn.Parameter(torch.tensor(-CAUSAL_GAIN))
        parameters["ta_b"] = nn.Parameter(torch.tensor(OPEN_GATE_BIAS))
    if "C" in dims:
        parameters["ca_w0"] = uniform(hidden, channels, fan_in=channels)
        parameters["ca_w1"] = uniform(channels, hidden, fan_in=hidden)
        parameters["ca_b"] = nn.Parameter(torch.full((channels,), OPEN_GATE_BIAS))
        with torch.no_grad():
            parameters["ca_w0"].mul_(CAUSAL_GAIN)
            parameters["ca_w1"].mul_(CAUSAL_GAIN)
    if "S" in dims:
        parameters["sa_kernel"] = uniform(1, 1, kernel, kernel, fan_in=kernel**2)
        parameters["sa_b"] = nn.Parameter(torch.tensor(OPEN_GATE_BIAS))
        with torch.no_grad():
            parameters["sa_kernel"].mul_(CAUSAL_GAIN)
    return parameters
