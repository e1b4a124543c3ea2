"""Merge linear maps that stand in a row, without a neuron between, into one map on the messages in front.

    B (A x + a) + b  ->  (B A) x + (B a + b)        matrices, and convolutions where the second one adds no zeros at the edge:
                                                    K[o, i, p] = sum_m,q B[o, m, q] A[m, i, p - stride q], stride = product
    s (x + y)        ->  s x + s y,   pools and flattens likewise;  a map likewise, if x or y is what a map gives
    any other two    ->  M x + c                    M found column by column, as ``lower-pool`` does

Exact in real arithmetic. Scales, pools and flattens are folded again as maps come to stand beside each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import numpy as np

from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Add, Affine, Array, Conv, Flatten, Linear, Neuron, Op, Scale, SumPool
from spikewright.toolchain.passes.base import Pass, in_place, sends_messages
from spikewright.toolchain.passes.drop_flatten import DropFlatten
from spikewright.toolchain.passes.fold_pool import FoldPool, as_convolution
from spikewright.toolchain.passes.fold_scale import FoldScale
from spikewright.toolchain.passes.lower_pool import LARGEST, composed
from spikewright.toolchain.shapes import shapes


@dataclass(frozen=True)
class MergeMaps(Pass):
    """Merge two linear ops in a row."""

    name: ClassVar[str] = "merge-maps"

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Merge the pair at ``op``; see the module's equations."""
        return _in_a_row(graph, op) or next(
            (changed for step in (FoldScale(), FoldPool(), DropFlatten()) if (changed := step.rewrite(graph, op))), None
        )


def _in_a_row(graph: Graph, op: Op) -> Graph | None:
    match graph.producer(op), op:
        case Affine() as first, Affine():
            return graph.replace((op,), _product(first, op))
        case Conv(groups=1) as first, Conv(groups=1) if _composes(first, op):
            return graph.replace((op,), _kernel(first, op))
        case SumPool() as first, SumPool():
            inner = replace(as_convolution(first, shapes(graph)[first.inputs[0]][0]), name=f"{op.name}.first")
            return in_place(graph, op, [inner, replace(op, inputs=(inner.name,))])
        case Add() as first, Scale() | SumPool() | Flatten():
            return in_place(graph, op, _over_sum(first, op))
        case Add() as first, Linear() if any(
            isinstance(graph[name], Linear | Scale | SumPool) for name in first.inputs
        ):
            return in_place(graph, op, _over_sum(first, op))
        case (Linear() as first, Linear()) | (Conv() as first, Scale()):
            return _listed(graph, first, op)
        case Scale(shift=None) as first, Conv() | SumPool() if sends_messages(graph, first.inputs[0]):
            return _listed(graph, first, op)
        case _:
            return None


def _product(first: Affine, second: Affine) -> Affine:
    """Return ``B (A x + a) + b`` as one matrix."""
    bias = second.weight @ _bias(first) + _bias(second)
    return replace(second, inputs=first.inputs, weight=second.weight @ first.weight, bias=bias if bias.any() else None)


def _bias(op: Linear) -> Array:
    return np.zeros(op.weight.shape[0]) if op.bias is None else op.bias


def _one_tap(op: Conv) -> bool:
    return op.weight.shape[2:] == (1, 1) and (op.stride, op.padding) == ((1, 1), (0, 0))


def _composes(first: Conv, second: Conv) -> bool:
    """Say whether two convolutions are one: no zeros stand between them, or those that do are what the first makes of zeros."""
    if _one_tap(first):
        return second.padding == (0, 0) or not np.any(_bias(first))
    plain = (first.dilation, second.dilation) == ((1, 1), (1, 1)) or second.weight.shape[2:] == (1, 1)
    return second.padding == (0, 0) and plain and _synapses_fall(first, second)


def _synapses_fall(first: Conv, second: Conv) -> bool:
    """Say whether the composed kernel has at most as many entries as both: of one tap, or a few channels between."""
    kernel = second.weight.shape[2:]
    return kernel == (1, 1) or _reach(first, second).size <= first.weight.size + second.weight.size


def _reach(first: Conv, second: Conv) -> Array:
    """Return a kernel of zeros as large as the composed one."""
    size = [
        a + (b - 1) * s for a, b, s in zip(first.weight.shape[2:], second.weight.shape[2:], first.stride, strict=True)
    ]
    return np.zeros((second.weight.shape[0], first.weight.shape[1], *size))


def _kernel(first: Conv, second: Conv) -> Conv:
    """Return two convolutions as one."""
    bias = np.einsum("omkl,m->o", second.weight, _bias(first)) + _bias(second)
    bias_or_none = bias if bias.any() else None
    if _one_tap(first):
        weight = np.einsum("omkl,mi->oikl", second.weight, first.weight[:, :, 0, 0])
        return replace(second, inputs=first.inputs, weight=weight, bias=bias_or_none)
    weight = _reach(first, second)
    high, wide = first.weight.shape[2:]
    for y, x in np.ndindex(*second.weight.shape[2:]):
        rows, columns = y * first.stride[0], x * first.stride[1]
        weight[:, :, rows : rows + high, columns : columns + wide] += np.einsum(
            "om,mikl->oikl", second.weight[:, :, y, x], first.weight
        )
    stride = (first.stride[0] * second.stride[0], first.stride[1] * second.stride[1])
    return replace(first, name=second.name, block=second.block, weight=weight, bias=bias_or_none, stride=stride)


def _over_sum(first: Add, op: Op) -> list[Op]:
    """Return an op of a sum as a sum of that op, its constant in the first one."""
    parts: list[Op] = [replace(op, name=f"{op.name}.{k}", inputs=(name,)) for k, name in enumerate(first.inputs)]
    once = {"shift": None} if isinstance(op, Scale) else {"bias": None} if isinstance(op, Linear) else {}
    parts[1:] = [replace(part, **once) for part in parts[1:]]  # type: ignore[arg-type]  # fields of these ops
    return [*parts, Add(name=op.name, inputs=tuple(part.name for part in parts), block=op.block)]


def _listed(graph: Graph, first: Op, second: Op) -> Graph | None:
    """Return the pair as one matrix, unless it is too large, or somebody reads a grid that a matrix does not give."""
    known = shapes(graph)
    source, made = known[first.inputs[0]], known[second.name]
    flat = len(made) == 1 or all(isinstance(reader, Neuron | Affine | Flatten) for reader in graph.readers[second.name])
    if prod(source) * prod(made) > LARGEST or not flat:
        return None
    return graph.replace((second,), composed(first, second, source))
