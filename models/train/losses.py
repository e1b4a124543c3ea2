"""The losses of the papers; o[t] (T, B, classes) is a net's answer per step, o its mean over T, (B, classes).

mse-rate       mean over classes of (o - onehot)^2                                          (MA-SNN, TCJA: rates)
cross-entropy  -log softmax(o)[label]                                                       (GAC, TCJA, STAA)
smoothed       the same towards 0.9 onehot + 0.1 / classes                                  (Att-Res-SNN, GAC on ImageNet)
tet            (1 - lambda) mean_t cross-entropy(o[t]) + lambda mean (o[t] - phi)^2,  lambda = 1e-3, phi = 1       (TCJA-TET)
vae            mean (x^ - x)^2 + mean (PSP(q) - PSP(p))^2,  q, p: latent rates over k,
               PSP[t] = PSP[t - 1] + (a[t] - PSP[t - 1]) / 2                                (FSVAE, TCJA-VAE)
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from spikewright.models.train.recipe import Loss

SMOOTHING = 0.1
TET_LAMBDA, TET_PHI = 1e-3, 1.0
"""Of the released TET code that TCJA uses."""
PSP_TAU = 2.0


class Stepwise(Protocol):
    """A net that gives its answer per step."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return the mean over T."""

    def steps(self, x: Tensor) -> Tensor:
        """Return the answer per step."""


def loss_of(loss: Loss, answer: Tensor, y: Tensor) -> Tensor:
    """Return the loss of a batch's mean answers (B, classes), or for ``"tet"`` of its answers per step (T, B, classes)."""
    match loss:
        case "mse-rate":
            return functional.mse_loss(answer, functional.one_hot(y, answer.shape[1]).to(answer.dtype))
        case "cross-entropy":
            return functional.cross_entropy(answer, y)
        case "smoothed":
            return functional.cross_entropy(answer, y, label_smoothing=SMOOTHING)
        case "tet":
            entropy = functional.cross_entropy(answer.flatten(0, 1), y.repeat(answer.shape[0]))
            return (1 - TET_LAMBDA) * entropy + TET_LAMBDA * (answer - TET_PHI).square().mean()


def batch_loss(
    loss: Loss, module: Stepwise, x: Tensor, y: Tensor, other: Tensor | None = None, share: float = 1.0
) -> Tensor:
    """Run a net on a batch and return its loss, in float32 or wider.

    Args:
        loss: Which.
        module: The net.
        x: Samples (T, B, ...).
        y: Labels (B,).
        other: Labels (B,) of what was mixed into the samples; None: nothing was.
        share: The weight of ``y``; ``other`` has the rest.
    """
    answer = module.steps(x) if loss == "tet" else module(x)
    answer = answer if answer.dtype == torch.float64 else answer.float()
    own = loss_of(loss, answer, y)
    return own if other is None else share * own + (1.0 - share) * loss_of(loss, answer, other)


def postsynaptic(spikes: Tensor) -> Tensor:
    """Return PSP (T, ...) of rates (T, ...), from zero."""
    state, trace = torch.zeros_like(spikes[0]), []
    for step in spikes:
        state = state + (step - state) / PSP_TAU
        trace.append(state)
    return torch.stack(trace)


def latent_loss(posterior: Tensor, prior: Tensor) -> Tensor:
    """Return mean (PSP(q) - PSP(p))^2 of latent spikes (T, B, D, k)."""
    return functional.mse_loss(postsynaptic(posterior.mean(3)), postsynaptic(prior.mean(3)))


def vae_loss(image: Tensor, target: Tensor, posterior: Tensor, prior: Tensor) -> Tensor:
    """Return reconstruction plus latent loss; images (B, C, H, W) in [-1, 1]."""
    return functional.mse_loss(image, target) + latent_loss(posterior, prior)
