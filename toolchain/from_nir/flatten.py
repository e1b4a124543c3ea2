"""Inline nested NIR graphs: names joined by ".", the inner Input and Output nodes dissolved into edges."""

from __future__ import annotations

from dataclasses import dataclass

import nir

from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError
from spikewright.toolchain.nirx.registry import EXTENSIONS

Edge = tuple[str, str]

SUPPORTED: tuple[str, ...] = (
    *(
        "Affine",
        "AvgPool2d",
        "Conv1d",
        "Conv2d",
        "CubaLI",
        "CubaLIF",
        "Delay",
        "Flatten",
        "I",
        "IF",
        "Input",
        "LI",
        "LIF",
    ),
    *("Linear", "NIRGraph", "Output", "Scale", "SumPool2d", "Threshold", *sorted(EXTENSIONS)),
)
"""Node types that have a meaning in our ops."""


_ONE: dict[type[nir.NIRNode], str] = {
    nir.Input: "join them to one: the values side by side, which each map reads with zeros for those of the others",
    nir.Output: "keep the one whose answer counts, or join them to one: the values side by side, by maps with rows of zeros",
}


@dataclass(frozen=True)
class Flat:
    """A graph without sub-graphs: one input, one output, nodes by name, edges (several into one node: a sum).

    ``doors`` are the ends of sub-graphs that were dissolved: what came in there, by the name of the end, and the end.
    """

    nodes: dict[str, nir.NIRNode]
    edges: tuple[Edge, ...]
    input: str
    output: str
    doors: tuple[tuple[str, str, nir.NIRNode], ...] = ()

    def sources(self, name: str) -> tuple[str, ...]:
        """Return who feeds a node, in edge order."""
        return tuple(a for a, b in self.edges if b == name)


def flatten(graph: nir.NIRGraph, where: str = "graph") -> Flat:
    """Inline all sub-graphs.

    Raises:
        UnsupportedNodeError: A node type without a meaning here; all of them are named.
        ImportingError: The graph has not one input and one output, or its edges or names are broken.
    """
    refused = _unsupported(graph, "")
    if refused:
        listing = "; ".join(f"{name!r} is a {kind}" for name, kind in refused)
        raise UnsupportedNodeError(
            f"{listing}; supported are {', '.join(SUPPORTED)}",
            where=where,
            help="replace these nodes by supported ones",
        )
    nodes, edges, outer = _inline(graph, "", where)
    inner = {
        name: node for name, node in nodes.items() if isinstance(node, nir.Input | nir.Output) and name not in outer
    }
    doors = tuple((_source(name, edges, inner), name, node) for name, node in inner.items())
    for name in inner:
        edges = _dissolve(name, edges)
        del nodes[name]
    ends = [_single(nodes, kind, where) for kind in (nir.Input, nir.Output)]
    flat = Flat(nodes, tuple(edges), ends[0], ends[1], tuple(door for door in doors if door[0] in nodes))
    _check_connected(flat, where)
    return flat


def _unsupported(graph: nir.NIRGraph, prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name in sorted(graph.nodes):
        node = graph.nodes[name]
        if isinstance(node, nir.NIRGraph):
            found += _unsupported(node, f"{prefix}{name}.")
        elif type(node).__name__ not in SUPPORTED:
            found.append((prefix + name, type(node).__name__))
    return found


def _inline(graph: nir.NIRGraph, prefix: str, where: str) -> tuple[dict[str, nir.NIRNode], list[Edge], set[str]]:
    """Return nodes, edges and the names of this graph's own Input and Output nodes."""
    nodes: dict[str, nir.NIRNode] = {}
    doors: dict[str, Edge] = {}  # of each sub-graph: the names of its input and its output
    inner_edges: list[Edge] = []
    for name in sorted(graph.nodes):
        node, full = graph.nodes[name], prefix + name
        fresh: dict[str, nir.NIRNode] = {full: node}
        if isinstance(node, nir.NIRGraph):
            fresh, more, _ = _inline(node, f"{full}.", where)
            inner_edges += more
            doors[name] = (_door(node, nir.Input, full, where), _door(node, nir.Output, full, where))
        clash = sorted(set(fresh) & set(nodes))
        if clash:
            raise ImportingError(
                f"two nodes are called {clash[0]!r} once inlined", where=where, help="rename one of them"
            )
        nodes |= fresh
    edges = [(_end(a, prefix, doors, 1), _end(b, prefix, doors, 0)) for a, b in _checked(graph, prefix, where)]
    own = {prefix + name for name, node in graph.nodes.items() if isinstance(node, nir.Input | nir.Output)}
    return nodes, edges + inner_edges, own


def _end(name: str, prefix: str, doors: dict[str, Edge], side: int) -> str:
    return doors[name][side] if name in doors else prefix + name


def _door(graph: nir.NIRGraph, kind: type[nir.NIRNode], name: str, where: str) -> str:
    return f"{name}.{_single(graph.nodes, kind, f'{where}: sub-graph {name!r}')}"


def _single(nodes: dict[str, nir.NIRNode], kind: type[nir.NIRNode], where: str) -> str:
    found = sorted(name for name, node in nodes.items() if isinstance(node, kind))
    if len(found) != 1:
        listing = f" ({', '.join(found)})" if found else ""
        raise ImportingError(
            f"{len(found)} {kind.__name__} nodes{listing}; one is allowed",
            where=where,
            help="give it one" if not found else _ONE[kind],
        )
    return found[0]


def _checked(graph: nir.NIRGraph, prefix: str, where: str) -> list[Edge]:
    seen: set[Edge] = set()
    for a, b in graph.edges:
        for end in (a, b):
            if end not in graph.nodes:
                raise ImportingError(f"edge {(a, b)}: {end!r} is no node", where=where, help="correct the edges")
        if (a, b) in seen:
            raise ImportingError(
                f"the edge {(prefix + a, prefix + b)} stands twice",
                where=where,
                help="remove one; for twice the signal put a Scale between",
            )
        seen.add((a, b))
    return [(str(a), str(b)) for a, b in graph.edges]


def _source(name: str, edges: list[Edge], inner: dict[str, nir.NIRNode]) -> str:
    """Return the node whose signal comes in at the end of a sub-graph, or the end itself where none does."""
    seen: set[str] = set()
    while name in inner and name not in seen:
        seen.add(name)
        name = next((a for a, b in edges if b == name), name)
    return name


def _dissolve(name: str, edges: list[Edge]) -> list[Edge]:
    sources = [a for a, b in edges if b == name]
    out: list[Edge] = []
    for a, b in edges:
        if a == name:
            out += [(source, b) for source in sources]
        elif b != name:
            out.append((a, b))
    return out


def _check_connected(flat: Flat, where: str) -> None:
    for name in sorted(flat.nodes):
        fed, read = any(b == name for _, b in flat.edges), any(a == name for a, _ in flat.edges)
        if (name == flat.input and fed) or (name == flat.output and read):
            raise ImportingError(
                f"{name!r} is an end of the graph and inside it", where=where, help="correct the edges"
            )
        if (name != flat.input and not fed) or (name != flat.output and not read):
            side = "nothing reads it" if fed or name == flat.input else "nothing feeds it"
            raise ImportingError(f"node {name!r} is not connected: {side}", where=where, help="connect or remove it")
