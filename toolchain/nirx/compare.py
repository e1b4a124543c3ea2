"""Equality of NIR graphs: nodes, fields with dtypes, metadata and edge order (``NIRNode.__eq__`` is identity)."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import nir
import numpy as np


def same(a: nir.NIRNode, b: nir.NIRNode) -> bool:
    """Say whether two nodes or graphs are equal: types, fields (dtype, shape, values), metadata, edges in order."""
    return difference(a, b) is None


def difference(a: Any, b: Any, where: str = "graph") -> str | None:
    """Return where and how two nodes, graphs or values differ first, or None."""
    if isinstance(a, nir.NIRNode) or isinstance(b, nir.NIRNode):
        return _nodes(a, b, where)
    if isinstance(a, dict) or isinstance(b, dict):
        return _dicts(a, b, where)
    if isinstance(a, list | tuple) and a and isinstance(a[0], tuple):  # edges
        left, right = [tuple(edge) for edge in a], [tuple(edge) for edge in b]
        return None if left == right else f"{where}: {left} is not {right}"
    return _values(a, b, where)


def _nodes(a: Any, b: Any, where: str) -> str | None:
    if type(a) is not type(b):
        return f"{where}: {type(a).__name__} is not {type(b).__name__}"
    for field in fields(a):
        if field.name in ("input_type", "output_type") and not isinstance(a, nir.Input | nir.Output | nir.Flatten):
            continue
        found = difference(getattr(a, field.name), getattr(b, field.name), f"{where}.{field.name}")
        if found is not None:
            return found
    return None


def _dicts(a: Any, b: Any, where: str) -> str | None:
    if not (isinstance(a, dict) and isinstance(b, dict)) or sorted(a) != sorted(b):
        return f"{where}: {_keys(a)} is not {_keys(b)}"
    for key in sorted(a):
        found = difference(a[key], b[key], f"{where}[{key!r}]")
        if found is not None:
            return found
    return None


def _keys(value: Any) -> object:
    return sorted(value) if isinstance(value, dict) else value


def _values(a: Any, b: Any, where: str) -> str | None:
    if a is None or b is None:
        return None if a is b else f"{where}: {a!r} is not {b!r}"
    left, right = np.asarray(a), np.asarray(b)
    if left.dtype != right.dtype or left.shape != right.shape:
        return f"{where}: {left.dtype} {left.shape} is not {right.dtype} {right.shape}"
    exact = np.array_equal(left, right, equal_nan=left.dtype.kind == "f")
    return None if exact else f"{where}: values differ"
