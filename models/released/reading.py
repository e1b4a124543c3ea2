"""Read the tensors of a checkpoint file: ``torch.save``'s by ``torch.load(weights_only=True)`` alone, or safetensors.

What would have to be unpickled is refused, and so is a file that declares more than it holds, before anything is allocated.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from spikewright.hw_sim.errors import DAMAGE
from spikewright.hw_sim.files import regular
from spikewright.models.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

ZIP_START = b"PK\x03\x04"
PICKLE_START = b"\x80"
JSON_START = b"{"
"""Of safetensors' header, behind its length in 8 bytes."""
LEGACY_PICKLES = 5
"""torch.save before 1.6, and with ``_use_new_zipfile_serialization=False``: so many pickles, then the tensors."""
MAX_PICKLE_BYTES = 1 << 26
"""A state dict's pickle has some 100 bytes a tensor."""
CONTAINERS = ("net", "state_dict", "model", "model_state_dict")
"""Keys under which training scripts keep the state dict beside optimizer and epoch; looked at before all others."""
DAMAGED = (*DAMAGE, MemoryError, OSError)
"""What the readers raise for a file that is cut, altered or none of theirs; one may also ask for what no machine has."""
AGAIN = "copy or download the file again"
SAVE_WEIGHTS = "where you trust the file, save the weights alone: torch.save(module.state_dict(), 'weights.pth')"


@dataclass(frozen=True, eq=False)
class StateDict:
    """A file's tensors by key, without containers and prefixes; ``others`` are the keys of what is no tensor."""

    tensors: Mapping[str, Tensor]
    others: tuple[str, ...]


def shown(key: object) -> str:
    """Return a key as an error shows it: escaped, and of bounded length."""
    text = repr(key)
    return text if len(text) <= 120 else f"{text[:117]}..."


def read(path: Path) -> StateDict:
    """Read a checkpoint file.

    Raises:
        CheckpointError: It is missing, no regular file, damaged, would have to be unpickled, or holds no one state dict.
    """
    try:
        if path.exists():
            regular(path)
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise CheckpointError(
            f"cannot be read: {error.strerror or error}", where=str(path), help="give a checkpoint file"
        ) from error
    if start[8:] == JSON_START or not start.startswith((ZIP_START, PICKLE_START)):
        return _named(_read_safetensors(path), path)
    _check_sizes(path, start, size)
    return _named(_unwrapped(_load(path), path), path)


def _load(path: Path) -> object:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols other than torch.save's own, read or refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error)) or re.search(r"([Uu]nsupported .*)", str(error))
        what = f"holds {shown(named.group(1))}" if named else "holds more than tensors"
        raise CheckpointError(
            f"{what}, which would have to be unpickled and can run any code; read are tensors, numbers and text alone",
            where=str(path),
            help=SAVE_WEIGHTS,
        ) from error
    except DAMAGED as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CheckpointError:
    text = (str(error).splitlines() or [""])[0][:200]
    return CheckpointError(
        f"not a whole file of torch.save: {type(error).__name__}{f': {shown(text)}' if text else ''}",
        where=str(path),
        help=AGAIN,
    )


def _check_sizes(path: Path, start: bytes, size: int) -> None:
    """Refuse what declares more bytes than the file has."""
    try:
        if start.startswith(ZIP_START):
            _check_zip(path, size)
        else:
            with path.open("rb") as file:
                _check_legacy(path, file, size)
    except DAMAGED as error:
        raise _damaged(path, error) from error


def _check_zip(path: Path, size: int) -> None:
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
    declared = sum(record.file_size for record in records)
    if any(record.compress_type != zipfile.ZIP_STORED for record in records) or declared > size:
        raise CheckpointError(
            f"its records declare {declared:,} bytes, or are compressed; the file has {size:,}, and torch.save does not "
            "compress",
            where=str(path),
            help="unpack it, or " + AGAIN,
        )
    if any(r.filename.endswith("/data.pkl") and r.file_size > MAX_PICKLE_BYTES for r in records):
        raise CheckpointError("holds more objects than tensors of a net", where=str(path), help=SAVE_WEIGHTS)


def _check_legacy(path: Path, file: BinaryIO, size: int) -> None:
    """Walk the pickles without running them: each storage's number of elements is the last number before its id."""
    for _ in range(LEGACY_PICKLES):
        number, start = 0, file.tell()
        for opcode, argument, _place in pickletools.genops(file):
            if opcode.name == "BINPERSID" and number > size:
                raise CheckpointError(
                    f"declares a tensor of {number:,} elements; the file has {size:,} bytes",
                    where=str(path),
                    help=AGAIN,
                )
            if isinstance(argument, int) and not opcode.name.endswith(("PUT", "GET")):
                number = argument
            if file.tell() - start > MAX_PICKLE_BYTES:
                raise CheckpointError("holds more objects than tensors of a net", where=str(path), help=SAVE_WEIGHTS)


def _read_safetensors(path: Path) -> Mapping[str, object]:
    from safetensors import SafetensorError, safe_open

    from spikewright.models.zoo.checkpoint import METADATA_KEY

    try:
        with safe_open(path, framework="pt") as file:
            if METADATA_KEY in (file.metadata() or {}):
                raise CheckpointError(
                    "already a checkpoint of this package", where=str(path), help=f"use it as it is: deploy {path.name}"
                )
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, *DAMAGED) as error:
        raise CheckpointError(
            f"neither a file of torch.save nor a whole safetensors file: {error}", where=str(path), help=AGAIN
        ) from error


def _unwrapped(loaded: object, path: Path) -> Mapping[Any, object]:
    """Return the state dict of what was loaded: itself, what one of ``CONTAINERS`` holds, or else the one there is inside."""
    import torch

    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"holds {type(loaded).__name__}, no state dict", where=str(path), help=SAVE_WEIGHTS)
    if any(isinstance(value, torch.Tensor) for value in loaded.values()):
        return loaded
    inside = [loaded[key] for key in CONTAINERS if isinstance(loaded.get(key), Mapping) and loaded[key]]
    inside = inside or list(_state_dicts(loaded))
    if len(inside) != 1:
        keys = ", ".join(shown(key) for key in list(loaded)[:10]) or "nothing"
        raise CheckpointError(
            f"holds {keys}; expected tensors, or just one of {', '.join(CONTAINERS)} with tensors in it",
            where=str(path),
            help=SAVE_WEIGHTS,
        )
    held: Mapping[Any, object] = inside[0]
    return held


def _state_dicts(loaded: Mapping[Any, object], depth: int = 2) -> Iterator[Mapping[Any, object]]:
    """Yield the state dicts inside: mappings with a tensor whose name ends in weight."""
    import torch

    for value in loaded.values():
        if isinstance(value, Mapping):
            if any(str(key).endswith("weight") and isinstance(one, torch.Tensor) for key, one in value.items()):
                yield value
            elif depth > 1:
                yield from _state_dicts(value, depth - 1)


def _named(loaded: Mapping[Any, object], path: Path) -> StateDict:
    """Sort tensors from other values, and take off what all names begin with, part by part: wrappers of the released net."""
    import torch

    keys = list(loaded)
    if any(not isinstance(key, str) for key in keys):
        raise CheckpointError(
            f"has the key {shown(next(k for k in keys if not isinstance(k, str)))}, which is no name",
            where=str(path),
            help=SAVE_WEIGHTS,
        )
    cut, parts = 0, [key.split(".") for key in keys]
    while len(keys) > 1 and all(len(part) > 1 for part in parts) and len({part[0] for part in parts}) == 1:
        cut, parts = cut + len(parts[0][0]) + 1, [part[1:] for part in parts]
    tensors = {key[cut:]: value for key, value in loaded.items() if isinstance(value, torch.Tensor)}
    others = tuple(key[cut:] for key, value in loaded.items() if not isinstance(value, torch.Tensor))
    if not tensors:
        raise CheckpointError("holds no tensor", where=str(path), help=SAVE_WEIGHTS)
    return StateDict(tensors, others)
