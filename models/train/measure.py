"""What a trained net is judged by: accuracy on a split, and its mean spike rate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spikewright.models.attention.ma import MALIF
from spikewright.models.attention.staa import STAALIF
from spikewright.models.neurons import Neuron


@dataclass(frozen=True)
class Measurement:
    """Accuracy (fraction) and spike rate: spikes per neuron and timestep, over all spiking neurons of the net."""

    accuracy: float
    spike_rate: float


@dataclass
class SpikeCount:
    """Spikes so far, and neurons times steps."""

    spikes: float = 0.0
    neuron_steps: int = 0

    @property
    def rate(self) -> float:
        """Spikes per neuron and timestep, a share of 1."""
        return self.spikes / max(self.neuron_steps, 1)

    def hook(self, _module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Count what a neuron layer gave. It is (T, B, ...)."""
        self.spikes += float(output.count_nonzero())
        self.neuron_steps += output.numel()


@contextmanager
def counted(module: nn.Module) -> Iterator[SpikeCount]:
    """Put a net in evaluation mode, without gradients, and count the spikes of all its neurons, inside a ``with``."""
    count = SpikeCount()
    hooks = [m.register_forward_hook(count.hook) for m in module.modules() if isinstance(m, Neuron | MALIF | STAALIF)]
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield count
    finally:
        for hook in hooks:
            hook.remove()
        module.train(training)


def measure(
    module: nn.Module, x: Tensor, y: Tensor, *, timesteps: int | None = None, batch: int = 256, device: str = "cpu"
) -> Measurement:
    """Run samples x (T, B, ...), or (1, B, ...) still ones for so many timesteps, with labels y (B,) in evaluation mode."""
    right = 0
    with counted(module) as count:
        for i in range(0, x.shape[1], batch):
            part = x[:, i : i + batch].to(device)
            part = part if timesteps is None else part.expand(timesteps, *part.shape[1:])
            answer = module(part).argmax(1).cpu()
            right += int((answer == y[i : i + batch]).sum())
    return Measurement(right / len(y), count.rate)
