"""FSVAE, a fully spiking variational autoencoder, and TCJA-VAE, the same with an attention read-out; T = 16, neuron N6.

    encoder    conv3 s2: C, 32, 64, 128, 256 (large: 512) - FC 128                        each tdBN, LIF; 2 x 2 at the end
    posterior  [x[t]; z[t - 1]] 256 - 256 - 512 - 128 k;   z[t, d] = one of the k spikes of channel d, drawn uniformly
    prior      z[t - 1]         128 - 256 - 512 - 128 k;   k = 20
    decoder    FC to 2 x 2 - transposed conv3 s2 256, 128, 64, 32, 32 - transposed conv3 to C, no spikes: r[t]
    read-out   FSVAE  x = tanh(sum_t 0.8^(T - 1 - t) r[t]);   TCJA-VAE  ``models.attention.tcja_readout``
    tdBN       y = gamma alpha V_th (x - mean) / std + beta,   V_th = 0.2, alpha 1, in prior and posterior 2

Kamata, Mukuta and Harada, "Fully Spiking Variational Autoencoder", AAAI 2022. In training the samples z are drawn, step by
step, with the running statistics of tdBN (the released code normalises every prefix anew by its own batch). The numbers above
are the paper's and the default; narrower nets are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from spikewright.models.attention.tcja_readout import TCJAReadout
from spikewright.models.errors import ModelError
from spikewright.models.layers import Conv2d, Flatten, Linear, over_steps
from spikewright.models.neurons import LIF, lif, widened

WIDTHS, LARGE_WIDTHS = (32, 64, 128, 256), (32, 64, 128, 256, 512)
"""Channels of the encoder for 32 x 32 and for 64 x 64 images."""
LATENT, SAMPLES, HIDDEN = 128, 20, (256, 512)
"""Latent channels, k, and the hidden layers of posterior and prior."""
THRESHOLD, LEAK = 0.2, 0.8
"""The threshold in tdBN, and the read-out's decay; all the paper's code."""
FREE_STEPS = 5
"""Scheduled sampling starts at this step (released code)."""


class ThresholdBatchNorm(nn.BatchNorm1d):
    """tdBN over (T, B, C, ...): batch normalisation times alpha V_th in front of the shift.

    Args:
        channels: C.
        alpha: alpha.
    """

    def __init__(self, channels: int, alpha: float = 1.0) -> None:
        super().__init__(channels)
        self.scale = alpha * THRESHOLD

    def forward(self, input: Tensor) -> Tensor:
        """Normalise, all steps as one batch. From and to (T, B, C, H, W); source: Zheng et al., arXiv:2011.05280."""
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return over_steps(partial(_normalise, self), input)


def _normalise(norm: ThresholdBatchNorm, flat: Tensor) -> Tensor:
    return batch_norm(
        flat, norm.running_mean, norm.running_var, norm.weight * norm.scale, norm.bias, norm.training,
        norm.momentum or 0.1, norm.eps,
    )  # fmt: skip


class ConvTranspose2d(nn.ConvTranspose2d):
    """Transposed convolution of every step."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convolve every step. From (T, B, C, H, W)."""
        return over_steps(super().forward, input)


def _dense(inside: int, out: int, alpha: float) -> list[nn.Module]:
    return [Linear(inside, out), ThresholdBatchNorm(out, alpha), lif("N6")]


class Autoregressive(nn.Module):
    """A latent net, FC-tdBN-LIF three times; a whole run at once, or step by step with the membranes handed on.

    Args:
        inside: Input features I.
        hidden: Features of the two hidden layers.
        latent: Latent channels D.
        samples: k.
    """

    def __init__(
        self, inside: int, hidden: Sequence[int] = HIDDEN, latent: int = LATENT, samples: int = SAMPLES
    ) -> None:
        super().__init__()
        self.shape = (latent, samples)
        first, second = hidden
        self.layers = nn.Sequential(
            *_dense(inside, first, 2.0), *_dense(first, second, 2.0), *_dense(second, latent * samples, 2.0)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the spikes (T, B, D, k) of inputs (T, B, I)."""
        y: Tensor = self.layers(x).unflatten(2, self.shape)
        return y

    def step(self, x: Tensor, state: dict[int, Tensor]) -> Tensor:
        """Return one step's spikes (B, D, k) of inputs (B, I); membranes in ``state`` are updated in place."""
        for i, layer in enumerate(self.layers):
            if isinstance(layer, LIF):
                x, state[i] = layer.fire(layer.integrate(state.get(i), widened(x)))
            else:
                x = layer(x[None])[0]
        y: Tensor = x.unflatten(1, self.shape)
        return y


def _encoder(in_channels: int, widths: Sequence[int], latent: int) -> nn.Sequential:
    down: list[nn.Module] = []
    for inside, out in zip((in_channels, *widths), widths, strict=False):
        down += [Conv2d(inside, out, 3, stride=2, padding=1), ThresholdBatchNorm(out), lif("N6")]
    return nn.Sequential(*down, Flatten(), *_dense(4 * widths[-1], latent, 1.0))


def _decoder(in_channels: int, widths: Sequence[int]) -> nn.Sequential:
    up: list[nn.Module] = []
    for inside, out in zip(widths[::-1], (*widths[-2::-1], widths[0]), strict=True):
        up += [ConvTranspose2d(inside, out, 3, stride=2, padding=1, output_padding=1)]
        up += [ThresholdBatchNorm(out), lif("N6")]
    return nn.Sequential(*up, ConvTranspose2d(widths[0], in_channels, 3, padding=1))


def _check(readout: str, widths: Sequence[int], latent: Sequence[int], hidden: Sequence[int]) -> None:
    if readout not in ("leaky", "tcja-bytecode", "tcja-clean"):
        raise ModelError(
            f"readout {readout!r}; allowed are leaky, tcja-bytecode, tcja-clean", where="FSVAE", help="use 'leaky'"
        )
    if not widths or len(hidden) != 2 or min(*widths, *latent, *hidden) < 1:
        raise ModelError(
            f"widths {tuple(widths)}, latent and samples {tuple(latent)}, hidden {tuple(hidden)}; "
            "all at least 1, and hidden has two",
            where="FSVAE",
            help="leave them out for the paper's net",
        )


class VAEOutput(NamedTuple):
    """A training pass: image (B, C, H, W) in [-1, 1], and the latent spikes of posterior and prior (T, B, D, k)."""

    image: Tensor
    posterior: Tensor
    prior: Tensor


class FSVAE(nn.Module):
    """FSVAE or TCJA-VAE.

    Args:
        T: Timesteps.
        in_channels: C of the image.
        large: The five-layer net for 64 x 64 images; else four layers for 32 x 32.
        readout: ``"leaky"`` (FSVAE), ``"tcja-bytecode"`` or ``"tcja-clean"``.
        widths: Channels of the encoder's layers, n of them for images of 2^(n + 1) pixels; None: the paper's.
        latent: Latent channels D.
        samples: k.
        hidden: Features of the two hidden layers of posterior and prior.
    """

    def __init__(
        self,
        T: int = 16,
        in_channels: int = 1,
        *,
        large: bool = False,
        readout: Literal["leaky", "tcja-bytecode", "tcja-clean"] = "leaky",
        widths: Sequence[int] | None = None,
        latent: int = LATENT,
        samples: int = SAMPLES,
        hidden: Sequence[int] = HIDDEN,
    ) -> None:
        super().__init__()
        if widths is None:
            widths = LARGE_WIDTHS if large else WIDTHS
        _check(readout, widths, (latent, samples), hidden)
        self.T, self.in_channels, self.side = T, in_channels, 2 ** (len(widths) + 1)
        self.latent, self.samples = latent, samples
        self.encoder = _encoder(in_channels, widths, latent)
        self.posterior = Autoregressive(2 * latent, hidden, latent, samples)
        self.prior = Autoregressive(latent, hidden, latent, samples)
        self.expand = nn.Sequential(*_dense(latent, 4 * widths[-1], 1.0), nn.Unflatten(2, (widths[-1], 2, 2)))
        self.decoder = _decoder(in_channels, widths)
        self.readout = None if readout == "leaky" else TCJAReadout(T, in_channels, readout.removeprefix("tcja-"))

    def forward(self, x: Tensor, *, own: float = 0.0, generator: torch.Generator | None = None) -> VAEOutput:
        """Encode, sample, decode images repeated T times (T, B, C, H, W) in [-1, 1].

        Args:
            x: The input.
            own: Probability that the prior reads its own sample instead of the posterior's, from step 5 on.
            generator: Draws the samples, on the CPU.
        """
        latent = self.encoder(x)
        draw = torch.randint(self.samples, (x.shape[0], x.shape[1], self.latent, 1), generator=generator).to(x.device)
        posterior, z = self._posterior(latent, draw)
        prior = self.prior(self._prior_inputs(z.detach(), own, generator))
        return VAEOutput(self.decode(z), posterior, prior)

    def drawn_latents(self, latent: Tensor, draw: Tensor) -> Tensor:
        """Return z (T, B, D) of the encoder's spikes (T, B, D) and indices (T, B, D, 1) in 0 .. k - 1."""
        return self._posterior(latent, draw)[1]

    def _posterior(self, latent: Tensor, draw: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior's spikes (T, B, D, k) and z (T, B, D)."""
        z_before = self._sample_posterior(latent.detach(), draw)
        posterior = self.posterior(torch.cat([latent, z_before], dim=2))
        return posterior, posterior.gather(3, draw).squeeze(3)

    def decode(self, z: Tensor) -> Tensor:
        """Return the images (B, C, H, W) of latent spikes (T, B, D)."""
        r = widened(self.decoder(self.expand(z)))
        if self.readout is not None:
            image: Tensor = self.readout(r)
            return image
        leak = LEAK ** torch.arange(r.shape[0] - 1, -1, -1, device=r.device, dtype=r.dtype)
        return torch.tanh((leak.reshape(-1, 1, 1, 1, 1) * r).sum(0))

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return new images (B, C, H, W), from latent spikes drawn step by step from the prior."""
        device = next(self.parameters()).device
        draw = torch.randint(self.samples, (self.T, count, self.latent, 1), generator=generator).to(device)
        with _RunningStatistics(self.prior), torch.no_grad():
            z = torch.zeros(count, self.latent, device=device)
            state: dict[int, Tensor] = {}
            steps: list[Tensor] = []
            for t in range(self.T):
                z = self.prior.step(z, state).gather(2, draw[t]).squeeze(2)
                steps.append(z)
            return self.decode(torch.stack(steps))

    def _sample_posterior(self, latent: Tensor, draw: Tensor) -> Tensor:
        """Return z[t - 1] (T, B, D), drawn from the posterior step by step."""
        with _RunningStatistics(self.posterior), torch.no_grad():
            z: list[Tensor] = [torch.zeros_like(latent[0])]
            state: dict[int, Tensor] = {}
            for t in range(latent.shape[0] - 1):
                q = self.posterior.step(torch.cat([latent[t], z[-1]], dim=1), state)
                z.append(q.gather(2, draw[t]).squeeze(2))
            return torch.stack(z)

    def _prior_inputs(self, z: Tensor, own: float, generator: torch.Generator | None) -> Tensor:
        """Return z[t - 1] (T, B, D) for the prior: the posterior's, or by scheduled sampling its own."""
        inputs: list[Tensor] = [torch.zeros_like(z[0])]
        state: dict[int, Tensor] = {}
        free = torch.rand(z.shape[0], generator=generator) < own
        with _RunningStatistics(self.prior), torch.no_grad():
            for t in range(z.shape[0] - 1):
                p = self.prior.step(inputs[-1], state) if own > 0.0 else None
                if p is None or t < FREE_STEPS or not bool(free[t]):
                    inputs.append(z[t])
                    continue
                mean = p.mean(2)
                noise = torch.randn(mean.shape, generator=generator).to(mean.device)
                inputs.append((mean + 1e-3 * noise > 0.5).to(z.dtype))
        return torch.stack(inputs)


class _RunningStatistics:
    """Run a module in evaluation mode inside a ``with``, then give it its mode back."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.training = module, module.training

    def __enter__(self) -> None:
        self.module.eval()

    def __exit__(self, *_: object) -> None:
        self.module.train(self.training)
