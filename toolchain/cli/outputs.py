"""Output files of a verb: checked before the work, all different, none that is read, or the user's and of another kind."""

from __future__ import annotations

import os
import zipfile
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from spikewright.toolchain import manifest
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.output_files import check_file

LOOKED_AT = 4096
"""Bytes of a file that show its kind."""
HDF5_START = b"\x89HDF\r\n\x1a\n"


def check_outputs(outputs: Mapping[str, Path | None], arguments: Namespace, *more: object) -> None:
    """Refuse files that cannot be written, and such as would replace one another, an input, or a file of another kind.

    Args:
        outputs: By option; None where it is not given.
        arguments: Of the verb: every file or bundle among them is read, but for the outputs.
        more: Files that are read and are no argument.

    Raises:
        InputError: Names the option.
    """
    written = {id(path) for path in outputs.values()}
    given = [one for value in vars(arguments).values() for one in _words(value) if id(one) not in written]
    read = {file: one for one in (*given, *more) for file in _files(Path(str(one)))}
    taken: dict[str, str] = {}
    for flag, path in outputs.items():
        if path is None:
            continue
        check_file(path)
        real = os.path.realpath(path)
        if real in taken:
            raise InputError(
                f"{path} is the file of {taken[real]}, too", where=flag, help="give each a file of its own"
            )
        if real in read:
            raise InputError(f"{path} is read here, as part of {read[real]}", where=flag, help="name another file")
        taken[real] = flag
        _check_kind(flag, path)


def _check_kind(flag: str, path: Path) -> None:
    """Refuse to replace a file that is not called and is none of the kind an option writes: it is the user's."""
    if flag not in KINDS or path.suffix == f".{flag[2:]}" or not path.is_file():
        return
    kind, fits = KINDS[flag]
    try:
        with path.open("rb") as file:
            start = file.read(LOOKED_AT)
        lost = bool(start) and not fits(start, path)
    except OSError:  # it may be written and not read
        return
    if lost:
        raise InputError(
            f"{path} is there, and is no {kind}; it would be lost",
            where=flag,
            help="name another file, or remove that one",
        )


def _json(start: bytes, path: Path) -> bool:
    return start.lstrip().startswith((b"{", b"["))


def _arrays(*names: str) -> Callable[[bytes, Path], bool]:
    """Return whether a file is an ``.npz`` that holds these arrays."""

    def fits(start: bytes, path: Path) -> bool:
        try:
            with zipfile.ZipFile(path) as archive:
                return {f"{name}.npy" for name in names} <= set(archive.namelist())
        except zipfile.BadZipFile:
            return False

    return fits


KINDS: Mapping[str, tuple[str, Callable[[bytes, Path], bool]]] = {
    "--html": ("page", lambda start, path: start.lstrip().lower().startswith((b"<!doctype html", b"<html"))),
    "--json": ("JSON text", _json),
    "--overlay": ("JSON text", _json),
    "--trace-events": ("JSON text", _json),
    "--csv": ("table", lambda start, path: b"," in start.partition(b"\n")[0] and b"\0" not in start),
    "--save": ("recorded run", _arrays("answer", "json")),
    "--trace": ("trace", _arrays("json")),
    "--out": ("NIR file", lambda start, path: start.startswith(HDF5_START)),
}
"""What an option writes, and how a file of that kind is known."""


def _words(value: object) -> Iterator[object]:
    """Yield what of an argument can name a file; a factory is named behind its file."""
    for one in value if isinstance(value, list | tuple) else (value,):
        if isinstance(one, str | Path) and str(one):
            yield one
            if ".py:" in str(one):
                yield str(one).rpartition(":")[0]


def _files(path: Path) -> set[str]:
    """Return the files of a bundle, or a file itself; what cannot be looked at is no file that is read."""
    with suppress(OSError, ValueError):
        if path.is_dir():
            return {file for name in manifest.names(path) for file in _files(path / name)}
        return {os.path.realpath(path)}
    return set()
