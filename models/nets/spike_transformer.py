"""A small Spike-driven Transformer: strided convolutions, blocks of self-attention and an MLP, shortcuts on the current.

    x = conv3-BN-neuron-conv3-BN (image);   per block:
    x = x + BN(conv1(attention(neuron(BN(conv1(neuron(x)))))))             the inner conv1 makes q, k and v beside each other
    x = x + BN(conv1(neuron(BN(conv1(neuron(x))))))
    logits[t] = FC(neuron(x));   answer: mean over T

Attention: ``channel`` is SDSA-1 of the Spike-driven Transformer (Yao et al., NeurIPS 2023), ``token`` that of QKFormer (Zhou et
al., NeurIPS 2024), see ``models.attention.sdsa``; neurons N5 (tau 2, threshold 1), of the attention with threshold 1/2, as
released. Ours are the size and the embedding: convolutions with stride 2 where the papers pool the maximum of currents, which
no event drives.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from spikewright.models.attention.sdsa import PARTS, SpikeAttention
from spikewright.models.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Linear
from spikewright.models.neurons import LIF, lif
from spikewright.models.surrogate import ATan

Kind = Literal["channel", "token", "none"]


def gate_neuron() -> LIF:
    """Make the neuron of the attention's gates."""
    return LIF(0.5, 0.5, gain=0.5, detach_reset=True, surrogate=ATan(2.0))


class Block(nn.Module):
    """One block, from currents (T, B, C, H, W) to currents.

    Args:
        channels: C.
        attention: ``"channel"``, ``"token"``, or ``"none"``: the twin, in which the same layer sends C spikes as they are.
        expansion: Hidden channels of the MLP over C.
    """

    def __init__(self, channels: int, attention: Kind, expansion: int) -> None:
        super().__init__()
        parts, hidden = PARTS.get(attention, 1), expansion * channels
        self.act1, self.act2, self.act3, self.act4 = (lif("N5") for _ in range(4))
        self.qkv, self.bn1 = Conv2d(channels, parts * channels, 1, bias=False), BatchNorm2d(parts * channels)
        kind = None if attention == "none" else attention
        self.attention = nn.Identity() if kind is None else SpikeAttention(gate_neuron(), channels, variant=kind)
        self.proj, self.bn2 = Conv2d(channels, channels, 1, bias=False), BatchNorm2d(channels)
        self.fc1, self.bn3 = Conv2d(channels, hidden, 1, bias=False), BatchNorm2d(hidden)
        self.fc2, self.bn4 = Conv2d(hidden, channels, 1, bias=False), BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's sum. From and to (T, B, C, H, W)."""
        x = x + self.bn2(self.proj(self.attention(self.act2(self.bn1(self.qkv(self.act1(x)))))))
        y: Tensor = x + self.bn4(self.fc2(self.act4(self.bn3(self.fc1(self.act3(x))))))
        return y


class SpikeTransformer(nn.Module):
    """The net; see above.

    Args:
        T: Timesteps.
        side: Side of the image in pixels.
        in_channels: 1 for grey images, 3 for color.
        classes: Number of logits.
        stem: Channels of the first convolution, whose neuron stands on the host.
        channels: C of the tokens.
        strides: Of the two convolutions.
        blocks: Number of blocks.
        expansion: Hidden channels of the MLPs over C.
        attention: ``"channel"``, ``"token"`` or ``"none"``.
        dropout: Probability in front of the logits.
    """

    def __init__(
        self,
        T: int = 4,
        side: int = 28,
        in_channels: int = 1,
        classes: int = 10,
        *,
        stem: int = 16,
        channels: int = 32,
        strides: tuple[int, int] = (2, 2),
        blocks: int = 1,
        expansion: int = 2,
        attention: Kind = "channel",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        first, second = strides
        self.embedding = nn.Sequential(
            Conv2d(in_channels, stem, 3, stride=first, padding=1, bias=False), BatchNorm2d(stem), lif("N5"),
            Conv2d(stem, channels, 3, stride=second, padding=1, bias=False), BatchNorm2d(channels),
        )  # fmt: skip
        for stride in strides:
            side = -(-side // stride)
        self.blocks = nn.Sequential(*(Block(channels, attention, expansion) for _ in range(blocks)))
        self.neuron, self.flatten, self.dropout = lif("N5"), Flatten(), Dropout(dropout)
        self.fc = Linear(channels * side**2, classes)

    def steps(self, x: Tensor) -> Tensor:
        """Return the logits of every step (T, B, classes)."""
        y: Tensor = self.fc(self.dropout(self.flatten(self.neuron(self.blocks(self.embedding(x))))))
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean logits (B, classes) of images (T, B, C, H, W)."""
        return self.steps(x).mean(0)
