"""A program on disk: arrays in ``NAME.npz``, everything else in ``NAME.json``; no pickle, both written atomically."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import program as p
from spikewright.hw_sim.errors import ProgramError

FORMAT = 1
"""Version of the layout below; a file of another one is refused."""

SOMAS = {c.__name__: c for c in (p.Source, p.Lif, p.DeltaRelu, p.Gate, p.GateTable)}
SYNAPSES = {c.__name__: c for c in (p.DenseSynapses, p.ConvSynapses, p.SparseSynapses, p.IdentitySynapses, p.GateLink)}


def save_program(program: p.Program, path: str | Path) -> None:
    """Write ``path`` with the suffixes ``.npz`` and ``.json``."""
    arrays: dict[str, NDArray[Any]] = {}
    plain = {
        "format": FORMAT,
        "chip": program.chip,
        "steps": program.steps,
        "readout": program.readout,
        "readout_kind": program.readout_kind,
        "populations": [
            {
                "name": x.name,
                "shape": list(x.shape),
                "start": x.start,
                "kind": x.kind,
                "core": _keep(arrays, f"{x.name}/core", x.core),
                "soma": _plain(arrays, x.name, x.soma),
            }
            for x in program.populations
        ],
        "projections": [
            {
                "name": x.name,
                "source": x.source,
                "target": x.target,
                "exponent": x.exponent,
                "delay": x.delay,
                "synapses": _plain(arrays, f"{x.name}/synapses", x.synapses),
            }
            for x in program.projections
        ],
    }
    packed = _npz(arrays)
    plain["npz_sha256"] = hashlib.sha256(packed).hexdigest()
    base = _base(path)
    _write(base.with_name(base.name + ".npz"), packed)
    _write(base.with_name(base.name + ".json"), (json.dumps(plain, indent=1) + "\n").encode())


def load_program(path: str | Path) -> p.Program:
    """Read what ``save_program`` wrote.

    Raises:
        ProgramError: A file is missing, damaged, or of another format or program.
    """
    base = _base(path)
    try:
        plain = json.loads(base.with_name(base.name + ".json").read_text(encoding="utf-8"))
        packed = base.with_name(base.name + ".npz").read_bytes()
        if plain["format"] != FORMAT or plain["npz_sha256"] != hashlib.sha256(packed).hexdigest():
            raise ValueError("format or checksum differ")
        with np.load(io.BytesIO(packed), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        populations = [
            p.Population(
                x["name"],
                tuple(x["shape"]),
                _object(SOMAS, arrays, x["soma"]),
                x["start"],
                arrays[x["core"]],
                x["kind"],
            )
            for x in plain["populations"]
        ]
        projections = [
            p.Projection(
                x["name"], x["source"], x["target"], _object(SYNAPSES, arrays, x["synapses"]), x["exponent"], x["delay"]
            )
            for x in plain["projections"]
        ]
        return p.Program(
            tuple(populations),
            tuple(projections),
            plain["chip"],
            plain["steps"],
            plain["readout"],
            plain["readout_kind"],
        )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ProgramError(
            f"not a readable program: {type(error).__name__}: {error}",
            where=str(base.with_name(base.name + ".json")),
            help="deploy again; the .npz and the .json belong together",
        ) from error


def _base(path: str | Path) -> Path:
    path = Path(path)
    return path.with_suffix("") if path.suffix in (".npz", ".json") else path


def _keep(arrays: dict[str, NDArray[Any]], key: str, value: NDArray[Any]) -> str:
    arrays[key] = value
    return key


def _plain(arrays: dict[str, NDArray[Any]], key: str, value: Any) -> dict[str, Any]:
    """Return a dataclass as JSON; arrays become ``{"array": key}``."""
    found: dict[str, Any] = {"type": type(value).__name__}
    for f in fields(value):
        item = getattr(value, f.name)
        if isinstance(item, np.ndarray):
            found[f.name] = {"array": _keep(arrays, f"{key}/{f.name}", item)}
        elif isinstance(item, tuple):
            found[f.name] = [int(x) for x in item]
        else:
            found[f.name] = item if isinstance(item, (bool, str)) else int(item)
    return found


def _object(types: dict[str, Any], arrays: dict[str, NDArray[Any]], plain: dict[str, Any]) -> Any:
    values: dict[str, Any] = {}
    for key, item in plain.items():
        if isinstance(item, dict):
            values[key] = arrays[item["array"]]
        elif key != "type":
            values[key] = tuple(item) if isinstance(item, list) else item
    return types[plain["type"]](**values)


def _npz(arrays: dict[str, NDArray[Any]]) -> bytes:
    """Pack arrays like ``np.savez_compressed``, but with fixed dates: the same program gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for key in sorted(arrays):
            member = io.BytesIO()
            np.save(member, np.ascontiguousarray(arrays[key]), allow_pickle=False)
            info = zipfile.ZipInfo(key + ".npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue())
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_bytes(data)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
