"""Frozen dataclasses on disk: arrays in ``NAME.npz``, everything else in ``NAME.json``; no pickle, both written atomically."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.errors import ProgramError

Arrays = dict[str, NDArray[Any]]
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
    """Return the value of ``encode``.

    Raises:
        KeyError: A kind or an array is unknown.
        TypeError: A field is.
    """
    match plain:
        case {"type": name, **held}:
            return kinds[name](**{str(key): decode(item, arrays, kinds) for key, item in held.items()})
        case {"array": path}:
            return arrays[path]
        case {"table": table}:
            return {key: decode(item, arrays, kinds) for key, item in table.items()}
        case {"tuple": items}:
            return tuple(decode(item, arrays, kinds) for item in items)
        case _:
            return plain


def save(value: Any, path: str | Path, format: int, kinds: Kinds) -> None:
    """Write ``path`` with the suffixes ``.npz`` and ``.json``."""
    arrays: Arrays = {}
    plain = {"format": format, "value": encode(value, "", arrays, kinds)}
    packed = _npz(arrays)
    plain["npz_sha256"] = hashlib.sha256(packed).hexdigest()
    base = _base(path)
    _write(base.with_name(base.name + ".npz"), packed)
    _write(base.with_name(base.name + ".json"), (json.dumps(plain, indent=1) + "\n").encode())


def load(path: str | Path, format: int, kinds: Kinds) -> Any:
    """Read what ``save`` wrote.

    Raises:
        ProgramError: A file is missing, damaged, of another format, or belongs to another one.
    """
    base = _base(path)
    try:
        plain = json.loads(base.with_name(base.name + ".json").read_text(encoding="utf-8"))
        packed = base.with_name(base.name + ".npz").read_bytes()
        if plain["format"] != format or plain["npz_sha256"] != hashlib.sha256(packed).hexdigest():
            raise ValueError("format or checksum differ")
        with np.load(io.BytesIO(packed), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        return decode(plain["value"], arrays, kinds)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ProgramError(
            f"not a readable program: {type(error).__name__}: {error}",
            where=str(base.with_name(base.name + ".json")),
            help="deploy again; the .npz and the .json belong together",
        ) from error


def _base(path: str | Path) -> Path:
    path = Path(path)
    return path.with_suffix("") if path.suffix in (".npz", ".json") else path


def _npz(arrays: Arrays) -> bytes:
    """Pack arrays like ``np.savez_compressed``, but with fixed dates: the same value gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for key in sorted(arrays):
            member = io.BytesIO()
            np.save(member, np.ascontiguousarray(arrays[key]), allow_pickle=False)
            info = zipfile.ZipInfo(key + ".npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue())
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_bytes(data)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
