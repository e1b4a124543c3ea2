"""STAA-style ResNets: a STAA layer for every activation of the sibling FSTA-SNN's ResNets. provenance: reconstruction.

    block(s) = act(BN(conv3(act(BN(conv3_s(s))))) + shortcut(s));   shortcut: identity, or conv1x1_s-BN;   GAP, FC, mean over T

| depth | stem                  | stages (channels x blocks)                                                    |
|-------|-----------------------|-------------------------------------------------------------------------------|
| 19    | conv3 128             | 128 x 3, 256 x 3 s2, 512 x 2 s2                                               |
| 20    | conv3 64 x 3, AP2     | 64 x 2, 128 x 2 s2, 256 x 2 s2, 512 x 2 s2                                    |
| 34    | conv7 s2 64, AP2      | 64 x 3, 128 x 4 s2, 256 x 6 s2, 512 x 3 s2   (the paper's pooling: unknown)   |

Zhang et al., "STAA-SNN", CVPR 2025, name the depths only; where STAA is plugged in is not known to us.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from spikewright.models.attention.gates import Gate
from spikewright.models.attention.staa import STAALIF, Variant
from spikewright.models.errors import ModelError
from spikewright.models.layers import AvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear
from spikewright.models.neurons import lif


@dataclass(frozen=True)
class STAAPlan:
    """Stem convolutions (channels, kernel, stride), pooling behind them, and stages (channels, blocks)."""

    stem: tuple[tuple[int, int, int], ...]
    pool: int
    stages: tuple[tuple[int, int], ...]


PLANS = {
    19: STAAPlan(((128, 3, 1),), 1, ((128, 3), (256, 3), (512, 2))),
    20: STAAPlan(((64, 3, 1),) * 3, 2, ((64, 2), (128, 2), (256, 2), (512, 2))),
    34: STAAPlan(((64, 7, 2),), 2, ((64, 3), (128, 4), (256, 6), (512, 3))),
}


@dataclass(frozen=True)
class Activation:
    """How every activation is made: T, variant and gate of STAA; attention False gives N7."""

    T: int
    variant: Variant
    gate: Gate | None
    attention: bool

    def __call__(self, channels: int) -> nn.Module:
        """Make the activation of a map of so many channels."""
        if not self.attention:
            return lif("N7")
        return STAALIF(self.T, channels, variant=self.variant, gate=self.gate)


class STAABlock(nn.Module):
    """act(BN(conv(act(BN(conv(s))))) + shortcut(s))."""

    def __init__(self, inside: int, out: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.conv1 = Conv2d(inside, out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = BatchNorm2d(out)
        self.act1 = activation(out)
        self.conv2 = Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inside != out:
            self.shortcut = nn.Sequential(Conv2d(inside, out, 1, stride=stride, bias=False), BatchNorm2d(out))
        self.act2 = activation(out)

    def forward(self, s: Tensor) -> Tensor:
        """Return the block's spikes. From and to (T, B, C, H, W)."""
        y: Tensor = self.act2(self.bn2(self.conv2(self.act1(self.bn1(self.conv1(s))))) + self.shortcut(s))
        return y


class STAAResNet(nn.Module):
    """A STAA-style ResNet.

    Args:
        depth: 19, 20 or 34.
        T: Timesteps.
        classes: Number of logits.
        side: Side of the image in pixels.
        in_channels: Channels of the image, or 2 polarities.
        variant: ``"reconstruction"`` or ``"causal"``.
        gate: The gate function; None: the variant's.
        attention: False gives the vanilla net, neuron N7.
        width: Factor on all channel numbers.
    """

    def __init__(
        self,
        depth: int = 19,
        T: int = 4,
        classes: int = 10,
        *,
        side: int = 32,
        in_channels: int = 3,
        variant: Variant = "reconstruction",
        gate: Gate | None = None,
        attention: bool = True,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        if depth not in PLANS:
            raise ModelError(f"depth {depth}; allowed are 19, 20, 34", where="STAAResNet", help="use depth=19")
        plan, activation = PLANS[depth], Activation(T, variant, gate, attention)
        stem: list[nn.Module] = []
        for channels, kernel, stride in plan.stem:
            c = round(width * channels)
            conv = Conv2d(in_channels, c, kernel, stride=stride, padding=kernel // 2, bias=False)
            stem += [conv, BatchNorm2d(c), activation(c)]
            in_channels, side = c, -(-side // stride)
        stem += [AvgPool2d(plan.pool)] if plan.pool > 1 else []
        side //= plan.pool
        blocks: list[nn.Module] = []
        for stage, (channels, count) in enumerate(plan.stages):
            c = round(width * channels)
            for i in range(count):
                stride = 2 if stage > 0 and i == 0 else 1
                blocks.append(STAABlock(in_channels, c, stride, activation))
                in_channels, side = c, -(-side // stride)
        self.stem, self.blocks = nn.Sequential(*stem), nn.Sequential(*blocks)
        self.pool = AvgPool2d(side)
        self.flatten = Flatten()
        self.fc = Linear(in_channels, classes)

    def steps(self, x: Tensor) -> Tensor:
        """Return the logits of every step (T, B, classes)."""
        y: Tensor = self.fc(self.flatten(self.pool(self.blocks(self.stem(x)))))
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean logits (B, classes) of (T, B, C, H, W)."""
        return self.steps(x).mean(0)
