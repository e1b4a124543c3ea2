"""Output files: checked before the work, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from spikewright.toolchain.errors import InputError


def check_file(path: Path) -> None:
    """Refuse a file that could not be written, before any work is done.

    Raises:
        InputError: With the reason of the operating system.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(21, "is a folder", str(path))
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _refused(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file under a temporary name, then rename it into place.

    Raises:
        InputError: The file cannot be written; an older one is left as it was.
    """
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        temporary = Path(name)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _refused(path: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot be written ({error.strerror or error})",
        where=str(path),
        help="name a file in a folder you may write to",
    )
