"""One netx layer -> connections: what each layer type of the format means as synapses.

dense: W x   conv: torch cross-correlation   pool: conv of one channel each   convT, unpool: the transpose of a conv
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from spikewright.export.netx.file import Layer, Pair
from spikewright.export.netx.weights import LostError, Weights, chip_form, loaded
from spikewright.hw_sim.synapses import ConvSynapses, DenseSynapses
from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.integer import IntArray, IntConnection
from spikewright.toolchain.ops import Shape

MAX_MATRIX = 1 << 25
"""Entries a transposed convolution may have as a matrix (256 MiB)."""
MAX_DELAY = 62
"""Largest delay lava-dl's loader keeps; larger ones are clipped."""


def check_real(layer: Layer) -> None:
    """Refuse complex weights.

    Raises:
        ImportingError: The layer has them.
    """
    if "weight/imag" in layer:
        raise layer.error(
            "has complex weights, which feed resonate-and-fire neurons; there is no integer op for these here",
            "train the layer with CUBA neurons",
        )


def dense(layer: Layer, inputs: int, outputs: int) -> list[Weights]:
    """Return the synapses of a ``dense`` layer, or both of a ``dense_rec`` layer.

    Raises:
        ImportingError: Weights of another size, or that the loader would lose.
    """
    names = ("weight", "weight_rec") if layer.kind == "dense_rec" else ("weight",)
    found = []
    for name, columns in zip(names, (inputs, outputs), strict=False):
        weight = layer.ints(name)
        if weight.size != outputs * columns:
            raise layer.error(
                f"{name!r} has shape {weight.shape}; {outputs} neurons that read {columns} take ({outputs}, {columns})",
                "export the net again: the layer in front has another size",
            )
        found.append(weight.reshape(outputs, columns))
    try:
        return loaded(*found)
    except LostError as error:
        raise layer.error(
            f"{error}: lava-dl's loader would turn them into zeros", "quantize to even weights in -256 .. 254"
        ) from error


def delays(layer: Layer, outputs: int, inputs: int) -> IntArray | None:
    """Return the delay of every synapse, broadcastable to (outputs, inputs); None without delays.

    Where both fit, there is one delay a neuron, not one an input, as in lava-dl's loader.

    Raises:
        ImportingError: Another number of delays, or a negative one.
    """
    if "delay" not in layer:
        return None
    found = np.minimum(layer.ints("delay"), MAX_DELAY).reshape(-1)
    if found.min() < 0:
        raise layer.error(
            f"has a delay of {found.min()} steps; 0 .. {MAX_DELAY} is allowed", "export the net again with lava-dl"
        )
    if found.size == 1:
        return found.reshape(1, 1) if found.any() else None
    if found.size not in (outputs, inputs):
        raise layer.error(
            f"has {found.size} delays; 1, {outputs} (one a neuron) or {inputs} (one an input) are allowed",
            "export the net again with lava-dl",
        )
    if not found.any():
        return None
    return found[:, None] if found.size == outputs else found[None, :]


def delayed(op: IntConnection, delay: IntArray | None, lag: int = 0) -> IntConnection:
    """Return a connection whose synapses have delays (as ``delays`` returns them), all of them ``lag`` steps behind."""
    if delay is None:
        return replace(op, lag=lag)
    least = int(delay.min())
    weight = op.synapses.weights
    late = (delay - least).reshape(*delay.shape, *(1,) * (weight.ndim - 2))
    return replace(op, lag=lag + least, late=late if late.any() else None)


def kernel(layer: Layer) -> IntArray:
    """Return a kernel (., ., kh, kw), stored with or without a trailing time axis of length 1.

    Raises:
        ImportingError: It is complex or of another rank.
    """
    check_real(layer)
    weight = layer.ints("weight")
    if weight.ndim == 5 and weight.shape[4] == 1:
        weight = weight[..., 0]
    if weight.ndim != 4:
        raise layer.error(
            f"'weight' has shape {weight.shape}; (out, in, kh, kw) is allowed", "export the net again with lava-dl"
        )
    return weight


def conv(layer: Layer, name: str, source: str) -> IntConnection:
    """Return the connection of a ``conv`` layer."""
    synapses = chip_form(kernel(layer))
    return _conv(layer, name, source, synapses, layer.pair("padding"), layer.pair("dilation"), layer.number("groups"))


def pool(layer: Layer, name: str, source: str, channels: int) -> IntConnection:
    """Return the connection of a ``pool`` layer: the same kernel for every channel."""
    synapses = chip_form(np.repeat(kernel(layer)[:1, :1], channels, axis=0))
    return _conv(layer, name, source, synapses, layer.pair("padding"), layer.pair("dilation"), channels)


def padded_pool(layer: Layer, op: IntConnection, source: Shape, declared: Shape) -> IntConnection:
    """Return a pool over a map its window does not divide as SLAYER trains it: with zeros right and below, as a matrix.

    The layer's declared shape says whether it does; where that is what the map gives as it is, ``op`` comes back.

    Raises:
        ImportingError: The matrix would be too large.
    """
    conv = op.synapses
    assert isinstance(conv, ConvSynapses)
    sizes = zip(source[1:], declared[1:], conv.weight.shape[2:], conv.stride, conv.padding, conv.dilation, strict=True)
    more = [(out - 1) * s + d * (k - 1) + 1 - 2 * p - n for n, out, k, s, p, d in sizes]
    if not any(0 < m < s for m, s in zip(more, conv.stride, strict=True)) or any(
        m >= s for m, s in zip(more, conv.stride, strict=True)
    ):
        return op
    if prod(declared) * prod(source) > MAX_MATRIX:
        raise layer.error(
            f"pads {source} to a multiple of its window: as a matrix it may have {MAX_MATRIX} entries",
            "train with a map that the window divides",
        )
    padded = (source[0], *(n + max(0, m) for n, m in zip(source[1:], more, strict=True)))
    target, place, weight = conv.entries(padded, declared)
    c, y, x = np.unravel_index(place, padded)
    inside = (y < source[1]) & (x < source[2])
    matrix = np.zeros((prod(declared), prod(source)), np.int64)
    matrix[target[inside], np.ravel_multi_index((c[inside], y[inside], x[inside]), source)] = weight[inside]
    return replace(op, synapses=DenseSynapses(matrix))


def _conv(
    layer: Layer,
    name: str,
    source: str,
    synapses: Weights,
    padding: Pair,
    dilation: Pair,
    groups: int,
    stride: Pair | None = None,
) -> IntConnection:
    conv = ConvSynapses(synapses.weight, layer.pair("stride") if stride is None else stride, padding, dilation, groups)
    return IntConnection(name=name, inputs=(source,), block=layer.name, synapses=conv, exponent=synapses.exponent)


def transposed(layer: Layer, name: str, source: str, shape: Shape) -> IntConnection:
    """Return the connection of a ``convT`` or ``unpool`` layer: a conv at stride 1, else its matrix.

    Raises:
        ImportingError: The matrix would be too large.
    """
    weight = kernel(layer)
    groups = layer.number("groups") if layer.kind == "convT" else shape[0]
    if layer.kind == "unpool":
        weight = np.repeat(weight[:1, :1], shape[0], axis=0)
    if weight.shape[0] != shape[0] or shape[0] % groups:
        raise layer.error(
            f"'weight' is for {weight.shape[0]} channels in {groups} groups; its input is {shape}",
            "export the net again",
        )
    padding, dilation, stride = layer.pair("padding"), layer.pair("dilation"), layer.pair("stride")
    rest = (dilation[0] * (weight.shape[2] - 1) - padding[0], dilation[1] * (weight.shape[3] - 1) - padding[1])
    if stride == (1, 1) and min(rest) >= 0:
        grouped = weight.reshape(groups, shape[0] // groups, *weight.shape[1:])[..., ::-1, ::-1].swapaxes(1, 2)
        flipped = grouped.reshape(-1, *grouped.shape[2:])
        return _conv(layer, name, source, chip_form(np.ascontiguousarray(flipped)), rest, dilation, groups, (1, 1))
    synapses = chip_form(_matrix(layer, weight, shape, groups))
    dense = DenseSynapses(synapses.weight)
    return IntConnection(name=name, inputs=(source,), block=layer.name, synapses=dense, exponent=synapses.exponent)


def _matrix(layer: Layer, weight: IntArray, shape: Shape, groups: int) -> IntArray:
    """Return a transposed convolution as a matrix (outputs, inputs): out[h s - p + k d] += w[k] x[h]."""
    (sh, sw), (ph, pw), (dh, dw) = layer.pair("stride"), layer.pair("padding"), layer.pair("dilation")
    (ci, h, w), (_, cg, kh, kw) = shape, weight.shape
    oh, ow = (h - 1) * sh - 2 * ph + dh * (kh - 1) + 1, (w - 1) * sw - 2 * pw + dw * (kw - 1) + 1
    co = cg * groups
    if min(oh, ow) < 1 or co * oh * ow * prod(shape) > MAX_MATRIX:
        raise layer.error(
            f"maps {shape} to {(co, oh, ow)}: no op here holds it, and as a matrix it may have {MAX_MATRIX} entries",
            "use stride 1 behind an unpooled input, or a smaller layer",
        )
    full = np.zeros((co, oh, ow, ci, h, w), np.int64)
    i, j = np.arange(h), np.arange(w)
    for c, k, a, b in np.ndindex(ci, cg, kh, kw):
        y, x = i * sh - ph + a * dh, j * sw - pw + b * dw
        rows, columns = np.flatnonzero((y >= 0) & (y < oh)), np.flatnonzero((x >= 0) & (x < ow))
        r, q = rows[:, None], columns[None, :]
        full[c // (ci // groups) * cg + k, y[r], x[q], c, r, q] += weight[c, k, a, b]
    return full.reshape(co * oh * ow, ci * h * w)


def unknown(layer: Layer) -> ImportingError:
    """Return the refusal of a layer type nobody here knows."""
    return layer.error(
        f"its type {layer.kind!r} is none that lava-dl 0.6.0 documents",
        "types: input, dense, dense_rec, conv, pool, convT, unpool, flatten, average, concat",
    )
