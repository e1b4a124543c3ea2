"""Classes with the names, fields and equations of foreign ones, written anew: the tables know classes by these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikewright.export.foreign.door import open_door
from spikewright.export.torch_to_nir import capture
from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.interpret import run_float


def spikes_unlike(net: nn.Module, x: Tensor, layout: str | None = None) -> tuple[int, int, float]:
    """Capture a net on one input; on other events, return how many spikes differ, of how many, and their rate."""
    graph = capture(net, x, layout=layout)
    events = (torch.rand(x.shape, generator=torch.Generator().manual_seed(7)) < 0.4).double()
    opened = open_door(net, events, "net", layout)
    signals = run_float(from_nir(graph), opened.traced.example.numpy())
    wrong, total, fired = 0, 0, 0.0
    for node in opened.traced.nodes:
        values = opened.traced.values[node].numbers.numpy()
        if node.op == "call_module" and bool((values == np.round(values)).all()):  # spikes, or counts of them
            expected, found = opened.traced.values[node].numbers.numpy(), signals[str(node.target)]
            wrong, total, fired = (
                wrong + int((expected != found).sum()),
                total + expected.size,
                fired + float(expected.sum()),
            )
    return wrong, total, fired / max(total, 1)


class _Stateful(nn.Module):
    """What remembers a membrane between calls."""

    v: Any = None

    def reset(self) -> None:
        """Forget."""
        self.v = None


class LIFNode(_Stateful):
    """SpikingJelly's, step_mode "s" or "m"."""

    def __init__(
        self,
        tau: float = 2.0,
        v_threshold: float = 0.5,
        v_reset: float | None = 0.0,
        *,
        decay_input: bool = True,
        step_mode: str = "m",
    ) -> None:
        super().__init__()
        self.tau, self.v_threshold, self.v_reset, self.decay_input, self.step_mode = (
            tau,
            v_threshold,
            v_reset,
            decay_input,
            step_mode,
        )

    def charge(self, x: Tensor) -> Tensor:
        """Return the membrane before it fires."""
        rest = self.v_reset or 0.0
        if self.decay_input:
            return self.v + (x - (self.v - rest)) / self.tau
        return self.v + x - (self.v - rest) / self.tau

    def step(self, x: Tensor) -> Tensor:
        """Take one step."""
        if self.v is None:
            self.v = torch.full_like(x, self.v_reset or 0.0)
        self.v = self.charge(x)
        s = (self.v >= self.v_threshold).to(x)
        self.v = self.v - self.v_threshold * s if self.v_reset is None else (1 - s) * self.v + s * self.v_reset
        return s

    def forward(self, x: Tensor) -> Tensor:
        """Take one step, or all."""
        return self.step(x) if self.step_mode == "s" else torch.stack([self.step(a) for a in x])


class IFNode(LIFNode):
    """SpikingJelly's."""

    def charge(self, x: Tensor) -> Tensor:
        """Return the membrane before it fires."""
        return self.v + x


class ParametricLIFNode(LIFNode):
    """SpikingJelly's: 1 / tau = sigmoid(w)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.w = nn.Parameter(torch.tensor(-0.4))

    def charge(self, x: Tensor) -> Tensor:
        """Return the membrane before it fires."""
        self.tau = 1 / self.w.sigmoid()
        return super().charge(x)


class KLIFNode(LIFNode):
    """SpikingJelly's name of a neuron without an equal."""


KLIFNode.__module__ = "spikingjelly.activation_based.neuron"


class SeqToANNContainer(nn.Module):
    """Layers over frames, for (T, B, ...) or (B, T, ...)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.module = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Merge the first two axes."""
        shape = [x.shape[0], x.shape[1]]
        y = self.module(x.flatten(0, 1).contiguous())
        shape.extend(y.shape[1:])
        return y.view(shape)


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return a step with its own type, as released code does."""
        return (x > 0).float()


class LIFSpike(nn.Module):
    """GAC's and TET's, (B, T, ...)."""

    def __init__(self) -> None:
        super().__init__()
        self.act, self.thresh, self.tau = _Step.apply, 0.5, 0.5

    def forward(self, x: Tensor) -> Tensor:
        """Take all steps."""
        m: Any = 0
        spikes = []
        for t in range(x.shape[1]):
            m = m * self.tau + x[:, t, ...]
            s = self.act(m - self.thresh)
            m = (1 - s) * m
            spikes.append(s)
        return torch.stack(spikes, dim=1)


thresh, decay, time_window = 0.5, 0.25, 6
act_fun: Callable[[Tensor], Tensor] = lambda x: x.gt(thresh).float()  # noqa: E731


class mem_update(nn.Module):
    """Att-Res-SNN's, (T, B, ...), constants from its file."""

    def forward(self, x: Tensor) -> Tensor:
        """Take all steps."""
        m, out = torch.zeros_like(x[0]), torch.zeros_like(x)
        for i in range(time_window):
            m = m * decay + x[i]
            s = act_fun(m)
            m = m * (1 - s)
            out[i] = s
        return out


class ConvIFCell(_Stateful):
    """MA-SNN's, one step a call."""

    def __init__(self, mode_select: str = "spike") -> None:
        super().__init__()
        self.alpha, self.beta, self.Vthres, self.mode_select = 0.3, 0.0, 0.3, mode_select
        self.spikeActFun = lambda x: x.ge(0.0).float()

    def forward(self, x: Tensor) -> Tensor:
        """Take a step."""
        u = x if self.v is None else self.v + x
        s = self.spikeActFun(u - self.Vthres)
        self.v = (s * self.Vthres + (1 - s) * u) * self.alpha + self.beta
        return s if self.mode_select == "spike" else u


class _Mlp(nn.Module):
    def __init__(self, n: int, hidden: int) -> None:
        super().__init__()
        self.sharedMLP = nn.Sequential(
            nn.Conv3d(n, hidden, 1, bias=False), nn.ReLU(), nn.Conv3d(hidden, n, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return a score a channel of axis 1."""
        average, maximum = x.mean((2, 3, 4), keepdim=True), x.amax((2, 3, 4), keepdim=True)
        return self.sharedMLP(average) + self.sharedMLP(maximum)


class TCA(nn.Module):
    """MA-SNN's attention over T and C, (B, T, C, H, W)."""

    def __init__(self, T: int, C: int) -> None:
        super().__init__()
        self.ta, self.ca, self.relu = _Mlp(T, 2), _Mlp(C, 2), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Gate."""
        y = self.ta(x).sigmoid() * x
        y = self.ca(y.transpose(1, 2)).transpose(1, 2).sigmoid() * y
        return self.relu(y)


class TCJA(nn.Module):
    """TCJA-SNN's, (T, B, C, H, W)."""

    def __init__(self, T: int, C: int) -> None:
        super().__init__()
        self.conv, self.conv_c = (
            nn.Conv1d(T, T, 2, padding="same", bias=False),
            nn.Conv1d(C, C, 3, padding="same", bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Gate."""
        z = x.permute(1, 0, 2, 3, 4).mean((3, 4))
        gate = (self.conv_c(z.permute(0, 2, 1)).permute(2, 0, 1) * self.conv(z).permute(1, 0, 2)).sigmoid()
        return x * gate[:, :, :, None, None]


class _Space(nn.Module):
    def __init__(self, C: int) -> None:
        super().__init__()
        convs = (nn.Conv2d(C, C, 4, padding="same", bias=False) for _ in range(2))
        first, second = convs
        self.sharedMLP = nn.Sequential(first, nn.ReLU(), second)

    def forward(self, x: Tensor) -> Tensor:
        """Return a score a pixel."""
        return self.sharedMLP(x.flatten(0, 1)).reshape(x.shape)


class GAC(nn.Module):
    """GAC's encoding, called as gac(x, lif(x)), (B, T, C, H, W)."""

    def __init__(self, T: int, C: int) -> None:
        super().__init__()
        self.TA, self.SCA = _Mlp(T, T // 2), _Space(C)

    def forward(self, x: Tensor, spikes: Tensor) -> Tensor:
        """Gate."""
        return (self.TA(x) * self.SCA(x)).sigmoid() * spikes


class Leaky(nn.Module):
    """snnTorch's, one step a call, (spikes, membrane)."""

    inhibition = state_quant = False

    def __init__(
        self,
        beta: float | list[float] = 0.9,
        reset_mechanism: str = "subtract",
        *,
        threshold: float = 1.0,
        reset_delay: bool = True,
    ) -> None:
        super().__init__()
        self.register_buffer("beta", torch.tensor(beta))
        self.register_buffer("threshold", torch.tensor(threshold))
        self.reset_mechanism_val = torch.tensor(("subtract", "zero", "none").index(reset_mechanism))
        self.reset_delay = reset_delay

    def forward(self, x: Tensor, mem: Tensor) -> tuple[Tensor, Tensor]:
        """Take a step."""
        before = (mem > self.threshold).to(x)
        zero, taken = int(self.reset_mechanism_val) == 1, int(self.reset_mechanism_val) == 0
        mem = self.beta * (mem * (1 - before) if zero else mem) + x - (before * self.threshold if taken else 0)
        s = (mem > self.threshold).to(x)
        if not self.reset_delay:  # of a neuron that has fired in both steps, nothing is taken at once
            now = s - before
            mem = mem * (1 - now) if zero else mem - now * self.threshold if taken else mem
        return s, mem


class Synaptic(Leaky):
    """snnTorch's, its current kept inside."""

    def __init__(
        self, alpha: float = 0.5, beta: float = 0.9, reset_mechanism: str = "subtract", **options: Any
    ) -> None:
        super().__init__(beta, reset_mechanism, **options)
        self.register_buffer("alpha", torch.tensor(alpha))
        self.syn: Any = 0.0

    def reset_mem(self) -> None:
        """Forget."""
        self.syn = 0.0

    def forward(self, x: Tensor, mem: Tensor) -> tuple[Tensor, Tensor]:
        """Take a step."""
        self.syn = self.alpha * self.syn + x
        return super().forward(self.syn, mem)


class Alpha(Synaptic):
    """snnTorch's name of a neuron without an equal."""


Alpha.__module__ = "snntorch._neurons.alpha"


class Stepped(nn.Module):
    """A loop over T round a snnTorch neuron."""

    def __init__(self, cell: nn.Module, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.fc1, self.cell, self.fc2 = nn.Linear(inputs, hidden), cell, nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs and membranes of all steps."""
        mem, out, mems = torch.zeros(x.shape[1], self.fc1.out_features), [], []
        for t in range(x.shape[0]):
            s, mem = self.cell(self.fc1(x[t]), mem)
            out.append(self.fc2(s))
            mems.append(mem)
        return torch.stack(out), torch.stack(mems)


class Run(nn.Module):
    """A net whose forward is a function of (self, x)."""

    def __init__(self, function: Callable[[Any, Tensor], Any], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Any:
        """Call it."""
        return self.function(self, x)
