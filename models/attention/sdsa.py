r"""Spike-driven self-attention on binary spikes S = [q; k; v], (T, B, 3 C, H, W), tokens n = (h, w), step by step.

``channel``, SDSA-1 of the Spike-driven Transformer (Yao et al., NeurIPS 2023, arXiv 2307.01694)::

    y[c, n] = q[c, n] AND neuron(sum_n k[c, n] AND v[c, n])[c]

``token``, Q-K token attention of QKFormer (Zhou et al., NeurIPS 2024, arXiv 2403.16552), S = [q; k]::

    y[c, n] = k[c, n] AND neuron(sum_c q[c, n])[n]

``product``, SSA and SDSA-3: y = neuron(q (k^T v)), head by head.

One layer makes q, k and v: a 1 x 1 convolution to 3 C channels, batch norm, a neuron.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from spikewright.models.errors import ModelError
from spikewright.models.neurons import LIF

Variant = Literal["channel", "token", "product"]
PARTS: dict[str, int] = {"channel": 3, "token": 2, "product": 3}


class SpikeAttention(nn.Module):
    """Spikes [q; k; v] (``token``: [q; k]) to spikes; equations above.

    Args:
        neuron: Of the gates (``product``: behind the product); the papers' has beta 1/2 and threshold 1/2.
        channels: C.
        variant: ``"channel"``, ``"token"`` or ``"product"``.
        heads: Of ``product``.
    """

    kind = "spike-attention"

    def __init__(self, neuron: LIF, channels: int, *, variant: Variant = "channel", heads: int = 1) -> None:
        super().__init__()
        if variant not in PARTS or heads < 1 or channels % heads:
            raise ModelError(
                f"variant {variant!r}, heads {heads} of {channels} channels; allowed are {', '.join(PARTS)}, heads that "
                "divide the channels",
                where="SpikeAttention",
                help="use variant='channel'",
            )
        self.neuron, self.channels, self.variant, self.heads = neuron, channels, variant, heads

    def options(self) -> dict[str, str | int]:
        """Return the options of the block."""
        return {"variant": self.variant, "heads": self.heads}

    def sent(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape (C, H, W) of what it sends."""
        return (self.channels, *shape[1:])

    def forward(self, spikes: Tensor) -> Tensor:
        """Return the spikes (T, B, C, H, W)."""
        parts = PARTS[self.variant]
        if spikes.ndim != 5 or spikes.shape[2] != parts * self.channels:
            raise ModelError(
                f"spikes of shape {tuple(spikes.shape)}; expected (T, B, {parts * self.channels}, H, W)",
                where="SpikeAttention",
                help="let one layer send q, k and v beside each other",
            )
        q, k, *rest = spikes.chunk(parts, dim=2)
        if self.variant == "token":
            token: Tensor = self.neuron(q.sum(2, keepdim=True))
            return k * token
        if self.variant == "channel":
            channel: Tensor = self.neuron((k * rest[0]).sum((3, 4), keepdim=True))
            return q * channel
        rows = [part.flatten(3).unflatten(2, (self.heads, -1)) for part in (q, k, rest[0])]
        pairs = rows[1] @ rows[2].mT
        fired: Tensor = self.neuron((pairs.mT @ rows[0]).flatten(2, 3).unflatten(3, q.shape[3:]))
        return fired
