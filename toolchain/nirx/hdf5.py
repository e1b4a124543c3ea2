"""HDF5 files: made in memory and written once; a file of the user's is read in a watched process before it is read here.

libhdf5 loops for ever in some damaged files, and dies of others, where no exception or signal handler of Python comes in. A
fork of this process reads the whole file first, with little time and memory; what goes wrong there is an error here. Datasets
that declare more than the file can hold are refused before anything is allocated.
"""

from __future__ import annotations

import faulthandler
import io
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np

from spikewright.hw_sim.arrays import RATIO, DamagedError, need_memory
from spikewright.hw_sim.errors import UNFIT
from spikewright.hw_sim.files import regular

T = TypeVar("T")
LIMIT_S = 10
"""CPU seconds that reading a file may take, and so many more for every GB in it; ten times as long on the clock."""
SMALL = 1 << 20
"""Bytes that a dataset may declare without holding them (fill values)."""
MANY = 1 << 20
"""Texts, and objects, that one file may hold."""
MAX_DEPTH = 64
"""Groups in groups."""


def image(fill: Callable[[h5py.File], None]) -> bytes:
    """Return the bytes of a file that ``fill`` writes into, made in memory: a full disk never meets libhdf5."""
    with h5py.File("made in memory", "w", driver="core", backing_store=False) as file:
        fill(file)
        file.flush()
        return bytes(file.id.get_file_image())


def read_image(image: bytes, how: Callable[[h5py.File], T]) -> T:
    """Return what ``how`` reads from a file made by ``image``."""
    with h5py.File(io.BytesIO(image), "r") as file:
        return how(file)


def read(path: Path, how: Callable[[h5py.File], T]) -> T:
    """Return what ``how`` reads from a file.

    Raises:
        OSError: It is missing, or no regular file.
        DamagedError: It is no HDF5 file, damaged, or declares more than it holds.
    """
    if regular(path) is None:
        raise FileNotFoundError(2, "no such file", str(path))
    if not h5py.is_hdf5(path):
        raise DamagedError("it is no HDF5 file, or cut")
    _watched(path)
    try:
        with h5py.File(path, "r") as file:
            return how(file)
    except DamagedError:
        raise
    except (OSError, *UNFIT) as error:
        raise DamagedError(f"{type(error).__name__}: {error}"[:200]) from error


def _watched(path: Path) -> None:
    """Read the file in a fork; raise what goes wrong there."""
    limit_s = LIMIT_S * (1 + (path.stat().st_size >> 30))
    before, behind = os.pipe()
    child = os.fork()
    if child == 0:
        _read_and_leave(path, behind, limit_s)
    os.close(behind)
    try:
        said = _listen(before, time.monotonic() + 10 * limit_s)
    finally:
        os.close(before)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if said is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        raise DamagedError(f"libhdf5 does not come to an end within {limit_s} s: it is damaged")
    if said != b"whole":
        raise DamagedError(said.decode("utf-8", "replace") or "libhdf5 dies of it: it is damaged")


def _listen(pipe: int, until: float) -> bytes | None:
    """Return what the child says before it ends; None if that takes too long."""
    said = b""
    while True:
        ready, _, _ = select.select([pipe], [], [], max(until - time.monotonic(), 0))
        if not ready:
            return None
        part = os.read(pipe, 1 << 12)
        if not part:
            return said
        said += part


def _read_and_leave(path: Path, pipe: int, limit_s: int) -> None:
    """Read all of a file and say how it went; the process ends here, whatever happens."""
    said = b""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        faulthandler.disable()
        for what, most in ((resource.RLIMIT_CPU, limit_s), (resource.RLIMIT_CORE, 0)):
            hard = resource.getrlimit(what)[1]
            resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
        with h5py.File(path, "r") as file:
            _Walk(path.stat().st_size).group(file, 0)
        said = b"whole"
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"[:200].encode("utf-8", "replace")
    finally:
        os.write(pipe, said)
        os._exit(0)


class _Walk:
    """Reads everything in a file once, each dataset after its size was found to fit what is stored."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.objects = 0
        self.texts = 0
        self.bytes = 0

    def group(self, group: h5py.Group, depth: int) -> None:
        """Read a group and what is in it."""
        if depth > MAX_DEPTH:
            raise DamagedError("groups are nested too deep, or in a ring")
        for name in group:
            self.objects += 1
            if self.objects > MANY:
                raise DamagedError(f"holds more than {MANY:,} objects")
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise DamagedError(f"{name!r} is a link, maybe into another file; links are not followed")
            item = group[name]
            if isinstance(item, h5py.Group):
                self.group(item, depth + 1)
            elif isinstance(item, h5py.Dataset):
                self.dataset(name, item)

    def dataset(self, name: str, item: h5py.Dataset) -> None:
        """Read a dataset, if it declares no more than is stored."""
        if item.external or item.is_virtual:
            raise DamagedError(f"{name!r} lies in another file; such are not read")
        text = h5py.check_string_dtype(item.dtype) is not None or item.dtype.kind == "O"
        count = int(np.prod([int(n) for n in item.shape or ()], dtype=object)) if item.shape is not None else 0
        if text:
            self.texts += count
            if self.texts > MANY:
                raise DamagedError(f"declares {count:,} texts; {MANY:,} in a file are read")
        declared, stored = count * max(item.dtype.itemsize, 1), int(item.id.get_storage_size())
        if declared > SMALL and (stored > self.size or declared > RATIO * stored):
            raise DamagedError(
                f"{name!r} of shape {item.shape} declares {declared:,} bytes; the file holds {min(stored, self.size):,}"
            )
        self.bytes += declared
        need_memory(2 * self.bytes)
        if item.shape is not None:
            item.asstr()[()] if text and item.dtype.kind == "O" and h5py.check_string_dtype(item.dtype) else item[()]
