"""The bundle: a deployment as a folder of plain files (JSON, NPZ, NIR); written whole or not at all, never unpickled."""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from spikewright.hw_sim import chip_text, load_chip, load_program
from spikewright.hw_sim.arrays import pack, read_arrays
from spikewright.hw_sim.errors import text_of
from spikewright.hw_sim.files import check_room, draft_name, nearest, write_whole
from spikewright.hw_sim.typed import MistypedError, build, fitted, parse_json
from spikewright.toolchain import diagnostics, folder_swap, graph_io, manifest, to_nir
from spikewright.toolchain.bundle_rules import check_bundle
from spikewright.toolchain.deployment import Deployment, Drift, PassRecord
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.errors import ImportingError, InputError
from spikewright.toolchain.model_card import checked_card
from spikewright.toolchain.options import Options, with_options
from spikewright.toolchain.passes.quantize import InputCode
from spikewright.toolchain.passes.split_host import HostPart, is_still
from spikewright.toolchain.pipeline import check_options
from spikewright.toolchain.plugins import points
from spikewright.toolchain.samples import Samples, arranged, repeated, steps_of

CHIP, SAMPLES = "chip.yaml", "samples.npz"
Exporter = Callable[[Deployment, Path], dict[str, str]]
"""Entry point of group ``spikewright.exporters``: writes a further file (host.onnx, net.net) into the folder, and returns
notes for the manifest (such as the op a format cannot hold)."""


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written, or that holds something else than a bundle, before any work is done.

    Raises:
        InputError: With the reason of the operating system, or what was found.
    """
    inside = next((place for place in folder.absolute().parents if manifest.names(place)), None)
    if inside is not None:
        raise InputError(
            f"lies in the bundle {inside}", where=str(folder), help="choose a folder of its own with --out"
        )
    try:
        nearest(folder)
        beside = nearest(Path(os.path.realpath(folder)).parent)
        with tempfile.TemporaryDirectory(dir=beside, prefix=draft_name("")) as tried:
            check_room(Path(tried))
        if folder.exists() and any(folder.iterdir()) and not manifest.names(folder):
            raise InputError(
                "is not empty and not a bundle", where=str(folder), help="choose an empty folder with --out"
            )
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        why = getattr(error, "strerror", None) or error
        help = "choose another folder with --out"
        raise InputError(f"cannot be written ({why})", where=str(folder), help=help) from error


def save(deployment: Deployment, folder: Path) -> Deployment:
    """Write a deployment; an existing bundle in this place is replaced in one rename.

    Returns:
        What was written: the deployment, and a note on each further file whose exporter failed.

    Raises:
        InputError: The folder cannot be written, or holds something that is not a bundle.
    """
    check_writable(folder)
    place = Path(os.path.realpath(folder))  # a link to a bundle stays one
    place.parent.mkdir(parents=True, exist_ok=True)
    work = folder_swap.workplace(place.parent)
    try:
        deployment = write(deployment, work, command_of(deployment, folder))
        folder_swap.swap(work, place, manifest.names)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return deployment


def write(deployment: Deployment, work: Path, command: str) -> Deployment:
    """Write all files of a bundle into an empty folder, and return what was written; see ``save``."""
    notes, failed = _exported(deployment, work)
    deployment = replace(deployment, diagnostics=(*deployment.diagnostics, *failed))
    _write(deployment, work, command, notes)
    return deployment


def command_of(deployment: Deployment, folder: Path) -> str:
    """Return the command that makes the same bundle, or ""."""
    return f"{deployment.command} {shlex.join(['--out', str(folder)])}" if deployment.command else ""


def _exported(deployment: Deployment, work: Path) -> tuple[dict[str, str], list[Diagnostic]]:
    """Write all further files; return the notes on them, and what to tell of those that could not be written."""
    notes, failed = _guarded(to_nir.FILE, _standard, deployment, work)
    for point in points("spikewright.exporters"):
        try:
            exporter: Exporter = point.load()
        except ImportError as error:
            said = f"not written: {error.name or error} is not installed"
            notes[point.name] = said
            failed.append(Diagnostic("export", point.name, said, "", "note"))
            continue
        written, told = _guarded(point.name, exporter, deployment, work)
        notes |= written
        failed += told
    return notes, failed


def _standard(deployment: Deployment, work: Path) -> dict[str, str]:
    return {to_nir.FILE: to_nir.save_standard(work / to_nir.FILE, deployment.captured, deployment.source)}


def _guarded(
    name: str, exporter: Exporter, deployment: Deployment, work: Path
) -> tuple[dict[str, str], list[Diagnostic]]:
    """Run one exporter; of one that fails no file stays, and a note is left: the bundle is whole without it."""
    before = set(work.iterdir())
    try:
        return exporter(deployment, work), []
    except (OSError, MemoryError):
        raise
    except Exception as error:  # somebody else's exporter can raise anything
        for path in set(work.iterdir()) - before:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        said = f"not written: the exporter failed ({text_of(error)})"[:300]
        help = "the bundle is whole without it; please report it with the model"
        return {name: said}, [Diagnostic("export", name, said, help, "note")]


def _write(deployment: Deployment, work: Path, command: str, notes: dict[str, str]) -> None:
    graph_io.save(deployment.captured, work / "captured.npz")
    graph_io.save(deployment.lowered, work / "lowered.npz")
    graph_io.save(deployment.integer, work / "integer.npz")
    if deployment.host is not None:
        graph_io.save(deployment.host.graph, work / "host.npz")
    deployment.program.save(work / "program")
    write_whole(work / CHIP, chip_text(deployment.chip).encode())
    if deployment.samples is not None:
        _write_samples(deployment.samples, work / SAMPLES)
    host = deployment.host
    about = {
        "format": manifest.FORMAT,
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
    write_whole(work / manifest.NAME, manifest.sealed(about, work))


def _write_samples(samples: Samples, path: Path) -> None:
    """Write samples; of a still one that repeats a frame over all T, the frame alone, and ``timesteps``."""
    about = {"dataset": samples.dataset, "simulated": samples.simulated, "split": samples.split, "total": samples.total}
    packed: dict[str, Any] = {"x": samples.x, "about": np.frombuffer(json.dumps(about).encode(), np.uint8)}
    if is_still(samples.x):
        packed |= {"x": samples.x[:1], "timesteps": np.int64(samples.x.shape[0])}
    if samples.y is not None:
        packed["y"] = samples.y
    write_whole(path, pack({name: np.asarray(value) for name, value in packed.items()}))


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
    """Read a bundle: seal and hashes first, then every part by its types, then the rules that hold between them.

    Raises:
        ImportingError: Not a bundle, changed, of another version, or with parts that break a rule.
    """
    found = manifest.read(folder)
    where = str(folder / manifest.NAME)
    try:
        host, drift = found["host"], found["drift"]
        made = Deployment(
            name=found["name"],
            captured=graph_io.load(folder / "captured.npz"),
            lowered=graph_io.load(folder / "lowered.npz"),
            integer=graph_io.load(folder / "integer.npz"),
            host=None if host is None else build(HostPart, {"graph": graph_io.load(folder / "host.npz"), **host}),
            program=load_program(folder / "program"),
            chip=load_chip(folder / CHIP),
            options=with_options(Options, found["options"], "a deployment"),
            strategies=found["strategies"],
            input=build(InputCode, found["input"]),
            card=checked_card(found["card"], where),
            passes=tuple(build(PassRecord, record) for record in found["passes"]),
            drift=None if drift is None else build(Drift, drift),
            samples=_read_samples(folder / SAMPLES) if SAMPLES in found["sha256"] else None,
            calibrated=found["calibrated"],
            command=without_out(found["command"]),
            diagnostics=diagnostics.read(found.get("diagnostics", ())),
        )
        check_options(made.options, made.integer if made.drift is None else made.captured, made.chip)
    except (TypeError, MistypedError, InputError) as error:
        raise ImportingError(
            f"its manifest does not fit this version ({error})", where=str(folder), help=manifest.AGAIN
        ) from error
    check_bundle(made, str(folder))
    return made


def without_out(command: str) -> str:
    """Return a bundle's command without its last ``--out``."""
    head, out, _ = command.rpartition(" --out ")
    return head if out else command


def _read_samples(path: Path) -> Samples:
    """Return the samples of a bundle."""
    where = str(path)
    try:
        data = read_arrays(path)
        about = fitted(parse_json(data["about"].tobytes()), dict[str, Any], "about")
        kept = {key: fitted(about.get(key), hint, key) for key, hint in ABOUT.items()}
        x = repeated(data["x"], steps_of(data["timesteps"], where)) if "timesteps" in data else data["x"]
    except (OSError, LookupError, ValueError, RecursionError) as error:
        raise ImportingError(f"cannot be read ({error})", where=where, help=manifest.AGAIN) from error
    found = arranged(x, data.get("y"), kept["dataset"], where)
    return replace(found, simulated=kept["simulated"], split=kept["split"], total=kept["total"])


ABOUT: dict[str, Any] = {"dataset": str, "simulated": bool, "split": str, "total": int | None}
