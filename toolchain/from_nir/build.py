"""Build the Graph: inline, check, order, infer shapes, lower node by node."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import nir
import numpy as np

from spikewright.toolchain import nirx
from spikewright.toolchain.errors import ImportingError, ToolchainError
from spikewright.toolchain.from_nir.flat_signals import flatten_last
from spikewright.toolchain.from_nir.flatten import Flat, flatten
from spikewright.toolchain.from_nir.integrators import integrators_at_ends
from spikewright.toolchain.from_nir.lower import lower
from spikewright.toolchain.from_nir.meaning import Meaning, meaning
from spikewright.toolchain.from_nir.neurons import Place
from spikewright.toolchain.from_nir.order import explicit_recurrence, sort
from spikewright.toolchain.ir import Graph, fresh, rename_operands
from spikewright.toolchain.nirx.metadata import check_version
from spikewright.toolchain.ops import Add, GateTable, Input, Op, Output, Shape
from spikewright.toolchain.shapes import infer, shapes

if TYPE_CHECKING:
    from spikewright.toolchain.options import Reading


def from_nir(
    graph: nir.NIRGraph,
    *,
    dt_s: float | None = None,
    timesteps: int | None = None,
    where: str = "graph",
    reading: Reading | None = None,
) -> Graph:
    """Turn a NIR graph into a Graph of float ops.

    Several edges into one node are a sum; a self-loop through one synapse is the one-step recurrence; neurons fire at
    ``v > v_threshold`` and reset to ``v_reset`` where neither their metadata nor ``reading`` say otherwise. Axes of a batch
    of one, or of time, in front of the input's shape are dropped where the nodes behind ask for it.

    Args:
        graph: Standard NIR nodes, or extensions from ``toolchain.nirx``; they may hold torch tensors.
        dt_s: Length of one timestep in s; where neither it nor the graph's metadata say, the dialect's, or 1e-4 s (NIR's
            de-facto value).
        timesteps: T; where it is not given, the graph's metadata must say.
        where: The file, for error messages.
        reading: What NIR has no field for: the dialect, reset, comparison and so on.

    Raises:
        UnsupportedNodeError: A node, or a feedback loop, without a meaning here; all such nodes are named.
        ImportingError: The graph is broken, or dt or T contradict its metadata.
        InputError: An option out of range.
        VerifyError: Shapes that do not fit.
    """
    graph = nirx.plain(graph, where)
    check_version(graph.metadata, where)
    means = meaning(graph, dt_s, reading, where)
    steps = _timesteps(graph, timesteps, where)
    _readout(graph.metadata, where)
    flat = explicit_recurrence(flatten(graph, where), where)
    order = sort(flat)
    failed: ToolchainError | None = None
    for shape in input_shapes(flat, steps, where):
        try:
            found = _Build(flat, means, where, shape).run(order)
            ops = tuple(op for name in order for op in found[name])
            built = integrators_at_ends(Graph(ops, timesteps=steps, dt_s=means.dt_s))
            _check_ends(flat, shapes(built), steps, where)
        except ToolchainError as error:
            failed = failed or error
        else:
            return flatten_last(built)
    assert failed is not None
    raise failed


def input_shapes(flat: Flat, timesteps: int, where: str) -> list[Shape]:
    """Return the shapes the input may have: as declared, and without axes of a batch of one, or of time, in front.

    A declared (1, n) is a batch of one in front of all but a Conv1d, (1, C, H, W) one in front of everything.
    """
    shape = declared_shape(flat.nodes[flat.input]) or implied_shape(flat)
    if not shape:
        raise ImportingError(
            "no shape of the input, neither here nor in what reads it",
            where=f"{where}: node {flat.input!r}",
            help="give the Input node the shape of one frame, or deploy with --input-shape",
        )
    if min(shape) < 1:
        raise ImportingError(
            f"input shape {shape}; it must be positive", where=f"{where}: node {flat.input!r}", help="correct it"
        )
    found = [shape]
    while len(shape) > 1 and shape[0] in (1, timesteps):
        shape = shape[1:]
        found.append(shape)
    lengths = any(isinstance(node, nir.Conv1d) for node in flat.nodes.values())
    usual = [one for one in found if len(one) <= 3 and (len(one) != 2 or lengths or one[0] != 1)]
    return usual + [one for one in found if one not in usual]


def with_input_shape(graph: nir.NIRGraph, shape: Shape) -> nir.NIRGraph:
    """Return a graph whose Input says a shape."""
    name = next(name for name, node in graph.nodes.items() if isinstance(node, nir.Input))
    made = copy(graph)
    made.nodes = graph.nodes | {name: nir.Input(np.array(shape))}
    made.nodes[name].metadata = graph.nodes[name].metadata
    return made


def says_input_shape(graph: nir.NIRGraph, where: str) -> bool:
    """Say whether a graph says the shape of its input, or cannot be read anyway."""
    ends = [node for node in graph.nodes.values() if isinstance(node, nir.Input)]
    return len(ends) != 1 or bool(declared_shape(ends[0]) or implied_shape(flatten(graph, where)))


def declared_shape(end: nir.NIRNode) -> Shape:
    """Return the shape that an Input or Output says, () where it says none."""
    ports = end.input_type if isinstance(end, nir.Input) else end.output_type
    value = None if ports is None else next(iter(ports.values()), None)
    return () if value is None else tuple(int(n) for n in np.ravel(np.asarray(value)))


def implied_shape(flat: Flat) -> Shape:
    """Return the input's shape where only what reads it says one, () where that does not either."""
    for name in (b for a, b in flat.edges if a == flat.input):
        match flat.nodes[name]:
            case nir.Affine(weight=weight) | nir.Linear(weight=weight):
                return (int(np.shape(weight)[-1]),)
            case nir.Conv1d(input_shape=size) | nir.Conv2d(input_shape=size) as conv if size is not None:
                channels = int(np.shape(conv.weight)[1]) * int(np.asarray(conv.groups))
                return (channels, *(int(n) for n in np.ravel(size)))
            case nir.Flatten(input_type={"input": shape}) if shape is not None:
                return tuple(int(n) for n in np.ravel(shape))
    return ()


def _check_ends(flat: Flat, known: dict[str, Shape], timesteps: int, where: str) -> None:
    """Refuse an output, or an end of a sub-graph, of another shape than declared; axes of a batch of one and of time apart."""
    for source, name, node in ((flat.output, flat.output, flat.nodes[flat.output]), *flat.doors):
        rest = declared = declared_shape(node)
        while len(rest) > len(known[source]) and rest[0] in (1, timesteps):
            rest = rest[1:]
        if declared and known[source] != rest:
            if name == flat.output:
                what, word = f"the output is declared {declared}; the graph gives {known[source]}", "Output"
            else:
                what, word = f"declared {declared}; what comes in has {known[source]}", type(node).__name__
            raise ImportingError(what, where=f"{where}: node {name!r}", help=f"correct the {word} node's shape")


class _Build:
    """Lower nodes as the shapes of their inputs become known; a loop is entered through its forward edges."""

    def __init__(self, flat: Flat, means: Meaning, where: str, shape: Shape) -> None:
        self.flat, self.means, self.where, self.shape = flat, means, where, shape
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
            self.ops[name], self.known[name] = [Input(name=name, shape=self.shape)], self.shape
            return
        shape = next(self.known[source] for source in sources if source in self.known)
        ops: list[Op] = []
        if len(sources) > 1 and not _is_sum(node):
            ops.append(Add(name=f"{name}.sum", inputs=sources, block=name))
            sources = (ops[0].name,)
        ops = self._named_afresh(ops + self._ops(name, node, sources, shape))
        self.ops[name] = ops
        self.known[name] = self._shape_of(ops, shape)

    def _named_afresh(self, ops: list[Op]) -> list[Op]:
        """Rename the ops inside a node whose names a node of the file bears."""
        taken, made = set(self.flat.nodes), []
        changed: dict[str, str] = {}
        for op in ops[:-1]:
            op = rename_operands(op, changed)  # what a node reads from outside stands in front
            name = fresh(op.name, taken)
            if name != op.name:
                changed[op.name] = name
                op = replace(op, name=name)
            made.append(op)
        return [*made, rename_operands(ops[-1], changed)]

    def _ops(self, name: str, node: nir.NIRNode, sources: tuple[str, ...], shape: Shape) -> list[Op]:
        if name == self.flat.output:
            return [Output(name=name, inputs=sources)]
        if len(sources) > 1:
            return [Add(name=name, inputs=sources)]
        return lower(node, Place(name, sources, shape, self.where, self.means))

    def _shape_of(self, ops: list[Op], shape: Shape) -> Shape:
        for op in ops:
            operands = [shape] * len(op.inputs)
            shape = shape if isinstance(op, GateTable) else infer(op, operands)
        return shape


def _is_sum(node: nir.NIRNode) -> bool:
    """Say whether a node is a plain sum: a Scale by one, with several edges in."""
    return isinstance(node, nir.Scale) and bool(np.all(np.asarray(node.scale) == 1))


def _timesteps(graph: nir.NIRGraph, given: int | None, where: str) -> int:
    said = graph.metadata.get("timesteps")
    steps = said if given is None else given
    if steps is None:
        raise ImportingError("does not say how many timesteps T", where=where, help="give T (--timesteps)")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ImportingError(f"T = {steps!r}; T is at least 1", where=where, help="give a positive number of timesteps")
    if None not in (said, given) and said != given:
        raise ImportingError(
            f"T = {given}; the graph was made for T = {said}",
            where=where,
            help=f"leave --timesteps out, or bring a net for T = {given}",
        )
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
