"""MS-ResNet: residual nets whose shortcut carries membranes, with MA's attention (Att-Res-SNN) or GAC's encoder in front.

    block(x) = r + shortcut(x),  r = [CSA](BN(conv3(LIF(BN(conv3_s(LIF(x)))))));   shortcut: identity, or conv1x1-BN
    logits = FC(GAP(LIF(blocks(stem(x)))))        mean over T before (Att-Res) or after (GAC) the FC: the same

| net                          | stem             | stages (channels x blocks, stride)                    | neuron |
|------------------------------|------------------|-------------------------------------------------------|--------|
| Att-MS-ResNet, GAC, ImageNet | conv7 s2 64, BN  | 64, 128, 256, 512, every first block stride 2         | N3     |
| GAC-MS-ResNet-18, CIFAR      | conv3 64, BN     | 128 x 3 s1, 256 x 3 s2, 512 x 2 s2                    | N4     |

Yao et al., TPAMI 45(8), 2023 (Att-Res-SNN-1: attention before the sum); Qiu et al., AAAI 38(1), 2024; released code of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from spikewright.models.attention.gac import GAC
from spikewright.models.attention.gates import Gate
from spikewright.models.attention.ma import MAAttention
from spikewright.models.errors import ModelError
from spikewright.models.layers import AvgPool2d, BatchNorm2d, Conv2d, Dropout, Flatten, Linear
from spikewright.models.neurons import NeuronId, lif

DEPTHS: dict[int, tuple[int, ...]] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 104: (3, 8, 32, 8)}
"""Blocks per stage of the ImageNet nets."""
GAMMA_FIRST, GAMMA_LAST = 0.5, 0.1
"""Att-Res-SNN: initial gamma of a block's first batch norm (and the shortcut's), and of its last."""


@dataclass(frozen=True)
class BlockPlan:
    """A block: channels in and out, stride, neuron, side of its output, attention's T (None: none), shortcut's pooling."""

    inside: int
    out: int
    stride: int
    neuron: NeuronId
    side: int
    attention_T: int | None = None
    pooled_shortcut: bool = False
    gammas: tuple[float, float] = (1.0, 1.0)


class MSBlock(nn.Module):
    """LIF-conv-BN-LIF-conv-BN (-CSA), plus the shortcut, on membranes (T, B, C, H, W).

    Args:
        plan: The block's sizes and options.
    """

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        p = plan
        self.lif1 = lif(p.neuron)
        self.conv1 = Conv2d(p.inside, p.out, 3, stride=p.stride, padding=1, bias=False)
        self.bn1 = _norm(p.out, p.gammas[0])
        self.lif2 = lif(p.neuron)
        self.conv2 = Conv2d(p.out, p.out, 3, padding=1, bias=False)
        self.bn2 = _norm(p.out, p.gammas[1])
        self.attention: nn.Module = (
            nn.Identity()
            if p.attention_T is None
            else MAAttention(p.attention_T, p.out, (p.side, p.side), dims="CS", reduction_c=8, kernel=3)
        )
        self.shortcut: nn.Module = nn.Identity()
        if p.stride != 1 or p.inside != p.out:
            pool = [AvgPool2d(p.stride)] if p.pooled_shortcut else []
            stride = 1 if p.pooled_shortcut else p.stride
            conv = Conv2d(p.inside, p.out, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(*pool, conv, _norm(p.out, p.gammas[0]))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's sum. From and to (T, B, C, H, W)."""
        r = self.bn2(self.conv2(self.lif2(self.bn1(self.conv1(self.lif1(x))))))
        y: Tensor = self.attention(r) + self.shortcut(x)
        return y


def _norm(channels: int, gamma: float) -> BatchNorm2d:
    norm = BatchNorm2d(channels)
    nn.init.constant_(norm.weight, gamma)
    return norm


class MSResNet(nn.Module):
    """An MS-ResNet; see the table above.

    Args:
        stem: Convolution to 64 channels and its batch norm.
        encoder: What stands between stem and blocks.
        blocks: The residual blocks.
        neuron: The neuron in front of the pooling.
        features: C behind the last block.
        side: Its side, in pixels.
        classes: Number of logits.
        dropout: Probability in front of the logits.
    """

    def __init__(
        self,
        stem: nn.Module,
        encoder: nn.Module,
        blocks: list[MSBlock],
        neuron: NeuronId,
        features: int,
        side: int,
        classes: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.stem, self.encoder, self.blocks = stem, encoder, nn.Sequential(*blocks)
        self.lif = lif(neuron)
        self.pool = AvgPool2d(side)
        self.flatten = Flatten()
        self.dropout = Dropout(dropout)
        self.fc = Linear(features, classes)

    def steps(self, x: Tensor) -> Tensor:
        """Return the logits of every step (T, B, classes)."""
        x = self.lif(self.blocks(self.encoder(self.stem(x))))
        y: Tensor = self.fc(self.dropout(self.flatten(self.pool(x))))
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean logits (B, classes) of images repeated T times (T, B, C, H, W)."""
        return self.steps(x).mean(0)


def ms_resnet_imagenet(
    depth: int,
    T: int,
    attention: Literal["csa", "gac", "none"] = "csa",
    *,
    side: int = 224,
    classes: int = 1000,
    gate: Gate = "sigmoid",
    width: float = 1.0,
) -> MSResNet:
    """Make an ImageNet net: Att-MS-ResNet (``"csa"``), GAC-MS-ResNet (``"gac"``), or the plain one.

    Args:
        depth: 18, 34 or 104.
        T: Timesteps.
        attention: Which attention.
        side: Side of the image in pixels, a multiple of 32.
        classes: Number of logits.
        gate: GAC's gate function.
        width: Factor on all channel numbers; 1 is the paper's.

    Raises:
        ModelError: There is no such depth or attention, or the side does not fit.
    """
    if depth not in DEPTHS or attention not in ("csa", "gac", "none") or side % 32:
        raise ModelError(
            f"depth {depth}, attention {attention!r}, side {side}; allowed are depths {', '.join(map(str, DEPTHS))}, "
            "attention csa, gac, none, and sides that 32 divides",
            where="ms_resnet_imagenet",
            help="use ms_resnet_imagenet(18, T=1)",
        )
    first, *stages = (round(width * c) for c in (64, 64, 128, 256, 512))
    stem = nn.Sequential(Conv2d(3, first, 7, stride=2, padding=3, bias=False), BatchNorm2d(first))
    csa = attention == "csa"
    gammas = (GAMMA_FIRST, GAMMA_LAST) if csa else (GAMMA_FIRST, 0.0)
    blocks, inside, size = [], first, side // 2
    for out, count in zip(stages, DEPTHS[depth], strict=True):
        for i in range(count):
            stride = 2 if i == 0 else 1
            size //= stride
            blocks.append(MSBlock(BlockPlan(inside, out, stride, "N3", size, T if csa else None, csa, gammas)))
            inside = out
    encoder = GAC(lif("N3"), T, first, gate=gate) if attention == "gac" else nn.Identity()
    return MSResNet(stem, encoder, blocks, "N3", inside, size, classes, dropout=0.2 if csa else 0.0)


def gac_ms_resnet_cifar(
    T: int = 6,
    classes: int = 10,
    *,
    attention: bool = True,
    gate: Gate = "sigmoid",
    width: float = 1.0,
    side: int = 32,
    in_channels: int = 3,
) -> MSResNet:
    """Make GAC-MS-ResNet-18 for CIFAR-10 or -100, or the released code's net without GAC (``using_GAC=False``).

    Args:
        T: Timesteps.
        classes: Number of logits.
        attention: False leaves the encoder out, its neuron too: the first block reads the stem's current.
        gate: GAC's gate function.
        width: Factor on all channel numbers; 1 is the paper's.
        side: Side of the image in pixels, a multiple of 4.
        in_channels: Channels of the image.
    """
    first, *stages = (round(width * c) for c in (64, 128, 256, 512))
    stem = nn.Sequential(Conv2d(in_channels, first, 3, padding=1, bias=False), BatchNorm2d(first))
    blocks, inside, size = [], first, side
    for out, count, stride in zip(stages, (3, 3, 2), (1, 2, 2), strict=True):
        for i in range(count):
            step = stride if i == 0 else 1
            size //= step
            blocks.append(MSBlock(BlockPlan(inside, out, step, "N4", size)))
            inside = out
    encoder = GAC(lif("N4"), T, first, gate=gate) if attention else nn.Identity()
    return MSResNet(stem, encoder, blocks, "N4", inside, size, classes)
