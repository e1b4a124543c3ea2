"""The bundle: a deployment as a folder of plain files (JSON, NPZ, NIR); written whole or not at all, never unpickled."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

import numpy as np

from spikewright.hw_sim import chip_text, load_chip, load_program
from spikewright.hw_sim.files import PREFIX
from spikewright.toolchain import diagnostics, folder_swap, graph_io, nirx
from spikewright.toolchain.deployment import Deployment, Drift, PassRecord
from spikewright.toolchain.errors import ImportingError, InputError
from spikewright.toolchain.options import Options
from spikewright.toolchain.passes.quantize import InputCode
from spikewright.toolchain.passes.split_host import HostPart, is_still
from spikewright.toolchain.samples import Samples, repeated

FORMAT = 2
"""Version of the folder layout: 1 named a chip, which might be gone; 2 holds it."""
CHIP = "chip.yaml"
Exporter = Callable[[Deployment, Path], dict[str, str]]
"""Entry point of group ``spikewright.exporters``: writes a further file (host.onnx, net.net) into the folder, and returns
notes for the manifest (such as the op a format cannot hold)."""


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written, or that holds something else than a bundle, before any work is done.

    Raises:
        InputError: With the reason of the operating system, or what was found.
    """
    parent = next((place for place in folder.absolute().parents if place.exists()), folder.absolute())
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix=PREFIX):
            pass
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(20, "exists and is not a folder", str(folder))
        if folder.exists() and any(folder.iterdir()) and not _files_of(folder):
            raise InputError(
                "is not empty and not a bundle", where=str(folder), help="choose an empty folder with --out"
            )
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror or error})", where=str(folder), help="choose another folder with --out"
        ) from error


def save(deployment: Deployment, folder: Path) -> None:
    """Write a deployment; an existing bundle in this place is replaced in one rename.

    Raises:
        InputError: The folder cannot be written, or holds something that is not a bundle.
    """
    check_writable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = folder_swap.workplace(folder.parent)
    try:
        notes: dict[str, str] = {}
        for point in sorted(entry_points(group="spikewright.exporters"), key=lambda p: p.name):
            notes |= _export(point, deployment, work)
        command = f"{deployment.command} {shlex.join(['--out', str(folder)])}" if deployment.command else ""
        _write(deployment, work, command, notes)
        _seal(work)
        folder_swap.swap(work, folder, _files_of(folder))
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _export(point: EntryPoint, deployment: Deployment, work: Path) -> dict[str, str]:
    """Run one exporter; one whose library is not installed leaves a note."""
    try:
        exporter: Exporter = point.load()
    except ImportError as error:
        return {point.name: f"not written: {error.name or error} is not installed"}
    return exporter(deployment, work)


def _write(deployment: Deployment, work: Path, command: str, notes: dict[str, str]) -> None:
    if deployment.source is not None:
        nirx.write(work / "graph.nir", deployment.source)
    graph_io.save(deployment.captured, work / "captured.npz")
    graph_io.save(deployment.lowered, work / "lowered.npz")
    graph_io.save(deployment.integer, work / "integer.npz")
    if deployment.host is not None:
        graph_io.save(deployment.host.graph, work / "host.npz")
    deployment.program.save(work / "program")
    (work / CHIP).write_text(chip_text(deployment.chip), encoding="utf-8")
    if deployment.samples is not None:
        _write_samples(deployment.samples, work / "samples.npz")
    host = deployment.host
    manifest = {
        "format": FORMAT,
        "name": deployment.name,
        "command": command,
        "exports": notes,
        "versions": versions(),
        "options": asdict(deployment.options),
        "strategies": deployment.strategies,
        "input": asdict(deployment.input),
        "host": None if host is None else {"boundary": host.boundary, "graded": host.graded, "still": host.still},
        "card": deployment.card,
        "passes": [asdict(record) for record in deployment.passes],
        "drift": None if deployment.drift is None else asdict(deployment.drift),
        "calibrated": deployment.calibrated,
        "diagnostics": diagnostics.plain(deployment.diagnostics),
        "samples": None if deployment.samples is None else deployment.samples.source,
    }
    (work / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")


def _write_samples(samples: Samples, path: Path) -> None:
    """Write samples; of a still one that repeats a frame over all T, the frame alone, and ``timesteps``."""
    about = {"dataset": samples.dataset, "simulated": samples.simulated, "split": samples.split, "total": samples.total}
    packed: dict[str, Any] = {"x": samples.x, "about": np.frombuffer(json.dumps(about).encode(), np.uint8)}
    if is_still(samples.x):
        packed |= {"x": samples.x[:1], "timesteps": np.int64(samples.x.shape[0])}
    if samples.y is not None:
        packed["y"] = samples.y
    np.savez_compressed(path, **packed)


def _seal(work: Path) -> None:
    """Add the hash of every file to the manifest."""
    path = work / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    others = sorted(f for f in work.iterdir() if f.is_file() and f != path)
    manifest["sha256"] = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in others}
    path.write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")


def _files_of(folder: Path) -> frozenset[str]:
    """Return the names of the files that make a folder a bundle, of any version; none where it is no bundle."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return frozenset()
    sealed = manifest.get("sha256") if isinstance(manifest, dict) and isinstance(manifest.get("format"), int) else None
    if not isinstance(sealed, dict) or "program.npz" not in sealed:
        return frozenset()
    return frozenset({"manifest.json", *map(str, sealed)})


def versions() -> dict[str, str]:
    """Return the versions that matter for repeating a deployment."""
    found = {"python": platform.python_version()}
    for package in ("spikewright", "numpy", "numba", "nir", "torch", "lava-nc"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def load(folder: Path) -> Deployment:
    """Read a bundle and check its hashes.

    Raises:
        ImportingError: Not a bundle, damaged, or of another version.
    """
    manifest = read_manifest(folder)
    for name, digest in manifest["sha256"].items():
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise ImportingError(
                "is missing or was changed after deployment", where=str(path), help="deploy the model again"
            )
    try:
        options = Options(**manifest["options"])
        host, drift = manifest["host"], manifest["drift"]
        return Deployment(
            name=manifest["name"],
            captured=graph_io.load(folder / "captured.npz"),
            lowered=graph_io.load(folder / "lowered.npz"),
            integer=graph_io.load(folder / "integer.npz"),
            host=None if host is None else _host(folder, **host),
            program=load_program(folder / "program"),
            chip=load_chip(folder / CHIP),
            options=options,
            strategies=manifest["strategies"],
            input=InputCode(**manifest["input"]),
            card=manifest["card"],
            passes=tuple(PassRecord(**record) for record in manifest["passes"]),
            drift=None if drift is None else Drift(**drift),
            samples=_read_samples(folder / "samples.npz"),
            calibrated=manifest["calibrated"],
            command=_without_out(manifest["command"]),
            diagnostics=diagnostics.read(manifest.get("diagnostics", ())),
        )
    except (KeyError, TypeError) as error:
        raise ImportingError(
            f"its manifest does not fit this version ({error})", where=str(folder), help="deploy the model again"
        ) from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a bundle's manifest."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImportingError(
            f"is not a bundle: no readable manifest.json ({error})",
            where=str(folder),
            help="give a folder that `spikewright deploy` wrote",
        ) from error
    found = manifest if isinstance(manifest, dict) else {}
    if found.get("format") != FORMAT or not isinstance(found.get("sha256"), dict):
        raise ImportingError(
            f"bundle format {found.get('format')!r}; this version reads {FORMAT}",
            where=str(path),
            help="deploy the model again" + _anew(found.get("command")),
        )
    return found


def _anew(command: object) -> str:
    """Return ``: COMMAND``, the one of a manifest by the program's present name; "" where there is none."""
    if not isinstance(command, str) or " deploy " not in command:
        return ""
    return f": spikewright {command.partition(' ')[2]}"


def _without_out(command: str) -> str:
    head, out, _ = command.rpartition(" --out ")
    return head if out else command


def _host(folder: Path, boundary: str, graded: bool, still: bool = True) -> HostPart:
    graph = graph_io.load(folder / "host.npz")
    if boundary not in graph.by_name:
        raise KeyError(f"host boundary {boundary!r}")
    return HostPart(graph, boundary, graded, still)


def _read_samples(path: Path) -> Samples | None:
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as data:
            about = json.loads(bytes(data["about"]))
            x = repeated(data["x"], int(data["timesteps"])) if "timesteps" in data else data["x"]
            return Samples(x, data.get("y"), **about)
    except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise ImportingError(f"cannot be read ({error})", where=str(path), help="deploy the model again") from error
