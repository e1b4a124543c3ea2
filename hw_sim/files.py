"""Files, written whole or not at all: under a name of the process, to the disk, then renamed into place.

What a killed process left beside its target is ``.spikewright-MACHINE-PID-*``, and is removed by the next one that writes
there: on the same machine once the process is gone, from another one (a shared disk) after a week.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

PREFIX = ".spikewright-"
STREAMS = ("/dev/std", "/dev/fd/", "/proc/")
"""Names under which an open stream looks like the file it was opened for; that is not ours to replace."""
KERNEL = ("/proc/", "/sys/")
"""Folders of files that look regular; reading one may wait forever."""
ROOM = 1 << 16
"""Bytes that a folder must take before hours of work go into it; what comes is larger."""
OLD_S = 7 * 86400.0
_NUMBER = count()
_OURS = re.compile(re.escape(PREFIX) + "([0-9a-f]{8})-([0-9]+)-")


def draft_name(name: str) -> str:
    """Return the name of unfinished work of this process; ``clean`` knows it by that."""
    return f"{PREFIX}{_machine()}-{os.getpid()}-{next(_NUMBER)}-{name}"[:200]


def _machine() -> str:
    """Return what tells this machine, and this container on it, from others: a process number says nothing beyond it."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{zlib.crc32(f'{os.uname().nodename} {space}'.encode()):08x}"


def check_room(folder: Path) -> None:
    """Try whether a folder takes a file of ``ROOM`` bytes; none stays.

    Raises:
        OSError: It does not.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(ROOM))


def nearest(folder: Path) -> Path:
    """Return the nearest folder that is there on the way to one that is written to: the folder itself, or one above it.

    Raises:
        OSError: A link that leads nowhere, or something that is no folder, stands in the way.
    """
    way = (folder.absolute(), *folder.absolute().parents)
    place = next(one for one in way if os.path.lexists(one))
    what = "" if place == way[0] else f"{place} "
    if not place.exists():
        raise FileNotFoundError(2, f"{what}is a link that leads nowhere", str(folder))
    if not place.is_dir():
        raise NotADirectoryError(20, f"{what}exists and is not a folder", str(folder))
    return place


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file; what was there stays until all of the new one is on the disk; see ``whole``."""
    with whole(path) as file:
        file.write(data)


@contextmanager
def whole(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file to write; it gets its name when the block ends, and what was there stays until all of it is on the disk.

    A link is followed, and an older file keeps its permissions.

    Raises:
        OSError: It cannot be written, or is no regular file (a pipe, a device); an older one is as it was.
    """
    mode = regular(Path(path))
    target = Path(os.path.realpath(path))
    clean(target.parent)
    draft = target.parent / draft_name(target.name)
    try:
        with open(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(draft, mode)
        os.replace(draft, target)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        draft.unlink(missing_ok=True)
    _settle(target.parent)


def _settle(folder: Path) -> None:
    """Bring the names of a folder to the disk, where the file system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def regular(path: Path) -> int | None:
    """Return the permissions of a regular file, or None where nothing is there.

    Raises:
        OSError: Something else stands there: a folder, a pipe, a device, a socket, or a stream of a process.
    """
    if str(path).startswith(STREAMS):
        raise OSError(22, "is a stream of a process, no file of its own", str(path))
    try:
        found = path.stat().st_mode
    except FileNotFoundError:
        return None
    except ValueError as error:  # a NUL in its name
        raise OSError(22, str(error), str(path)) from error
    if stat.S_ISDIR(found):
        raise IsADirectoryError(21, "is a folder", str(path))
    if os.path.realpath(path).startswith(KERNEL):
        raise OSError(22, "is no file on a disk: the system makes up what is read, maybe without an end", str(path))
    if not stat.S_ISREG(found):
        raise OSError(22, "is no regular file but a pipe, socket or device", str(path))
    return stat.S_IMODE(found)


def read_whole(path: str | Path, most: int | None = None) -> bytes:
    """Return the bytes of a regular file, of ``most`` bytes at most.

    Raises:
        OSError: It is missing, cannot be read, is longer, or no regular file (reading a pipe or device may never end).
    """
    path = Path(path)
    if regular(path) is None:
        raise FileNotFoundError(2, "no such file", str(path))
    if most is not None and path.stat().st_size > most:
        raise OSError(27, f"the file has {path.stat().st_size:,} bytes; {most:,} are read", str(path))
    return path.read_bytes()


def clean(folder: Path) -> None:
    """Remove what processes that are gone left in a folder."""
    here = _machine()
    for left in folder.glob(f"{PREFIX}*"):
        found = _OURS.match(left.name)
        with suppress(OSError):  # somebody else removed it, or may alone
            if found and (not _alive(int(found[2])) if found[1] == here else _age_s(left) > OLD_S):
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()


def _age_s(path: Path) -> float:
    return time.time() - path.lstat().st_mtime


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
