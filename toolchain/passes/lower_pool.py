"""Lower a pool that no convolution can take up (padded, overlapping, or not dividing its map) to one map of listed synapses.

    conv(pool(x)) = M x + b,   pool(conv(x)) = M x + b      M found column by column, on unit inputs

Exact. M has a row for every neuron: only for maps of moderate size.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from spikewright.toolchain.interpret.floats import apply
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import AdaptivePool, Affine, Array, Conv, Neuron, Op, Output, Scale, Shape, SumPool
from spikewright.toolchain.passes.base import Pass
from spikewright.toolchain.shapes import shapes

LARGEST = 1 << 24
"""Entries of M at most (128 MiB of float64)."""
COLUMNS = 256
"""Columns of M that are found at once."""


@dataclass(frozen=True)
class LowerPool(Pass):
    """Replace a pool and the ``Conv`` beside it by an ``Affine`` of the same function; an uneven one also alone."""

    name: ClassVar[str] = "lower-pool"

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Merge the pair at ``op``."""
        match graph.producer(op), op:
            case (
                (SumPool() | AdaptivePool() as first, Conv())
                | (Conv() as first, SumPool() | AdaptivePool())
                | (AdaptivePool() as first, Affine())
            ):
                known = shapes(graph)
                source = known[first.inputs[0]]
                if prod(source) * prod(known[op.name]) > LARGEST:
                    return None
                return graph.replace((op,), composed(first, op, source))
            case AdaptivePool() as pool, Neuron() | Output():
                known = shapes(graph)
                source = known[pool.inputs[0]]
                if prod(source) * prod(known[pool.name]) > LARGEST:
                    return None
                return graph.replace(
                    (pool,), composed(Scale(name="x", inputs=pool.inputs, scale=np.ones(())), pool, source)
                )
            case _:
                return None


def too_large(graph: Graph) -> Op | None:
    """Return the pool in front of the first map that the two would be too large a matrix for: it belongs to the host."""
    known = shapes(graph)
    for op in graph:
        if not isinstance(op, AdaptivePool) or op.inputs != (graph.input.name,):
            continue
        for reader in graph.readers[op.name]:
            if isinstance(reader, Conv) and prod(graph.input.shape) * prod(known[reader.name]) > LARGEST:
                return op
    return None


def composed(first: Op, second: Op, shape: Shape) -> Affine:
    """Return two linear ops as one matrix on a flat map of ``shape``."""

    def both(x: Array) -> Array:
        return apply(second, [apply(first, [x])]).reshape(x.shape[0], -1)

    n, bias = prod(shape), both(np.zeros((1, *shape)))[0]
    weight = np.empty((bias.size, n))
    for start in range(0, n, COLUMNS):
        unit = np.eye(min(COLUMNS, n - start), n, start)
        weight[:, start : start + COLUMNS] = (both(unit.reshape(-1, *shape)) - bias).T
    return Affine(
        name=second.name,
        inputs=first.inputs,
        block=second.block,
        weight=weight,
        bias=bias if bias.any() else None,
    )
