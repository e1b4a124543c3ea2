"""Checkpoints that have no lowering: refused by name, before any work, with what is missing."""

from __future__ import annotations

from spikewright.toolchain.errors import UnsupportedNodeError

AUTOENCODER = "fsvae"
"""The net of the autoencoders in ``models.nets``."""

_LATENT = (
    "no lowering for an autoencoder yet: its latent spikes are drawn at random, each step's from the step before, and the chip "
    "model has no random source"
)
_READOUT = (
    "; its read-out weighs the decoder's steps by attention over all {T} of them, and no lowering waits for the last"
)


def refuse_autoencoder(spec: str, net: str, arguments: dict[str, object]) -> None:
    """Refuse a checkpoint of an autoencoder; any other passes.

    Raises:
        UnsupportedNodeError: It is one.
    """
    if net != AUTOENCODER:
        return
    attention = arguments.get("readout", "leaky") != "leaky"
    raise UnsupportedNodeError(
        _LATENT + (_READOUT.format(T=arguments.get("T", 16)) if attention else ""),
        where=spec,
        help=f"reconstruct and sample in torch: spikewright.models.zoo.build({spec!r}); spikewright zoo lists the nets, "
        "those with an accuracy deploy",
    )
