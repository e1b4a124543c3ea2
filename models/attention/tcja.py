r"""TCJA: temporal-channel joint attention, Zhu et al., IEEE TNNLS, 2024 (arXiv 2206.10177); released code for ``published``.

It stands behind a neuron and gates that neuron's binary spikes S (T, B, C, H, W) to graded ones Y = g S::

    Z[t, c] = mean_HW S[t, c]
    TLA: P[t, i] = sum_n sum_m tla[i, n, m] Z[t + m - before, n]      over time, C to C channels
    CLA: Q[t, c] = sum_u sum_m cla[t, u, m] Z[u, c + m - before]      over the channel index, T to T steps
    CCF: F[t, c] = h(P Q)        (stand-alone TLA: h(P); CLA: h(Q));   no bias anywhere

``published``: g = F; 'same' padding, before = (k - 1) // 2. TLA looks k - 1 - before steps ahead, CLA at all T.

``causal``, ours: TLA with before = k - 1; ``cla`` masked to u <= t, or, with ``cla_memory="count"``, one channel kernel over
running counts n = lambda n + Z / T, which needs no weights per step: Q[t, c] = sum_m cla[m] n[t, c + m - before]. With
d = ``gate_delay``: g[t] = F[t - d], g[t < d] = 1. d = 0 is the plain causal form; a chip needs 3 (count, mix, gate).

Naming trap: the authors' TCJA(kernel_size_t=a, kernel_size_c=b) is ``cla_kernel=a, tla_kernel=b`` here: their kernel_size_t
slides over channels, their kernel_size_c over time.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, pad

from spikewright.models.attention.causal import CAUSAL_GAIN
from spikewright.models.attention.gates import FixedTimesteps, Gate, apply_gate, check_gate, register, uniform
from spikewright.models.errors import ModelError

Variant = Literal["published", "causal"]
Dims = Literal["T", "C", "TC"]
DIMS: tuple[Dims, ...] = ("T", "C", "TC")
CHIP_DELAY = 3
"""Synapses on a causal gate's way, one step each: spikes to counts, counts to scores, gate to neuron."""


def time_attention(z: Tensor, tla: Tensor, before: int) -> Tensor:
    """Return P (T, B, C) of Z (T, B, C): a convolution over time with ``before`` zeros in front."""
    k = tla.shape[-1]
    return conv1d(pad(z.permute(1, 2, 0), (before, k - 1 - before)), tla).permute(2, 0, 1)


def channel_attention(z: Tensor, cla: Tensor) -> Tensor:
    """Return Q (T, B, C) of Z (T, B, C): a 'same' convolution over the channel index, steps as its channels."""
    k = cla.shape[-1]
    before = (k - 1) // 2
    return conv1d(pad(z.transpose(0, 1), (before, k - 1 - before)), cla).transpose(0, 1)


class TCJA(FixedTimesteps):
    """Gate binary spikes by time and channel, to graded spikes; equations above.

    Args:
        T: Timesteps; baked into the weights of CLA, and into the causal counts.
        channels: C; baked into the weights of TLA.
        tla_kernel: Taps of TLA over time.
        cla_kernel: Taps of CLA over the channel index.
        dims: ``"TC"``, or ``"T"`` for TLA alone, ``"C"`` for CLA alone.
        variant: ``"published"`` or ``"causal"``.
        gate: The gate function; None: hard for causal, else the papers' sigmoid.
        gate_delay: Steps from the spikes a causal gate counts to the step it acts on.
        cla_memory: Causal CLA: ``"table"``, one kernel per pair of steps u <= t, or ``"count"``, one kernel over counts.
        decay: lambda, the share of a count kept per step.
    """

    kind = "tcja"

    tla: nn.Parameter  # (C, C, k)
    cla: nn.Parameter  # (T, T, k); (1, 1, k) for cla_memory "count"

    def __init__(
        self,
        T: int,
        channels: int,
        *,
        tla_kernel: int = 4,
        cla_kernel: int = 4,
        dims: Dims = "TC",
        variant: Variant = "published",
        gate: Gate | None = None,
        gate_delay: int = CHIP_DELAY,
        cla_memory: Literal["table", "count"] = "table",
        decay: float = 1.0,
    ) -> None:
        super().__init__(T)
        _check(dims, variant, cla_memory, gate_delay, min(tla_kernel, cla_kernel), decay)
        self.gate: Gate = gate if gate is not None else "hard" if variant == "causal" else "sigmoid"
        check_gate(self.gate, "TCJA")
        self.channels, self.dims, self.variant = channels, dims, variant
        self.gate_delay, self.cla_memory, self.decay = gate_delay, cla_memory, float(decay)
        counted = variant == "causal" and cla_memory == "count"
        steps = 1 if counted else T
        parameters: dict[str, nn.Parameter] = {}
        if "T" in dims:
            parameters["tla"] = uniform(channels, channels, tla_kernel, fan_in=channels * tla_kernel)
        if "C" in dims:
            parameters["cla"] = uniform(steps, steps, cla_kernel, fan_in=steps * cla_kernel)
        if variant == "causal":  # rates near 0.1 must still move a gate that stands at 1/2 without spikes
            with torch.no_grad():
                for parameter in parameters.values():
                    parameter.mul_(CAUSAL_GAIN)
        register(self, parameters)

    def options(self) -> dict[str, str | int | float]:
        """Return the options of the block."""
        causal = self.variant == "causal"
        return {
            "dims": self.dims,
            "variant": self.variant,
            "gate": self.gate,
            "gate_delay": self.gate_delay if causal else 0,
            "memory": self.cla_memory if causal else "table",
            "decay": self.decay,
        }

    def gains(self, spikes: Tensor) -> Tensor:
        """Return the gains g (T, B, C) on spikes (T, B, C, H, W)."""
        z = spikes.flatten(3).mean(3)
        causal = self.variant == "causal"
        scores: list[Tensor] = []
        if "T" in self.dims:
            k = self.tla.shape[-1]
            scores.append(time_attention(z, self.tla, k - 1 if causal else (k - 1) // 2))
        if "C" in self.dims:
            scores.append(self._causal_channels(z) if causal else channel_attention(z, self.cla))
        gate = apply_gate(self.gate, scores[0] if len(scores) == 1 else scores[0] * scores[1])
        if not causal or self.gate_delay == 0:
            return gate
        late = min(self.gate_delay, self.timesteps)
        return torch.cat([torch.ones_like(gate[:late]), gate[: self.timesteps - late]])

    def _causal_channels(self, z: Tensor) -> Tensor:
        if self.cla_memory == "table":
            return channel_attention(z, torch.tril(self.cla.permute(2, 0, 1)).permute(1, 2, 0))
        counts = [z[0] / self.timesteps]
        for step in z[1:]:
            counts.append(self.decay * counts[-1] + step / self.timesteps)
        n = torch.stack(counts)
        return channel_attention(n.flatten(0, 1)[None], self.cla)[0].reshape(n.shape)

    def forward(self, spikes: Tensor) -> Tensor:
        """Return the graded spikes g S, of the shape of ``spikes``.

        They are (T, B, C, H, W).

        Raises:
            ModelError: They have other channels.
        """
        self.check_timesteps(spikes.shape[0])
        if spikes.ndim != 5 or spikes.shape[2] != self.channels:
            raise ModelError(
                f"spikes of shape {tuple(spikes.shape)}; expected (T, B, {self.channels}, H, W)",
                where="TCJA",
                help="make the layer with the channels of the spikes it reads",
            )
        return self.gains(spikes)[..., None, None] * spikes

    def extra_repr(self) -> str:
        """Return the arguments, for ``print(module)``."""
        return (
            f"T={self.timesteps}, channels={self.channels}, dims={self.dims}, variant={self.variant}, gate={self.gate}"
        )


def _check(dims: str, variant: str, memory: str, gate_delay: int, kernel: int, decay: float) -> None:
    for what, found, allowed, help in (
        ("dims", dims, DIMS, "use dims='TC'"),
        ("variant", variant, ("published", "causal"), "use variant='causal' for a chip"),
        ("cla_memory", memory, ("table", "count"), "use cla_memory='count' for a chip"),
    ):
        if found not in allowed:
            raise ModelError(f"{what} {found!r}; allowed are {', '.join(allowed)}", where="TCJA", help=help)
    if gate_delay < 0 or kernel < 1 or not 0.0 <= decay <= 1.0:
        raise ModelError(
            f"gate_delay {gate_delay}, kernel {kernel}, decay {decay}; allowed are gate_delay >= 0, kernels >= 1, decay 0 to 1",
            where="TCJA",
            help=f"use gate_delay={CHIP_DELAY}, kernels of 4 (or 2), decay=1.0",
        )
