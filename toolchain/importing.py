"""Load a MODEL, whatever it is: a ``.nir`` file, a checkpoint, a user's factory; by entry points ``spikewright.importers``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

import nir

from spikewright.toolchain import nirx
from spikewright.toolchain.dequantize import to_float
from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.ir import Graph


@dataclass(frozen=True, eq=False)
class Imported:
    """A model on its way in.

    Args:
        nir_graph: Its graph, standard and extension nodes; None for a model that is integer already.
        name: What to call it.
        dataset: The dataset it was trained on, if known.
        card: Its model card, maybe empty.
        note: What was assumed or checked on the way, for the report.
        integer: The integer graph of a model that is integer already (netx); ``timesteps`` 0 where it does not say them.
    """

    nir_graph: nir.NIRGraph | None
    name: str
    dataset: str | None = None
    card: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    integer: Graph | None = None

    def float_graph(self, *, dt_s: float | None = None, timesteps: int | None = None) -> Graph:
        """Return the model as a float graph: its NIR graph lowered, or its integers read as real numbers."""
        if self.integer is not None:
            return to_float(self.integer)
        return from_nir(self.nir_graph, dt_s=dt_s, timesteps=timesteps, where=self.name)


class Importer(Protocol):
    """An entry point of group ``spikewright.importers``: the model, or None where the spec is none of its kind."""

    def __call__(self, spec: str, data: Path | None = None) -> Imported | None:
        """Import ``spec``; ``data`` is the folder of the data set it was trained on, if the user named one."""
        ...


def import_nir(spec: str, data: Path | None = None) -> Imported | None:
    """Import a ``.nir`` file; ``data`` is not looked at.

    Raises:
        ImportingError: It cannot be read.
        UnsupportedNodeError: It holds a node nobody here knows.
    """
    path = Path(spec)
    if path.suffix != ".nir":
        return None
    graph = nirx.read(path)
    dataset, text = graph.metadata.get("dataset"), graph.metadata.get("card", "{}")
    try:
        card = json.loads(text) if isinstance(text, str) else {}
    except json.JSONDecodeError as error:
        raise ImportingError(
            f"metadata card is not JSON ({error})", where=spec, help="remove the card from the graph's metadata"
        ) from error
    dt = graph.metadata.get("dt")
    note = f"dt {dt:g} s as recorded" if isinstance(dt, float) else "no dt recorded"
    return Imported(graph, path.stem, dataset if isinstance(dataset, str) else None, card, note)


def importers() -> dict[str, Importer]:
    """Return the installed importers by name; ``nir`` is always there."""
    found: dict[str, Importer] = {"nir": import_nir}
    for point in sorted(entry_points(group="spikewright.importers"), key=lambda p: p.name):
        if point.name != "nir":
            found[point.name] = _lazy(point.load)
    return found


def _lazy(load: Callable[[], Importer]) -> Importer:
    def run(spec: str, data: Path | None = None) -> Imported | None:
        return load()(spec, data)

    return run


def load_model(spec: str, available: Mapping[str, Importer] | None = None, *, data: Path | None = None) -> Imported:
    """Load a model.

    Args:
        spec: A zoo name, a ``.safetensors`` written by ``spikewright train``, a ``.nir`` or ``.net`` file, or
            ``path/to/file.py:factory``.
        available: Importers by name; None: the installed ones.
        data: Folder of the data set that a checkpoint was trained on; None: where it is looked for by default.

    Raises:
        ImportingError: No importer takes it, or it cannot be read.
    """
    known = importers() if available is None else available
    for name in _order(spec, known):
        found = known[name](spec) if data is None else known[name](spec, data)
        if found is not None:
            return found
    raise _nobody(spec, known)


def _order(spec: str, known: Mapping[str, Importer]) -> list[str]:
    """Ask only the importer of the kind where the spec's ending says it (so that no other one is loaded)."""
    kind = _kind(spec)
    return [kind] if kind in known else [] if kind in ("nir", "net", "factory", "checkpoint") else sorted(known)


def _kind(spec: str) -> str:
    head, colon, _ = spec.rpartition(":")
    if colon and head.endswith(".py"):
        return "factory"
    return {".nir": "nir", ".net": "net", ".safetensors": "checkpoint"}.get(Path(spec).suffix, "")


def _nobody(spec: str, known: Mapping[str, Importer]) -> ImportingError:
    match _kind(spec):
        case "net":
            return ImportingError(
                "netx .net files are read by the package 'export', which is not installed",
                where=spec,
                help="install spikewright whole: pip install spikewright",
            )
        case "factory" | "checkpoint":
            return ImportingError(
                "this kind of model needs torch's side of spikewright, which is not installed",
                where=spec,
                help="pip install 'spikewright[models]'",
            )
    what = "no such model"
    if spec.endswith(".py"):
        what = "a Python file without a factory"
    return ImportingError(
        f"{what}; a model is a zoo name, a .safetensors, .nir or .net file, or file.py:factory",
        where=spec,
        help="see spikewright zoo for the names"
        if "checkpoint" in known
        else "pip install 'spikewright[models]' for the zoo",
    )
