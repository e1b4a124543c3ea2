"""Recipes of the variational autoencoders: the paper's settings, and narrow nets of ours that a CPU trains.

The two narrow ones have equal settings and differ in the read-out alone, so that they can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from spikewright.models.train.recipe import Schedule

Readout = Literal["leaky", "tcja-bytecode", "tcja-clean"]


@dataclass(frozen=True)
class VAERecipe:
    """A training of a variational autoencoder, complete but for the seed.

    Args:
        name: Name of the checkpoint.
        readout: From the decoder's steps to an image; see ``models.nets.fsvae``.
        dataset: Images in ``models.datasets``.
        timesteps: T.
        epochs: Passes over the train split.
        batch: Images per step.
        learning_rate: AdamW's, at its peak.
        weight_decay: AdamW's.
        schedule: One of ``models.train.optimizers``; not ``"plateau"``.
        shape: The net's sizes, where they are not the paper's.
        provenance: Where the architecture comes from.
    """

    name: str
    readout: Readout
    dataset: str = "fashion-mnist"
    timesteps: int = 16
    epochs: int = 150
    batch: int = 250
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    schedule: Schedule = "constant"
    shape: Mapping[str, Any] = field(default_factory=dict)
    provenance: str = "FSVAE, Kamata et al., AAAI 2022, released code"

    def arguments(self, in_channels: int) -> dict[str, Any]:
        """Return the net's constructor arguments for images of so many channels."""
        return {"T": self.timesteps, "in_channels": in_channels, "readout": self.readout, **self.shape}


_FSVAE = VAERecipe.provenance
_TCJA = _FSVAE + "; read-out of TCJA-VAE, Zhu et al., IEEE TNNLS, 2024, {}"
_NARROW = "; narrow net and few epochs, for a CPU: setting ours"
_SHAPE = {"widths": [8, 32, 64, 128], "latent": 48, "samples": 10, "hidden": [128, 256]}


def _narrow(name: str, readout: Readout, provenance: str) -> VAERecipe:
    return VAERecipe(
        name, readout, epochs=2, batch=32, learning_rate=2e-3, schedule="warm-cosine", shape=_SHAPE,
        provenance=provenance + _NARROW,
    )  # fmt: skip


VAE_RECIPES: Mapping[str, VAERecipe] = MappingProxyType(
    {
        r.name: r
        for r in (
            _narrow("fsvae-fashion", "leaky", _FSVAE),
            _narrow("tcja-vae-fashion", "tcja-bytecode", _TCJA.format("from byte-code")),
            _narrow("tcja-vae-fashion-clean", "tcja-clean", _TCJA.format("both convolutions 'same', ours")),
            VAERecipe("fsvae-fashion-paper", "leaky"),
            VAERecipe("tcja-vae-fashion-paper", "tcja-bytecode", provenance=_TCJA.format("from byte-code")),
            VAERecipe("fsvae-mnist-paper", "leaky", "mnist"),
            VAERecipe("tcja-vae-mnist-paper", "tcja-bytecode", "mnist", provenance=_TCJA.format("from byte-code")),
        )
    }
)
"""All recipes of autoencoders, by name."""
