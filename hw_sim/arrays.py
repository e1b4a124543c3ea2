"""NPZ archives of arrays, read and written: sizes are checked against the file before memory is taken; nothing is unpickled."""

from __future__ import annotations

import io
import os
import resource
import zipfile
from collections.abc import Collection, Mapping
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from spikewright.hw_sim.errors import DAMAGE
from spikewright.hw_sim.files import read_whole, regular

Arrays = dict[str, NDArray[Any]]
READ = "biufSU"
"""Kinds of arrays that are read: numbers and text."""
RATIO = 1100
"""Deflate makes at most 1032 bytes of one."""


class DamagedError(ValueError):
    """A file that is cut, altered or none of its kind, or that declares more than it holds."""


def read_arrays(source: str | Path | bytes, names: Collection[str] | None = None) -> Arrays:
    """Read arrays of numbers or text from an NPZ archive.

    Args:
        source: A file, or its bytes.
        names: Which ones, those that are there; None: all.

    Raises:
        OSError: The file cannot be read.
        DamagedError: It is no such archive; an array is damaged, holds objects, or declares another size than it has.
    """
    if not isinstance(source, bytes) and regular(Path(source)) is None:
        raise FileNotFoundError(2, "no such file", str(source))
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            found = _listed(archive, source)
            wanted = {name: info for name, info in found.items() if names is None or name in names}
            for name, info in wanted.items():
                _check_packing(name, info)
            need_memory(sum(info.file_size for info in wanted.values()))
            return {name: _array(archive, name, info) for name, info in wanted.items()}
    except DamagedError:
        raise
    except DAMAGE as error:
        raise DamagedError(f"{type(error).__name__}: {error}"[:200]) from error


def array_shapes(source: str | Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes that an archive's arrays declare, by name; () where it declares none that is read; errors likewise.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedError: It is no archive, or its table of contents cannot be read.
    """
    if regular(Path(source)) is None:
        raise FileNotFoundError(2, "no such file", str(source))
    try:
        with zipfile.ZipFile(source) as archive:
            return {name: _shape(archive, info) for name, info in _listed(archive, source).items()}
    except DamagedError:
        raise
    except DAMAGE as error:
        raise DamagedError(f"{type(error).__name__}: {error}"[:200]) from error


def _listed(archive: zipfile.ZipFile, source: str | Path | bytes) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by array name, each with sizes that the file can have."""
    size = len(source) if isinstance(source, bytes) else os.stat(source).st_size
    infos = archive.infolist()
    names = [info.filename.removesuffix(".npy") for info in infos]
    if len(set(names)) < len(names):
        raise DamagedError("two arrays have one name")
    if sum(info.compress_size for info in infos) > size:
        raise DamagedError(f"its directory declares more bytes than the {size:,} that the file has")
    return dict(zip(names, infos, strict=True))


def _check_packing(name: str, info: zipfile.ZipInfo) -> None:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        raise DamagedError(f"array {name!r} is encrypted, or packed in a way that numpy does not write")
    if info.file_size > RATIO * info.compress_size + 4096:
        raise DamagedError(f"array {name!r} declares {info.file_size:,} bytes, more than its packed ones can hold")


def _array(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(info) as member:
        shape, dtype = _header(member)
        if dtype.hasobject:
            raise DamagedError(f"array {name!r} holds pickled objects, which are never loaded (allow_pickle)")
        if dtype.kind not in READ:
            raise DamagedError(f"array {name!r} holds {dtype}; numbers or text are read")
        declared = prod(shape) * dtype.itemsize
        if any(n < 0 for n in shape) or len(shape) > 32 or declared != info.file_size - member.tell():
            held = info.file_size - member.tell()
            raise DamagedError(f"array {name!r} of shape {shape} takes {declared:,} bytes; the file holds {held:,}")
    with archive.open(info) as member:
        return np.asarray(npy.read_array(member, allow_pickle=False))


def _shape(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[int, ...]:
    try:
        with archive.open(info) as member:
            shape, dtype = _header(member)
            return shape if dtype.kind in READ else ()
    except DAMAGE:  # said where the array is wanted
        return ()


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(member)
    if version not in ((1, 0), (2, 0)):
        raise DamagedError(f"version {version} of an array's header; numbers are written with 1.0 or 2.0")
    read: Any = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(member)
    return tuple(int(n) for n in shape), dtype


def need_memory(wanted: int) -> None:
    """Refuse to read what this machine has no memory for.

    Raises:
        DamagedError: With what is asked for and what is free.
    """
    free = free_memory()
    if wanted > free:
        raise DamagedError(f"asks for {wanted / 1e9:,.1f} GB of memory; {free / 1e9:,.1f} GB are free")


def free_memory() -> int:
    """Return the bytes that this process may still take: what the system has, and what its limit leaves."""
    free = 1 << 62
    meminfo, status = Path("/proc/meminfo"), Path("/proc/self/statm")
    if meminfo.exists():
        rows = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        free = int(rows.get("MemAvailable", "0 kB").split()[0]) * 1024 or free
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and status.exists():
        free = min(free, limit - int(status.read_text().split()[0]) * resource.getpagesize())
    return free


LEVEL = 1
"""Of deflate: weights pack six times as fast as at the usual 6, into a tenth more bytes."""


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Pack arrays like ``np.savez_compressed``, but with fixed dates: the same value gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for key in sorted(arrays):
            member = io.BytesIO()
            np.save(member, np.asarray(arrays[key], order="C"), allow_pickle=False)
            info = zipfile.ZipInfo(key + ".npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue(), compresslevel=LEVEL)
    return buffer.getvalue()


def read_bytes(path: str | Path) -> bytes:
    """Return a regular file's bytes, if this machine has the memory for them.

    Raises:
        OSError: It cannot be read, or is no regular file.
        DamagedError: It is larger than the memory.
    """
    need_memory(os.stat(path).st_size)
    return read_whole(path)
