"""MA-SNN's nets for event data, as in the released code: [conv-BN-(avg pool)-attention-LIF] ... FC-BN-(TA)-LIF, rates out.

    gesture        2 x 32 x 32:    64C3 - 128C3 - AP2 - 128C3 - AP2 - FC256 - FC11        T = 60, c_ratio 8, t_ratio 5
    gait           2 x 128 x 128:  32C3 - AP2 - 64C3 - AP2 - 128C3 - AP2 - 256C3 - AP2 - 512C3 - AP4 - FC256 - FC21   T = 8
    cifar10-dvs    as gait, FC10   T = 20;   both c_ratio 8, t_ratio 2

Yao et al., TPAMI 45(8):9393-9410, 2023. Input: event counts per pixel and polarity. y = mean over T of the last LIF's spikes.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from spikewright.models.attention.gates import Gate
from spikewright.models.attention.ma import MALIF, Variant
from spikewright.models.errors import ModelError
from spikewright.models.layers import AvgPool2d, BatchNorm1d, BatchNorm2d, Conv2d, Flatten, Linear
from spikewright.models.neurons import LIF, Neuron, NeuronId, lif


@dataclass(frozen=True)
class EventPlan:
    """A net's layers: (channels, pooling) of each convolution, input side in pixels, classes, T and TA's reduction."""

    layers: tuple[tuple[int, int], ...]
    side: int
    classes: int
    T: int
    reduction_t: int


PLANS = {
    "gesture": EventPlan(((64, 1), (128, 2), (128, 2)), 32, 11, 60, 5),
    "gait": EventPlan(((32, 2), (64, 2), (128, 2), (256, 2), (512, 4)), 128, 21, 8, 2),
    "cifar10-dvs": EventPlan(((32, 2), (64, 2), (128, 2), (256, 2), (512, 4)), 128, 10, 20, 2),
}
HIDDEN = 256
"""Features of the first fully connected layer, in all three nets."""


class MAEventNet(nn.Module):
    """One of MA-SNN's event nets.

    Args:
        plan: ``"gesture"``, ``"gait"`` or ``"cifar10-dvs"``.
        T: Timesteps; None: the plan's.
        dims: The attention's dims; the fully connected layers take TA where T is among them.
        variant: ``"code"``, ``"paper"`` or ``"causal"``.
        gate: The gate function; None: the variant's.
        neuron: ``"N2"``, the released code's, or ``"N1"``, the paper's; None: by ``variant``.
        attention: False gives the vanilla net.
        width: Factor on all channel numbers and hidden features; 1 is the paper's.
    """

    def __init__(
        self,
        plan: str,
        T: int | None = None,
        *,
        dims: str = "TCS",
        variant: Variant = "code",
        gate: Gate | None = None,
        neuron: NeuronId | None = None,
        attention: bool = True,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        if plan not in PLANS:
            raise ModelError(f"plan {plan!r}; allowed are {', '.join(PLANS)}", where="MAEventNet", help="choose one")
        p = PLANS[plan]
        steps = p.T if T is None else T
        chosen: NeuronId = neuron if neuron is not None else "N2" if variant == "code" else "N1"

        def spiking(channels: int, size: tuple[int, int] | None, which: str) -> LIF | MALIF:
            if not attention or not which:
                return lif(chosen)
            return MALIF(
                lif(chosen), steps, channels, size, dims=which, variant=variant, gate=gate, reduction_t=p.reduction_t,
                reduction_c=8,
            )  # fmt: skip

        layers: list[nn.Module] = []
        before, side = 2, p.side
        for full, pool in p.layers:
            channels = round(width * full)
            layers += [Conv2d(before, channels, 3, padding=1), BatchNorm2d(channels)]
            layers += [AvgPool2d(pool)] if pool > 1 else []
            before, side = channels, side // pool
            layers.append(spiking(channels, (side, side), dims))
        layers.append(Flatten())
        features = before * side**2
        for units in (round(width * HIDDEN), p.classes):
            layers += [Linear(features, units), BatchNorm1d(units), spiking(units, None, "T" if "T" in dims else "")]
            features = units
        if isinstance(last := layers[-1], Neuron):  # none whose spikes attention reads
            last.answers = True
        self.layers = nn.Sequential(*layers)

    def steps(self, x: Tensor) -> Tensor:
        """Return the output layer's spikes (T, B, classes)."""
        y: Tensor = self.layers(x)
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Return the class rates (B, classes) of event counts (T, B, 2, H, W)."""
        return self.steps(x).mean(0)
