"""What the host does for an autoencoder: the latent between its two programs, the picture behind them, and what both cost."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.backends import Backend, RunResult
from spikewright.toolchain.budget import slices
from spikewright.toolchain.deployment import Bars, Deployment, silent
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.integer import answer_of
from spikewright.toolchain.interpret import float_blocks
from spikewright.toolchain.ops import Array
from spikewright.toolchain.streaming import Given, Payloads, Stream

if TYPE_CHECKING:
    from spikewright.toolchain.autoencoders.deployment import AutoencoderDeployment

CHUNK = 64
"""Samples whose steps (T, B, C, H, W) are held at once."""


def ran(
    made: Deployment, backend: Backend, payloads: Payloads | Given, samples: int, progress: Bars
) -> tuple[NDArray[Any], RunResult]:
    """Run samples, and return what the layer in front of the answer did at each step (T, B, *shape), and the run.

    Of neurons that fire their spikes, of a sum over the steps its value after each.
    """
    output = answer_of(made.integer)
    layer, state = output.inputs[0], "out" if output.readout == "spikes" else "v"
    kind: type[np.integer[Any]] = np.uint8 if state == "out" else np.int32
    found = np.empty((made.integer.timesteps, samples, *vars(made.integer[layer])["shape"]), kind)
    stream = Stream(made, {backend.name: backend}, payloads, samples, progress)
    for chosen, steps, recordings in stream.parts():
        found[steps, chosen] = getattr(recordings[backend.name][layer], state)
    return found, stream.result(backend.name)


def spikes(encoder: Deployment, x: NDArray[Any]) -> NDArray[Any]:
    """Return the compiled encoder's spikes (T, B, D) of images, as every backend gives them."""
    return ran(encoder, encoder.backend("hw_sim"), Payloads(encoder, x), x.shape[1], silent)[0]


def latents(made: AutoencoderDeployment, x: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the latent spikes z (T, B, D) of images."""
    return made.parts.latents(spikes(made.encoder, x), made.seed)


def pictures(made: AutoencoderDeployment, sums: NDArray[Any]) -> Array:
    """Return the pictures (B, C, H, W) of the decoder's sums (T, B, C, H, W) after each step: r[t] is what a step added."""
    worth = made.answer_scale * made.integer.timesteps
    parts = []
    for part in slices(sums.shape[1], CHUNK):
        added = np.diff(sums[:, part].astype(np.int64), axis=0, prepend=0)
        parts.append(made.parts.readout.picture(added * worth))
    return np.concatenate(parts)


def float_pictures(made: AutoencoderDeployment, x: NDArray[Any]) -> Array:
    """Return the float net's pictures (B, C, H, W) of images, with the same indices."""
    seen = _signals(made.parts.encoder, x)
    z, found = made.parts.latents(seen, made.seed), []
    for part in slices(z.shape[1], CHUNK):
        found.append(made.parts.readout.picture(_signals(made.parts.decoder, z[:, part])))
    return np.concatenate(found)


def _signals(graph: Any, x: NDArray[Any]) -> Array:
    name, found = graph.output.name, []
    for _, steps, _, signals in float_blocks(graph, x, keep=(name,)):
        if steps.start == 0:
            found.append([signals[name]])
        else:
            found[-1].append(signals[name])
    return np.concatenate([np.concatenate(part) for part in found], axis=1)


def error(made: AutoencoderDeployment, shown: Array, x: NDArray[Any]) -> float:
    """Return the mean squared error of pictures (B, C, H, W) and the images they are of; both in [-1, 1]."""
    return float(np.square(shown - made.parts.images(x)).mean())


def values_read(made: AutoencoderDeployment) -> dict[str, int]:
    """Return how many values of a sample the host reads out of each program: spikes, then the decoder's sums at each step."""
    T = made.integer.timesteps
    return {"encoder": T * made.parts.channels, "decoder": T * prod(made.parts.shape)}


def to_dict(made: AutoencoderDeployment) -> dict[str, Any]:
    """Return what the host does, counted a sample."""
    T, parts = made.integer.timesteps, made.parts
    return {
        "latent": {
            "indices": T * parts.channels,
            "choices": parts.choices,
            "seed": made.seed,
            "macs": parts.posterior_macs,
        },
        "readout": {
            "kind": "leaky" if parts.readout.gains is not None else "attention",
            "macs": parts.readout.macs(T, parts.shape),
        },
        "values_read": values_read(made),
    }


def said(made: AutoencoderDeployment) -> tuple[Diagnostic, ...]:
    """Return what deploy tells of the host's part: what is drawn, what is computed, what is left out."""
    about, T = to_dict(made), made.integer.timesteps
    latent, readout, read = about["latent"], about["readout"], about["values_read"]
    layers = made.parts.posterior_layers
    drawn = (
        f"its {latent['indices']:,} indices a sample, each one of {latent['choices']}, are drawn on the host before the run "
        f"(seed {latent['seed']}): the same on every backend"
    )
    between = (
        f"on the host, between the programs: z[t - 1] passes {layers} layers and a choice to z[t] within one step, and a "
        f"message takes a chip step a layer; {latent['macs']:,} MACs a sample, {read['encoder']:,} spikes read"
    )
    how = "the leaky sum" if readout["kind"] == "leaky" else f"attention over all {T} steps"
    behind = (
        f"{how} and tanh, on the host: {readout['macs']:,} MACs a sample, {read['decoder']:,} sums read "
        f"({T} steps of {read['decoder'] // T:,})"
    )
    prior = (
        "is left out: it draws new pictures, step by step like the posterior; the decoder program takes latent spikes from "
        "anywhere"
    )
    rows = (
        ("latent-drawn", "latent", drawn),
        ("latent-on-host", "posterior", between),
        ("read-out-on-host", "read-out", behind),
        ("prior-left-out", "prior", prior),
    )
    return tuple(Diagnostic(code, where, what, severity="note") for code, where, what in rows)
