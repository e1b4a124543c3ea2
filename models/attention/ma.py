r"""MA-SNN: multi-dimensional attention of a spiking layer, Yao et al., TPAMI 45(8):9393-9410, 2023 (arXiv 2209.13929).

Four variants, from the current X (T, B, C, H, W) to spikes; M(v) = W1 relu(W0 v), h a gate function of ``gates``:

``code``, the released code: every gate pools over all T, and a ReLU follows::

    X = h(M_t(avg_CHW X) + M_t(max_CHW X)) X;  X = h(M_c(avg_THW X) + M_c(max_THW X)) X
    X = h(K * [avg_TC X; max_TC X]) X;  X = relu(X);  then the neuron

``paper``: TA on the current over all T, CA and SA on the membrane inside the step, before the threshold::

    X' = h(M_t(avg_CHW X) + M_t(max_CHW X)) X
    U = beta v + gain X'[t];  U = h(M_c(avg_HW U) + M_c(max_HW U)) U;  U = h(K * [avg_C U; max_C U]) U;  s, v = fire(U)

``causal``, ours, for hardware: gates from the layer's own earlier spikes S, d = ``gate_delay`` steps late::

    m = lambda m + mean_CHW S / T;   g_T[t + d] = h(ta_w m + ta_b)
    n = lambda n + mean_HW S / T;    g_C[t + d] = h(W1 relu(W0 n) + ca_b)
    a = lambda a + mean_C S / T;     g_S[t + d] = h(K * a + sa_b)
    X'[t] = g_T[t] g_C[t] g_S[t] X[t],   g[t < d] = 1;   then the neuron

``sda``, the spike-driven attention (SDA) of TDE, Luo et al., AAAI 2026 (arXiv 2512.02447), step by step: pool - threshold - W -
threshold over each of the n dimensions D, and products of one sum with binary factors alone::

    a_T = max_CHW X > level;   a_C = max_HW X > level;   a_S = max_C X > level
    f_T[t] = sum_k ta_taps[k] a_T[t - k];   f_C = ca_w a_C;   f_S = sa_kernel * a_S;   s_D = f_D > 1/2
    X' = X + 1/n sum_D f_D prod_{E != D} s_E;   then the neuron

    As released (Mortal825/TDE at 996910e, ``Spike_TCSA``), but for what needs all T or the whole batch: there C and S pool over
    T too, f_T mixes all T by T x T weights, and the first threshold is the value that 90 % of a batch's pooled values reach.

Only ``causal`` and ``sda`` can be run step by step without waiting inside the step; ``paper`` can where T is not in ``dims``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from spikewright.models.attention.causal import (
    CountGates,
    GateStep,
    GateTrace,
    causal_parameters,
    check_causal,
    spikes_of,
    trace_of,
)
from spikewright.models.attention.gates import Gate, apply_gate, check_gate, register, uniform
from spikewright.models.errors import ModelError
from spikewright.models.neurons import LIF
from spikewright.models.surrogate import Rectangular, spike

Variant = Literal["paper", "code", "causal", "sda"]
Rectifier = Literal["relu", "none"]
DIMS = ("T", "C", "S", "TC", "TS", "CS", "TCS")

KERNEL = {"paper": 7, "code": 3, "causal": 3, "sda": 3}
"""Side of the spatial kernel: the paper's, the released code's, and the smallest for the chip."""
TAPS = 2
"""Steps that f_T of variant ``sda`` reads; ours."""
OPEN = Rectangular()
"""Of both thresholds of ``sda``: the gradient of clamp(f, 0, 1), as released for the second (the first has none there)."""


def _shared_mlp(average: Tensor, maximum: Tensor, w0: Tensor, w1: Tensor) -> Tensor:
    return linear(torch.relu(linear(average, w0)), w1) + linear(torch.relu(linear(maximum, w0)), w1)


def time_score(x: Tensor, w0: Tensor, w1: Tensor) -> Tensor:
    """Return the TA score (T, B) of a current (T, B, C, H, W): M(avg_CHW) + M(max_CHW) over T."""
    flat = x.flatten(2)
    return _shared_mlp(flat.mean(2).t(), flat.amax(2).t(), w0, w1).t()


def channel_score(x: Tensor, w0: Tensor, w1: Tensor) -> Tensor:
    """Return the CA score (B, C) of maps (B, C, N): M(avg_N) + M(max_N) over C."""
    return _shared_mlp(x.mean(2), x.amax(2), w0, w1)


def space_score(x: Tensor, kernel: Tensor) -> Tensor:
    """Return the SA score (B, 1, H, W) of maps (B, N, H, W): a convolution of [avg_N; max_N], zero padded."""
    pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
    return conv2d(pooled, kernel, padding=kernel.shape[-1] // 2)


def added(x: Tensor, found: Mapping[str, Tensor], fired: Mapping[str, Tensor]) -> Tensor:
    """Return X' of currents x, the sums f_D and the spikes s_D by dimension; see ``sda``.

    All are (T, B, C, H, W) or broadcast to it.
    """
    total = torch.zeros_like(x)
    for dim, f in found.items():
        for other, s in fired.items():
            f = f if other == dim else f * s
        total = total + f
    return x + total / len(found)


class _MA(CountGates):
    """What the MA modules share: the arguments' checks, the parameters, and the maths of the released code."""

    rectifier: Rectifier = "relu"
    ta_w0: nn.Parameter  # (T // r, T)      paper, code
    ta_w1: nn.Parameter  # (T, T // r)      paper, code; sa_kernel there: (1, 2, k, k), channels [avg, max]
    level: nn.Parameter  # ()               sda
    ta_taps: nn.Parameter  # (taps,)        sda
    ca_w: nn.Parameter  # (C, C)            sda

    def __init__(
        self,
        timesteps: int,
        channels: int,
        size: tuple[int, int] | None,
        dims: str,
        variant: Variant,
        gate: Gate,
        reduction_t: int,
        reduction_c: int,
        kernel: int | None,
    ) -> None:
        super().__init__(timesteps)
        where = type(self).__name__
        _check(where, dims, variant, size)
        check_gate(gate, where)
        kernel = KERNEL[variant] if kernel is None else kernel
        if kernel % 2 == 0:
            raise ModelError(f"kernel {kernel}; an odd side is allowed", where=where, help=f"use kernel={kernel + 1}")
        hidden_t, hidden_c = timesteps // reduction_t, channels // reduction_c
        for d, what, hidden in (
            ("T", f"T = {timesteps} // {reduction_t}", hidden_t),
            ("C", f"C = {channels} // {reduction_c}", hidden_c),
        ):
            if d in dims and hidden < 1 and variant != "sda" and not (d == "T" and variant == "causal"):
                raise ModelError(f"{what} leaves no hidden unit", where=where, help=f"lower reduction_{d.lower()}")
        self.channels, self.size, self.dims, self.variant, self.gate = channels, size, dims, variant, gate
        if variant == "causal":
            register(self, causal_parameters(dims, channels, hidden_c, kernel))
        elif variant == "sda":
            register(self, _sda_parameters(dims, channels, kernel))
        else:
            register(self, _pooled_parameters(dims, timesteps, channels, hidden_t, hidden_c, kernel))

    def attend(self, x: Tensor) -> Tensor:
        """Return the gated current of the released code, its rectifier included."""
        steps, batch = x.shape[:2]
        if "T" in self.dims:
            x = apply_gate(self.gate, time_score(x, self.ta_w0, self.ta_w1))[:, :, None, None, None] * x
        if "C" in self.dims:
            x = (
                apply_gate(self.gate, channel_score(x.permute(1, 2, 0, 3, 4).flatten(2), self.ca_w0, self.ca_w1))[
                    :, :, None, None
                ]
                * x
            )
        if "S" in self.dims:
            maps = x.transpose(0, 1).reshape(batch, steps * self.channels, *x.shape[3:])
            x = apply_gate(self.gate, space_score(maps, self.sa_kernel)) * x
        return torch.relu(x) if self.rectifier == "relu" else x

    def enhance(self, x: Tensor) -> Tensor:
        """Return the current of variant ``sda`` with what its spikes add."""
        pools = {"T": (2, 3, 4), "C": (3, 4), "S": (2,)}
        a = {d: self._fires(x.amax(pools[d], keepdim=True) - self.level, 0.0) for d in self.dims}
        found = {d: self._sum(d, spikes) for d, spikes in a.items()}
        return added(x, found, {d: self._fires(f, 0.5) for d, f in found.items()})

    def _sum(self, d: str, a: Tensor) -> Tensor:
        match d:
            case "T":
                before = torch.cat([torch.zeros_like(a[:1]).expand(len(self.ta_taps) - 1, *a.shape[1:]), a])
                late = [before[len(self.ta_taps) - 1 - k :][: len(a)] for k in range(len(self.ta_taps))]
                return sum((w * part for w, part in zip(self.ta_taps, late, strict=True)), torch.zeros_like(a))
            case "C":
                return linear(a.flatten(2), self.ca_w)[..., None, None]
            case _:
                return conv2d(a.flatten(0, 1), self.sa_kernel, padding=self.sa_kernel.shape[-1] // 2).view_as(a)

    def _fires(self, value: Tensor, threshold: float) -> Tensor:
        return spike(value, threshold, strict=True, surrogate=OPEN)

    def to_maps(self, current: Tensor) -> Tensor:
        """Check a current (T, B, C, H, W) or (T, B, N) and view it as (T, B, C, H, W)."""
        self.check_timesteps(current.shape[0])
        expected = (self.channels,) if self.size is None else (self.channels, *self.size)
        if tuple(current.shape[2:]) != expected:
            raise ModelError(
                f"current of shape {tuple(current.shape[2:])} per step; the layer was made for {expected}",
                where=type(self).__name__,
                help="make the layer with the channels and size of the current it reads",
            )
        return current if self.size is not None else current[:, :, :, None, None]

    def extra_repr(self) -> str:
        """Return the arguments, for ``print(module)``."""
        return f"T={self.timesteps}, dims={self.dims}, variant={self.variant}, gate={self.gate}"


def _check(where: str, dims: str, variant: str, size: tuple[int, int] | None) -> None:
    if dims not in DIMS:
        raise ModelError(f"dims {dims!r}; allowed are {', '.join(DIMS)}", where=where, help="use dims='TCS'")
    if variant not in KERNEL:
        raise ModelError(
            f"variant {variant!r}; allowed are {', '.join(KERNEL)}", where=where, help="use variant='causal' for a chip"
        )
    if "S" in dims and size is None:
        raise ModelError(
            f"dims {dims!r} on features without space", where=where, help="drop S from dims, or give size=(H, W)"
        )


def _checked(rectifier: Rectifier, variant: Variant) -> Rectifier:
    if rectifier not in ("relu", "none") or (rectifier == "none" and variant != "code"):
        raise ModelError(
            f"rectifier {rectifier!r} of variant {variant!r}; 'relu', and for variant 'code' 'none', are allowed",
            where="MA attention",
            help="leave rectifier out",
        )
    return rectifier


def _pooled_parameters(dims: str, t: int, c: int, hidden_t: int, hidden_c: int, kernel: int) -> dict[str, nn.Parameter]:
    parameters: dict[str, nn.Parameter] = {}
    if "T" in dims:
        parameters["ta_w0"] = uniform(hidden_t, t, fan_in=t)
        parameters["ta_w1"] = uniform(t, hidden_t, fan_in=hidden_t)
    if "C" in dims:
        parameters["ca_w0"] = uniform(hidden_c, c, fan_in=c)
        parameters["ca_w1"] = uniform(c, hidden_c, fan_in=hidden_c)
    if "S" in dims:
        parameters["sa_kernel"] = uniform(1, 2, kernel, kernel, fan_in=2 * kernel**2)
    return parameters


def _sda_parameters(dims: str, channels: int, kernel: int) -> dict[str, nn.Parameter]:
    """Make the weights of ``sda``: a spike passes itself on, so that training starts from open products."""
    parameters = {"level": nn.Parameter(torch.zeros(()))}
    if "T" in dims:
        parameters["ta_taps"] = nn.Parameter(torch.tensor([1.0] + [0.0] * (TAPS - 1)))
    if "C" in dims:
        parameters["ca_w"] = uniform(channels, channels, fan_in=channels)
    if "S" in dims:
        parameters["sa_kernel"] = uniform(1, 1, kernel, kernel, fan_in=kernel**2)
    with torch.no_grad():
        if "C" in dims:
            parameters["ca_w"].fill_diagonal_(1.0)
        if "S" in dims:
            parameters["sa_kernel"][0, 0, kernel // 2, kernel // 2] = 1.0
    return parameters


class MAAttention(_MA):
    """The attention of the released code alone, from current to gated current >= 0; see ``code`` above.

    Equal to SpikingJelly's ``MultiDimensionalAttention`` for ``dims="TCS"``; without the rectifier, of dims "T", to its
    ``TemporalWiseAttention``. Captured, it is one block with the neuron that reads it, if one neuron and nothing else does.

    Args:
        T: Timesteps; baked into the weights of TA.
        channels: C, or the number of features where ``size`` is None.
        size: (H, W), or None for a current (T, B, N).
        dims: Which of T, C and S, in this order.
        reduction_t: T // reduction_t hidden units in TA.
        reduction_c: C // reduction_c hidden units in CA.
        kernel: Side of the spatial kernel, odd; 3 if None.
        gate: The gate function; the paper's is the sigmoid.
        rectifier: "none" leaves the ReLU out.
    """

    kind = "ma-attention"

    def __init__(
        self,
        T: int,
        channels: int,
        size: tuple[int, int] | None = None,
        *,
        dims: str = "TCS",
        reduction_t: int = 2,
        reduction_c: int = 8,
        kernel: int | None = None,
        gate: Gate = "sigmoid",
        rectifier: Rectifier = "relu",
    ) -> None:
        super().__init__(T, channels, size, dims, "code", gate, reduction_t, reduction_c, kernel)
        self.rectifier = _checked(rectifier, "code")

    def options(self) -> dict[str, str | int | float]:
        """Return the options of the block."""
        return {"dims": self.dims, "gate": self.gate, "rectifier": self.rectifier}

    def with_neuron(self, neuron: LIF, rectifier: Rectifier | None = None) -> MALIF:
        """Return this attention, with the same weights, and its neuron in one layer."""
        made = MALIF(
            neuron, self.timesteps, self.channels, self.size, dims=self.dims, variant="code", gate=self.gate,
            rectifier=rectifier or self.rectifier, **self._sizes(),
        )  # fmt: skip
        for name, weight in self.named_parameters():
            setattr(made, name, nn.Parameter(weight.detach().clone(), requires_grad=weight.requires_grad))
        return made.train(self.training)

    def _sizes(self) -> dict[str, int]:
        """Return the arguments that give MALIF's weights these shapes."""
        hidden = {d: getattr(self, f"{d.lower()}a_w0").shape[0] for d in self.dims if d != "S"}
        sizes = {"T": self.timesteps, "C": self.channels}
        found = {f"reduction_{d.lower()}": sizes[d] // n for d, n in hidden.items()}
        return found | ({"kernel": self.sa_kernel.shape[-1]} if "S" in self.dims else {})

    def forward(self, current: Tensor) -> Tensor:
        """Return the gated current. It is (T, B, C, H, W)."""
        return self.attend(self.to_maps(current)).reshape(current.shape)


class MALIF(_MA):
    """Attention and its neuron in one layer, from current (T, B, C, H, W) or (T, B, N) to spikes; equations above.

    Args:
        neuron: The spiking neuron.
        T: Timesteps; baked into the weights of TA, and into the causal means.
        channels: C, or the number of features where ``size`` is None.
        size: (H, W), or None for a current (T, B, N).
        dims: Which of T, C and S, in this order.
        variant: ``"paper"``, ``"code"``, ``"causal"`` or ``"sda"``.
        gate: The gate function; None: hard for causal, else sigmoid. ``sda`` has none.
        gate_delay: Steps from the spikes a causal gate counts to the step it acts on; each synapse on the gate's way costs
            one, so at least 3 with C in ``dims``, else 2.
        decay: lambda, the share of a causal count kept per step.
        reduction_t: T // reduction_t hidden units in TA (paper, code).
        reduction_c: C // reduction_c hidden units in CA.
        kernel: Side of the spatial kernel, odd; None: 7 for paper, else 3.
        rectifier: Of variant ``"code"``: "none" leaves the ReLU out.
    """

    kind = "ma"

    def __init__(
        self,
        neuron: LIF,
        T: int,
        channels: int,
        size: tuple[int, int] | None = None,
        *,
        dims: str = "TCS",
        variant: Variant = "paper",
        gate: Gate | None = None,
        gate_delay: int = 3,
        decay: float = 1.0,
        reduction_t: int = 2,
        reduction_c: int = 8,
        kernel: int | None = None,
        rectifier: Rectifier = "relu",
    ) -> None:
        chosen: Gate = gate if gate is not None else "hard" if variant == "causal" else "sigmoid"
        super().__init__(T, channels, size, dims, variant, chosen, reduction_t, reduction_c, kernel)
        if variant == "causal":
            check_causal("MALIF", dims, gate_delay, decay)
        self.neuron, self.gate_delay, self.decay = neuron, gate_delay, float(decay)
        self.rectifier = _checked(rectifier, variant)

    def options(self) -> dict[str, str | int | float]:
        """Return the options of the block."""
        names = (
            "dims",
            "variant",
            "gate",
            "gate_delay",
            "decay",
            *(("rectifier",) if self.rectifier != "relu" else ()),
        )
        return {name: getattr(self, name) for name in names}

    def forward(self, current: Tensor) -> Tensor:
        """Return the spikes, of the shape of ``current``, from zero state. It is (T, B, C, H, W)."""
        x = self.to_maps(current)
        match self.variant:
            case "code":
                spikes: Tensor = self.neuron(self.attend(x))
            case "sda":
                spikes = self.neuron(self.enhance(x))
            case _:
                spikes = spikes_of(self._steps(x))
        return spikes.reshape(current.shape)

    def trace(self, current: Tensor) -> GateTrace:
        """Return spikes, membrane before reset and gains, of the shape of ``current``. It is (T, B, C, H, W)."""
        x = self.to_maps(current)
        if self.variant in ("code", "sda"):
            gated = self.attend(x) if self.variant == "code" else self.enhance(x)
            found = GateTrace(*self.neuron.trace(gated), torch.where(x != 0, gated / x, torch.zeros_like(x)).detach())
        else:
            found = trace_of(self._steps(x))
        return GateTrace(*(part.reshape(current.shape) for part in found))

    def _steps(self, x: Tensor) -> Iterator[GateStep]:
        return self._paper_steps(x) if self.variant == "paper" else self.causal_steps(self.neuron, x)

    def _paper_steps(self, x: Tensor) -> Iterator[GateStep]:
        if "T" in self.dims:
            x = apply_gate(self.gate, time_score(x, self.ta_w0, self.ta_w1))[:, :, None, None, None] * x
        v: Tensor | None = None
        for current in x:
            u = self.neuron.integrate(v, current)
            gain: Tensor | None = None
            if "C" in self.dims:
                gain = apply_gate(self.gate, channel_score(u.flatten(2), self.ca_w0, self.ca_w1))[:, :, None, None]
                u = gain * u
            if "S" in self.dims:
                gate = apply_gate(self.gate, space_score(u, self.sa_kernel))
                u, gain = gate * u, gate if gain is None else gate * gain
            s, v = self.neuron.fire(u)
            yield GateStep(s, u, gain)
