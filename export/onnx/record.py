"""What an ONNX file of ours says about itself: the graph it was written from, in its metadata, so that it can be read again.

The structure is that of ``toolchain.graph_io``; an array is the file's constant of the same name where that holds it exactly,
else its float64 bytes. A reader writes the graph anew and compares: a file whose operators were changed is found out.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from spikewright.export.onnx.model import net_model
from spikewright.export.onnx.writer import Precision
from spikewright.toolchain import graph_io
from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.ir import Graph

KEY = "spikewright"
"""Of the entry of ``metadata_props``."""
VERSION = 1


@dataclass(frozen=True)
class About:
    """What travels beside the graph: its name, data set, card, and how it was written."""

    name: str = "net"
    dataset: str | None = None
    card: dict[str, Any] = field(default_factory=dict)
    precision: Precision = "float32"
    dense: bool = False


def recorded(graph: Graph, about: About) -> onnx.ModelProto:
    """Return the model of a net with the record that ``import_onnx`` reads.

    Raises:
        UnsupportedNodeError: An op has no ONNX form.
    """
    model = net_model(graph, precision=about.precision, dense=about.dense)
    structure, arrays = graph_io.to_parts(graph)
    constants = {constant.name: constant for constant in model.graph.initializer}
    held = {path: _held(array, constants.get(path)) for path, array in arrays.items()}
    entry = model.metadata_props.add()
    entry.key = KEY
    entry.value = json.dumps({"version": VERSION, "structure": structure, "arrays": held, "about": vars(about)})
    return model


def _held(array: NDArray[Any], constant: onnx.TensorProto | None) -> dict[str, Any]:
    """Return where an array is: the shape it has, its bytes where no constant holds it exactly."""
    plain: dict[str, Any] = {"shape": list(array.shape)}
    if constant is not None and array.dtype == np.float64:
        value = numpy_helper.to_array(constant)
        if value.size == array.size and (value.astype(np.float64).reshape(array.shape) == array).all():
            return plain
    return plain | {"dtype": array.dtype.str, "bytes": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()}


def read_record(model: onnx.ModelProto, where: str) -> tuple[Graph, About] | None:
    """Return the graph a model was written from, and what travels with it; None where it has no record.

    Raises:
        ImportingError: The record is damaged, of another version, or the model's operators are others.
    """
    text = next((entry.value for entry in model.metadata_props if entry.key == KEY), None)
    if text is None:
        return None
    help = "export the net again: `spikewright deploy` writes net.onnx into the bundle"
    try:
        record = json.loads(text)
        if record["version"] != VERSION:
            raise ImportingError(
                f"record of version {record['version']!r}; this version reads {VERSION}", where=where, help=help
            )
        constants = {constant.name: constant for constant in model.graph.initializer}
        arrays = {path: _array(held, constants.get(path)) for path, held in record["arrays"].items()}
        about = About(**record["about"])
        graph = graph_io.from_parts(record["structure"], arrays, where)
        again = net_model(graph, precision=about.precision, dense=about.dense)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ImportingError(f"its record cannot be read ({error})", where=where, help=help) from error
    changed = difference(model.graph, again.graph)
    if changed:
        raise ImportingError(
            f"{changed} is not as the record says: the file was changed after it was written", where=where, help=help
        )
    return graph, about


def _array(held: dict[str, Any], constant: onnx.TensorProto | None) -> NDArray[Any]:
    shape = tuple(int(n) for n in held["shape"])
    if "bytes" in held:
        return np.frombuffer(base64.b64decode(held["bytes"], validate=True), np.dtype(held["dtype"])).reshape(shape)
    if constant is None:
        raise KeyError("a constant that the record names is gone")
    return numpy_helper.to_array(constant).astype(np.float64).reshape(shape)


def difference(found: onnx.GraphProto, meant: onnx.GraphProto) -> str:
    """Return the name of the first part of two graphs that differs; "" where they are equal."""
    for kind in ("input", "output", "initializer", "node"):
        ours, theirs = getattr(meant, kind), getattr(found, kind)
        for one, other in zip(ours, theirs, strict=False):
            if one != other:
                return f"{kind} {other.name!r}"
        if len(ours) != len(theirs):
            return f"the number of {kind}s"
    return ""
