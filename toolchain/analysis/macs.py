"""Multiply-accumulates of float ops: what a host computes in front of the first spike, and what a dense network would.

    conv: C_out (C_in / groups) kh kw H' W' (transposed: / stride^2)   affine: O I   scale, product: one multiply an element
    attention block: what it says itself (``AttentionBlock.cost``), its gates and their application

Poolings and joins only add and count 0; so does a neuron (its updates are counted apart).
"""

from __future__ import annotations

from math import prod

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Conv, Multiply, Op, Scale, TransposedConv
from spikewright.toolchain.shapes import Shape, shapes


def macs_per_sample(graph: Graph, *, still: bool) -> int:
    """Return the MACs of one sample.

    Args:
        graph: A float graph.
        still: Every timestep sees the same frame, so what depends on one frame only is computed once.
    """
    frames = 1 if still else graph.timesteps
    blocks = [op.cost() for op in graph if isinstance(op, AttentionBlock)]
    attention = sum(cost.made_once + cost.refine + frames * cost.sca for cost in blocks)
    known = shapes(graph)
    return frames * sum(_frame(op, known[op.name]) for op in graph) + int(attention)


def linear_macs_per_frame(graph: Graph) -> int:
    """Return the MACs of one frame's convolutions and affine maps only: the artificial network of the same shape."""
    known = shapes(graph)
    return sum(_frame(op, known[op.name]) for op in graph if isinstance(op, Conv | TransposedConv | Affine))


def _frame(op: Op, shape: Shape) -> int:
    match op:
        case Affine(weight=weight):
            return int(weight.size)
        case Conv(weight=weight):
            return int(weight.size) * prod(shape[1:])
        case TransposedConv(weight=weight, stride=stride):
            return int(weight.size) * prod(shape[1:]) // prod(stride)
        case Scale() | Multiply():
            return prod(shape)
        case _:
            return 0
