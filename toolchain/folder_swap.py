"""Put a finished folder in the place of an older one, so that at any moment the old one or the new one stands.

The two names are exchanged in one call of the kernel (Linux ``renameat2``); where a file system cannot, the old folder is first
renamed out of the way. Files of the user's beside ours move along. Work in progress lies in ``.spikewright-PID-*`` beside the
place, and is removed by the next one to write there if a killed process left it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

from spikewright.hw_sim.files import PREFIX, clean

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of <linux/fs.h>


def workplace(parent: Path) -> Path:
    """Return a new folder to write in, on the file system of its destination."""
    clean(parent)
    return Path(tempfile.mkdtemp(dir=parent, prefix=f"{PREFIX}{os.getpid()}-"))


def swap(work: Path, folder: Path, ours: Collection[str]) -> None:
    """Put ``work`` in the place of ``folder``; of what stood there, ``ours`` goes, and everything else moves along."""
    os.chmod(work, 0o755)
    if not folder.exists():
        os.rename(work, folder)
        return
    for other in sorted(folder.iterdir()):
        if other.name not in ours and not (work / other.name).exists():
            if other.is_dir() and not other.is_symlink():
                shutil.copytree(other, work / other.name, symlinks=True)
            else:
                shutil.copy2(other, work / other.name, follow_symlinks=False)
    if not _exchange(work, folder):
        # not named by process: nobody cleans the only copy away if we are killed between the two
        aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{PREFIX}old-")) / folder.name
        os.rename(folder, aside)
        try:
            os.rename(work, folder)
        except BaseException:
            os.rename(aside, folder)
            aside.parent.rmdir()
            raise
        shutil.rmtree(aside.parent, ignore_errors=True)
        return
    shutil.rmtree(work, ignore_errors=True)


def _exchange(one: Path, two: Path) -> bool:
    """Exchange two names in one step; say whether the system could."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return call is not None and call(_HERE, os.fsencode(one), _HERE, os.fsencode(two), _EXCHANGE) == 0
