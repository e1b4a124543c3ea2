"""Mutations: of bytes, of trees (JSON, YAML), of HDF5 files and of NPZ archives; every one drawn from a seeded generator."""

from __future__ import annotations

import ast
import copy
import io
import json
import zipfile
from typing import Any

import h5py
import numpy as np

Random = np.random.Generator
HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 255, 256, 4096, -(2**31), 2**31, 2**40, 2**62, 10**30, 0.5, -0.0, 1e-300, 1e300,
    float("nan"), float("inf"), float("-inf"), "", "x", "nan", "../../etc/passwd", "/dev/zero", "\x1b[2J", "=1+1", "\u202e",
    "\ud800", "a" * 3000, "Lif", "spikes", [], {}, [[]], [1, [2, [3]]], {"array": "nope"}, {"type": "Lif"}, {"tuple": [1]},
    {"type": "Graph"}, [0] * 40,
)  # fmt: skip
"""Values that a place was not made for."""
SHAPES = ((0,), (1,), (3,), (1, 1), (2, 3), (0, 3), (1, 1, 1, 1), (5, 1, 2), (2,) * 6)
DTYPES = ("f4", "f8", "f2", "i1", "i4", "i8", "u8", "?", "c8", "S3", "U2", "M8[s]")


def pick(rng: Random, items: Any) -> Any:
    """Draw one of some items."""
    return items[int(rng.integers(len(items)))]


def of_bytes(rng: Random, data: bytes) -> bytes:
    """Flip, cut, insert, double or overwrite some bytes."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        at, length = int(rng.integers(len(out) + 1)), int(rng.integers(1, 64))
        match int(rng.integers(7)):
            case 0 if at < len(out):
                out[at] ^= 1 << int(rng.integers(8))
            case 1:
                del out[at : at + length]
            case 2:
                out[at:at] = rng.bytes(length)
            case 3:
                out[at : at + length] = rng.bytes(len(out[at : at + length]))
            case 4:
                out[at:at] = out[at : at + length]
            case 5:
                out[at : at + 8] = int(pick(rng, (0, 1, 2**31, 2**63 - 1, 2**64 - 1, 255))).to_bytes(8, "little")
            case _:
                del out[at:]
    return bytes(out)


def of_tree(rng: Random, tree: Any) -> Any:
    """Change one to three places of a tree of dicts and lists."""
    root = [copy.deepcopy(tree)]
    for _ in range(int(rng.integers(1, 4))):
        try:
            places = list(_places(root))
        except RecursionError:  # an earlier change nests deeper than can be walked
            break
        holder, key = pick(rng, places)
        match int(rng.integers(6)):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1:
                other, name = pick(rng, places)
                if isinstance(other, list) and not name < len(other):
                    continue
                holder[key] = copy.deepcopy(other.get(name) if isinstance(other, dict) else other[name])
            case 2 if isinstance(holder, dict):
                holder[str(pick(rng, ("x", "type", key, "\x1b[31m", "base")))] = pick(rng, HOSTILE)
            case 3 if isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
                holder[key] = pick(rng, (-holder[key], holder[key] + 1, holder[key] * 1000, holder[key] / 3, 0))
            case 4:
                deep: Any = holder[key]
                for _ in range(int(pick(rng, (1, 30, 3000)))):
                    deep = [deep]
                holder[key] = deep
            case _:
                holder[key] = copy.deepcopy(pick(rng, HOSTILE))
    return root[0]


def _places(holder: Any) -> Any:
    keys = holder.keys() if isinstance(holder, dict) else range(len(holder))
    for key in keys:
        yield holder, key
        if isinstance(holder[key], dict | list):
            yield from _places(holder[key])


def as_json(tree: Any) -> bytes:
    """Write a tree as JSON, also one too deep for the writer."""
    try:
        return json.dumps(tree).encode("utf-8", "surrogatepass")
    except (RecursionError, ValueError, TypeError):
        return b"[" * 100_000


def of_array(rng: Random, value: np.ndarray) -> np.ndarray:
    """Return an array with other values, another shape or type."""
    match int(rng.integers(8)):
        case 0:
            return value.astype(pick(rng, ("f4", "f8", "i1", "i4", "i8", "u1", "u8", "?")), casting="unsafe")
        case 1:
            return np.zeros(pick(rng, SHAPES), value.dtype)
        case 2 if value.size:
            return np.resize(value, pick(rng, SHAPES))
        case 3:
            return value[..., None]
        case 4 if value.ndim:
            return value[:-1]
        case 5 if value.ndim > 1:
            return np.swapaxes(value, 0, -1)
        case 6 if value.size and value.dtype.kind in "iuf":
            changed = value.copy()
            number = pick(rng, (0, -1, 255, 2**20, 2**31 - 1, 2**62, -(2**40)))
            with np.errstate(all="ignore"):
                changed.flat[int(rng.integers(value.size))] = np.array([number]).astype(value.dtype)[0]
            return changed
        case _ if value.dtype.kind == "f" and value.size:
            changed = value.copy()
            changed.flat[int(rng.integers(value.size))] = pick(rng, (np.nan, np.inf, 1e30, -1e30, 0))
            return changed
    return np.concatenate([value.ravel(), value.ravel()])


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    """Pack arrays."""
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def unpacked(data: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of a whole archive."""
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def of_npz(rng: Random, data: bytes) -> bytes:
    """Change an archive: an array, a header that declares something else, the way it is packed, or its bytes."""
    arrays = unpacked(data)
    name = pick(rng, sorted(arrays))
    match int(rng.integers(6)):
        case 0:
            return of_bytes(rng, data)
        case 1:
            del arrays[name]
            return npz(arrays)
        case 2:
            arrays[str(pick(rng, ("y", "timesteps", "x/y", "..", name + "2")))] = of_array(rng, arrays[name])
            return npz(arrays)
        case 3:
            return _with_header(rng, arrays, name)
        case 4:
            return _repacked(rng, data)
        case _:
            arrays[name] = of_array(rng, arrays[name])
            return npz(arrays)


def _with_header(rng: Random, arrays: dict[str, np.ndarray], name: str) -> bytes:
    """Let one array declare another type, shape or order than it has."""
    member = io.BytesIO()
    np.save(member, arrays[name])
    raw = member.getvalue()
    length = int.from_bytes(raw[8:10], "little")
    header = ast.literal_eval(raw[10 : 10 + length].decode().strip())
    key = pick(rng, ("descr", "shape", "fortran_order"))
    header[key] = {
        "descr": pick(rng, (*DTYPES, "O", "|V8", [("a", "<f4")], 7)),
        "shape": pick(
            rng, ((10**12,), (4, 10**10, 5), (-1,), (2**63,), (), (3.5,), (True,), "x", (0,), (2**32, 2**32))
        ),
        "fortran_order": pick(rng, (True, 1, "no")),
    }[key]
    text = pick(rng, (repr(header), repr(header), "{", "[" * 500, "__import__('os')", ""))
    made = text.encode().ljust(length - 1)[: length - 1] + b"\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for other, value in arrays.items():
            if other != name:
                held = io.BytesIO()
                np.save(held, value)
                archive.writestr(f"{other}.npy", held.getvalue())
        archive.writestr(f"{name}.npy", raw[:10] + made + raw[10 + length :])
    return out.getvalue()


def _repacked(rng: Random, data: bytes) -> bytes:
    """Change the directory of an archive: flags, methods, sizes."""
    out = bytearray(data)
    for signature, base in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = out.find(signature)
        field = pick(rng, (0, 2, 12, 16))
        if at >= 0 and at + base + field + 4 <= len(out):
            out[at + base + field : at + base + field + 2] = rng.bytes(2)
    return bytes(out)


def of_hdf5(rng: Random, data: bytes) -> bytes:
    """Change an HDF5 file: a dataset's value, type, declared size; its groups and links; or its bytes."""
    if rng.random() < 0.4:
        return of_bytes(rng, data)
    held = io.BytesIO(data)
    with h5py.File(held, "a") as file:
        names: list[str] = []
        file.visit(names.append)
        for _ in range(int(rng.integers(1, 4))):
            name = pick(rng, names)
            if _there(file, name):
                _change(rng, file, name)
    return held.getvalue()


def _there(file: h5py.File, name: str) -> bool:
    """Say whether a name leads to something; a link of an earlier change may lead nowhere, or round to itself."""
    try:
        return file[name] is not None
    except (KeyError, OSError, RuntimeError):
        return False


def _change(rng: Random, file: h5py.File, name: str) -> None:
    old = file[name]
    whole = isinstance(old, h5py.Dataset) and old.nbytes < 1 << 24  # an earlier change may have declared a huge one
    value = old[()] if whole else None
    action = int(rng.integers(9))
    if action == 0:
        if file.get(f"{name}_2", getlink=True) is None:
            file[f"{name}_2"] = old
        return
    del file[name]
    if action == 1:
        return
    if action == 2:
        size = pick(rng, ((10**6, 10**6), (2**31,), (2**40,), (3, 2**33)))
        file.create_dataset(name, shape=size, dtype=pick(rng, ("f4", "f8", h5py.string_dtype())), chunks=True)
    elif action == 3:
        made = file.create_dataset(name, (3,), dtype=h5py.vlen_dtype(np.float32))
        made[0] = [1, 2]
    elif action == 4:
        file[name] = h5py.SoftLink("/node") if rng.random() < 0.5 else h5py.ExternalLink("/etc/passwd", "/x")
    elif action == 5 and isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        file[name] = of_array(rng, value)
    elif action == 6:
        file[name] = np.zeros(pick(rng, SHAPES), pick(rng, ("f4", "f8", "f2", "i8", "u1", "?", "S3")))
    elif action == 7:
        file.create_group(name)
    else:
        found = pick(rng, [one for one in HOSTILE if isinstance(one, int | float | str) and one != 10**30])
        file[name] = found if not isinstance(found, str) else found.encode("utf-8", "replace").replace(b"\0", b"")
