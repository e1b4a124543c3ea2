"""A small MA-SNN for 8 x 8 digits as binary events: [conv-BN-(pool)-MALIF] x 2 - FC-LIF, the paper's event layer order.

16C3 - MALIF - 24C3 - AP2 - MALIF - FC10 - LIF;   y = mean over T of the last layer's spikes
"""

from __future__ import annotations

from torch import Tensor, nn

from spikewright.models.attention.gates import Gate
from spikewright.models.attention.ma import MALIF, Variant
from spikewright.models.layers import AvgPool2d, BatchNorm1d, BatchNorm2d, Conv2d, Flatten, Linear
from spikewright.models.neurons import lif

SIDE = 8
"""Height and width of scikit-learn's digits, in pixels."""


class MADigits(nn.Module):
    """Conv SNN with MA attention in every conv layer; neuron N1 throughout.

    Args:
        T: Timesteps.
        channels: Channels of the two conv layers.
        classes: Size of the output layer.
        dims: The attention's dims.
        variant: The attention's variant.
        gate: The attention's gate function; None: the variant's default.
        gate_delay: Steps from spikes to gain, causal variant.
        reduction_c: C // reduction_c hidden units in CA.
        attention: False gives the vanilla twin: the same net with plain neurons.
    """

    def __init__(
        self,
        T: int = 8,
        channels: tuple[int, int] = (16, 24),
        classes: int = 10,
        *,
        dims: str = "TCS",
        variant: Variant = "causal",
        gate: Gate | None = None,
        gate_delay: int = 3,
        reduction_c: int = 4,
        attention: bool = True,
    ) -> None:
        super().__init__()

        def neuron(c: int, side: int) -> nn.Module:
            if not attention:
                return lif("N1")
            return MALIF(
                lif("N1"), T, c, (side, side), dims=dims, variant=variant, gate=gate, gate_delay=gate_delay,
                reduction_c=reduction_c,
            )  # fmt: skip

        first, second = channels
        self.conv1 = Conv2d(1, first, 3, padding=1)
        self.bn1 = BatchNorm2d(first)
        self.lif1 = neuron(first, SIDE)
        self.conv2 = Conv2d(first, second, 3, padding=1)
        self.bn2 = BatchNorm2d(second)
        self.pool2 = AvgPool2d(2)
        self.lif2 = neuron(second, SIDE // 2)
        self.flatten = Flatten()
        self.fc = Linear(second * (SIDE // 2) ** 2, classes)
        self.bn_fc = BatchNorm1d(classes)
        self.lif_out = lif("N1")
        self.lif_out.answers = True

    def forward(self, x: Tensor) -> Tensor:
        """Return the class rates (B, classes) of events (T, B, 1, 8, 8)."""
        x = self.lif1(self.bn1(self.conv1(x)))
        x = self.lif2(self.pool2(self.bn2(self.conv2(x))))
        x = self.lif_out(self.bn_fc(self.fc(self.flatten(x))))
        return x.mean(0)
