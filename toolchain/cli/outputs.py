"""Output files of a verb: checked before the work, all different, and none of them what the verb reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from spikewright.toolchain import manifest
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.output_files import check_file


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[object]) -> None:
    """Refuse files that cannot be written, and such as would replace one another, or an input.

    Args:
        outputs: By option; None where it is not given.
        inputs: Bundles and files that are read; what is no path is passed over.

    Raises:
        InputError: Names the option.
    """
    read = {file: one for one in inputs if one is not None for file in _files(Path(str(one)))}
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


def _files(path: Path) -> set[str]:
    """Return the files of a bundle, or a file itself."""
    return (
        {os.path.realpath(path / name) for name in manifest.names(path)} if path.is_dir() else {os.path.realpath(path)}
    )
