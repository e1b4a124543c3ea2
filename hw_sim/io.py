"""Frozen dataclasses on disk: arrays in ``NAME.npz``, everything else in ``NAME.json``; no pickle, both written atomically."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.arrays import Arrays, pack, read_arrays, read_bytes
from spikewright.hw_sim.errors import ProgramError
from spikewright.hw_sim.files import write_whole
from spikewright.hw_sim.typed import MistypedError, build, parse_json

Kinds = Mapping[str, type]
"""The dataclasses of a file, by the names it knows them by."""


def encode(value: Any, path: str, arrays: Arrays, kinds: Kinds) -> Any:
    """Return a value as plain JSON; its arrays go to ``arrays``, under ``path`` and the names of the fields on the way."""
    names = {kind: name for name, kind in kinds.items()}
    return _encode(value, path, arrays, names)


def _encode(value: Any, path: str, arrays: Arrays, names: dict[type, str]) -> Any:
    match value:
        case np.ndarray():
            arrays[path] = value
            return {"array": path}
        case dict():
            return {"table": {key: _encode(item, f"{path}/{key}", arrays, names) for key, item in value.items()}}
        case tuple():
            inside = [getattr(item, "name", str(index)) for index, item in enumerate(value)]
            return {
                "tuple": [_encode(item, f"{path}/{at}", arrays, names) for at, item in zip(inside, value, strict=True)]
            }
        case np.generic():
            return value.item()
        case _ if is_dataclass(value):
            held = {f.name: getattr(value, f.name) for f in fields(value)}
            plain = {name: _encode(item, f"{path}/{name}", arrays, names) for name, item in held.items()}
            return {"type": names[type(value)], **plain}
        case _:
            return value


def decode(plain: Any, arrays: Mapping[str, NDArray[Any]], kinds: Kinds) -> Any:
    """Return the value of ``encode``, every field of the type that its class declares.

    Raises:
        LookupError: A kind or an array is unknown.
        MistypedError: A field is unknown, missing or of another type.
    """
    match plain:
        case {"type": str(name), **held}:
            return build(kinds[name], {str(key): decode(item, arrays, kinds) for key, item in held.items()})
        case {"array": str(path)}:
            return arrays[path]
        case {"table": dict(table)}:
            return {key: decode(item, arrays, kinds) for key, item in table.items()}
        case {"tuple": list(items)}:
            return tuple(decode(item, arrays, kinds) for item in items)
        case dict() | list():
            raise MistypedError(f"{repr(plain)[:80]} is no value of a file of this version")
        case _:
            return plain


def save(value: Any, path: str | Path, format: int, kinds: Kinds) -> None:
    """Write ``path`` with the suffixes ``.npz`` and ``.json``."""
    arrays: Arrays = {}
    plain = {"format": format, "value": encode(value, "", arrays, kinds)}
    packed = pack(arrays)
    plain["npz_sha256"] = hashlib.sha256(packed).hexdigest()
    base = _base(path)
    write_whole(base.with_name(base.name + ".npz"), packed)
    write_whole(base.with_name(base.name + ".json"), (json.dumps(plain, indent=1) + "\n").encode())


def load(path: str | Path, format: int, kinds: Kinds) -> Any:
    """Read what ``save`` wrote.

    Raises:
        ProgramError: A file is missing, damaged, of another format, or belongs to another one.
    """
    base = _base(path)
    try:
        plain = parse_json(read_bytes(base.with_name(base.name + ".json")))
        packed = read_bytes(base.with_name(base.name + ".npz"))
        if plain["format"] != format or plain["npz_sha256"] != hashlib.sha256(packed).hexdigest():
            raise ValueError("format or checksum differ")
        return decode(plain["value"], read_arrays(packed), kinds)
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ProgramError(
            f"not a readable program: {type(error).__name__}: {error}",
            where=str(base.with_name(base.name + ".json")),
            help="deploy again; the .npz and the .json belong together",
        ) from error


def _base(path: str | Path) -> Path:
    path = Path(path)
    return path.with_suffix("") if path.suffix in (".npz", ".json") else path
