"""The bundle of an autoencoder: a folder a program, each a bundle of its own, and the host's part; whole or not at all."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from spikewright.hw_sim.arrays import DamagedError, pack, read_arrays
from spikewright.hw_sim.files import write_whole
from spikewright.hw_sim.typed import MistypedError, build
from spikewright.toolchain import bundle, diagnostics, folder_swap, graph_io, manifest
from spikewright.toolchain.autoencoder import Autoencoder, Readout
from spikewright.toolchain.autoencoders.deployment import PROGRAMS, AutoencoderDeployment
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import ImportingError, InputError
from spikewright.toolchain.model_card import checked_card
from spikewright.toolchain.options import Options, with_options
from spikewright.toolchain.verify import verify

POSTERIOR, READOUT = "posterior.npz", "readout.npz"


def save(made: AutoencoderDeployment, folder: Path) -> AutoencoderDeployment:
    """Write an autoencoder; a bundle in this place is replaced in one rename. See ``bundle.save``."""
    bundle.check_writable(folder)
    place = Path(os.path.realpath(folder))
    place.parent.mkdir(parents=True, exist_ok=True)
    work = folder_swap.workplace(place.parent)
    failed: list[diagnostics.Diagnostic] = []
    try:
        for name, one in made.programs.items():
            (work / name).mkdir()
            before = len(one.diagnostics)
            written = bundle.write(one, work / name, "")
            failed += [replace(said, where=f"{name}: {said.where}") for said in written.diagnostics[before:]]
            _keep(place / name, work / name)
        made = replace(made, diagnostics=(*made.diagnostics, *failed))
        _write(made, work, bundle.command_of(made, folder))
        folder_swap.swap(work, place, manifest.names)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return made


def _keep(old: Path, new: Path) -> None:
    """Copy the files of the user's beside an older program of ours."""
    if not old.is_dir() or old.is_symlink():
        return
    ours = manifest.names(old)
    for other in sorted(old.iterdir()):
        if other.name in ours or (new / other.name).exists():
            continue
        if other.is_dir() and not other.is_symlink():
            shutil.copytree(other, new / other.name, symlinks=True)
        else:
            shutil.copy2(other, new / other.name, follow_symlinks=False)


def _write(made: AutoencoderDeployment, work: Path, command: str) -> None:
    graph_io.save(made.parts.posterior, work / POSTERIOR)
    readout = made.parts.readout
    arrays = {key: getattr(readout, key) for key in ("gains", "time", "channel") if getattr(readout, key) is not None}
    write_whole(work / READOUT, pack(arrays))
    about: dict[str, Any] = {
        "format": manifest.FORMAT,
        "programs": {name: manifest.read(work / name)["seal"] for name in PROGRAMS},
        "name": made.name,
        "command": command,
        "versions": bundle.versions(),
        "options": asdict(made.options),
        "card": made.card,
        "latent": {"choices": made.parts.choices, "seed": made.seed},
        "readout": readout.function,
        "diagnostics": diagnostics.plain(made.diagnostics),
    }
    write_whole(work / manifest.NAME, manifest.sealed(about, work))


def load(folder: Path) -> AutoencoderDeployment:
    """Read an autoencoder: seals and hashes first, then both programs, then the rules between them.

    Raises:
        ImportingError: Not one, changed, or with parts that do not fit each other.
    """
    found = manifest.read_autoencoder(folder)
    where = str(folder / manifest.NAME)
    programs = {name: bundle.load(folder / name) for name in PROGRAMS}
    for name in PROGRAMS:
        if manifest.read(folder / name)["seal"] != found["programs"][name]:
            raise ImportingError(
                f"is not the {name} it was written with", where=str(folder / name), help=manifest.AGAIN
            )
    try:
        arrays = read_arrays(folder / READOUT)
        parts = Autoencoder(
            programs["encoder"].captured,
            graph_io.load(folder / POSTERIOR),
            programs["decoder"].captured,
            build(Readout, {**dict.fromkeys(("gains", "time", "channel")), **arrays, "function": found["readout"]}),
            int(found["latent"]["choices"]),
        )
        options = with_options(Options, found["options"], "a deployment")
        told = diagnostics.read(found["diagnostics"])
    except (OSError, DamagedError, LookupError, TypeError, ValueError, MistypedError, InputError) as error:
        raise ImportingError(
            f"its manifest does not fit this version ({error})", where=where, help=manifest.AGAIN
        ) from error
    _check(parts, where)
    decoder = programs["decoder"]
    held = {one.name: getattr(decoder, one.name) for one in fields(Deployment) if one.init}
    own = {
        "name": found["name"],
        "card": checked_card(found["card"], where),
        "options": options,
        "samples": programs["encoder"].samples,
        "command": bundle.without_out(found["command"]),
        "diagnostics": told,
    }
    return AutoencoderDeployment(**held | own, encoder=programs["encoder"], parts=parts)


def _check(parts: Autoencoder, where: str) -> None:
    """Refuse parts that do not fit each other."""
    verify(parts.posterior, level="float")
    width, T = parts.channels, parts.encoder.timesteps
    wide = (*parts.posterior.input.shape,) == (width * (1 + parts.choices),)
    readout, size = parts.readout, T * parts.shape[0]
    held = (readout.time, readout.channel)
    fits = (
        readout.gains.shape == (T,)
        if readout.gains is not None
        else all(matrix is not None and matrix.shape == (size, size) for matrix in held)
    )
    same = parts.posterior.timesteps == parts.decoder.timesteps == T
    if not (wide and fits and same):
        raise ImportingError("its programs and the host's part do not fit each other", where=where, help=manifest.AGAIN)
