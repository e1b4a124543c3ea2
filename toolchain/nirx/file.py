"""Read and write ``.nir`` files (HDF5, nir 1.0.8's layout), extension nodes included, without loss.

``/version``; ``/node/{type, edges, nodes/<name>/{type, <field>, ...}, metadata/...}``. A graph without extensions is
written as a plain standard file, which ``nir.read`` loads. ``None`` is written by leaving the field out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from spikewright.hw_sim.errors import UNFIT
from spikewright.toolchain.block_registry import block_of_op
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError
from spikewright.toolchain.nirx import hdf5
from spikewright.toolchain.nirx import nodes as nodes  # registers the extension classes
from spikewright.toolchain.nirx.fields import check_fields
from spikewright.toolchain.nirx.metadata import check_version
from spikewright.toolchain.nirx.plain import is_array_field
from spikewright.toolchain.nirx.registry import EXTENSIONS, STANDARD
from spikewright.toolchain.output_files import write_file

NEURONS = (nir.I, nir.IF, nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF)
NULLABLE = {"bias", "input_shape", "neuron"}
"""Fields that may be None, i.e. left out."""


# --------------------------------------------------------------------------------------------- write
def write(path: str | Path, graph: nir.NIRGraph) -> None:
    """Write a graph to a file: the whole file, or none.

    Args:
        path: Where to, ``.nir`` by custom; replaced if it exists.
        graph: Standard nodes or extensions.

    Raises:
        ImportingError: A name or value that the format cannot hold.
        InputError: The folder is missing or cannot be written to.
    """
    write_file(Path(path), _image(graph, str(path)))


def copied(graph: nir.NIRGraph) -> nir.NIRGraph:
    """Return a graph as it reads back when it was written; errors as ``write`` and ``read``."""
    tree = hdf5.read_image(_image(graph, "graph"), lambda file: _tree(file["node"]))
    return _whole(tree, "graph")


def _image(graph: nir.NIRGraph, where: str) -> bytes:
    def fill(file: h5py.File) -> None:
        file.create_dataset("version", data=nir.version, dtype=h5py.string_dtype())
        _write_node(file.create_group("node"), graph, where)

    return hdf5.image(fill)


def _write_node(group: h5py.Group, node: nir.NIRNode, where: str) -> None:
    name = type(node).__name__
    if name not in STANDARD and name not in EXTENSIONS:
        raise UnsupportedNodeError(
            f"node type {name}; known are {_known()}",
            where=where,
            help="register it with spikewright.toolchain.nirx.extension",
        )
    group.create_dataset("type", data=name, dtype=h5py.string_dtype())
    for key, value in _fields(node).items():
        _write_value(group, key, value, f"{where}: {key}")


def _fields(node: nir.NIRNode) -> dict[str, Any]:
    match node:
        case nir.Input():
            return {"shape": node.input_type["input"], "metadata": node.metadata or None}
        case nir.Output():
            return {"shape": node.output_type["output"], "metadata": node.metadata or None}
    skip = {"input_type", "output_type"}
    found = {f.name: getattr(node, f.name) for f in fields(node) if f.name not in skip}
    found["metadata"] = node.metadata or None  # an empty dict reads back as empty
    if isinstance(node, nir.Flatten):
        found["input_type"] = node.input_type["input"]
    if isinstance(node, nir.NIRGraph):
        found["edges"] = np.array([tuple(edge) for edge in node.edges], dtype=object).reshape(-1, 2)
    return found


def _write_value(group: h5py.Group, key: str, value: Any, where: str) -> None:
    if not key or "/" in key or key == ".":
        raise ImportingError(f"the name {key!r}; a NIR file takes no '/'", where=where, help="join names with '.'")
    match value:
        case None:
            return
        case nir.NIRNode():
            _write_node(group.create_group(key), value, where)
        case Mapping():
            inner = group.create_group(key)
            for name, item in value.items():
                _write_value(inner, str(name), item, f"{where}.{name}")
        case str():
            group.create_dataset(key, data=value, dtype=h5py.string_dtype())
        case bool() | int() | float() | np.generic():
            group.create_dataset(key, data=value)
        case _:
            _write_array(group, key, value, where)


def _write_array(group: h5py.Group, key: str, value: Any, where: str) -> None:
    array = np.asarray(value)
    if array.dtype.kind in "OU" and all(isinstance(item, str) for item in array.ravel()):
        group.create_dataset(key, data=array.astype(object), dtype=h5py.string_dtype())
    elif array.dtype.kind in "biuf":
        compression = "gzip" if array.ndim and array.size else None
        group.create_dataset(key, data=array, compression=compression)
    else:
        raise ImportingError(
            f"{type(value).__name__} of dtype {array.dtype}; a NIR file holds numbers, strings, arrays, dicts of them",
            where=where,
            help="leave it out, or turn it into one of these",
        )


# ---------------------------------------------------------------------------------------------- read
def read(path: str | Path) -> nir.NIRGraph:
    """Read a graph from a file; ports are not type-checked here (``from_nir`` infers and checks all shapes).

    Raises:
        ImportingError: The file is missing, truncated, no NIR file, or holds values that are not finite.
        UnsupportedNodeError: It holds a node type nobody here knows.
    """
    where = str(path)
    if not Path(path).exists():
        raise ImportingError("no such file", where=where, help="name a .nir file")
    try:
        tree = hdf5.read(Path(path), lambda file: _tree(file["node"]))
    except (OSError, ValueError) as error:
        raise ImportingError(
            f"not a readable NIR file ({error})",
            where=where,
            help="write it again; a .nir file is HDF5 with a group 'node' (it may be truncated)",
        ) from error
    return _whole(tree, where)


def _whole(tree: Any, where: str) -> nir.NIRGraph:
    graph = _node(tree, where)
    if not isinstance(graph, nir.NIRGraph):
        raise ImportingError(
            f"holds a single {type(graph).__name__}; expected a NIRGraph",
            where=where,
            help="write a graph with Input and Output",
        )
    check_version(graph.metadata, where)
    return graph


def _tree(item: h5py.Group | h5py.Dataset) -> Any:
    if isinstance(item, h5py.Group):
        return {str(key): _tree(item[key]) for key in item}
    value = item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()]
    if isinstance(value, np.generic) and value.dtype in (np.dtype("f8"), np.dtype("i8"), np.dtype("?")):
        return value.item()
    if h5py.check_vlen_dtype(item.dtype) not in (None, str, bytes):
        raise ValueError(f"{item.name} holds rows of unequal length")
    return value.tolist() if isinstance(value, np.ndarray) and value.dtype == object else value


def _node(tree: Any, where: str) -> nir.NIRNode:
    if not isinstance(tree, dict) or not isinstance(tree.get("type"), str):
        raise ImportingError("a node without a type", where=where, help="write the file again; names may not hold '/'")
    tree = _of_this_version(tree)
    kind = tree["type"]
    cls = STANDARD.get(kind) or EXTENSIONS.get(kind)
    if cls is None:
        raise UnsupportedNodeError(
            f"node type {kind}; known are {_known()}", where=where, help="replace it, or update spikewright"
        )
    check_fields(kind, tree, where)
    values = {key: value for key, value in tree.items() if key != "type"}
    for key, value in values.items():
        if key != "nodes" and isinstance(value, dict) and key != "metadata" and "type" in value:
            values[key] = _node(value, f"{where}: {key}")
    if cls is nir.NIRGraph:
        return _graph(values, where)
    return _construct(cls, values, where)


def _of_this_version(tree: dict[str, Any]) -> dict[str, Any]:
    """Return a node as this version writes it: up to version 1 every attention block had a node type of its own."""
    if tree["type"] in STANDARD or tree["type"] in EXTENSIONS or (block := block_of_op(tree["type"])) is None:
        return tree
    kept: dict[str, Any] = {
        key: tree[key] for key in ("neuron", "parameters", "timesteps", "shape", "metadata") if key in tree
    }
    options = {key: value for key, value in tree.items() if key not in kept and key != "type"}
    return {"type": "AttentionNode", "kind": block.kind, "options": options, **kept}


def _graph(values: dict[str, Any], where: str) -> nir.NIRGraph:
    tree = values.get("nodes")
    if not isinstance(tree, dict) or "edges" not in values:
        raise ImportingError("a graph without nodes or edges", where=where, help="write the file again")
    inner = {name: _node(item, f"{where}: node {name!r}") for name, item in tree.items()}
    edges = [(str(a), str(b)) for a, b in values["edges"]]
    for edge in edges:
        for end in edge:
            if end not in inner:
                raise ImportingError(
                    f"edge {edge} names {end!r}, which is no node", where=where, help="correct the edges"
                )
    return nir.NIRGraph(inner, edges, metadata=values.get("metadata", {}), type_check=False)


def _construct(cls: type[nir.NIRNode], values: dict[str, Any], where: str) -> nir.NIRNode:
    if cls in (nir.Input, nir.Output, nir.Flatten):
        port, stored = {nir.Input: ("input", "shape"), nir.Output: ("output", "shape")}.get(
            cls, ("input", "input_type")
        )
        values = {**values, f"{port}_type": {port: values.get(stored)}}
        values = {key: value for key, value in values.items() if key != "shape"}
    allowed = {f.name: f for f in fields(cls) if f.init}
    unknown = sorted(set(values) - set(allowed))
    if unknown:
        raise ImportingError(
            f"{cls.__name__} has fields {', '.join(unknown)}; it takes {', '.join(allowed)}",
            where=where,
            help="remove them",
        )
    required = [n for n, f in allowed.items() if f.default is MISSING and f.default_factory is MISSING]
    lacking = [name for name in required if name not in values]
    if set(lacking) - NULLABLE:
        names = ", ".join(sorted(set(lacking) - NULLABLE))
        raise ImportingError(f"{cls.__name__} lacks {names}", where=where, help="export the net again")
    values |= dict.fromkeys(lacking)
    values = {key: _array(key, value) for key, value in values.items()}
    try:
        return _neuron(cls, values) if cls in NEURONS else cls(**values)
    except UnsupportedNodeError as error:
        raise UnsupportedNodeError(error.what, where=where, help=error.help) from error
    except UNFIT as error:
        raise ImportingError(f"{cls.__name__}: {error}", where=where, help="correct the node's fields") from error


def _array(key: str, value: Any) -> Any:
    """Return what a node's field of real numbers holds as an array; a file may hold a number."""
    return np.asarray(value) if is_array_field(key) and isinstance(value, int | float | np.generic) else value


def _neuron(cls: type[nir.NIRNode], values: dict[str, Any]) -> nir.NIRNode:
    """Return a neuron whose parameters may differ in shape (``nir`` takes none such): ``from_nir`` spreads them."""
    given = {key: value for key, value in values.items() if isinstance(value, np.ndarray)}
    if len({value.shape for value in given.values()}) == 1:
        return cls(**values)
    node = cls(**{**values, **dict.fromkeys(given, np.zeros(1))})
    for key, value in given.items():
        setattr(node, key, value)
    return node


def _known() -> str:
    return ", ".join(sorted(STANDARD) + sorted(EXTENSIONS))
