"""One NIR node to its ops; the last op bears the node's name."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import nir
import numpy as np

from spikewright.toolchain import nirx, ops
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError
from spikewright.toolchain.from_nir.flat_signals import Merge
from spikewright.toolchain.from_nir.neurons import TOLERANCE, Place, fit, integrator, lif, neurons
from spikewright.toolchain.from_nir.order import OneStep
from spikewright.toolchain.ops import Array, Op, Pair, Shape
from spikewright.toolchain.parameters import least


def lower(node: nir.NIRNode, at: Place) -> list[Op]:
    """Return the ops of a node.

    Raises:
        UnsupportedNodeError: The node's parameters ask for something that has no op.
        ImportingError: They do not fit together.
    """
    match node:
        case nir.LIF() | nir.CubaLIF() | nir.IF():
            return neurons(node, at)
        case nir.LI() | nir.CubaLI() | nir.I():
            return integrator(node, at)
        case nir.Affine() | nir.Linear() | nir.Conv1d() | nir.Conv2d() | nir.Scale():
            return [_linear(node, at)]
        case nir.SumPool2d() | nir.AvgPool2d() | nirx.MaxPool2d() | nir.Flatten():
            return [_reshaping(node, at)]
        case nirx.BatchNorm() | nirx.AttentionNode():
            return [_extension(node, at)]
        case nirx.AdaptiveAvgPool2d():
            return [ops.AdaptivePool(name=at.name, inputs=at.inputs, size=_pair(node.size, "size", at, 1))]
        case nirx.Relu():
            return [ops.Relu(name=at.name, inputs=at.inputs)]
        case nir.Delay():
            return _delay(node, at)
        case OneStep() | nir.Threshold():
            return [_in_time(node, at)]
        case _:
            raise UnsupportedNodeError(f"node type {type(node).__name__}", where=at.here, help="replace this node")


# --------------------------------------------------------------------------------------------- linear
def _linear(node: nir.NIRNode, at: Place) -> Op:
    match node:
        case nir.Affine() | nir.Linear():
            weight = _without_batch(_array(node.weight), 2)
            if weight.ndim != 2:
                raise UnsupportedNodeError(
                    f"a weight of shape {weight.shape}; (O, I) is supported", where=at.here, help="use one matrix"
                )
            if len(at.shape) != 1:
                raise ImportingError(
                    f"a matrix on a signal of shape {at.shape}; it takes ({weight.shape[1]},)",
                    where=at.here,
                    help=_for_a_matrix(weight.shape[1], at),
                )
            bias = getattr(node, "bias", None)
            return ops.Affine(name=at.name, inputs=at.inputs, weight=weight, bias=_bias(bias, weight.shape[0]))
        case nir.Conv1d() | nir.Conv2d():
            return _conv(node, at)
        case _:
            return ops.Scale(name=at.name, inputs=at.inputs, scale=least(fit(node.scale, "scale", at), at.shape))


def _for_a_matrix(columns: int, at: Place) -> str:
    """Say how a matrix of so many columns can read the signal."""
    if prod(at.shape) == columns:
        return "put a Flatten in front"
    if at.shape[-1] == columns:
        rows = prod(at.shape[:-1])
        return (
            "declare the input without axes of a batch or of time; where each row is meant, put a Flatten in front and give "
            f"the matrix once for each: np.kron(np.eye({rows}), weight)"
        )
    return f"give it {prod(at.shape)} columns and a Flatten in front, or correct the shape of the Input node"


def _conv(node: nir.Conv1d | nir.Conv2d, at: Place) -> Op:
    """Return a convolution over (C, H, W), or over (C, L), whose kernel is one row."""
    flat = isinstance(node, nir.Conv1d)
    rank = 3 if flat else 4
    weight = _without_batch(_array(node.weight), rank)
    if weight.ndim != rank:
        axes = "(Co, Ci // groups, k)" if flat else "(Co, Ci // groups, kh, kw)"
        raise ImportingError(f"a weight of shape {weight.shape}; expected {axes}", where=at.here, help="correct it")
    if len(at.shape) != rank - 1:
        raise ImportingError(
            f"a {type(node).__name__} on a signal of shape {at.shape}; it takes {'(C, L)' if flat else '(C, H, W)'}",
            where=at.here,
            help="correct the shape of the Input node, or put no Flatten in front",
        )
    _check_declared(node.input_shape, "input_shape", at.shape[1:], at)
    if flat:
        weight = weight[:, :, None]

    def pair(what: str, least: int = 0) -> Pair:
        found = _pair(getattr(node, what), what, at, least)
        return (least, found[0]) if flat else found

    stride, dilation = pair("stride", 1), pair("dilation", 1)
    padding: Pair
    match node.padding if isinstance(node.padding, str) else None:
        case "valid":
            padding = (0, 0)
        case "same":
            weight, padding, dilation = _same(weight, stride, dilation, at)
        case _:
            padding = pair("padding")
    return ops.Conv(
        name=at.name,
        inputs=at.inputs,
        weight=weight,
        bias=_bias(node.bias, weight.shape[0]),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=int(np.asarray(node.groups)),
    )


def _check_declared(value: Any, what: str, shape: Shape, at: Place) -> None:
    """Refuse a node that says another shape of its input than comes in; axes in front apart."""
    said = () if value is None else tuple(int(n) for n in np.ravel(value))
    if said and said[-len(shape) :] != shape and prod(said) != prod(shape):
        raise ImportingError(
            f"{what} {said}; what comes in has {shape}", where=at.here, help=f"correct {what}, or leave it out"
        )


def _same(weight: Array, stride: Pair, dilation: Pair, at: Place) -> tuple[Array, Pair, Pair]:
    """Return the weight, padding and dilation of 'same': torch pads (k - 1) d in all, the odd one right and bottom.

    An even kernel gets a row of zeros in front, and a dilated one in its gaps, so that equal padding gives the same sums.
    """
    if stride != (1, 1):
        raise ImportingError(f"padding 'same' with stride {stride}", where=at.here, help="give the padding in numbers")
    padding, gaps = [], list(dilation)
    for axis, d in enumerate(dilation, 2):
        total = d * (weight.shape[axis] - 1)
        padding.append(total - total // 2)
        if total % 2:
            weight, gaps[axis - 2] = _in_front(_spread(weight, axis, d), axis), 1
    return weight, (padding[0], padding[1]), (gaps[0], gaps[1])


def _spread(weight: Array, axis: int, dilation: int) -> Array:
    """Return a kernel with zeros in the gaps that dilation leaves along an axis."""
    shape = list(weight.shape)
    shape[axis] = dilation * (shape[axis] - 1) + 1
    found = np.zeros(shape)
    found[(slice(None),) * axis + (slice(None, None, dilation),)] = weight
    return found


def _in_front(weight: Array, axis: int) -> Array:
    """Return a kernel with a row of zeros in front along an axis."""
    return np.pad(weight, [(int(own == axis), 0) for own in range(weight.ndim)])


# --------------------------------------------------------------------------------- pooling and flatten
def _reshaping(node: nir.NIRNode, at: Place) -> Op:
    if isinstance(node, nir.Flatten):
        return _flatten(node, at)
    kernel = _pair(node.kernel_size, "kernel_size", at, 1)
    stride = kernel if node.stride is None else _pair(node.stride, "stride", at, 1)
    padding = _pair(node.padding, "padding", at)
    if isinstance(node, nirx.MaxPool2d):
        return ops.MaxPool(name=at.name, inputs=at.inputs, kernel=kernel, stride=stride, padding=padding)
    scale = 1.0 / (kernel[0] * kernel[1]) if isinstance(node, nir.AvgPool2d) else 1.0
    return ops.SumPool(name=at.name, inputs=at.inputs, kernel=kernel, stride=stride, padding=padding, scale=scale)


def _flatten(node: nir.Flatten, at: Place) -> Op:
    """Flatten all axes: ``start_dim`` 0, or 1 up to the end (torch's default counts the batch axis); or merge some of them."""
    rank = len(at.shape)
    start, end = int(node.start_dim), int(node.end_dim)
    declared = node.input_type.get("input")
    _check_declared(declared, "input_type", at.shape, at)
    more = 0 if declared is None else max(0, len(np.ravel(declared)) - rank)  # a batch axis, or time, too
    last = (-1, rank - 1 + more)
    counted = start == 1 and end in (-1, rank)  # torch's default counts the batch, whatever the file says of the axes
    if rank == 1 or (start in (0, -rank, more) and end in last) or counted:
        return ops.Flatten(name=at.name, inputs=at.inputs)
    first, final = (axis + rank if axis < 0 else axis - more for axis in (start, end))
    if not 0 <= first <= final < rank:
        raise ImportingError(
            f"start_dim {start}, end_dim {end} on a signal of shape {at.shape}",
            where=at.here,
            help="use start_dim=0, end_dim=-1 for all axes (NIR counts no batch axis)",
        )
    merged = (*at.shape[:first], prod(at.shape[first : final + 1]), *at.shape[final + 1 :])
    return Merge(name=at.name, inputs=at.inputs, shape=merged)


# ------------------------------------------------------------------------------------ time, extensions
def _in_time(node: nir.NIRNode, at: Place) -> Op:
    match node:
        case OneStep():
            return ops.Delay(name=at.name, inputs=at.inputs, steps=1)
        case nir.Threshold():
            zero = np.zeros(())
            threshold = least(fit(node.threshold, "threshold", at), at.shape)
            return ops.Lif(name=at.name, inputs=at.inputs, shape=at.shape, beta=zero, v_threshold=threshold)
        case _:
            raise AssertionError(type(node).__name__)


def _delay(node: nir.Delay, at: Place) -> list[Op]:
    """Return a delay; of several lengths, one for each: the sum of what each neuron's own delay lets through."""
    seconds = least(fit(node.delay, "delay", at), at.shape)
    exact = seconds / at.dt_s
    steps = np.round(exact)
    if (steps < 0).any() or (np.abs(exact - steps) > TOLERANCE * np.maximum(1.0, exact)).any():
        raise UnsupportedNodeError(
            f"delays of {np.unique(seconds)[:4].tolist()} s at dt = {at.dt_s:g} s; a whole number of steps is supported",
            where=at.here,
            help="use delays that are multiples of dt",
        )
    if not steps.ndim:
        return [_late(at.name, at.inputs, int(steps), at)]
    made: list[Op] = []
    for count in np.unique(steps):
        late = _late(f"{at.name}.{int(count)}", at.inputs, int(count), at)
        some = (steps == count).astype(np.float64)
        made += [late, ops.Scale(name=f"{late.name}.mask", inputs=(late.name,), scale=some, block=at.name)]
    return [*made, ops.Add(name=at.name, inputs=tuple(op.name for op in made[1::2]))]


def _late(name: str, inputs: tuple[str, ...], steps: int, at: Place) -> Op:
    if steps == 0:
        return ops.Scale(name=name, inputs=inputs, scale=np.ones(()), block=at.name)
    return ops.Delay(name=name, inputs=inputs, steps=steps, block=at.name)


def _extension(node: nirx.BatchNorm | nirx.AttentionNode, at: Place) -> Op:
    meant = node.reads if isinstance(node, nirx.AttentionNode) else tuple(node.shape)
    if meant != at.shape:
        kind = f"block {node.kind!r}" if isinstance(node, nirx.AttentionNode) else "BatchNorm"
        raise ImportingError(
            f"{kind} is for shape {meant}; its input has {at.shape}",
            where=at.here,
            help="export the net again",
        )
    if isinstance(node, nirx.BatchNorm):
        scale = _array(node.weight) / np.sqrt(_array(node.variance) + node.epsilon)
        shift = _array(node.bias) - _array(node.mean) * scale
        return ops.Scale(name=at.name, inputs=at.inputs, scale=scale, shift=shift)
    inside = replace(at, name=f"{at.name}.neuron", inputs=(), shape=tuple(node.shape))
    return node.op(at.name, at.inputs, None if node.neuron is None else lif(node.neuron, inside))


def _array(value: Any) -> Array:
    return np.asarray(value, np.float64)


def _without_batch(weight: Array, rank: int) -> Array:
    """Drop leading axes of one beyond ``rank``."""
    while weight.ndim > rank and weight.shape[0] == 1:
        weight = weight[0]
    return weight


def _bias(value: Any, size: int) -> Array | None:
    """Return a bias (size,), or None where there is none or it is zero (a file must hold one)."""
    if value is None or not np.any(value):
        return None
    bias = _array(value)
    return np.full(size, bias.item()) if bias.size == 1 else bias.reshape(-1) if max(bias.shape) == bias.size else bias


def _pair(value: Any, what: str, at: Place, least: int = 0) -> Pair:
    flat = np.ravel(np.asarray(value))
    whole = flat.dtype.kind in "iuf" and bool(np.all((flat == np.round(flat)) & (flat >= least)))
    if flat.size not in (1, 2) or not whole:
        raise ImportingError(
            f"{what} is {value!r}; one or two integers from {least} on are allowed",
            where=at.here,
            help=f"correct {what}",
        )
    return (int(flat[0]), int(flat[-1]))
