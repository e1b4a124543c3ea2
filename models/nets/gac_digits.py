"""A small GAC-MS-ResNet for 8 x 8 images, direct coding: conv-BN-GAC, MS-ResNet blocks with identity shortcuts, read-out.

block(x) = BN(conv(LIF(BN(conv(LIF(x)))))) + x;   logits = mean over T of W AP(LIF(x)) + b
"""

from __future__ import annotations

from torch import Tensor, nn

from spikewright.models.attention.gac import GAC
from spikewright.models.attention.gates import Gate
from spikewright.models.layers import AvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear
from spikewright.models.nets.ms_resnet import BlockPlan, MSBlock
from spikewright.models.neurons import lif

SIDE = 8
"""Height and width of scikit-learn's digits, in pixels."""


class GACDigits(nn.Module):
    """Conv stem with gated attention coding, MS-ResNet blocks, read-out by the mean of the logits; neuron N4 throughout.

    Args:
        T: Timesteps.
        channels: C of every layer.
        blocks: Number of MS-ResNet blocks.
        classes: Number of logits.
        pool: Side of the pooling windows in front of the read-out; 8 is global.
        kernel: Side of GAC's two convolutions.
        gate: GAC's gate function.
        attention: False gives the vanilla twin: the encoder emits its binary spikes, O = S.
    """

    def __init__(
        self,
        T: int = 6,
        channels: int = 16,
        blocks: int = 2,
        classes: int = 10,
        *,
        pool: int = 4,
        kernel: int = 4,
        gate: Gate = "sigmoid",
        attention: bool = True,
    ) -> None:
        super().__init__()
        self.stem = Conv2d(1, channels, 3, padding=1, bias=False)
        self.bn = BatchNorm2d(channels)
        self.encoder = GAC(lif("N4"), T, channels, kernel=kernel, gate=gate) if attention else lif("N4")
        self.blocks = nn.Sequential(*(MSBlock(BlockPlan(channels, channels, 1, "N4", SIDE)) for _ in range(blocks)))
        self.lif = lif("N4")
        self.pool = AvgPool2d(pool)
        self.flatten = Flatten()
        self.fc = Linear(channels * (SIDE // pool) ** 2, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, classes) of images repeated T times (T, B, 1, 8, 8)."""
        x = self.encoder(self.bn(self.stem(x)))
        x = self.lif(self.blocks(x))
        logits: Tensor = self.fc(self.flatten(self.pool(x)))
        return logits.mean(0)
