"""Which NIR nodes exist: the standard ones of nir 1.0.8, and ours, registered by ``@extension``."""

from __future__ import annotations

from typing import TypeVar

import nir

EXTENSION_VERSION = 2
"""Version of our node definitions; written into a file's graph metadata, checked when it is read. 1: a node type a block."""

STANDARD: dict[str, type[nir.NIRNode]] = {
    node.__name__: node
    for node in (
        nir.Affine,
        nir.AvgPool2d,
        nir.Conv1d,
        nir.Conv2d,
        nir.CubaLI,
        nir.CubaLIF,
        nir.Delay,
        nir.Flatten,
        nir.I,
        nir.IF,
        nir.Input,
        nir.LI,
        nir.LIF,
        nir.Linear,
        nir.NIRGraph,
        nir.Output,
        nir.Scale,
        nir.SumPool2d,
        nir.Threshold,
    )
}
"""The nodes of nir 1.0.8 that a file can hold (``nir/ir/__init__.py``)."""

EXTENSIONS: dict[str, type[nir.NIRNode]] = {}
"""Our nodes by type name."""

Node = TypeVar("Node", bound=type[nir.NIRNode])


def extension(cls: Node) -> Node:
    """Register a NIR node class under its name.

    Raises:
        TypeError: The name is taken, or the class is no NIR node: a mistake in our code.
    """
    if not issubclass(cls, nir.NIRNode) or cls.__name__ in STANDARD or cls.__name__ in EXTENSIONS:
        raise TypeError(f"{cls.__name__} cannot be an extension node")
    EXTENSIONS[cls.__name__] = cls
    return cls


def extension_names(graph: nir.NIRGraph) -> list[str]:
    """Return the names of the extension nodes of a graph, sub-graphs included; empty: any NIR reader can read it."""
    found: list[str] = []
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            found += [f"{name}.{inner}" for inner in extension_names(node)]
        elif type(node).__name__ not in STANDARD:
            found.append(name)
    return sorted(found)
