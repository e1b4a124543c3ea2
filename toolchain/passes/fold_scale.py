"""Fold a ``Scale`` (a batch norm in inference form, or a factor on spikes) into the linear map beside it.

    s (W x + b) + c   ->  (s W) x + (s b + c)
    W (s x) + b       ->  (W s) x + b
    pool(s x)         ->  s pool(x),   flatten(s x)  ->  s' flatten(x),   s (t x + b) + c  ->  s t x + (s b + c)
    neuron(s x)       ->  neuron of s times the gain                      s > 0, one a value of a map

Exact in real arithmetic; what is left on spikes is ``lower-scale``'s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from spikewright.toolchain.ir import Graph, rename_operands
from spikewright.toolchain.ops import Array, Conv, Flatten, Lif, Linear, Op, Scale, Shape, SumPool
from spikewright.toolchain.parameters import grid, least
from spikewright.toolchain.passes.base import Pass
from spikewright.toolchain.shapes import shapes


@dataclass(frozen=True)
class FoldScale(Pass):
    """Fold ``Scale`` into the ``Affine`` or ``Conv`` that feeds it, else into the one that reads it."""

    name: ClassVar[str] = "fold-scale"

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Merge the pair at ``op``; see the module's equations."""
        match graph.producer(op), op:
            case _, Scale(scale=s, shift=None) if np.all(np.asarray(s) == 1):
                return graph.with_ops(rename_operands(o, {op.name: op.inputs[0]}) for o in graph if o is not op)
            case Scale() as inner, Scale():
                return graph.replace((op,), _both(inner, op, shapes(graph)[op.name]))
            case Linear() as linear, Scale() if _per_channel(op):
                gone = (linear, op) if graph.feeds_only(linear, op) else (op,)
                return graph.replace(gone, _behind(linear, op))
            case Scale(shift=None) as scale, SumPool() if _per_channel(scale):
                return _swap(graph, scale, op, scale.scale)
            case Scale(shift=None) as scale, Flatten():
                return _swap(graph, scale, op, _per_value(scale.scale, shapes(graph)[scale.name]))
            case Scale(shift=None) as scale, Linear() if _per_channel(scale) or not isinstance(op, Conv):
                return graph.replace((op,), _in_front(scale, op, shapes(graph)[scale.name]))
            case Scale(shift=None) as scale, Lif() if (
                len(op.currents) == 1 and not _per_channel(scale) and np.min(scale.scale) > 0
            ):
                gain = grid(op.gain_u, op.shape) * scale.scale.reshape(op.shape)
                return graph.replace((op,), replace(op, inputs=(*scale.inputs, *op.inputs[1:]), gain_u=gain))
            case _:
                return None


def vector(parameter: Array | None, n: int, default: float) -> Array:
    """Return a scalar or per-channel parameter, or a default in its place, for each of ``n`` channels. Returns (n,)."""
    return np.full(n, default) if parameter is None else np.broadcast_to(np.asarray(parameter), (n,)).copy()


def _per_value(parameter: Array, shape: Shape) -> Array:
    """Return a parameter for every value of a map, flat in C order."""
    return np.broadcast_to(grid(parameter, shape), shape).reshape(-1)


def _per_channel(op: Scale) -> bool:
    """Say whether a ``Scale`` has one factor (and shift) for all, or one a channel."""
    return np.ndim(op.scale) <= 1 and (op.shift is None or np.ndim(op.shift) <= 1)


def _both(inner: Scale, outer: Scale, shape: Shape) -> Scale:
    """Return two scales in a row as one."""
    scale = grid(outer.scale, shape)
    shifts = [scale * grid(inner.shift, shape)] if inner.shift is not None else []
    shifts += [grid(outer.shift, shape)] if outer.shift is not None else []
    shift = least(sum(shifts[1:], shifts[0]), shape) if shifts else None
    return replace(outer, inputs=inner.inputs, scale=least(scale * grid(inner.scale, shape), shape), shift=shift)


def _swap(graph: Graph, scale: Scale, op: Op, factor: Array) -> Graph:
    """Put a ``Scale`` behind the op that reads it; it takes the op's name."""
    inner = replace(op, name=f"{op.name}.unscaled", inputs=scale.inputs)
    outer = replace(scale, name=op.name, inputs=(inner.name,), scale=factor)
    return graph.replace((op,), (inner, outer))


def _behind(linear: Linear, op: Scale) -> Linear:
    """Return ``s (W x + b) + c`` as one map."""
    n = linear.weight.shape[0]
    scale = vector(op.scale, n, 1.0)
    weight = linear.weight * scale.reshape(-1, *(1,) * (linear.weight.ndim - 1))
    bias = scale * vector(linear.bias, n, 0.0) + vector(op.shift, n, 0.0)
    return replace(linear, name=op.name, weight=weight, bias=bias)


def _in_front(scale: Scale, linear: Linear, shape: Shape) -> Linear:
    """Return ``W (s x) + b`` as one map; x has ``shape``."""
    if not isinstance(linear, Conv):
        return replace(linear, inputs=scale.inputs, weight=linear.weight * _per_value(scale.scale, shape))
    outs, inner = linear.weight.shape[:2]
    first = np.arange(outs) // (outs // linear.groups) * inner  # input channel of each output's group
    factor = vector(scale.scale, shape[0], 1.0)[first[:, None] + np.arange(inner)]
    return replace(linear, inputs=scale.inputs, weight=linear.weight * factor[:, :, None, None])
