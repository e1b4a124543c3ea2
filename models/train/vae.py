"""Training of FSVAE and TCJA-VAE: AdamW, MSE + PSP-MMD; the test split is read once, after.

Images are zero padded to the net's side and scaled to [-1, 1]; the prior reads its own samples with a probability that rises
from 0.1 to 0.3 over the epochs. Kamata, Mukuta and Harada, AAAI 2022 (released code: 150 epochs of batch 250, rate 1e-3).
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from spikewright.hw_sim.files import write_whole
from spikewright.models.datasets import Images, Split, read
from spikewright.models.errors import RecipeError
from spikewright.models.nets import make
from spikewright.models.nets.fsvae import FSVAE
from spikewright.models.train.fit import Epoch, Running
from spikewright.models.train.loop import channels_last, check_running, cpu_threads, hold_out
from spikewright.models.train.losses import vae_loss
from spikewright.models.train.measure import counted
from spikewright.models.train.optimizers import Plateau, rate_factor
from spikewright.models.train.train_state import read_state, write_state
from spikewright.models.train.vae_recipes import VAERecipe as VAERecipe

OWN = (0.1, 0.3)
"""Probability of scheduled sampling in the first and in the last epoch."""
SIDE = 32
"""Side of the padded images."""
EXAMPLES = 24
"""Images kept to be shown."""


@dataclass(frozen=True, eq=False)
class TrainedVAE:
    """A trained net and what it was measured by.

    Args:
        module: The net, on the CPU, in evaluation mode.
        reconstruction_mse: Mean squared error on the test split, images in [-1, 1].
        spike_rate: Spikes per neuron and timestep there.
        seconds: How long training took, over all sessions.
        examples: The first test images (B, C, H, W).
    """

    module: FSVAE
    reconstruction_mse: float
    spike_rate: float
    seconds: float
    examples: Tensor


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


def _ignore(_epoch: Epoch) -> None:
    return None


def train_vae(
    recipe: VAERecipe,
    *,
    seed: int = 0,
    running: Running | None = None,
    validation: int = 0,
    root: Path | None = None,
    threads: int = 1,
    on_epoch: Callable[[Epoch], None] = _ignore,
) -> TrainedVAE:
    """Train a variational autoencoder; same recipe, seed, threads and torch give the same weights on a CPU.

    Args:
        recipe: What to train.
        seed: Seed of the weights, the order and all samples.
        running: Device, precision, kept state.
        validation: If above 0: measure on the last so many training images, which are left out, and do not read the test
            split.
        root: Folder of the dataset.
        threads: CPU threads.
        on_epoch: Called after every epoch.

    Raises:
        RecipeError: The device is not there, the number of epochs is below 1, or the kept state is of another training.
    """
    running = running or Running()
    check_running(recipe.name, recipe.epochs, running)
    x = images_for(recipe.dataset, "train", SIDE, root)
    held: Tensor | None = None
    if validation > 0:
        kept, rest = hold_out(len(x), validation, seed=0)
        x, held = x[kept], x[rest]
    with cpu_threads(threads):
        torch.manual_seed(seed)
        module = cast(FSVAE, make("fsvae", recipe.arguments(x.shape[1])))
        channels_last(module, running.device)
        seconds = _Fitting(module, x.to(running.device), recipe, seed, running).run(on_epoch)
        if held is None:
            held = images_for(recipe.dataset, "test", SIDE, root)
        error, rate = reconstruction(module, held, seed=seed, device=running.device)
    return TrainedVAE(module.cpu().eval(), error, rate, seconds, held[:EXAMPLES])


class _Fitting:
    """A training under way."""

    def __init__(self, module: FSVAE, x: Tensor, recipe: VAERecipe, seed: int, running: Running) -> None:
        self.module, self.x, self.recipe, self.seed, self.running = module, x, recipe, seed, running
        self.optimizer = torch.optim.AdamW(
            module.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.generator = torch.Generator().manual_seed(seed)
        scaled = running.device == "cuda" and running.precision == "float16"
        self.scaler = torch.amp.GradScaler("cuda", enabled=scaled)
        self.batches = math.ceil(len(x) / recipe.batch)
        self.epoch, self.seconds = 0, 0.0

    def run(self, on_epoch: Callable[[Epoch], None]) -> float:
        """Train from the first epoch, or from the kept state's next; return the seconds taken."""
        state = self.running.state
        if state is not None and state.is_file():
            self.restore(state)
        while self.epoch < self.recipe.epochs:
            start = time.perf_counter()
            loss = self.run_epoch()
            self.seconds += time.perf_counter() - start
            if state is not None:
                self.keep(state)
            on_epoch(Epoch(self.epoch, self.recipe.epochs, loss))
        return self.seconds

    def run_epoch(self) -> float:
        """Train one epoch and return its mean loss over all images."""
        self.module.train()
        own = OWN[0] + (OWN[1] - OWN[0]) * self.epoch / max(self.recipe.epochs - 1, 1)
        total = torch.zeros((), dtype=torch.float64, device=self.running.device)
        order = torch.randperm(len(self.x), generator=self.generator)
        for number, index in enumerate(order.split(self.recipe.batch)):
            batch = self.x[index.to(self.x.device)]
            total += self._step(batch, own, self.epoch * self.batches + number) * len(batch)
        self.epoch += 1
        return float(total) / len(self.x)

    def _step(self, batch: Tensor, own: float, number: int) -> Tensor:
        """Make one step on a batch (B, C, H, W) and return its mean loss."""
        recipe, running = self.recipe, self.running
        factor = rate_factor(recipe.schedule, number, self.batches, recipe.epochs, Plateau())
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * factor
        with torch.autocast(running.device, getattr(torch, running.precision), running.precision != "float32"):
            out = self.module(batch.expand(recipe.timesteps, *batch.shape), own=own, generator=self.generator)
            loss = vae_loss(out.image, batch, out.posterior, out.prior)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach().double()

    # ------------------------------------------------------------------------------- the kept state
    def _training(self) -> str:
        """Say which training this is: state of another one is refused."""
        return repr((sorted(asdict(self.recipe).items()), self.seed, self.running.precision, tuple(self.x.shape)))

    def keep(self, path: Path) -> None:
        """Write the state after an epoch, whole or not at all; all randomness is the generator's."""
        state: dict[str, Any] = {
            "epoch": self.epoch,
            "seconds": self.seconds,
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "generator": self.generator.get_state(),
        }
        write_state(path, self._training(), state)

    def restore(self, path: Path) -> None:
        """Go on from a kept state."""
        state = read_state(path, self._training())
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.generator.set_state(state["generator"])
        self.epoch, self.seconds = state["epoch"], state["seconds"]


def reconstruction(
    module: FSVAE, x: Tensor, *, seed: int = 0, batch: int = 250, device: str = "cpu"
) -> tuple[float, float]:
    """Return the mean squared error of reconstructed images x (B, C, H, W), and the spike rate; ``seed`` draws the samples."""
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    with counted(module) as count:
        for part in x.split(batch):
            on_device = part.to(device)
            image = module(on_device.expand(module.T, *part.shape), generator=generator).image
            total += float((image - on_device).square().mean()) * len(part)
    return total / len(x), count.rate


def picture(module: FSVAE, x: Tensor, *, seed: int = 0, columns: int = 12, sample_rows: int = 4) -> Tensor:
    """Return images to be shown row by row: rows of x (B, C, H, W), each above its reconstruction, then new samples."""
    generator = torch.Generator().manual_seed(seed)
    with counted(module):
        again = module(x.expand(module.T, *x.shape), generator=generator).image
        new = module.sample(sample_rows * columns, generator)
    rows = [row for pair in zip(x.split(columns), again.split(columns), strict=True) for row in pair]
    return torch.cat([*rows, new])


def save_grid(images: Tensor, path: Path, *, columns: int = 12) -> None:
    """Write images (B, C, H, W) in [-1, 1] as one PNG, row by row, whole or not at all."""
    from PIL import Image

    x = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    b, c, h, w = x.shape
    rows = -(-b // columns)
    canvas = np.zeros((rows * h, columns * w, c), np.uint8)
    for i in range(b):
        r, k = divmod(i, columns)
        canvas[r * h : (r + 1) * h, k * w : (k + 1) * w] = x[i].transpose(1, 2, 0)
    made = io.BytesIO()
    Image.fromarray(canvas.squeeze(2) if c == 1 else canvas).save(made, format="PNG")
    write_whole(path, made.getvalue())
