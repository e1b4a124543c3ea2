"""Put a finished folder in the place of an older one, so that at any moment the old one or the new one stands.

The two names are exchanged in one call of the kernel (Linux ``renameat2``); where a file system cannot, the old folder is first
renamed out of the way, and put back by the next one to write there if the process is killed in between. Files of the user's
beside ours move along. Whoever swaps holds a lock on the folder above: of two that write one place at once, the later stands,
whole. Work in progress lies beside the place under a name that ``files.clean`` knows.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spikewright.hw_sim.files import PREFIX, clean, draft_name

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of <linux/fs.h>
ASIDE = f"{PREFIX}old-"
WAIT_S = 60.0
"""How long another process may hold the lock."""


def workplace(parent: Path) -> Path:
    """Return a new folder to write in, on the file system of its destination."""
    clean(parent)
    with _alone(parent) as locked:
        if locked:
            _put_back(parent)
    return Path(tempfile.mkdtemp(dir=parent, prefix=draft_name("")))


def swap(work: Path, folder: Path, ours: Callable[[Path], Collection[str]]) -> None:
    """Put ``work`` in the place of ``folder``.

    Args:
        work: From ``workplace``; gone afterwards.
        folder: The place; no link.
        ours: The files of what stands there that go; everything else moves along.
    """
    os.chmod(work, 0o755)
    with _alone(folder.parent):
        if not folder.exists():
            os.rename(work, folder)
            return
        old = ours(folder)
        for other in sorted(folder.iterdir()):
            if other.name not in old and not (work / other.name).exists():
                if other.is_dir() and not other.is_symlink():
                    shutil.copytree(other, work / other.name, symlinks=True)
                else:
                    shutil.copy2(other, work / other.name, follow_symlinks=False)
        if not _exchange(work, folder):
            _rename_twice(work, folder)
            return
    shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _alone(parent: Path) -> Iterator[bool]:
    """Keep other processes of ours from swapping in a folder; say whether that is sure (not every file system has locks)."""
    handle = os.open(parent, os.O_RDONLY)
    try:
        yield _locked(handle)
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    until = time.monotonic() + WAIT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        except OSError:
            return False
        else:
            return True


def _rename_twice(work: Path, folder: Path) -> None:
    # not named by process: nobody cleans the only copy away if we are killed between the two
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=ASIDE)) / folder.name
    os.rename(folder, aside)
    try:
        os.rename(work, folder)
    except BaseException:
        os.rename(aside, folder)
        aside.parent.rmdir()
        raise
    shutil.rmtree(aside.parent, ignore_errors=True)


def _put_back(parent: Path) -> None:
    """Put back what a process that was killed between two renames left aside; where the new folder stands, the old one goes."""
    for aside in parent.glob(f"{ASIDE}*/*"):
        place = parent / aside.name
        with suppress(OSError):
            if not place.exists():
                os.rename(aside, place)
            elif {f.name for f in aside.iterdir()} <= {f.name for f in place.iterdir()}:  # the user's files moved along
                shutil.rmtree(aside)
            aside.parent.rmdir()


def _exchange(one: Path, two: Path) -> bool:
    """Exchange two names in one step; say whether the system could."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return call is not None and call(_HERE, os.fsencode(one), _HERE, os.fsencode(two), _EXCHANGE) == 0
