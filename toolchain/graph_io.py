"""Graphs on disk: structure as JSON, arrays as NPZ; no pickle, and an unknown op or field is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import io, somas, synapses
from spikewright.hw_sim.arrays import DamagedError, pack, read_arrays
from spikewright.hw_sim.files import write_whole
from spikewright.hw_sim.typed import build, fitted, parse_json
from spikewright.toolchain import integer, ops
from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.block_registry import block_of_op
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op

VERSION = 2
OPS: dict[str, type[Op]] = {
    name: kind
    for module in (ops, integer)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, Op)
}


class _Kinds(dict[str, type]):
    """Classes by name; attention blocks, which other packages may bring, by the name they have or once had."""

    def __missing__(self, name: str) -> type:
        found = block_of_op(name)
        if found is None:
            raise UnsupportedNodeError(
                "no op of this name; of attention blocks, only those of installed packages are known",
                where=f"op type {name!r}",
                help="install the package that registers it as an entry point, or deploy the model again",
            )
        return found


HELD = {f"hw_sim.{name}": kind for name, kind in {**somas.KINDS, **synapses.KINDS}.items()}
KINDS = _Kinds({**OPS, **HELD, "PooledGates": ops.PooledGates})
"""What a graph holds: ops, and the machine's somas and synapses."""


def to_parts(graph: Graph) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return (structure, arrays): the structure is plain JSON, arrays are named ``op/field``."""
    arrays: dict[str, NDArray[Any]] = {}
    held = [getattr(op, "of", op) for op in graph]
    kinds = KINDS | {type(op).__name__: type(op) for op in held if isinstance(op, AttentionBlock)}
    listed = [io.encode(op, op.name, arrays, kinds) for op in graph]
    return {"version": VERSION, "timesteps": graph.timesteps, "dt_s": graph.dt_s, "ops": listed}, arrays


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
        listed = fitted(structure["ops"], list, "ops")
        ops = tuple(fitted(io.decode(item, arrays, KINDS), Op, "an op") for item in listed)
        return build(Graph, {"ops": ops, "timesteps": structure["timesteps"], "dt_s": structure["dt_s"]})
    except (LookupError, ValueError, RecursionError) as error:
        raise ImportingError(
            f"not a graph of this version ({error})", where=where, help="deploy the model again with this version"
        ) from error


def save(graph: Graph, path: Path) -> None:
    """Write a graph to one ``.npz`` (structure inside as JSON text)."""
    structure, arrays = to_parts(graph)
    text = np.frombuffer(json.dumps(structure).encode(), np.uint8)
    packed: dict[str, Any] = {"structure": text, **{f"a{i}": np.asarray(a) for i, a in enumerate(arrays.values())}}
    packed["names"] = np.frombuffer(json.dumps(list(arrays)).encode(), np.uint8)
    write_whole(path, pack(packed))


def load(path: Path) -> Graph:
    """Read a graph written by ``save``.

    Raises:
        ImportingError: The file is missing, truncated, or of another version.
    """
    try:
        data = read_arrays(path)
        structure, names = (parse_json(data[part].tobytes()) for part in ("structure", "names"))
        if not isinstance(structure, dict) or not isinstance(names, list):
            raise DamagedError("its structure is none of a graph")
        arrays = {str(name): data[f"a{i}"] for i, name in enumerate(names)}
    except (OSError, LookupError, ValueError, RecursionError) as error:
        raise ImportingError(f"cannot be read ({error})", where=str(path), help="deploy the model again") from error
    return from_parts(structure, arrays, str(path))
