"""TCJA-VAE's read-out: from the decoder's real output r (T, B, C, H, W) to an image, x = tanh(sum_t F[t] r[t]).

    Z = mean_HW r;   Q = CLA: conv over C, T to T;   P = TLA: conv over T, C to C;   F = h(P Q)  (T, B, C)

``bytecode``: as found compiled in a sister repository of the authors: CLA 1 tap, TLA 4 taps, stride 2, padding 9, made for one
image channel; output step i reads steps 2i - 9 .. 2i - 6, so the gates of i = 0, 1, 2, 13, 14, 15 are 1/2 (T = 16).
``clean``, ours: both 'same', any C.  Zhu et al., IEEE TNNLS, 2024, describe it as "TCJA, average over T, tanh".
provenance: bytecode (the published source has no VAE).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv1d

from spikewright.models.attention.gates import FixedTimesteps, Gate, apply_gate, check_gate, uniform
from spikewright.models.attention.tcja import channel_attention, time_attention
from spikewright.models.errors import ModelError

TAPS, STRIDE, PADDING = 4, 2, 9
"""TLA in the byte-code."""
BYTECODE_T = 16
"""The T for which stride 2 and padding 9 keep the length: (T + 18 - 4) / 2 + 1 = T."""


class TCJAReadout(FixedTimesteps):
    """Sum the decoder's steps, weighted by attention; equations above.

    Args:
        T: Timesteps; ``"bytecode"`` exists for 16 only.
        channels: C of the image; ``"bytecode"`` exists for 1 only.
        variant: ``"bytecode"`` or ``"clean"``.
        gate: The gate function.
    """

    def __init__(
        self, T: int = BYTECODE_T, channels: int = 1, variant: str = "bytecode", gate: Gate = "sigmoid"
    ) -> None:
        super().__init__(T)
        check_gate(gate, "TCJAReadout")
        if variant not in ("bytecode", "clean"):
            raise ModelError(
                f"variant {variant!r}; allowed are bytecode, clean", where="TCJAReadout", help="use variant='clean'"
            )
        if variant == "bytecode" and (channels != 1 or T != BYTECODE_T):
            raise ModelError(
                f"T = {T} and {channels} channels; the byte-code's read-out exists for T = 16 and 1 channel",
                where="TCJAReadout",
                help="use variant='clean'",
            )
        self.channels, self.variant, self.gate = channels, variant, gate
        cla_taps = 1 if variant == "bytecode" else TAPS
        self.tla = uniform(channels, channels, TAPS, fan_in=channels * TAPS)
        self.cla = uniform(T, T, cla_taps, fan_in=T * cla_taps)

    def time_scores(self, z: Tensor) -> Tensor:
        """Return P (T, B, C) of Z (T, B, C)."""
        if self.variant == "clean":
            return time_attention(z, self.tla, (TAPS - 1) // 2)
        return conv1d(z.permute(1, 2, 0), self.tla, stride=STRIDE, padding=PADDING).permute(2, 0, 1)

    def channel_scores(self, z: Tensor) -> Tensor:
        """Return Q (T, B, C) of Z (T, B, C)."""
        return channel_attention(z, self.cla)

    def forward(self, r: Tensor) -> Tensor:
        """Return the image (B, C, H, W) in (-1, 1)."""
        self.check_timesteps(r.shape[0])
        z = r.mean((3, 4))
        gain = apply_gate(self.gate, self.time_scores(z) * self.channel_scores(z))
        return torch.tanh((gain[..., None, None] * r).sum(0))
