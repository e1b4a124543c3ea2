"""Let neurons, factors, delays and sums behind a ``Flatten`` work on the map in front: matrices and the output read it flat.

f(flatten x)  ->  flatten f(x)          f: a value of its own for each value of x, whatever the shape

A ``Merge`` of some axes goes the same way, and where it ends it is a ``Flatten``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.ir import Graph, fresh, rename_operands
from spikewright.toolchain.ops import Add, Affine, Delay, Flatten, Lif, Neuron, Op, Output, Scale, Shape
from spikewright.toolchain.parameters import grid, least
from spikewright.toolchain.shapes import shapes

READ_FLAT = (Affine, Output)
"""Who reads a flat signal as well as a map."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Merge(Flatten):
    """y = x in C order, of ``shape``: some neighboring axes as one. It does not leave the importer."""

    shape: Shape


def flatten_last(graph: Graph) -> Graph:
    """Return a graph whose ``Flatten`` ops stand in front of matrices and the output; the same one where they do.

    Raises:
        UnsupportedNodeError: A map reads axes that were merged.
    """
    if all(
        isinstance(reader, READ_FLAT) and not isinstance(op, Merge)
        for op in graph
        if isinstance(op, Flatten)
        for reader in graph.readers[op.name]
    ):
        return graph
    found = _Maps(graph, shapes(graph)).graph_of_maps()
    return found.map(lambda op: _flat(found, op) if isinstance(op, Merge) else op)


def _flat(graph: Graph, op: Merge) -> Flatten:
    """Return the ``Flatten`` that merged axes are for the output."""
    for reader in graph.readers[op.name]:
        if not isinstance(reader, Output):
            raise UnsupportedNodeError(
                f"merges some axes, to {op.shape}, for the {type(reader).__name__} {reader.name!r}",
                where=f"node {op.name!r}",
                help="flatten all axes, or let neurons and a second Flatten read it; a Conv1d of a map can be a Conv2d",
            )
    return Flatten(name=op.name, inputs=op.inputs, block=op.block)


@dataclass
class _Maps:
    """``map``: of each signal that is a map flattened, that map; itself for an op that comes to work on maps.

    ``before`` and ``known`` are the shapes of signals as they come, and as they go.
    """

    graph: Graph
    before: dict[str, Shape]
    known: dict[str, Shape] = field(init=False)
    map: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known = dict(self.before)

    def graph_of_maps(self) -> Graph:
        for op in self.graph:
            self._find(op)
        taken = {op.name for op in self.graph}
        flat = {name: fresh(f"{name}.flat", taken) for name, source in self.map.items() if name == source}
        ops: list[Op] = []
        for op in self.graph:
            if self.map.get(op.name) == op.name:
                ops += [self._moved(op), self._behind(op, flat[op.name])]
            elif isinstance(op, Flatten) and op.name in self.map:
                ops.append(replace(op, inputs=(self.map[op.name],)))
            else:
                ops.append(rename_operands(op, flat))
        read = {name for op in ops for name in op.inputs}
        return self.graph.with_ops(op for op in ops if op.name in read or not isinstance(op, Flatten))

    def _find(self, op: Op) -> None:
        """Note an op that is a map flattened, or can come to be one."""
        sources = [self.map.get(name, name) for name in op.inputs]
        if isinstance(op, Flatten):
            self.map[op.name] = sources[0]
        elif isinstance(op, Neuron | Scale | Delay | Add) and all(name in self.map for name in op.inputs):
            of = {self.known[name] for name in sources}
            if len(of) == 1 and not (isinstance(op, Lif) and op.gates):
                self.map[op.name], self.known[op.name] = op.name, of.pop()

    def _behind(self, op: Op, name: str) -> Flatten:
        """Return what gives the readers of a moved op the axes it had."""
        had = self.before[op.name]
        if len(had) == 1:
            return Flatten(name=name, inputs=(op.name,), block=op.block)
        return Merge(name=name, inputs=(op.name,), block=op.block, shape=had)

    def _moved(self, op: Op) -> Op:
        """Return an op as it works on maps."""
        shape = self.known[op.name]
        made: dict[str, Any] = {"inputs": tuple(self.map[name] for name in op.inputs)}
        if isinstance(op, Neuron):
            made["shape"] = shape
        for parameter in fields(op):
            value = getattr(op, parameter.name)
            if isinstance(value, np.ndarray) and value.size > 1:
                own = np.broadcast_to(grid(value, self.before[op.name]), self.before[op.name])
                made[parameter.name] = least(own.reshape(shape), shape)
        return replace(op, **made)
