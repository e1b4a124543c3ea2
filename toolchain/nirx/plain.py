"""A NIR graph in memory as a file would hold it: numpy arrays in its nodes, whatever the exporter left there; checked alike.

Exporters leave torch tensors, numbers and lists; a tensor is known by its ``detach``, so that torch is not imported.
"""

from __future__ import annotations

from copy import copy
from dataclasses import fields
from typing import Any

import nir
import numpy as np

from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.nirx.fields import GROUPS, TEXT, WHOLE, check_fields

AS_THEY_ARE = {*GROUPS, *TEXT, *WHOLE, "edges", "epsilon", "input_type", "output_type"}
"""Fields that hold something else than an array of real numbers."""


def plain(graph: nir.NIRGraph, where: str = "graph") -> nir.NIRGraph:
    """Return the graph with numpy arrays in all its nodes; the same graph where it has them already.

    Raises:
        ImportingError: A field that no array can be made of, or that no file may hold; it is named.
    """
    nodes = {name: _node(node, f"{where}: node {name!r}") for name, node in graph.nodes.items()}
    metadata = _metadata(graph.metadata)
    if metadata is graph.metadata and all(nodes[name] is node for name, node in graph.nodes.items()):
        return graph
    made = copy(graph)
    made.nodes, made.metadata = nodes, metadata
    return made


def is_array_field(name: str) -> bool:
    """Say whether a field of a node holds an array of real numbers."""
    return name not in AS_THEY_ARE


def _node(node: nir.NIRNode, where: str) -> nir.NIRNode:
    if isinstance(node, nir.NIRGraph):
        return plain(node, where)
    if not isinstance(node, nir.NIRNode):
        raise ImportingError(
            f"{type(node).__name__} is no NIR node",
            where=where,
            help="the exporter has no form of this layer: replace the layer, or give the net as a torch module",
        )
    changed: dict[str, Any] = {}
    for key in (f.name for f in fields(node)):
        value = getattr(node, key)
        new = _metadata(value) if key == "metadata" else _value(key, value, where)
        if new is not value:
            changed[key] = new
    made = copy(node) if changed else node
    for key, value in changed.items():
        setattr(made, key, value)
    check_fields(type(node).__name__, _held(made), where)
    return made


def _held(node: nir.NIRNode) -> dict[str, Any]:
    """Return the fields of a node as a file has them; its axes, for the ends of a graph, as ``shape``."""
    skip = {"metadata", "input_type", "output_type"}
    found = {f.name: getattr(node, f.name, None) for f in fields(node) if f.name not in skip}
    if isinstance(node, nir.Input | nir.Output):
        found["shape"] = (node.input_type or {}).get("input", (node.output_type or {}).get("output"))
    return {key: value for key, value in found.items() if value is not None and not isinstance(value, nir.NIRNode)}


def _value(key: str, value: Any, where: str) -> Any:
    if isinstance(value, nir.NIRNode):
        return _node(value, f"{where}: {key}")
    found = _of_tensor(value)
    numbers = isinstance(found, np.ndarray) and found.dtype.kind != "O"
    if not is_array_field(key) or found is None or isinstance(found, str) or numbers:
        return found
    try:
        return np.asarray(found, np.float64)
    except (TypeError, ValueError) as error:
        raise ImportingError(
            f"{key} holds {type(value).__name__} that is no array of numbers ({error})",
            where=where,
            help="give a numpy array, a torch tensor, a list of numbers or a number",
        ) from error


def _of_tensor(value: Any) -> Any:
    """Return a tensor (of torch, or of what detaches alike) as an array, and everything else as it is."""
    if not hasattr(value, "detach"):
        return value
    tensor = value.detach()
    return np.asarray(tensor.cpu() if hasattr(tensor, "cpu") else tensor)


def _metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return metadata with numbers and text for the scalars of numpy that ``nir.read`` leaves there."""
    found = {key: _scalar(_of_tensor(value)) for key, value in metadata.items()}
    return metadata if all(found[key] is value for key, value in metadata.items()) else found


def _scalar(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic | np.ndarray) and value.ndim == 0 else value
