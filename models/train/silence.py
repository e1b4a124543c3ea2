r"""The silence term: neurons that reach their threshold without any input event are penalised.

    L = loss + silence * sum over layers  mean over the neurons above it  (max over t of u[t] / v_threshold - MARGIN)

u[t] is the membrane of a net in which nothing comes in and nothing fires: what the biases (in evaluation: of the batch norms
too), at gates of no events, drive alone. Where no neuron reaches its threshold so, by induction none fires without an event.
A hinge, not a square: with enough weight it ends at the margin, not beyond it. A mean over the neurons above the margin, not
over all: the last few channels of a wide layer are pushed as hard as the first. A layer whose spikes are the answer is left
out: no synapse reads them, and a rate of few steps needs its biases.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from spikewright.models.neurons import Neuron

MARGIN = 0.9
"""Share of the threshold that a bias may reach: what is left is room for the rounding of weights and biases."""


@contextmanager
def holding(module: nn.Module) -> Iterator[list[list[Tensor]]]:
    """Let no neuron of a net fire inside; yield the membranes of each neuron layer, in the order the layers are run."""
    neurons = [m for m in module.modules() if isinstance(m, Neuron)]
    training = [m for m in module.modules() if m.training]
    layers: list[list[Tensor]] = []
    for neuron in neurons:
        neuron.held = _Layer(layers)
    module.eval()
    try:
        yield layers
    finally:
        for neuron in neurons:
            neuron.held = None
        for part in training:
            part.training = True


class _Layer(list[Tensor]):
    """Membranes of a layer; it joins the layers with its first."""

    def __init__(self, layers: list[list[Tensor]]) -> None:
        super().__init__()
        self.layers = layers

    def append(self, membrane: Tensor) -> None:
        if not self:
            self.layers.append(self)
        super().append(membrane)


def silence_loss(module: nn.Module, frame: Tensor, timesteps: int, *, encoded: bool) -> Tensor:
    """Return the silence term of a net, without its weight.

    Args:
        module: The net; its modes and statistics stay as they are.
        frame: A sample's frame (C, H, W), for shape and device.
        timesteps: T.
        encoded: The first neuron layer reads real values and runs on the host, so that the chip's input are its spikes: it
            is left out.
    """
    with holding(module) as layers:
        module(torch.zeros_like(frame).expand(timesteps, 1, *frame.shape))
        neurons = {id(m.held): m for m in module.modules() if isinstance(m, Neuron)}
    total = torch.zeros((), device=frame.device)
    for membranes in layers[1:] if encoded else layers:
        neuron = neurons[id(membranes)]
        if not neuron.answers:
            total = total + excess(torch.stack([u.float() for u in membranes]).amax(0) / neuron.v_threshold)
    return total


def excess(peak: Tensor) -> Tensor:
    """Return what a membrane's peak has above the margin, as a share of the threshold, in the mean over neurons above it."""
    above = (peak - MARGIN).clamp(min=0)
    return above.sum() / (above > 0).sum().clamp(min=1)
