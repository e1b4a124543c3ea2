"""From an autoencoder in torch to its parts: batch norms folded, equal to the module on a few samples, in float64."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from spikewright.models.layers import Conv2d, Flatten, Linear
from spikewright.models.nets.fsvae import FSVAE, LEAK, Autoregressive, ConvTranspose2d, ThresholdBatchNorm
from spikewright.models.neurons import LIF
from spikewright.toolchain.autoencoder import CHOSEN, SCALED, Autoencoder, Readout
from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
    Affine,
    Array,
    Conv,
    Delay,
    Input,
    Lif,
    Multiply,
    Op,
    Output,
    Pair,
    Scale,
    Shape,
    SumPool,
    TransposedConv,
)
from spikewright.toolchain.ops import Flatten as FlattenOp
from spikewright.toolchain.shapes import infer


def autoencoder_of(module: FSVAE, x: Array, *, name: str, seed: int = 0) -> Autoencoder:
    """Take a module apart.

    Args:
        module: The net.
        x: Images (T, B, C, h, w) in [0, 1] that both are run on; the net sees them padded to its side, in [-1, 1].
        name: What to call it in an error.
        seed: Draws the latent's indices of this comparison.

    Raises:
        ImportingError: The parts answer otherwise than the module.
    """
    module = module.double().eval()
    made = Autoencoder(
        _encoder(module, tuple(x.shape[2:])),
        _posterior(module),
        _decoder(module),
        _readout(module),
        module.samples,
    )
    _compare(module, made, x, name, seed)
    return made


def _numbers(tensor: torch.Tensor) -> Array:
    return np.asarray(tensor.detach().double().numpy())


class _Chain:
    """Ops in a row, with the shape of the last."""

    def __init__(self, shape: Shape, *, binary: bool) -> None:
        self.ops: list[Op] = [Input(name="input", shape=shape, binary=binary)]
        self.shape = shape

    def add(self, op: Op) -> None:
        self.shape = infer(op, [self.shape])
        self.ops.append(op)

    @property
    def last(self) -> tuple[str]:
        return (self.ops[-1].name,)

    def layers(self, modules: nn.Sequential, name: str) -> None:
        """Add the maps and neurons of a module, each with the norm behind it folded in."""
        number, found = 0, list(modules)
        for layer, behind in pairwise([*found, nn.Identity()]):
            norm = behind if isinstance(behind, ThresholdBatchNorm) else None
            match layer:
                case Conv2d() | ConvTranspose2d() | Linear():
                    number += 1
                    self.add(_map(f"{name}{number}", self.last, layer, norm))
                case LIF():
                    self.add(_lif(f"{name}{number}.lif", self.last, self.shape, layer))
                case Flatten():
                    self.add(FlattenOp(name=f"{name}.flat", inputs=self.last))
                case _:
                    continue

    def graph(self, timesteps: int) -> Graph:
        self.add(Output(name="output", inputs=self.last))
        return Graph(tuple(self.ops), timesteps)


def _map(name: str, inputs: tuple[str, ...], layer: nn.Module, norm: ThresholdBatchNorm | None) -> Op:
    """Return a map with its norm folded in: gamma alpha V_th / std times the weight, and the shift that is left."""
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    weight, bias = _numbers(layer.weight), np.zeros(0) if layer.bias is None else _numbers(layer.bias)
    if isinstance(layer, nn.ConvTranspose2d):
        weight = weight.swapaxes(0, 1).copy()
    bias = bias if bias.size else np.zeros(len(weight))
    if norm is not None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        gain = _numbers(norm.weight) * norm.scale / np.sqrt(_numbers(norm.running_var) + norm.eps)
        weight = weight * gain.reshape(-1, *(1,) * (weight.ndim - 1))
        bias = (bias - _numbers(norm.running_mean)) * gain + _numbers(norm.bias)
    match layer:
        case nn.Linear():
            return Affine(name=name, inputs=inputs, weight=weight, bias=bias)
        case nn.ConvTranspose2d() if tuple(layer.stride) == (1, 1):
            (high, wide), (down, across) = weight.shape[2:], _pair(layer.padding)
            turned = np.ascontiguousarray(weight[:, :, ::-1, ::-1])
            padding = (high - 1 - down, wide - 1 - across)
            return Conv(name=name, inputs=inputs, weight=turned, bias=bias, padding=padding)
        case nn.ConvTranspose2d():
            stride, padding, more = (_pair(values) for values in (layer.stride, layer.padding, layer.output_padding))
            return TransposedConv(
                name=name, inputs=inputs, weight=weight, bias=bias, stride=stride, padding=padding, output_padding=more
            )
        case _:
            stride, padding = _pair(layer.stride), _pair(layer.padding)
            return Conv(name=name, inputs=inputs, weight=weight, bias=bias, stride=stride, padding=padding)


def _pair(values: Any) -> Pair:
    """Return torch's two sizes as integers."""
    return int(values[0]), int(values[1])


def _lif(name: str, inputs: tuple[str, ...], shape: Shape, layer: LIF) -> Lif:
    """Return neurons N6, u = 0.25 u (1 - s) + x, s = u > 0.2."""
    values = {key: np.asarray(getattr(layer, key), np.float64) for key in ("beta", "v_threshold", "gain", "v_reset")}
    return Lif(name=name, inputs=inputs, shape=shape, comparison=layer.comparison, reset=layer.reset, **values)  # type: ignore[arg-type]


def _encoder(module: FSVAE, shape: Shape) -> Graph:
    """Return image to spikes; the image is padded with zeros and scaled to [-1, 1] first, as in training."""
    made, side = _Chain(shape, binary=False), module.side
    rows, columns = ((side - n) // 2 for n in shape[1:])
    if (2 * rows + shape[1], 2 * columns + shape[2]) != (side, side):
        raise ImportingError(
            f"images of {shape[1]} x {shape[2]} pixels have no middle in {side} x {side}",
            where="autoencoder",
            help="give images of an even number of pixels",
        )
    padding = (rows, columns)
    made.add(SumPool(name="input.padded", inputs=made.last, kernel=(1, 1), stride=(1, 1), padding=padding, scale=2.0))
    made.add(Scale(name=SCALED, inputs=made.last, scale=np.ones(()), shift=np.full((), -1.0)))
    made.layers(module.encoder, "encoder")
    return made.graph(module.T)


def _decoder(module: FSVAE) -> Graph:
    made = _Chain((module.latent,), binary=True)
    linear = [layer for layer in module.expand if not isinstance(layer, nn.Unflatten)]
    made.layers(nn.Sequential(*linear[:-1]), "expand")
    unflatten = next(layer for layer in module.expand if isinstance(layer, nn.Unflatten))
    neurons = linear[-1]
    assert isinstance(neurons, LIF)
    shape = tuple(int(n) for n in unflatten.unflattened_size)
    made.ops.append(_lif("expand1.lif", made.last, shape, neurons))
    made.shape = shape
    made.layers(module.decoder, "decoder")
    return made.graph(module.T)


def _posterior(module: FSVAE) -> Graph:
    """Return the posterior and the choice; z[t - 1] comes back by a delay."""
    width, count = module.latent, module.latent * module.samples
    net: Autoregressive = module.posterior
    maps = [
        _map("", (), layer, norm)
        for layer, norm in pairwise(net.layers)
        if isinstance(layer, nn.Linear) and isinstance(norm, ThresholdBatchNorm)
    ]
    neurons = [layer for layer in net.layers if isinstance(layer, LIF)]
    ops: list[Op] = [
        Input(name="input", shape=(width + count,), binary=True),
        Affine(name="seen", inputs=("input",), weight=np.eye(width, width + count)),
        Affine(name="chosen", inputs=("input",), weight=np.eye(count, width + count, width)),
        Delay(name="before", inputs=(CHOSEN,), steps=1),
    ]
    reads: tuple[str, ...] = ()
    for number, (each, neuron) in enumerate(zip(maps, neurons, strict=True)):
        assert isinstance(each, Affine)
        if number == 0:
            first = Affine(name="posterior1", inputs=("seen",), weight=each.weight[:, :width], bias=each.bias)
            back = Affine(name="posterior1.back", inputs=("before",), weight=each.weight[:, width:])
            ops += [first, back]
            reads = (first.name, back.name)
        else:
            linear = Affine(name=f"posterior{number + 1}", inputs=reads, weight=each.weight, bias=each.bias)
            ops.append(linear)
            reads = (linear.name,)
        ops.append(_lif(f"q{number + 1}", reads, (len(each.weight),), neuron))
        reads = (f"q{number + 1}",)
    ops += [
        Multiply(name="taken", inputs=(*reads, "chosen")),
        Affine(
            name=CHOSEN,
            inputs=("taken",),
            weight=np.kron(np.eye(width), np.ones((1, module.samples))).astype(np.float64),
        ),
        Output(name="output", inputs=(CHOSEN,)),
    ]
    return Graph(tuple(ops), module.T)


def _readout(module: FSVAE) -> Readout:
    if module.readout is None:
        return Readout(np.asarray(LEAK ** np.arange(module.T - 1, -1, -1.0), np.float64))
    layer = module.readout
    size = module.T * module.in_channels
    unit = torch.eye(size, dtype=torch.float64).reshape(size, module.T, module.in_channels).transpose(0, 1)

    def matrix(scores: torch.Tensor) -> Array:
        return _numbers(scores.transpose(0, 1).reshape(size, size)).T.copy()

    with torch.no_grad():
        return Readout(None, matrix(layer.time_scores(unit)), matrix(layer.channel_scores(unit)), layer.gate)


def _compare(module: FSVAE, made: Autoencoder, x: Array, name: str, seed: int) -> None:
    """Run module and parts on the same images and indices: latent spikes are equal, pictures to rounding.

    Raises:
        ImportingError: They are not.
    """
    count = x.shape[1]
    spikes = run_float(made.encoder, x)[made.encoder.output.name]
    z = made.latents(spikes, seed)
    pictures = made.readout.picture(run_float(made.decoder, z.astype(np.float64))[made.decoder.output.name])
    images = torch.from_numpy(made.images(x))
    drawn = torch.from_numpy(made.drawn(count, seed).copy())[..., None]
    with torch.no_grad():
        latent = module.encoder(images.expand(module.T, *images.shape))
        wanted_z = module.drawn_latents(latent, drawn)
        wanted = module.decode(wanted_z)
    same = np.array_equal(z, _numbers(wanted_z))
    error = float(np.abs(pictures - _numbers(wanted)).max())
    if not same or error > 1e-9:
        differ = int((z != _numbers(wanted_z)).sum())
        raise ImportingError(
            f"its parts differ from the module: {differ} of {z.size} latent spikes, pictures by up to {error:.2g}",
            where=name,
            help="this is a fault of the capture: please report it with the checkpoint",
        )
