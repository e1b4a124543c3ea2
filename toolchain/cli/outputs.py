"""Output files of a verb: checked before the work, all different, and none of them what the verb reads."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from spikewright.toolchain import manifest
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.output_files import check_file


def check_outputs(outputs: Mapping[str, Path | None], arguments: Namespace, *more: object) -> None:
    """Refuse files that cannot be written, and such as would replace one another, or an input.

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
