"""Output files: checked before the work, written whole or not at all."""

from __future__ import annotations

import tempfile
from pathlib import Path

from spikewright.hw_sim.files import regular, write_whole
from spikewright.toolchain.errors import InputError


def check_file(path: Path) -> None:
    """Refuse a file that could not be written, before any work is done.

    Raises:
        InputError: With the reason of the operating system.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        regular(path)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _refused(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        InputError: The file cannot be written; an older one is left as it was.
    """
    write_file(path, text.encode("utf-8", "backslashreplace"))


def write_file(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all; errors as ``write_text``.

    Raises:
        InputError: The file cannot be written.
    """
    try:
        write_whole(path, data)
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot be written ({error.strerror or error})",
        where=str(path),
        help="name a file in a folder you may write to",
    )
