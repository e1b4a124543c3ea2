"""A spiking variational autoencoder in parts: encoder and decoder are nets that spike; what joins them is the host's.

    x = encoder(image)                               spikes (T, B, D)
    q[t] = posterior([x[t]; z[t - 1]])               spikes (T, B, D, k);  z[t, d] = q[t, d, i[t, d]],  i uniform in 0 .. k - 1
    r = decoder(z)                                   real (T, B, C, H, W); picture = tanh(sum_t F[t] r[t])
    F[t] given (FSVAE: 0.8^(T - 1 - t)),  or  h((A Z) (C Z)) with Z[t, c] = mean_HW r[t, c]      (attention)

The posterior's layers and the choice lie within one step behind z[t - 1], and a message of the chip takes a step a layer; so it
stands on the host, between two programs. i is drawn before the run, from a seed: every backend gets the same.
Kamata, Mukuta and Harada, "Fully Spiking Variational Autoencoder", AAAI 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.budget import slices
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.gates import GateName, gate_function
from spikewright.toolchain.interpret import float_blocks
from spikewright.toolchain.interpret.floats import apply
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Array, Input, Shape
from spikewright.toolchain.shapes import shapes

CHUNK = 64
"""Samples whose choices and steps are held at once."""
CHOSEN = "z"
"""The op of the posterior's graph whose signal are the latent spikes."""
SCALED = "input.scaled"
"""The op of the encoder's graph whose signal is the image as the net sees it, and gives it back: padded, in [-1, 1]."""


@dataclass(frozen=True, eq=False)
class Readout:
    """From the decoder's steps to a picture.

    Args:
        gains: F, (T,); None where attention computes it.
        time: A, (T C, T C).
        channel: C, (T C, T C).
        function: h.
    """

    gains: Array | None = None
    time: Array | None = None
    channel: Array | None = None
    function: GateName = "sigmoid"

    def weights(self, r: Array) -> Array:
        """Return F, (T, B or 1, C or 1), of steps (T, B, C, H, W)."""
        if self.gains is not None:
            return self.gains[:, None, None]
        assert self.time is not None
        assert self.channel is not None
        T, B, C = r.shape[:3]
        z = r.mean(axis=(3, 4)).transpose(0, 2, 1).reshape(T * C, B)
        found = gate_function(self.function, (self.time @ z) * (self.channel @ z))
        return found.reshape(T, C, B).transpose(0, 2, 1)

    def picture(self, r: Array) -> Array:
        """Return the pictures (B, C, H, W) in (-1, 1) of steps (T, B, C, H, W)."""
        return np.asarray(np.tanh((self.weights(r)[..., None, None] * r).sum(axis=0)))

    def macs(self, timesteps: int, shape: Shape) -> int:
        """Return the multiply-accumulates of one picture (C, H, W); means only add."""
        attention = [matrix for matrix in (self.time, self.channel) if matrix is not None]
        return timesteps * prod(shape) + sum(int(np.count_nonzero(matrix)) for matrix in attention)


@dataclass(frozen=True, eq=False)
class Autoencoder:
    """The parts; equations above.

    Args:
        encoder: Image (C, h, w) in [0, 1], repeated T times, to spikes (D,).
        posterior: (D + D k,), the encoder's spikes and which of k is chosen, to ``CHOSEN`` (D,).
        decoder: z (D,) to r (C, H, W).
        readout: r to the picture.
        choices: k.
    """

    encoder: Graph
    posterior: Graph
    decoder: Graph
    readout: Readout
    choices: int

    @property
    def channels(self) -> int:
        """D."""
        return prod(self.decoder.input.shape)

    @property
    def shape(self) -> Shape:
        """(C, H, W) of a picture."""
        return shapes(self.decoder)[self.decoder.output.name]

    def drawn(self, count: int, seed: int) -> NDArray[np.int64]:
        """Return i, (T, count, D); the first samples' do not depend on how many there are."""
        size = (count, self.encoder.timesteps, self.channels)
        return np.random.default_rng(seed).integers(self.choices, size=size).transpose(1, 0, 2)

    def latents(self, spikes: NDArray[Any], seed: int) -> NDArray[np.uint8]:
        """Return z (T, B, D) of the encoder's spikes (T, B, D)."""
        chosen = self.drawn(spikes.shape[1], seed)
        z = np.empty(spikes.shape, np.uint8)
        for part in slices(spikes.shape[1], CHUNK):
            one = (np.arange(self.choices) == chosen[:, part, :, None]).reshape(*chosen[:, part].shape[:2], -1)
            x = np.concatenate([spikes[:, part], one], axis=2).astype(np.float64)
            for samples, steps, _, signals in float_blocks(self.posterior, x, keep=(CHOSEN,)):
                z[steps, part][:, samples] = signals[CHOSEN]
        return z

    def images(self, x: NDArray[Any]) -> Array:
        """Return the images (B, C, H, W) in [-1, 1] that the net is to give back, of data (T, B, c, h, w).

        Raises:
            InputError: A sample is no still image.
        """
        if x.strides[0] and (x != x[:1]).any():
            raise InputError(
                "a sample changes over its steps", where="input", help="give still images, repeated T times"
            )
        image = np.asarray(x[0], np.float64)
        for op in self.encoder:
            if not isinstance(op, Input):
                image = apply(op, [image])
            if op.name == SCALED:
                break
        return image

    @property
    def posterior_macs(self) -> int:
        """Multiply-accumulates of the posterior for one sample, dense; a choice or a copy is none."""
        maps = [op.weight for op in self.posterior if isinstance(op, Affine)]
        layers = [weight for weight in maps if not np.isin(weight, (0, 1)).all()]
        return self.encoder.timesteps * sum(int(np.count_nonzero(weight)) for weight in layers)

    @property
    def posterior_layers(self) -> int:
        """How many layers of neurons z[t - 1] passes to become z[t]."""
        return sum(op.name.startswith("q") for op in self.posterior)
