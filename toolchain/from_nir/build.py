"""Build the Graph: inline, check, order, infer shapes, lower node by node."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from spikewright.toolchain import nirx
from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.from_nir.flatten import Flat, flatten
from spikewright.toolchain.from_nir.lower import lower
from spikewright.toolchain.from_nir.neurons import TOLERANCE, Place
from spikewright.toolchain.from_nir.order import explicit_recurrence, sort
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.nirx.metadata import DEFAULT_DT_S, check_version, positive_number
from spikewright.toolchain.ops import Add, GateTable, Input, Op, Output, Shape
from spikewright.toolchain.shapes import infer, shapes


def from_nir(
    graph: nir.NIRGraph, *, dt_s: float | None = None, timesteps: int | None = None, where: str = "graph"
) -> Graph:
    """Turn a NIR graph into a Graph of float ops.

    Several edges into one node are a sum; a self-loop through one synapse is the one-step recurrence; neurons fire at
    ``v > v_threshold`` and reset to ``v_reset`` where their metadata do not say otherwise.

    Args:
        graph: Standard NIR nodes, or extensions from ``toolchain.nirx``.
        dt_s: Length of one timestep in s; where neither it nor the graph's metadata say, 1e-4 s (NIR's de-facto value).
        timesteps: T; where it is not given, the graph's metadata must say.
        where: The file, for error messages.

    Raises:
        UnsupportedNodeError: A node, or a feedback loop, without a meaning here; all such nodes are named.
        ImportingError: The graph is broken, or dt or T contradict its metadata.
        VerifyError: Shapes that do not fit.
    """
    check_version(graph.metadata, where)
    dt = _dt(graph.metadata, dt_s, where)
    steps = _timesteps(graph, timesteps, where)
    _readout(graph.metadata, where)
    flat = explicit_recurrence(flatten(graph, where), where)
    order = sort(flat)
    found = _Build(flat, dt, where).run(order)
    built = Graph(tuple(op for name in order for op in found[name]), timesteps=steps, dt_s=dt)
    known = shapes(built)
    declared = _shape(flat.nodes[flat.output].output_type["output"])
    if declared and known[flat.output] != declared:
        raise ImportingError(
            f"the output is declared {declared}; the graph gives {known[flat.output]}",
            where=f"{where}: node {flat.output!r}",
            help="correct the Output node's shape",
        )
    return built


class _Build:
    """Lower nodes as the shapes of their inputs become known; a loop is entered through its forward edges."""

    def __init__(self, flat: Flat, dt_s: float, where: str) -> None:
        self.flat, self.dt_s, self.where = flat, dt_s, where
        self.ops: dict[str, list[Op]] = {}
        self.known: dict[str, Shape] = {}

    def run(self, order: list[str]) -> dict[str, list[Op]]:
        """Return every node's ops."""
        while len(self.ops) < len(order):
            before = len(self.ops)
            for name in order:
                if name not in self.ops and self._ready(name):
                    self._lower(name)
            if len(self.ops) == before:
                stuck = sorted(set(order) - set(self.ops))
                raise ImportingError(
                    f"the input never reaches {', '.join(stuck)}", where=self.where, help="connect them, or remove them"
                )
        return self.ops

    def _ready(self, name: str) -> bool:
        return name == self.flat.input or any(source in self.known for source in self.flat.sources(name))

    def _lower(self, name: str) -> None:
        node, sources = self.flat.nodes[name], self.flat.sources(name)
        if name == self.flat.input:
            shape = _shape(node.input_type["input"])
            if not shape or min(shape) < 1:
                raise ImportingError(
                    f"input shape {shape}; it must be positive", where=f"{self.where}: node {name!r}", help="correct it"
                )
            self.ops[name], self.known[name] = [Input(name=name, shape=shape)], shape
            return
        shape = next(self.known[source] for source in sources if source in self.known)
        ops: list[Op] = []
        if len(sources) > 1 and not _is_sum(node):
            ops.append(Add(name=f"{name}.sum", inputs=sources, block=name))
            sources = (ops[0].name,)
        ops += self._ops(name, node, sources, shape)
        self.ops[name] = ops
        self.known[name] = self._shape_of(ops, shape)

    def _ops(self, name: str, node: nir.NIRNode, sources: tuple[str, ...], shape: Shape) -> list[Op]:
        if name == self.flat.output:
            return [Output(name=name, inputs=sources)]
        if len(sources) > 1:
            return [Add(name=name, inputs=sources)]
        return lower(node, Place(name, sources, shape, self.dt_s, self.where))

    def _shape_of(self, ops: list[Op], shape: Shape) -> Shape:
        for op in ops:
            operands = [shape] * len(op.inputs)
            shape = shape if isinstance(op, GateTable) else infer(op, operands)
        return shape


def _is_sum(node: nir.NIRNode) -> bool:
    """Say whether a node is a plain sum: a Scale by one, with several edges in."""
    return isinstance(node, nir.Scale) and bool(np.all(np.asarray(node.scale) == 1))


def _shape(value: Any) -> Shape:
    return () if value is None else tuple(int(n) for n in np.ravel(np.asarray(value)))


def _dt(metadata: dict[str, Any], given: float | None, where: str) -> float:
    recorded = metadata.get("dt")
    if recorded is None:
        return DEFAULT_DT_S if given is None else positive_number(given, "dt", "dt")
    dt = positive_number(recorded, "metadata dt", where)
    if given is not None and abs(positive_number(given, "dt", "dt") - dt) > TOLERANCE * dt:
        raise ImportingError(f"dt {given:g} s; the graph was made for {dt:g} s", where=where, help=f"use dt {dt:g} s")
    return dt


def _timesteps(graph: nir.NIRGraph, given: int | None, where: str) -> int:
    steps = graph.metadata.get("timesteps") if given is None else given
    if steps is None:
        raise ImportingError("does not say how many timesteps T", where=where, help="give T (--timesteps)")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ImportingError(f"T = {steps!r}; T is at least 1", where=where, help="give a positive number of timesteps")
    for name, node in sorted(graph.nodes.items()):
        if isinstance(node, nirx.AttentionNode) and node.timesteps != steps:
            raise ImportingError(
                f"T = {steps}; its weights were trained for T = {node.timesteps}",
                where=f"{where}: node {name!r}",
                help=f"use T = {node.timesteps}, or train a net for T = {steps}",
            )
    return steps


def _readout(metadata: dict[str, Any], where: str) -> None:
    readout = metadata.get("readout", "mean")
    if not isinstance(readout, str) or readout != "mean":
        raise ImportingError(f"read-out {readout!r}; 'mean' is supported", where=where, help="use the mean over T")
