"""TCJA-SNN's nets for event frames, as in the released code: conv-BN-LIF stages, TCJA behind the LIF of the last ones.

    dvs128        2 x 128 x 128, T = 20: {128C3-MP2} x 3 - {128C3-TCJA(4, 4)-MP2} x 2
                  - DP.5 - FC512-LIF - DP.5 - FC110-LIF - vote 10
    cifar10-dvs   2 x 128 x 128, T = 10: AAP48 - 64C3-128C3-AP2-256C3-256C3-AP2-512C3-512C3-TCJA(4, 4)-AP2
                  -512C3-512C3-TCJA(4, 4)-AP2 - FC10
    cifar10-dvs-tet  2 x 48 x 48, T = 10: 64C3-128C3-TCJA(2, 2)-AP2-256C3-256C3-AP2-512C3-512C3-AP2-512C3-512C3-AP2 - FC10
    n-caltech101  2 x 180 x 240, T = 14: 64C3-MP2-128C3-MP2-256C3-MP2-256C3-TCJA(4, 4)-MP2-512C3-TCJA(2, 4)-MP2
                  - DP.5 - FC1024-LIF - DP.5 - FC101-LIF

TCJA(a, b) in the authors' order: a taps over channels (CLA), b over time (TLA). Zhu et al., IEEE TNNLS, 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from spikewright.models.attention.gates import Gate
from spikewright.models.attention.tcja import TCJA, Variant
from spikewright.models.errors import ModelError
from spikewright.models.layers import AvgPool2d, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, over_steps
from spikewright.models.neurons import Neuron, NeuronId, lif


@dataclass(frozen=True)
class Stage:
    """conv3x3 - BN - LIF - [TCJA] - [pool 2]; ``tcja`` is (CLA taps, TLA taps), ``pool`` "max", "avg" or "none"."""

    channels: int
    pool: Literal["max", "avg", "none"]
    tcja: tuple[int, int] | None = None


@dataclass(frozen=True)
class TCJAPlan:
    """A net: stages, input size, size after the adaptive pooling (if any), hidden features, outputs, votes, and the rest."""

    stages: tuple[Stage, ...]
    size: tuple[int, int]
    T: int
    outputs: int
    neuron: NeuronId
    hidden: int = 0
    votes: int = 1
    resize: tuple[int, int] | None = None
    bias: bool = False
    spiking_output: bool = True


_VGG_512 = (Stage(256, "none"), Stage(256, "avg"))
PLANS = {
    "dvs128": TCJAPlan(
        (*(Stage(128, "max"),) * 3, *(Stage(128, "max", (4, 4)),) * 2), (128, 128), 20, 110, "N5", hidden=512, votes=10
    ),
    "cifar10-dvs": TCJAPlan(
        (
            *(Stage(64, "none"), Stage(128, "avg"), *_VGG_512),
            *(Stage(512, "none"), Stage(512, "avg", (4, 4))) * 2,
        ),
        (128, 128), 10, 10, "N5", resize=(48, 48), bias=True, spiking_output=False,
    ),
    "cifar10-dvs-tet": TCJAPlan(
        (
            *(Stage(64, "none"), Stage(128, "avg", (2, 2)), *_VGG_512),
            *(Stage(512, "none"), Stage(512, "avg")) * 2,
        ),
        (48, 48), 10, 10, "N4", bias=True, spiking_output=False,
    ),
    "n-caltech101": TCJAPlan(
        (
            *(Stage(64, "max"), Stage(128, "max"), Stage(256, "max")),
            *(Stage(256, "max", (4, 4)), Stage(512, "max", (2, 4))),
        ),
        (180, 240), 14, 101, "N5", hidden=1024,
    ),
}  # fmt: skip


class AdaptiveAvgPool2d(nn.AdaptiveAvgPool2d):
    """Adaptive average pooling of every step."""

    def forward(self, input: Tensor) -> Tensor:
        """Pool every step. From (T, B, C, H, W)."""
        return over_steps(super().forward, input)


class Vote(nn.Module):
    """Mean over groups of neighbouring outputs: (T, B, votes K) to (T, B, K)."""

    def __init__(self, votes: int) -> None:
        super().__init__()
        self.votes = votes

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean of every group. From (T, B, votes K) to (T, B, K)."""
        means: Tensor = x.unflatten(2, (-1, self.votes)).mean(3)
        return means


class TCJANet(nn.Module):
    """One of TCJA-SNN's nets.

    Args:
        plan: ``"dvs128"``, ``"cifar10-dvs"``, ``"cifar10-dvs-tet"`` or ``"n-caltech101"``.
        T: Timesteps; None: the plan's.
        variant: ``"published"`` or ``"causal"``.
        gate: The gate function; None: the variant's.
        attention: False gives the vanilla net.
        width: Factor on all channel numbers and hidden features; 1 is the paper's.
    """

    def __init__(
        self,
        plan: str,
        T: int | None = None,
        *,
        variant: Variant = "published",
        gate: Gate | None = None,
        attention: bool = True,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        if plan not in PLANS:
            raise ModelError(f"plan {plan!r}; allowed are {', '.join(PLANS)}", where="TCJANet", help="choose one")
        p = PLANS[plan]
        steps = p.T if T is None else T
        layers: list[nn.Module] = [] if p.resize is None else [AdaptiveAvgPool2d(p.resize)]
        before, (high, wide) = 2, p.resize or p.size
        for s in p.stages:
            channels = round(width * s.channels)
            layers += [Conv2d(before, channels, 3, padding=1, bias=p.bias), BatchNorm2d(channels), lif(p.neuron)]
            if attention and s.tcja is not None:
                cla, tla = s.tcja
                layers.append(TCJA(steps, channels, tla_kernel=tla, cla_kernel=cla, variant=variant, gate=gate))
            if s.pool != "none":
                layers.append(MaxPool2d(2) if s.pool == "max" else AvgPool2d(2))
                high, wide = high // 2, wide // 2
            before = channels
        layers.append(Flatten())
        features = before * high * wide
        if p.hidden:
            hidden = round(width * p.hidden)
            layers += [Dropout(0.5), Linear(features, hidden, bias=p.bias), lif(p.neuron), Dropout(0.5)]
            features = hidden
        layers.append(Linear(features, p.outputs, bias=p.bias))
        layers += [lif(p.neuron)] if p.spiking_output else []
        layers += [Vote(p.votes)] if p.votes > 1 else []
        if isinstance(last := layers[-1], Neuron):
            last.answers = True
        self.layers = nn.Sequential(*layers)

    def steps(self, x: Tensor) -> Tensor:
        """Return the votes or logits of every step (T, B, classes)."""
        y: Tensor = self.layers(x)
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Return their mean over T (B, classes), of event counts (T, B, 2, H, W)."""
        return self.steps(x).mean(0)
