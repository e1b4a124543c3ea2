"""One small conv SNN for 8 x 8 to 34 x 34 inputs, with any family's attention, made to be trained on a CPU and deployed.

    current x = [conv3-BN-(AP2)] (neuron [conv3-BN-(AP2)]) ...;   then ``blocks`` times  (AP2, or stride 2)
    x = x + BN(conv3(neuron(BN(conv3(neuron(x))))));   logits[t] = FC(neuron(x));   answer: mean over T

| attention | where                              | published          | causal                    |
|-----------|------------------------------------|--------------------|---------------------------|
| ma        | every neuron but the stem's        | paper, sigmoid     | own spike counts, hard    |
| gac       | the stem's neuron                  | code, sigmoid      | code, binary: O is a mask |
| tcja      | behind the last two neurons        | TLA x CLA, sigmoid | TLA alone, delayed, hard  |
| staa      | every neuron but the stem's        | reconstruction     | own spike counts, hard    |
| none      | nowhere: the vanilla twin          |                    |                           |

Fair twins of MA, vanilla in all but what stands in front of every neuron but the stem's: ``relu``, the released code's ReLU;
``gain``, one learnable number a layer in the place of the gates; ``relu-gain``, both (``models.attention.gain``).

MA has a third variant, ``code``: the released code's, with a ReLU and gates over all T. The stem's neuron stays plain (but for
gac's), so that images can be encoded on a host in front of the first spikes. GAC looks ahead on events only: on a repeated
image its code form is causal. Nets of ours; the attention's papers are in its files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from spikewright.models.attention.gac import GAC
from spikewright.models.attention.gain import GATE_AT_REST, ScalarGainLIF
from spikewright.models.attention.gates import Gate
from spikewright.models.attention.ma import MALIF
from spikewright.models.attention.ma import Variant as MAVariant
from spikewright.models.attention.staa import STAALIF
from spikewright.models.attention.tcja import TCJA
from spikewright.models.errors import ModelError
from spikewright.models.layers import AvgPool2d, BatchNorm2d, Conv2d, Dropout, Flatten, Linear
from spikewright.models.neurons import NeuronId, lif

Attention = Literal["ma", "gac", "tcja", "staa", "none", "relu", "gain", "relu-gain"]
Variant = Literal["published", "causal", "code"]
FAIR_TWINS = ("relu", "gain", "relu-gain")
NEURONS: dict[str, NeuronId] = {
    "ma": "N1", "gac": "N4", "tcja": "N5", "staa": "N7", "none": "N4", **dict.fromkeys(FAIR_TWINS, "N1"),
}  # fmt: skip
"""The family's own neuron (STAA's layers have the adaptive one; N7 stands in the stem and in the twin)."""
MA_VARIANTS: dict[str, MAVariant] = {"published": "paper", "causal": "causal", "code": "code"}
CHANNELS: dict[int, tuple[int, ...]] = {8: (16, 32), 28: (32, 64, 128), 34: (16, 32, 64)}
"""C of the convolutions by input side, where none are given."""


@dataclass(frozen=True)
class NeuronPlan:
    """How the net's neurons are made.

    Args:
        attention: The family.
        variant: Published or causal; MA's code.
        T: Timesteps.
        neuron: The plain neuron.
        gate: The gate function; None: the variant's.
        gate_delay: Steps from spikes to gain, causal.
        dims: MA's dims.
    """

    attention: Attention
    variant: Variant
    T: int
    neuron: NeuronId
    gate: Gate | None
    gate_delay: int
    dims: str

    def stem(self, channels: int) -> nn.Module:
        """Make the stem's neuron."""
        if self.attention != "gac":
            return lif(self.neuron)
        gate: Gate = self.gate or ("sigmoid" if self.variant == "published" else "binary")
        return GAC(lif(self.neuron), self.T, channels, gate=gate)

    def make(self, channels: int, side: int, *, last: bool) -> nn.Module:
        """Make a neuron behind the stem; ``last``: one of the last two of the net."""
        causal = self.variant == "causal"
        match self.attention:
            case "ma":
                return MALIF(
                    lif(self.neuron), self.T, channels, (side, side), dims=self.dims, gate=self.gate, reduction_c=4,
                    variant=MA_VARIANTS[self.variant], gate_delay=self.gate_delay,
                )  # fmt: skip
            case "relu" | "gain" | "relu-gain":
                gain = GATE_AT_REST ** len(self.dims) if "gain" in self.attention else None
                return ScalarGainLIF(lif(self.neuron), gain=gain, relu="relu" in self.attention)
            case "staa":
                return STAALIF(
                    self.T, channels, gate=self.gate, gate_delay=self.gate_delay, position=not causal,
                    variant="causal" if causal else "reconstruction",
                )  # fmt: skip
            case "tcja" if last:
                attention = TCJA(
                    self.T, channels, dims="T" if causal else "TC", gate=self.gate, gate_delay=self.gate_delay,
                    tla_kernel=2, cla_kernel=2, variant="causal" if causal else "published",
                )  # fmt: skip
                return nn.Sequential(lif(self.neuron), attention)
            case _:
                return lif(self.neuron)


class Residual(nn.Module):
    """x + BN(conv(neuron(BN(conv(neuron(x)))))), the identity on the current."""

    def __init__(self, channels: int, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.act1, self.act2 = first, second
        self.conv1 = Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = BatchNorm2d(channels)
        self.conv2 = Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's sum. From and to (T, B, C, H, W)."""
        y: Tensor = self.bn2(self.conv2(self.act2(self.bn1(self.conv1(self.act1(x))))))
        return y + x


class SmallNet(nn.Module):
    """The small net; see the table above.

    Args:
        T: Timesteps.
        side: Side of the input in pixels.
        in_channels: 1 for grey images, 2 for events of two polarities, 3 for color.
        classes: Number of logits.
        attention: ``"ma"``, ``"gac"``, ``"tcja"``, ``"staa"`` or ``"none"``; MA's fair twins ``"relu"``, ``"gain"``,
            ``"relu-gain"``.
        variant: ``"published"`` or ``"causal"``; for MA also ``"code"``.
        channels: C of the convolutions; None: by ``side``.
        blocks: Residual blocks behind them.
        pools: How many of the last convolutions halve the side; None: all but the first (8, 28), or all (34).
        down: How: ``"pool"``, average pooling 2 x 2, or ``"stride"``, convolving at every second pixel: a quarter of the work.
        neuron: The plain neuron; None: the family's own.
        gate: The gate function; None: the variant's.
        gate_delay: Steps from spikes to gain, causal.
        dims: MA's dims; a fair twin's gain starts at 1/2 to the power of their number.
        dropout: Probability in front of the logits.
        norm_scale: gamma of the norms at the start; None: the plain neuron's threshold, so that currents spread as far as it
            is high (tdBN: Zheng et al., "Going deeper with directly-trained larger spiking neural networks", AAAI 2021).
    """

    def __init__(
        self,
        T: int = 4,
        side: int = 28,
        in_channels: int = 1,
        classes: int = 10,
        *,
        attention: Attention = "none",
        variant: Variant = "causal",
        channels: tuple[int, ...] | None = None,
        blocks: int = 0,
        pools: int | None = None,
        down: Literal["pool", "stride"] = "pool",
        neuron: NeuronId | None = None,
        gate: Gate | None = None,
        gate_delay: int = 3,
        dims: str = "TCS",
        dropout: float = 0.0,
        norm_scale: float | None = None,
    ) -> None:
        super().__init__()
        _check(attention, variant, side, channels, down)
        widths = tuple(channels) if channels is not None else CHANNELS[side]
        pooled = pools if pools is not None else len(widths) - (0 if side >= 34 else 1)
        plan = NeuronPlan(attention, variant, T, neuron or NEURONS[attention], gate, gate_delay, dims)
        total = len(widths) + 2 * blocks  # neurons, the last one in front of the logits
        layers: list[nn.Module] = []
        before, behind = in_channels, 0
        for i, width in enumerate(widths):
            if i > 0:
                behind += 1
                layers.append(plan.stem(before) if i == 1 else plan.make(before, side, last=behind > total - 2))
            halved = len(widths) - i <= pooled
            stride = 2 if halved and down == "stride" else 1
            layers += [Conv2d(before, width, 3, stride=stride, padding=1, bias=False), BatchNorm2d(width)]
            side = -(-side // stride)
            if halved and down == "pool":
                layers.append(AvgPool2d(2))
                side //= 2
            before = width
        for b in range(blocks):
            pair = [plan.make(before, side, last=len(widths) + 2 * b + j > total - 2) for j in (0, 1)]
            layers.append(Residual(before, *pair))
        layers.append(plan.make(before, side, last=True) if len(widths) > 1 or blocks else plan.stem(before))
        self.layers = nn.Sequential(*layers)
        self.flatten, self.dropout = Flatten(), Dropout(dropout)
        self.fc = Linear(before * side**2, classes)
        for layer in self.layers.modules():
            if isinstance(layer, BatchNorm2d):
                nn.init.constant_(layer.weight, lif(plan.neuron).v_threshold if norm_scale is None else norm_scale)

    def steps(self, x: Tensor) -> Tensor:
        """Return the logits of every step (T, B, classes)."""
        y: Tensor = self.fc(self.dropout(self.flatten(self.layers(x))))
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean logits (B, classes) of (T, B, C, H, W)."""
        return self.steps(x).mean(0)


def _check(attention: str, variant: str, side: int, channels: tuple[int, ...] | None, down: str) -> None:
    if down not in ("pool", "stride"):
        raise ModelError(f"down {down!r}; allowed are pool, stride", where="SmallNet", help="use down='stride'")
    allowed = ("published", "causal", "code") if attention == "ma" else ("published", "causal")
    if attention not in NEURONS or variant not in allowed:
        raise ModelError(
            f"attention {attention!r}, variant {variant!r}; allowed are {', '.join(NEURONS)} and {', '.join(allowed)}",
            where="SmallNet",
            help="use attention='ma', variant='causal'",
        )
    if channels is None and side not in CHANNELS:
        raise ModelError(
            f"side {side} without channels; known are {', '.join(map(str, CHANNELS))}",
            where="SmallNet",
            help="give channels=(32, 64, 128)",
        )
