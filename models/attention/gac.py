r"""GAC: gated attention coding of the input, Qiu et al., AAAI 38(1):601-610, 2024 (arXiv 2308.06582), as in the released code.

From the stem's current I = BN(conv(x)), (T, B, C, H, W), to graded spikes O::

    S = neuron(I);   A = M(avg_CHW I) + M(max_CHW I),  M(v) = ta_w1 relu(ta_w0 v) over T, no gate function
    F_t = conv1 * relu(conv0 * I_t)     k x k, 'same' padding (k = 4: 1 left and top, 2 right and bottom), no bias
    O = h(A_t F_t) S

On a static image I_t is the same every step: A needs two pooled scalars (``closed_form_ta``) and F once, so the block runs
on the host before the first step. On events A looks at all T, and the block is not causal. The paper's figure feeds the
gate from the raw input; the released code, and this file, from I.

``causal``, ours, for events: A_t = ta[t], one learned number a step, instead of the pooled look at all T.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from spikewright.models.attention.gates import FixedTimesteps, Gate, apply_gate, check_gate, register, uniform
from spikewright.models.attention.ma import time_score
from spikewright.models.errors import ModelError
from spikewright.models.layers import over_steps
from spikewright.models.neurons import LIF


def conv_same(x: Tensor, kernel: Tensor) -> Tensor:
    """Convolve (N, C, H, W) with 'same' padding, the odd zero right and bottom."""
    before = (kernel.shape[-1] - 1) // 2
    after = kernel.shape[-1] - 1 - before
    return conv2d(pad(x, (before, after, before, after)), kernel)


def closed_form_ta(average: Tensor, maximum: Tensor, ta_w0: Tensor, ta_w1: Tensor) -> Tensor:
    """Return A (T, B) of static images from their pooled scalars avg_CHW I and max_CHW I, each (B,).

    ::

        r = row sums of ta_w0;  p = ta_w1 relu(r);  n = ta_w1 min(r, 0)
        A_t = (m p_t if m >= 0 else m n_t) + (a p_t if a >= 0 else a n_t)
    """
    rows = ta_w0.sum(1)
    positive, negative = ta_w1 @ rows.clamp(min=0.0), ta_w1 @ rows.clamp(max=0.0)
    return sum_of_sides(average, positive, negative) + sum_of_sides(maximum, positive, negative)


def sum_of_sides(scalar: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Return positive * scalar where it is >= 0, else negative * scalar; (T, B) of (B,) and (T,)."""
    return positive[:, None] * scalar.clamp(min=0.0) + negative[:, None] * scalar.clamp(max=0.0)


class GAC(FixedTimesteps):
    """The encoder from current to graded spikes O = h(A F) S; equations above.

    Args:
        neuron: The spiking neuron of the encoder (the paper's on CIFAR: N4).
        T: Timesteps; baked into ``ta_w0`` (T // 2, T) and ``ta_w1`` (T, T // 2).
        channels: C.
        kernel: Side of both spatial-channel convolutions.
        gate: The gate function; the paper's is the sigmoid.
        variant: ``"code"``, the released code, or ``"causal"``.
    """

    kind = "gac"

    ta_w0: nn.Parameter  # (T // 2, T)      code
    ta_w1: nn.Parameter  # (T, T // 2)      code
    ta: nn.Parameter  # (T,)                causal
    conv0: nn.Parameter  # (C, C, k, k)
    conv1: nn.Parameter  # (C, C, k, k)

    def __init__(
        self,
        neuron: LIF,
        T: int,
        channels: int,
        *,
        kernel: int = 4,
        gate: Gate = "sigmoid",
        variant: Literal["code", "causal"] = "code",
    ) -> None:
        super().__init__(T)
        check_gate(gate, "GAC")
        if variant not in ("code", "causal"):
            raise ModelError(
                f"variant {variant!r}; allowed are code, causal",
                where="GAC",
                help="use 'code' for images, 'causal' for events on a chip",
            )
        if T < 2 and variant == "code":
            raise ModelError(f"T = {T} // 2 leaves no hidden unit", where="GAC", help="use T >= 2")
        self.neuron, self.channels, self.kernel, self.gate, self.variant = neuron, channels, kernel, gate, variant
        if variant == "code":
            register(self, {"ta_w0": uniform(T // 2, T, fan_in=T), "ta_w1": uniform(T, T // 2, fan_in=T // 2)})
        else:
            register(self, {"ta": nn.Parameter(torch.ones(T))})
        fan_in = channels * kernel**2
        for name in ("conv0", "conv1"):
            self.register_parameter(name, uniform(channels, channels, kernel, kernel, fan_in=fan_in))

    def options(self) -> dict[str, str | int | float]:
        """Return the options of the block."""
        return {"variant": self.variant, "gate": self.gate}

    def gains(self, current: Tensor) -> Tensor:
        """Return the gate h(A F), of the shape of ``current``. It is (T, B, C, H, W)."""
        score = time_score(current, self.ta_w0, self.ta_w1) if self.variant == "code" else self.ta[:, None]
        return apply_gate(self.gate, score[:, :, None, None, None] * over_steps(self._space_channel, current))

    def forward(self, current: Tensor) -> Tensor:
        """Return the graded spikes O of a current (T, B, C, H, W), from zero state."""
        self.check_timesteps(current.shape[0])
        if current.ndim != 5 or current.shape[2] != self.channels:
            raise ModelError(
                f"current of shape {tuple(current.shape)}; expected (T, B, {self.channels}, H, W)",
                where="GAC",
                help="make the layer with the channels of the current it reads",
            )
        spikes: Tensor = self.neuron(current)
        return self.gains(current) * spikes

    def _space_channel(self, x: Tensor) -> Tensor:
        return conv_same(torch.relu(conv_same(x, self.conv0)), self.conv1)

    def extra_repr(self) -> str:
        """Return the arguments, for ``print(module)``."""
        return f"T={self.timesteps}, channels={self.channels}, kernel={self.kernel}, gate={self.gate}"


GatedAttentionCoding = GAC
"""The name it had up to version 0.1."""
