"""The store: results of explorations in one SQLite file, a row a configuration, keyed by the content that it depends on.

A row is written as soon as its result is there, and is on the disk then: what is killed loses what was under way, and no more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from spikewright.hw_sim.files import regular
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.exploration.point import Point, from_text, to_text

OURS, FORMAT = 0x53574558, 1
"""What the file's header says it is (``application_id``, ``user_version``)."""
MADE = (
    "CREATE TABLE point (key TEXT PRIMARY KEY, net TEXT NOT NULL, configuration TEXT NOT NULL, outcome TEXT NOT NULL)"
)
WAIT_S = 60.0
"""How long another process may hold the file."""
AT_ONCE = 500
"""Keys of one query."""


class Store:
    """An open store; ``with Store(path) as store``.

    Raises:
        InputError: The file cannot be written, or is none of ours.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = regular(path) is None or path.stat().st_size == 0
            self.file = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
        try:
            with self._told():
                self._begin(fresh)
        except InputError:
            self.file.close()
            if fresh:
                self._leave_nothing()
            raise

    def _begin(self, fresh: bool) -> None:
        if fresh:
            self.file.execute("BEGIN IMMEDIATE")
            if not self.file.execute("SELECT 1 FROM sqlite_master WHERE name = 'point'").fetchone():
                self.file.execute(f"PRAGMA application_id = {OURS}")
                self.file.execute(f"PRAGMA user_version = {FORMAT}")
                self.file.execute(MADE)
            self.file.execute("COMMIT")
        ours, version = (self.file.execute(f"PRAGMA {of}").fetchone()[0] for of in ("application_id", "user_version"))
        if ours != OURS:
            raise InputError(
                "is a database of something else", where=str(self.path), help="name another file with --out"
            )
        if version != FORMAT:
            raise InputError(
                f"is of format {version}; this version writes {FORMAT}",
                where=str(self.path),
                help="name another file with --out",
            )

    def _leave_nothing(self) -> None:
        """Remove the empty file that was made for results, where it could not be begun."""
        with suppress(OSError):
            if self.path.stat().st_size == 0:
                self.path.unlink()

    def known(self, keys: Sequence[str]) -> dict[str, Point]:
        """Return what is known of some configurations.

        Raises:
            InputError: The file is damaged.
        """
        found: dict[str, Point] = {}
        with self._told():
            for start in range(0, len(keys), AT_ONCE):
                part = keys[start : start + AT_ONCE]
                marks = ",".join("?" * len(part))
                rows = self.file.execute(f"SELECT key, outcome FROM point WHERE key IN ({marks})", part)
                for key, text in rows:
                    found[key] = from_text(text)
        return found

    def keep(self, key: str, net: str, configuration: str, point: Point) -> None:
        """Write a result; it is on the disk when this returns."""
        with self._told():
            self.file.execute(
                "INSERT OR REPLACE INTO point VALUES (?, ?, ?, ?)", (key, net, configuration, to_text(point))
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn the errors of files and of SQLite into ours."""
        try:
            yield
        except (sqlite3.Error, OSError, ValueError) as error:
            raise InputError(
                f"cannot be used ({getattr(error, 'strerror', None) or error})",
                where=str(self.path),
                help="name another file with --out, in a folder you may write to",
            ) from error

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.file.close()
