"""The leaky integrate-and-fire neuron, one class for the definitions N1 to N7 of the attention papers, and its adaptive form.

    v = beta v + gain x;   s = [v > v_threshold] or [v >= v_threshold];
    v = v_reset where s  (reset "value")   or   v -= v_threshold s  (reset "subtract");   v = 0 before step 0.

| id | used in                             | beta | gain | threshold | reset            | surrogate                    |
|----|-------------------------------------|------|------|-----------|------------------|------------------------------|
| N1 | MA-SNN paper, event data            | .3   | 1    | >= .3     | to 0             | rectangle, half-width .25    |
| N2 | MA-SNN released code                | .3   | 1    | >= .3     | to .3, decays    | rectangle, half-width .25    |
| N3 | Att-Res-SNN, GAC on ImageNet        | .25  | 1    | > .5      | to 0, detached   | rectangle, half-width .5     |
| N4 | GAC on CIFAR, TCJA-TET              | .5   | 1    | > 1       | to 0             | triangle, gamma 1            |
| N5 | TCJA (SpikingJelly, tau 2)          | .5   | .5   | >= 1      | to 0, detached   | arc tangent, alpha 2         |
| N6 | FSVAE, TCJA-VAE                     | .25  | 1    | > .2      | to 0             | rectangle round u = 0        |
| N7 | FSTA-SNN, stands in for STAA's      | .25  | 1    | > .5      | to 0             | tanh on 0 < u < 1            |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from spikewright.models import lif_scan
from spikewright.models.errors import ModelError
from spikewright.models.layers import join_steps
from spikewright.models.surrogate import ATan, Rectangular, Surrogate, TanhWindow, Triangular, spike

Reset = Literal["value", "subtract"]
Comparison = Literal[">", ">="]
NeuronId = Literal["N1", "N2", "N3", "N4", "N5", "N6", "N7"]


def widened(current: Tensor) -> Tensor:
    """Return a current in float32 or wider: mixed precision ends where a membrane integrates."""
    return current if current.dtype == torch.float64 else current.float()


class Trace(NamedTuple):
    """What a neuron layer did: ``spikes`` and ``membrane`` (before reset), both (T, B, ...)."""

    spikes: Tensor
    membrane: Tensor


class Neuron(nn.Module):
    """What the neurons share: firing, reset, and the run over T; a neuron adds ``integrate``."""

    v_threshold: float
    v_reset: float
    reset: Reset
    comparison: Comparison
    detach_reset: bool
    surrogate: Surrogate
    held: list[Tensor] | None = None
    """While it is a list, nothing fires: membranes are put into it instead (see ``train.silence``)."""
    answers: bool = False
    """Its spikes are the net's answer: no synapse reads them."""

    def integrate(self, v: Tensor | None, current: Tensor) -> Tensor:
        """Return the membrane before reset; ``v`` None is the zero state.

        Raises:
            NotImplementedError: The model does not say.
        """
        raise NotImplementedError

    def fire(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return the spikes of membrane ``u`` and the membrane after reset."""
        if self.held is not None:
            self.held.append(u)
            return torch.zeros_like(u), u
        if lif_scan.fits(u[None]):
            return lif_scan.fire(self, u)
        s = spike(u, self.v_threshold, strict=self.comparison == ">", surrogate=self.surrogate)
        r = s.detach() if self.detach_reset else s
        if self.reset == "subtract":
            return s, u - self.v_threshold * r
        kept = u * (1.0 - r)
        return s, kept if self.v_reset == 0.0 else kept + self.v_reset * r

    def trace(self, current: Tensor) -> Trace:
        """Run all steps of ``current`` (T, B, ...) and return spikes and the membrane before reset."""
        v: Tensor | None = None
        spikes, membranes = [], []
        for x in widened(current):
            u = self.integrate(v, x)
            s, v = self.fire(u)
            spikes.append(s)
            membranes.append(u)
        return Trace(join_steps(spikes), join_steps(membranes))

    def forward(self, current: Tensor) -> Tensor:
        """Return the spikes (T, B, ...) of a current (T, B, ...), from zero state."""
        return self.trace(current).spikes


class LIF(Neuron):
    """Leaky integrate-and-fire neurons from current (T, B, ...) to binary spikes; the equation stands above.

    Args:
        beta: Share of the membrane kept per step, 0 to 1.
        v_threshold: Threshold of the membrane.
        gain: Factor on the input current.
        v_reset: Membrane after a spike, for reset ``"value"``.
        reset: ``"value"`` or ``"subtract"``.
        comparison: ``">"`` or ``">="``: whether an exact tie stays silent or fires.
        detach_reset: Keep the gradient from flowing through the reset.
        surrogate: The pseudo-derivative of the spike.
    """

    def __init__(
        self,
        beta: float,
        v_threshold: float,
        *,
        gain: float = 1.0,
        v_reset: float = 0.0,
        reset: Reset = "value",
        comparison: Comparison = ">=",
        detach_reset: bool = False,
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__()
        if reset not in ("value", "subtract") or comparison not in (">", ">="):
            raise ModelError(
                f"reset {reset!r} and comparison {comparison!r}; allowed are 'value', 'subtract' and '>', '>='",
                where="LIF",
                help="choose one of each, or a named neuron: spikewright.models.neurons.lif('N1')",
            )
        self.beta = float(beta)
        self.gain = float(gain)
        self.v_threshold = float(v_threshold)
        self.v_reset = float(v_reset)
        self.reset: Reset = reset
        self.comparison: Comparison = comparison
        self.detach_reset = detach_reset
        self.surrogate: Surrogate = surrogate if surrogate is not None else Rectangular()

    def integrate(self, v: Tensor | None, current: Tensor) -> Tensor:
        """Return the membrane before reset, beta v + gain x; ``v`` None is the zero state."""
        drive = current if self.gain == 1.0 else self.gain * current
        return drive if v is None else self.beta * v + drive

    def forward(self, current: Tensor) -> Tensor:
        """Return the spikes (T, B, ...) of a current (T, B, ...), from zero state; on a CPU by one compiled loop."""
        current = widened(current)
        scanned = self.held is None and lif_scan.fits(current)
        return lif_scan.scan(self, current) if scanned else super().forward(current)

    def extra_repr(self) -> str:
        """Return the constants, for ``print(module)``."""
        return (
            f"beta={self.beta}, gain={self.gain}, v {self.comparison} {self.v_threshold}, "
            f"reset={self.reset}, v_reset={self.v_reset}"
        )


class AdaptiveLIF(Neuron):
    """LIF with a learnable leak M and input gain N per channel: v = M v + N x, as STAA-SNN's; fires where v >= threshold.

    Args:
        channels: C, the axis behind T and B.
        v_threshold: Threshold of the membrane (N7's: the paper's is not known).
        beta: M at the start; M = sigmoid(``decay_logit``) stays between 0 and 1.
    """

    decay_logit: nn.Parameter  # (C,)
    gain: nn.Parameter  # (C,), N

    def __init__(self, channels: int, *, v_threshold: float = 0.5, beta: float = 0.25) -> None:
        super().__init__()
        self.decay_logit = nn.Parameter(torch.full((channels,), math.log(beta / (1.0 - beta))))
        self.gain = nn.Parameter(torch.ones(channels))
        self.v_threshold, self.v_reset, self.reset, self.comparison = float(v_threshold), 0.0, "value", ">="
        self.detach_reset, self.surrogate = False, Rectangular()

    @property
    def beta(self) -> Tensor:
        """M, (C,)."""
        return torch.sigmoid(self.decay_logit)

    def integrate(self, v: Tensor | None, current: Tensor) -> Tensor:
        """Return the membrane before reset, M v + N x, of a current (B, C, ...)."""
        shape = (-1, *(1,) * (current.ndim - 2))
        drive = self.gain.reshape(shape) * current
        return drive if v is None else self.beta.reshape(shape) * v + drive

    def extra_repr(self) -> str:
        """Return the constants, for ``print(module)``."""
        return f"channels={len(self.gain)}, v >= {self.v_threshold}"


@dataclass(frozen=True)
class _Constants:
    beta: float
    v_threshold: float
    comparison: Comparison
    surrogate: Surrogate
    gain: float = 1.0
    v_reset: float = 0.0
    detach_reset: bool = False


_NEURONS: dict[str, _Constants] = {
    "N1": _Constants(0.3, 0.3, ">=", Rectangular(0.25, 2.0)),
    "N2": _Constants(0.3, 0.3, ">=", Rectangular(0.25, 2.0), v_reset=0.3),
    "N3": _Constants(0.25, 0.5, ">", Rectangular(0.5, 1.0), detach_reset=True),
    "N4": _Constants(0.5, 1.0, ">", Triangular(1.0)),
    "N5": _Constants(0.5, 1.0, ">=", ATan(2.0), gain=0.5, detach_reset=True),
    "N6": _Constants(0.25, 0.2, ">", Rectangular(0.5, 1.0, centre=-0.2)),
    "N7": _Constants(0.25, 0.5, ">", TanhWindow()),
}


def lif(name: NeuronId) -> LIF:
    """Make one of the papers' neurons, N1 to N7 of the table above.

    Raises:
        ModelError: There is no neuron of that name.
    """
    if name not in _NEURONS:
        raise ModelError(
            f"no neuron {name!r}; there are {', '.join(_NEURONS)}", where="lif", help="see spikewright.models.neurons"
        )
    c = _NEURONS[name]
    return LIF(
        c.beta,
        c.v_threshold,
        gain=c.gain,
        v_reset=c.v_reset,
        comparison=c.comparison,
        detach_reset=c.detach_reset,
        surrogate=c.surrogate,
    )
