"""The inner loop: batches, gradients, rate; mixed precision, several processes, and a state that is kept after every epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import distributed, nn

from spikewright.models.train.augment import Augmentation, Drawn, apply, apply_mix, draw, draw_mix
from spikewright.models.train.data import Data
from spikewright.models.train.distributed import Workers, average_gradients, check_parts, share, unshare
from spikewright.models.train.losses import Stepwise, batch_loss
from spikewright.models.train.optimizers import Plateau, make_optimizer, rate_factor
from spikewright.models.train.recipe import Recipe
from spikewright.models.train.silence import silence_loss
from spikewright.models.train.train_state import read_state, write_state

Precision = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True)
class Epoch:
    """What an epoch reports: its number from 1, of how many, and the mean training loss."""

    number: int
    of: int
    loss: float


@dataclass(frozen=True)
class Running:
    """How a training is run; none of it but the precision changes what is computed.

    Args:
        device: ``"cpu"`` or ``"cuda"``.
        precision: Of the forward pass: ``"float32"``, or automatic mixed precision with float16 or bfloat16.
        state: File that holds the state after every epoch; a run that finds one goes on from there.
        workers: This process among the others.
    """

    device: str = "cpu"
    precision: Precision = "float32"
    state: Path | None = None
    workers: Workers = field(default_factory=Workers)


def fit(
    module: nn.Module, data: Data, recipe: Recipe, seed: int, running: Running, on_epoch: Callable[[Epoch], None]
) -> None:
    """Train a net in place, from its first epoch or from the kept state's next.

    Raises:
        RecipeError: The kept state is of another training, or a batch is too small for the processes.
    """
    check_parts(len(data), recipe.batch, running.workers)
    fitting = _Fitting(module, recipe, seed, running, math.ceil(len(data) / recipe.batch))
    if running.state is not None and running.state.is_file():
        fitting.restore(running.state)
    alone = running.workers.count == 1
    if not alone:
        share(module)
    try:
        while fitting.epoch < recipe.epochs:
            loss = fitting.run_epoch(data)
            if running.state is not None and running.workers.rank == 0:
                fitting.keep(running.state)
            on_epoch(Epoch(fitting.epoch, recipe.epochs, loss))
    finally:
        if not alone:
            unshare(module)


class _Fitting:
    """A training under way."""

    def __init__(self, module: nn.Module, recipe: Recipe, seed: int, running: Running, batches: int) -> None:
        self.module, self.recipe, self.seed, self.running, self.batches = module, recipe, seed, running, batches
        self.optimizer = make_optimizer(module, recipe.optimizer, recipe.learning_rate, recipe.weight_decay)
        self.generator = torch.Generator().manual_seed(seed)
        self.augmentation = Augmentation(recipe.shift, recipe.flip, recipe.cutout)
        scaled = running.device == "cuda" and running.precision == "float16"
        self.scaler = torch.amp.GradScaler("cuda", enabled=scaled)
        self.plateau = Plateau()
        self.epoch = 0
        self.mixing = False

    def run_epoch(self, data: Data) -> float:
        """Train one epoch and return its mean loss over all samples."""
        self.module.train()
        total = torch.zeros((), device=self.running.device, dtype=torch.float64)
        if self.recipe.cutmix > 0.0:
            self.mixing = float(torch.rand((), generator=self.generator)) < self.recipe.cutmix
        order = torch.randperm(len(data), generator=self.generator)
        for number, index in enumerate(order.split(self.recipe.batch)):
            total += self._step(data, index, self.epoch * self.batches + number)
        if self.running.workers.count > 1:
            distributed.all_reduce(total)
        loss = float(total) / len(data)
        self.plateau = self.plateau.after(loss)
        self.epoch += 1
        return loss

    def _step(self, data: Data, index: torch.Tensor, number: int) -> torch.Tensor:
        """Make one step on the samples of ``index``, and return the sum of this process's losses."""
        recipe, running = self.recipe, self.running
        factor = rate_factor(recipe.schedule, number, self.batches, recipe.epochs, self.plateau)
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * factor
        drawn = draw(self.augmentation, len(index), self.generator)
        part = running.workers.part(len(index))
        batch = self._samples(data, index, drawn, part)
        mixed: tuple[torch.Tensor | None, float] = (None, 1.0)
        if self.mixing:
            height, width = batch.x.shape[-2:]
            mix = draw_mix(len(index), height, width, self.generator)
            partner = self._samples(data, index[mix.partner], drawn.part(mix.partner), part)
            batch, mixed = replace(batch, x=apply_mix(mix, batch.x, partner.x)), (partner.y, mix.share)
        with torch.autocast(running.device, getattr(torch, running.precision), running.precision != "float32"):
            loss = batch_loss(recipe.loss, cast(Stepwise, self.module), data.steps(batch.x), batch.y, *mixed)
            if recipe.silence > 0.0:
                quiet = silence_loss(self.module, batch.x[0, 0], data.timesteps, encoded=recipe.coding == "direct")
                loss = loss + recipe.silence * quiet
        weight = len(batch) * running.workers.count / len(index)
        self.optimizer.zero_grad()
        self.scaler.scale(loss if weight == 1.0 else weight * loss).backward()
        if running.workers.count > 1:
            average_gradients(self.module, running.workers)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach().double() * len(batch)

    def _samples(self, data: Data, index: torch.Tensor, drawn: Drawn, part: slice) -> Data:
        """Return this process's part of a batch, augmented, on the device."""
        batch = data.take(index[part].to(data.y.device)).to(self.running.device)
        return replace(batch, x=apply(self.augmentation, batch.x, drawn.part(part)))

    # ------------------------------------------------------------------------------- the kept state
    def _training(self) -> str:
        """Say which training this is: state of another one is refused."""
        return repr((sorted(asdict(self.recipe).items(), key=lambda item: item[0]), self.seed, self.running.precision))

    def keep(self, path: Path) -> None:
        """Write the state after an epoch, whole or not at all."""
        state: dict[str, Any] = {
            "epoch": self.epoch,
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "plateau": asdict(self.plateau),
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if self.running.device == "cuda" else None,
        }
        write_state(path, self._training(), state)

    def restore(self, path: Path) -> None:
        """Go on from a kept state.

        Raises:
            RecipeError: It cannot be read, or is of another training.
        """
        state = read_state(path, self._training())
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.plateau = Plateau(**state["plateau"])
        self.epoch = state["epoch"]
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None:
            torch.cuda.set_rng_state(state["cuda"])
