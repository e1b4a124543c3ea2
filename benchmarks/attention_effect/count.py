"""What a net does on data, by hooks: spikes, synaptic operations, firing rates, and the operations of its attention.

A spike is an output of a neuron that is not 0, before any gate that stands behind the neuron. A SOP is one (value that is not 0
at a layer's input, synapse whose weight is not 0) pair; graded where the layer's inputs are ever other than 0 and 1. The first
layer reads pixels and has none: its dense MACs are counted apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from spikewright.export.torch_to_nir.attention import attention, is_block
from spikewright.models.attention.ma import MALIF
from spikewright.models.attention.staa import STAALIF
from spikewright.models.neurons import Neuron
from spikewright.models.train.data import Data
from spikewright.toolchain.blocks import AttentionOps

BATCH = 250
"""Samples at once (memory)."""


@dataclass
class Layer:
    """Totals of one layer over all samples; ``shape``: a step of it, without B."""

    shape: tuple[int, ...] = ()
    events: float = 0.0
    opportunities: int = 0
    sops: float = 0.0
    graded: bool = False
    macs: int = 0


@dataclass
class Counts:
    """Totals over ``samples``: neurons and synaptic layers by name in the order of the net, attention blocks' shapes.

    Args:
        right: Samples whose largest logit is the label.
        first: Name of the layer that reads the pixels.
    """

    samples: int = 0
    right: int = 0
    first: str = ""
    neurons: dict[str, Layer] = field(default_factory=dict)
    synapses: dict[str, Layer] = field(default_factory=dict)
    blocks: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def spikes(self) -> float:
        """Spikes per sample."""
        return sum(layer.events for layer in self.neurons.values()) / self.samples

    @property
    def spikes_behind_stem(self) -> float:
        """The same without the first layer of neurons, which has no attention but GAC's."""
        return sum(layer.events for layer in list(self.neurons.values())[1:]) / self.samples

    @property
    def nasar(self) -> float:
        """Mean over t of spikes at t / neurons."""
        opportunities = sum(layer.opportunities for layer in self.neurons.values())
        return self.spikes * self.samples / opportunities

    def sops(self, *, graded: bool) -> float:
        """SOPs per sample of one class."""
        return sum(layer.sops for layer in self.synapses.values() if layer.graded == graded) / self.samples


def count(module: nn.Module, data: Data) -> Counts:
    """Run all samples in evaluation mode and count."""
    counts = Counts()
    hooks = list(_hooks(module, counts))
    module.eval()
    try:
        with torch.no_grad():
            for index in torch.split(torch.arange(len(data)), BATCH):
                batch = data.take(index)
                answer = module(batch.steps(batch.x)).argmax(1)
                counts.right += int((answer == batch.y).sum())
                counts.samples += len(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return counts


def _hooks(module: nn.Module, counts: Counts) -> Any:
    inside = {id(m.neuron) for m in module.modules() if isinstance(m, MALIF | STAALIF)}
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            yield layer.register_forward_hook(partial(_synapses, counts, name))
        elif isinstance(layer, Neuron | MALIF | STAALIF) and id(layer) not in inside:
            yield layer.register_forward_hook(partial(_spikes, counts, name))
        if is_block(layer):
            yield layer.register_forward_hook(partial(_block, counts, name))


def _spikes(counts: Counts, name: str, _module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
    found = counts.neurons.setdefault(name, Layer(tuple(output.shape[2:])))
    found.events += float(output.count_nonzero())
    found.opportunities += output.numel()


def _block(counts: Counts, name: str, _module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
    counts.blocks[name] = (output.shape[0], *output.shape[2:])


def _synapses(
    counts: Counts, name: str, module: nn.Conv2d | nn.Linear, inputs: tuple[Tensor, ...], output: Tensor
) -> None:
    x = inputs[0]
    counts.first = counts.first or name
    found = counts.synapses.setdefault(name, Layer(tuple(output.shape[2:])))
    found.macs = module.weight.numel() * (prod(output.shape[3:]) if isinstance(module, nn.Conv2d) else 1)
    if name == counts.first:
        return
    fired = x != 0
    found.events += float(fired.sum())
    found.opportunities += x.numel()
    found.graded = found.graded or bool((x[fired] != 1).any())
    found.sops += sops(module, fired)


def sops(module: nn.Conv2d | nn.Linear, fired: Tensor) -> float:
    """Return how many (input that fired, synapse with a weight) pairs (T, B, ...) makes; padding makes none."""
    synapses = (module.weight != 0).sum(0, keepdim=True).to(torch.float32)
    if isinstance(module, nn.Linear):
        return float((fired.flatten(0, 1).sum(0) * synapses[0].double()).sum())
    x = fired.flatten(0, 1).to(torch.float32)
    return float(conv2d(x, synapses, None, module.stride, module.padding, module.dilation).sum(dtype=torch.float64))


def attention_ops(module: nn.Module, counts: Counts) -> list[AttentionOps]:
    """Return the operations of each attention block per sample; a scalar gain folds into the norm and has none."""
    modules = dict(module.named_modules())
    return [_ops(modules[name], shape, _spikes_at(counts, name)) for name, shape in counts.blocks.items()]


def _spikes_at(counts: Counts, block: str) -> float:
    """Spikes per sample of the block's own neurons, or (TCJA) of those in front of it."""
    names = list(counts.neurons)
    name = block if block in names else next((n for n in names if n.rpartition(".")[0] == block.rpartition(".")[0]), "")
    return counts.neurons[name].events / counts.samples if name else 0.0


def _ops(module: nn.Module, shape: tuple[int, ...], spikes: float) -> AttentionOps:
    node = attention(module, shape[1:], shape[0], 1e-3, "block")
    return node.op("block", (), None).cost(spikes)
