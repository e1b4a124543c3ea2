"""Training of FSVAE and TCJA-VAE: AdamW 1e-3, weight decay 1e-3, batch 250, 150 epochs, no schedule; MSE + PSP-MMD.

Images are zero padded to the net's side and scaled to [-1, 1]; the prior reads its own samples with a probability that rises
from 0.1 to 0.3 over the epochs. Kamata, Mukuta and Harada, AAAI 2022 (released code).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.datasets import Images, Split, read
from models.errors import RecipeError
from models.nets.fsvae import FSVAE
from models.train.fit import Epoch
from models.train.losses import vae_loss

OWN = (0.1, 0.3)
"""Probability of scheduled sampling in the first and in the last epoch."""


@dataclass(frozen=True)
class VAERecipe:
    """A training of a variational autoencoder, complete but for the seed."""

    name: str
    readout: Literal["leaky", "tcja-bytecode", "tcja-clean"]
    dataset: str = "fashion-mnist"
    timesteps: int = 16
    epochs: int = 150
    batch: int = 250
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    provenance: str = "FSVAE, Kamata et al., AAAI 2022, released code"


_TCJA = "; read-out of TCJA-VAE, Zhu et al., IEEE TNNLS, 2024, from byte-code"
VAE_RECIPES = {
    r.name: r
    for r in (
        VAERecipe("fsvae-fashion", "leaky"),
        VAERecipe("tcja-vae-fashion", "tcja-bytecode", provenance=VAERecipe.provenance + _TCJA),
        VAERecipe("fsvae-mnist", "leaky", "mnist"),
        VAERecipe("tcja-vae-mnist", "tcja-bytecode", "mnist", provenance=VAERecipe.provenance + _TCJA),
    )
}


@dataclass(frozen=True, eq=False)
class TrainedVAE:
    """A trained net on the CPU, its reconstruction error on the test split (mean squared, images in [-1, 1]), seconds."""

    module: FSVAE
    reconstruction_mse: float
    seconds: float


def images_for(dataset: str, split: Split, side: int, root: Path | None) -> Tensor:
    """Return a split's images (B, C, side, side) in [-1, 1], zero padded.

    Raises:
        RecipeError: The set holds no images, or larger ones.
    """
    source = read(dataset, split=split, root=root)
    if not isinstance(source, Images) or max(source.x.shape[2:]) > side:
        raise RecipeError(f"{dataset!r} holds no images of up to {side} pixels", where="vae", help="use fashion-mnist")
    x = torch.from_numpy(source.x)
    rows, columns = side - x.shape[2], side - x.shape[3]
    padded = functional.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
    return 2.0 * padded - 1.0


def train_vae(
    recipe: VAERecipe,
    *,
    seed: int = 0,
    device: str = "cpu",
    root: Path | None = None,
    limit: int | None = None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> TrainedVAE:
    """Train a variational autoencoder.

    Args:
        recipe: What to train.
        seed: Seed of the weights, the order and all samples.
        device: ``"cpu"`` or ``"cuda"``.
        root: Folder of the dataset.
        limit: Only the first so many training and test images.
        on_epoch: Called after every epoch.
    """
    start = time.perf_counter()
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    x = images_for(recipe.dataset, "train", 32, root)[:limit].to(device)
    module = FSVAE(recipe.timesteps, x.shape[1], readout=recipe.readout).to(device)
    optimizer = torch.optim.AdamW(module.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    for epoch in range(recipe.epochs):
        module.train()
        own = OWN[0] + (OWN[1] - OWN[0]) * epoch / max(recipe.epochs - 1, 1)
        total = 0.0
        for index in torch.randperm(len(x), generator=generator).split(recipe.batch):
            batch = x[index.to(device)]
            out = module(batch.expand(recipe.timesteps, *batch.shape), own=own, generator=generator)
            loss = vae_loss(out.image, batch, out.posterior, out.prior)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        on_epoch(Epoch(epoch + 1, recipe.epochs, total / len(x)))
    seconds = time.perf_counter() - start
    test = images_for(recipe.dataset, "test", 32, root)[:limit]
    error = reconstruction_mse(module, test, generator, device)
    return TrainedVAE(module.cpu().eval(), error, seconds)


def reconstruction_mse(module: FSVAE, x: Tensor, generator: torch.Generator, device: str = "cpu") -> float:
    """Return the mean squared error of reconstructed images x (B, C, H, W)."""
    module.eval()
    total = 0.0
    with torch.no_grad():
        for batch in x.split(250):
            part = batch.to(device)
            image = module(part.expand(module.T, *part.shape), generator=generator).image
            total += float((image - part).square().mean()) * len(part)
    return total / len(x)


def save_grid(images: Tensor, path: Path, *, columns: int = 8) -> None:
    """Write images (B, C, H, W) in [-1, 1] as one PNG, row by row."""
    from PIL import Image

    x = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    b, c, h, w = x.shape
    rows = -(-b // columns)
    canvas = np.zeros((rows * h, columns * w, c), np.uint8)
    for i in range(b):
        r, k = divmod(i, columns)
        canvas[r * h : (r + 1) * h, k * w : (k + 1) * w] = x[i].transpose(1, 2, 0)
    Image.fromarray(canvas.squeeze(2) if c == 1 else canvas).save(path)
