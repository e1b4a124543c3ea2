"""An ``.onnx`` file as a MODEL: one that we wrote, with its record; any other is refused by its operators."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from spikewright.export.onnx.model import LARGEST
from spikewright.export.onnx.record import read_record
from spikewright.hw_sim.files import regular
from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.importing import Imported

SHOWN = 6
"""Operator kinds that a refusal names at most."""


def import_onnx(model: Any, data: Path | None = None, example: Any = None) -> Imported | None:
    """Import an ``.onnx`` file; ``data`` is not looked at.

    Raises:
        ImportingError: It cannot be read, or is none of ours.
    """
    if not isinstance(model, str) or Path(model).suffix != ".onnx":
        return None
    found = _read(Path(model))
    record = read_record(found, model)
    if record is None:
        raise _foreign(found, model)
    graph, about = record
    return Imported(
        None, about.name, about.dataset, dict(about.card), f"written by spikewright in {about.precision}", graph=graph
    )


def _read(path: Path) -> onnx.ModelProto:
    help = "give an .onnx file that spikewright wrote: net.onnx of a bundle"
    try:
        if not path.is_file():
            raise ImportingError("is no file", where=str(path), help=help)
        if path.stat().st_size > LARGEST:
            raise ImportingError("is larger than 2 GB, more than an ONNX file may be", where=str(path), help=help)
        regular(path)
        return onnx.load_model(str(path), load_external_data=False)
    except (OSError, DecodeError) as error:
        raise ImportingError(f"is no ONNX file that can be read ({error})", where=str(path), help=help) from error


def _foreign(model: onnx.ModelProto, where: str) -> ImportingError:
    kinds = Counter(node.op_type for node in model.graph.node)
    named = ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common(SHOWN)) or "none"
    more = f" and {len(kinds) - SHOWN} other kinds" if len(kinds) > SHOWN else ""
    return ImportingError(
        f"an ONNX file without a record of spikewright; its operators are {named}{more}, and ONNX has no spiking neuron "
        "that says which reset, threshold and decay are meant",
        where=where,
        help="bring the net as a .nir file, or as file.py:factory that returns the torch module it came from",
    )
