"""Stages on disk: what each stage made as text and as file, numbered along the pipeline, written whole as the stage ends."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path

from spikewright.hw_sim import Program
from spikewright.hw_sim.files import clean, draft_name, nearest, read_whole, write_whole
from spikewright.toolchain import graph_io
from spikewright.toolchain.deployment import PassRecord
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.escaping import visible
from spikewright.toolchain.ir import Graph

LISTING = "stages.json"
"""Says whose folder it is, and what each stage so far did."""
OURS = re.compile(r"\d\d-[a-z0-9-]+(\.host)?\.(txt|npz|json)")


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than stages.

    Raises:
        InputError: It is a file, or not empty and not written here.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError("is not a folder", where=str(folder), help="choose another folder with --keep-stages")
    with _refusals(folder):
        nearest(folder)
        held = folder.exists() and any(folder.iterdir())
    if held and not _listing(folder / LISTING):
        raise InputError(
            "is not empty and holds no stages", where=str(folder), help="choose an empty folder with --keep-stages"
        )


def _listing(path: Path) -> bool:
    """Say whether a file is a listing that was written here."""
    try:
        rows = json.loads(read_whole(path))
    except (OSError, ValueError, RecursionError):
        return False
    keys = {one.name for one in fields(PassRecord)}
    return isinstance(rows, list) and all(isinstance(row, dict) and set(row) == keys for row in rows)


def open_folder(folder: Path) -> None:
    """Make the folder, without the stages of an earlier deployment."""
    check_folder(folder)
    with _refusals(folder):
        folder.mkdir(parents=True, exist_ok=True)
        clean(folder)
        for path in sorted(folder.iterdir()):
            if OURS.fullmatch(path.name):
                path.unlink()
        write_whole(folder / LISTING, b"[]\n")


def write(
    folder: Path, stem: str, records: Sequence[PassRecord], *, graph: Graph, host: Graph | None, program: Program | None
) -> None:
    """Write what a stage made: the program if it made one, else the graph; and the host's graph, if it made that."""
    with _refusals(folder), tempfile.TemporaryDirectory(dir=folder, prefix=draft_name("stage")) as name:
        work = Path(name)
        if program is not None:
            (work / f"{stem}.txt").write_text(visible(f"{program}\n"), encoding="utf-8")
            program.save(work / stem)
        else:
            _write_graph(graph, work, stem)
        if host is not None:
            _write_graph(host, work, f"{stem}.host")
        (work / LISTING).write_text(
            json.dumps([asdict(record) for record in records], indent=1) + "\n", encoding="utf-8"
        )
        for path in sorted(work.iterdir()):
            os.replace(path, folder / path.name)


@contextmanager
def _refusals(folder: Path) -> Iterator[None]:
    """Turn what the operating system refuses into ours.

    Raises:
        InputError: The folder cannot be written; every stage in it is whole.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror or error})",
            where=f"--keep-stages {folder}",
            help="free some room there, or name a folder you may write to",
        ) from error


def _write_graph(graph: Graph, folder: Path, stem: str) -> None:
    (folder / f"{stem}.txt").write_text(visible(f"{graph}\n"), encoding="utf-8")
    graph_io.save(graph, folder / f"{stem}.npz")
