"""Content: one SHA-256 of what values hold (arrays, dataclasses, plain data), the same on every machine.

Equal content gives an equal digest, whatever object holds it; arrays count with their number type and shape, classes by name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("hw_sim", "toolchain")
"""Whose code decides what a deployment is and costs."""


def digest(*values: Any) -> str:
    """Return the SHA-256 of some values, in order.

    Raises:
        TypeError: One is of a kind whose content is not known.
    """
    found = hashlib.sha256()
    for value in values:
        _absorb(found, value)
    return found.hexdigest()


def _absorb(found: Any, value: Any) -> None:
    match value:
        case np.ndarray():
            _absorb_array(found, value)
        case np.generic():
            _absorb(found, value.item())
        case None | bool() | int() | float() | str():
            found.update(f"{type(value).__name__} {value!r};".encode("utf-8", "backslashreplace"))
        case _:
            parts = _parts(value)
            found.update(f"{type(value).__name__} {len(parts)};".encode())
            for part in parts:
                _absorb(found, part)


def _parts(value: Any) -> list[Any]:
    """Return what a composed value holds, in an order of its own."""
    match value:
        case Mapping():
            return [part for key in sorted(value, key=repr) for part in (key, value[key])]
        case tuple() | list():
            return list(value)
        case set() | frozenset():
            return sorted(value, key=repr)
        case _ if is_dataclass(value) and not isinstance(value, type):
            return [getattr(value, f.name) for f in fields(value) if f.init]
    raise TypeError(f"content of a {type(value).__name__} is not known")


def _absorb_array(found: Any, value: np.ndarray[Any, Any]) -> None:
    """Add an array block by block; a frame that every step repeats is written once, and how often it comes."""
    found.update(f"{value.dtype.str} {value.shape};".encode())
    if value.ndim > 1 and value.shape[0] > 1 and (value[:1] == value).all():
        found.update(b"still")
        value = value[:1]
    for part in value if value.ndim > 1 else [value]:
        found.update(np.ascontiguousarray(part).tobytes())


@cache
def code() -> str:
    """Return the digest of the compiler's and the machine's own files: results of other code are other results."""
    root, found = Path(__file__).parent.parent, hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if path.suffix in (".py", ".yaml"):
                found.update(path.relative_to(root).as_posix().encode())
                found.update(path.read_bytes())
    return found.hexdigest()
