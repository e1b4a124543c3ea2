"""Where a dataset's files are looked for: a folder the user names, then ~/.spikewright/data/<name>, then a system folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spikewright.models.errors import DatasetError

HOME = Path("~/.spikewright/data")
"""Where data lies that no folder was named for."""


def find(name: str, patterns: Sequence[str], root: Path | None, system: Sequence[Path], how: str) -> Path:
    """Return the first folder that holds a file of one of the patterns.

    Args:
        name: The dataset; tried as a sub-folder too, with ``-`` or ``_`` or neither.
        patterns: Glob patterns, any of which shows that the folder is right.
        root: The folder the user named, or None.
        system: System folders to try at the end.
        how: How to get the data, for the error.

    Raises:
        DatasetError: No folder holds it; says where it was looked for and how to get it.
    """
    spellings = list(dict.fromkeys((name, name.replace("-", "_"), name.replace("-", ""))))
    home = HOME.expanduser()
    if root is None:
        folders = [*(home / spelling for spelling in spellings), *system]
    else:
        folders = [*(root / spelling for spelling in spellings), root]
    for folder in folders:
        if any(next(folder.glob(pattern), None) is not None for pattern in patterns):
            return folder
    raise DatasetError(
        f"not found: no {' or '.join(patterns)} in {', '.join(map(str, folders))}",
        where=f"dataset {name!r}",
        help=how,
    )
