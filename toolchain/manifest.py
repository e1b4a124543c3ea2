"""The manifest of a bundle: what the folder holds, the hash of every file and of itself; no path leads out of the folder."""

from __future__ import annotations

import hashlib
import json
import re
import stat
from pathlib import Path
from typing import Any

from spikewright.hw_sim.arrays import read_bytes
from spikewright.hw_sim.typed import MistypedError, fitted, parse_json
from spikewright.toolchain.errors import ImportingError

FORMAT = 3
"""Version of the folder layout: 1 named a chip, which might be gone; 2 holds it; 3 is sealed, the manifest too."""
NAME = "manifest.json"
AGAIN = "deploy the model again"
PLAIN = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,100}")
"""A file's name: no folder, nothing hidden."""
ALWAYS = ("captured.npz", "lowered.npz", "integer.npz", "program.npz", "program.json", "chip.yaml")
TYPES: dict[str, Any] = {
    **dict.fromkeys(("name", "command", "calibrated", "seal"), str),
    **dict.fromkeys(("exports", "versions", "strategies", "sha256"), dict[str, str]),
    **dict.fromkeys(("options", "input", "card"), dict[str, Any]),
    **dict.fromkeys(("host", "drift"), dict[str, Any] | None),
    "passes": tuple[dict[str, Any], ...],
    "samples": str | None,
}
"""What its entries are; more may be there."""
OF_PROGRAMS: dict[str, Any] = {
    **dict.fromkeys(("name", "command", "readout", "seal"), str),
    **dict.fromkeys(("programs", "versions", "sha256"), dict[str, str]),
    **dict.fromkeys(("options", "card"), dict[str, Any]),
    "latent": dict[str, int],
    "diagnostics": tuple[dict[str, str], ...],
}
"""Likewise, of a bundle of several programs: ``programs`` holds their seals."""


def sealed(manifest: dict[str, Any], folder: Path) -> bytes:
    """Return a manifest as bytes, with the hash of every file in the folder, and of itself."""
    others = sorted(f for f in folder.iterdir() if f.is_file() and f.name != NAME)
    whole = manifest | {"sha256": {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in others}}
    whole["seal"] = _seal(json.loads(json.dumps(whole)))
    return json.dumps(whole, indent=1, sort_keys=True).encode()


def _seal(manifest: dict[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != "seal"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def names(folder: Path) -> frozenset[str]:
    """Return the names of the files that make a folder a bundle, of any version; none where it is no bundle."""
    try:
        found = _json(folder)
    except (OSError, ValueError, RecursionError):
        return frozenset()
    hashes = found.get("sha256") if isinstance(found, dict) and isinstance(found.get("format"), int) else None
    if isinstance(hashes, dict) and isinstance(found.get("programs"), dict):
        return frozenset({NAME, *filter(PLAIN.fullmatch, hashes), *filter(PLAIN.fullmatch, found["programs"])})
    if not isinstance(hashes, dict) or "program.npz" not in hashes:
        return frozenset()
    return frozenset({NAME, *filter(PLAIN.fullmatch, hashes)})


def _json(folder: Path) -> Any:
    return parse_json(read_bytes(_inside(folder, NAME)))


def _inside(folder: Path, name: str) -> Path:
    """Return a file of the folder: a regular one, not a link.

    Raises:
        OSError: It is not there.
        ValueError: Its name leads elsewhere, or it is a link, pipe or device.
    """
    path = folder / name
    if not PLAIN.fullmatch(name):
        raise ValueError(f"the file name {name!r}, which is no plain name")
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError(f"{name} is a link, pipe, device or folder, no regular file")
    return path


def read(folder: Path) -> dict[str, Any]:
    """Return the manifest of a whole bundle: types as declared, seal and all hashes as written.

    Raises:
        ImportingError: Not a bundle, of another version, or changed after deployment.
    """
    found = _read(folder)
    _check_hashes(folder, found)
    return found


def of_programs(folder: Path) -> bool:
    """Say whether a folder is a bundle of several programs, whole or not."""
    try:
        found = _json(folder)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "programs" in found


def read_autoencoder(folder: Path) -> dict[str, Any]:
    """Return the manifest of a bundle of two programs and a host's part; see ``read``."""
    where, found = str(folder / NAME), _sealed(folder)
    try:
        typed = {key: fitted(tuples(found.get(key)), hint, key) for key, hint in OF_PROGRAMS.items()}
    except MistypedError as error:
        raise ImportingError(f"does not fit this version ({error})", where=where, help=AGAIN) from error
    if missing := [name for name in ("encoder", "decoder") if name not in typed["programs"]]:
        raise ImportingError(f"names no {', '.join(missing)}", where=where, help=AGAIN)
    _check_hashes(folder, typed)
    return typed


def _check_hashes(folder: Path, found: dict[str, Any]) -> None:
    for name, digest in found["sha256"].items():
        try:
            changed = hashlib.sha256(read_bytes(_inside(folder, name))).hexdigest() != digest
        except OSError:
            changed = True
        except ValueError as error:
            raise ImportingError(f"is not read ({error})", where=str(folder / NAME), help=AGAIN) from error
        if changed:
            raise ImportingError("is missing or was changed after deployment", where=str(folder / name), help=AGAIN)


def _sealed(folder: Path) -> dict[str, Any]:
    """Return a manifest of this version with its seal as written."""
    where = str(folder / NAME)
    try:
        found = _json(folder)
    except (OSError, ValueError, RecursionError) as error:
        raise ImportingError(
            f"is not a bundle: no readable manifest.json ({error})",
            where=str(folder),
            help="give a folder that `spikewright deploy` wrote",
        ) from error
    found = found if isinstance(found, dict) else {}
    if found.get("format") != FORMAT or type(found["format"]) is not int:
        raise ImportingError(
            f"bundle format {found.get('format')!r}; this version reads {FORMAT}",
            where=where,
            help=AGAIN + _anew(found.get("command")),
        )
    if found.get("seal") != _seal(found):
        raise ImportingError("was changed after deployment", where=where, help=AGAIN)
    return found


def _read(folder: Path) -> dict[str, Any]:
    where, found = str(folder / NAME), _sealed(folder)
    if "programs" in found:
        raise ImportingError(
            f"is a bundle of {len(found['programs'])} programs; this is for one",
            where=str(folder),
            help="give one of " + ", ".join(str(folder / str(name)) for name in found["programs"]),
        )
    try:
        typed = {key: fitted(tuples(found.get(key)), hint, key) for key, hint in TYPES.items()}
    except MistypedError as error:
        raise ImportingError(f"does not fit this version ({error})", where=where, help=AGAIN) from error
    wanted = {*ALWAYS, *(["host.npz"] if typed["host"] is not None else [])}
    if missing := sorted(wanted - set(typed["sha256"])):
        raise ImportingError(f"names no {', '.join(missing)}", where=where, help=AGAIN)
    return {key: tuples(value) for key, value in found.items()} | typed


def tuples(value: Any) -> Any:
    """Return JSON with tuples for its lists, as dataclasses hold them."""
    match value:
        case list():
            return tuple(tuples(item) for item in value)
        case dict():
            return {key: tuples(item) for key, item in value.items()}
    return value


def _anew(command: object) -> str:
    """Return ``: COMMAND``, the one of a manifest by the program's present name; "" where there is none."""
    if not isinstance(command, str) or " deploy " not in command:
        return ""
    return f": spikewright {command.partition(' ')[2]}"
