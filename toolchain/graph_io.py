"""Graphs on disk: structure as JSON, arrays as NPZ; no pickle, and an unknown op or field is refused."""

from __future__ import annotations

import json
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain import int_ops, ops
from spikewright.toolchain.blocks import block_of_op
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op

VERSION = 1
OPS: dict[str, type[Op]] = {
    name: kind
    for module in (ops, int_ops)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, Op)
}


def to_parts(graph: Graph) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return (structure, arrays): the structure is plain JSON, arrays are named ``op/field``."""
    arrays: dict[str, NDArray[Any]] = {}
    listed = [_encode(op, op.name, arrays) for op in graph]
    return {"version": VERSION, "timesteps": graph.timesteps, "dt_s": graph.dt_s, "ops": listed}, arrays


def _encode(value: Any, path: str, arrays: dict[str, NDArray[Any]]) -> Any:
    match value:
        case Op():
            inside = {f.name: _encode(getattr(value, f.name), f"{path}/{f.name}", arrays) for f in fields(value)}
            return {"op": type(value).__name__, **inside}
        case np.ndarray():
            arrays[path] = value
            return {"array": path}
        case dict():
            return {"table": {key: _encode(item, f"{path}/{key}", arrays) for key, item in value.items()}}
        case tuple():
            return {"tuple": [_encode(item, path, arrays) for item in value]}
        case np.generic():
            return value.item()
        case _:
            return value


def from_parts(structure: dict[str, Any], arrays: dict[str, NDArray[Any]], where: str) -> Graph:
    """Return the graph of ``to_parts``.

    Raises:
        ImportingError: Another version, or an op or field this version does not know.
    """
    if structure.get("version") != VERSION:
        raise ImportingError(
            f"graph format {structure.get('version')!r}; this version reads {VERSION}",
            where=where,
            help="deploy the model again with this version",
        )
    try:
        listed = tuple(_decode(item, arrays) for item in structure["ops"])
        return Graph(listed, timesteps=int(structure["timesteps"]), dt_s=float(structure["dt_s"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ImportingError(
            f"not a graph of this version ({error})", where=where, help="deploy the model again with this version"
        ) from error


def _decode(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    match value:
        case {"op": name, **inside}:
            return _op(name)(**{str(key): _decode(item, arrays) for key, item in inside.items()})
        case {"array": path}:
            return arrays[path]
        case {"table": table}:
            return {key: _decode(item, arrays) for key, item in table.items()}
        case {"tuple": items}:
            return tuple(_decode(item, arrays) for item in items)
        case _:
            return value


def _op(name: str) -> type[Op]:
    """Return the class of an op, an attention block's by the name it has or once had."""
    found = OPS.get(name) or block_of_op(name)
    if found is None:
        raise UnsupportedNodeError(
            "no op of this name; of attention blocks, only those of installed packages are known",
            where=f"op type {name!r}",
            help="install the package that registers it as an entry point, or deploy the model again with this version",
        )
    return found


def save(graph: Graph, path: Path) -> None:
    """Write a graph to one ``.npz`` (structure inside as JSON text)."""
    structure, arrays = to_parts(graph)
    text = np.frombuffer(json.dumps(structure).encode(), np.uint8)
    packed: dict[str, Any] = {"structure": text, **{f"a{i}": a for i, a in enumerate(arrays.values())}}
    packed["names"] = np.frombuffer(json.dumps(list(arrays)).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez_compressed(file, **packed)


def load(path: Path) -> Graph:
    """Read a graph written by ``save``.

    Raises:
        ImportingError: The file is missing, truncated, or of another version.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            structure = json.loads(bytes(data["structure"]))
            names = json.loads(bytes(data["names"]))
            arrays = {name: data[f"a{i}"] for i, name in enumerate(names)}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ImportingError(f"cannot be read ({error})", where=str(path), help="deploy the model again") from error
    return from_parts(structure, arrays, str(path))
