"""Merge linear maps that stand in a row, without a neuron between, into one map on the messages in front.

    B (A x + a) + b  ->  (B A) x + (B a + b)        matrices, and convolutions by a kernel of one tap
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
from spikewright.toolchain.ops import Add, Affine, Array, Conv, Flatten, Linear, Op, Scale, SumPool
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
        case Conv(groups=1) as first, Conv(groups=1) if _one_tap(op) or (_one_tap(first) and _stays_zero(first, op)):
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


def _stays_zero(first: Conv, second: Conv) -> bool:
    """Say whether the padding of ``second`` is what ``first`` makes of padding."""
    return second.padding == (0, 0) or not np.any(_bias(first))


def _kernel(first: Conv, second: Conv) -> Conv:
    """Return two convolutions, one of them of one tap, as one."""
    bias = np.einsum("omkl,m->o", second.weight, _bias(first)) + _bias(second)
    shared = second.weight[:, :, 0, 0] if _one_tap(second) else first.weight[:, :, 0, 0]
    if _one_tap(second):
        outer = replace(
            first, name=second.name, block=second.block, weight=np.einsum("om,mikl->oikl", shared, first.weight)
        )
    else:
        outer = replace(second, inputs=first.inputs, weight=np.einsum("omkl,mi->oikl", second.weight, shared))
    return replace(outer, bias=bias if bias.any() else None)


def _over_sum(first: Add, op: Op) -> list[Op]:
    """Return an op of a sum as a sum of that op, its constant in the first one."""
    parts: list[Op] = [replace(op, name=f"{op.name}.{k}", inputs=(name,)) for k, name in enumerate(first.inputs)]
    once = {"shift": None} if isinstance(op, Scale) else {"bias": None} if isinstance(op, Linear) else {}
    parts[1:] = [replace(part, **once) for part in parts[1:]]  # type: ignore[arg-type]  # fields of these ops
    return [*parts, Add(name=op.name, inputs=tuple(part.name for part in parts), block=op.block)]


def _listed(graph: Graph, first: Op, second: Op) -> Graph | None:
    """Return the pair as one matrix, unless it is too large."""
    known = shapes(graph)
    source = known[first.inputs[0]]
    if prod(source) * prod(known[second.name]) > LARGEST:
        return None
    return graph.replace((second,), composed(first, second, source))
