"""What a field of a NIR node may hold in a file: checked by name, before any node is made of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from spikewright.toolchain.errors import ImportingError

WHOLE = {
    **dict.fromkeys(("stride", "dilation", "kernel_size", "size", "groups", "shape", "input_shape", "timesteps"), 1),
    **dict.fromkeys(("padding",), 0),
    **dict.fromkeys(("start_dim", "end_dim"), -8),
    **dict.fromkeys(("input_type",), 1),
}
"""Fields of whole numbers, and the least value of each."""
LARGEST = 2**31 - 1
"""Largest whole number of a size, stride or count."""
ENDLESS = ("tau", "tau_mem", "tau_syn", "r", "w_in")
"""Fields that may be infinite: of a neuron that does not leak."""
TEXT = ("kind",)
GROUPS = ("nodes", "metadata", "parameters", "options", "neuron")
RANKS = {"Conv2d": 4, "Conv1d": 3}
"""Axes of a convolution's weight."""


def check_fields(kind: str, tree: dict[str, Any], where: str) -> None:
    """Check the types and ranges of a node's fields as read from a file.

    Raises:
        ImportingError: A field holds something else than numbers, whole numbers, text or a group where it should; the
            field is named.
    """
    for key, value in tree.items():
        if key == "edges":
            _edges(value, where)
        elif key in GROUPS:
            _group(key, value, where)
        elif key in TEXT or (key == "padding" and isinstance(value, str)):
            _expect(isinstance(value, str), key, value, "text", where)
        elif key in WHOLE:
            _whole(key, value, where)
        elif key != "type":
            _numbers(key, value, where)
    rank = RANKS.get(kind)
    if rank is not None:
        weight: Any = tree.get("weight")
        _expect(np.ndim(weight) == rank and np.size(weight) > 0, "weight", weight, f"an array of {rank} axes", where)
        _expect(np.size(tree.get("groups", 1)) == 1, "groups", tree.get("groups"), "one number", where)


def _group(key: str, value: Any, where: str) -> None:
    _expect(isinstance(value, dict), key, value, "a group", where)
    for name, item in value.items():
        if key == "parameters" or (key == "options" and not isinstance(item, str)):
            _numbers(name, item, where)
            _expect(key == "parameters" or np.ndim(item) == 0, name, item, "one number or text", where)


def _edges(value: Any, where: str) -> None:
    pairs = isinstance(value, list) and all(
        isinstance(edge, list) and len(edge) == 2 and all(isinstance(end, str) for end in edge) for edge in value
    )
    _expect(pairs or np.size(value) == 0, "edges", value, "pairs of names", where)


def _whole(key: str, value: Any, where: str) -> None:
    array = np.asarray(value)
    numeric = array.dtype.kind in "iuf" and array.ndim <= 1 and 1 <= array.size <= 8
    _expect(numeric, key, value, "whole numbers", where)
    array = array.astype(np.float64)  # LARGEST is infinite in float16
    least = WHOLE[key]
    inside = bool(np.all((array >= least) & (array <= LARGEST) & (array == np.round(array))))
    _expect(inside, key, value, f"whole numbers from {least} on", where)


def _numbers(key: str, value: Any, where: str) -> None:
    array = np.asarray(value)
    _expect(array.dtype.kind in "biuf" and array.size > 0, key, value, "numbers", where)
    finite = int(np.count_nonzero(~np.isnan(array) if key in ENDLESS else np.isfinite(array)))
    if finite < array.size:
        raise ImportingError(
            f"{key} holds {array.size - finite} values that are not finite (NaN or infinite), of {array.size}",
            where=where,
            help="train or export the net again; all parameters must be finite",
        )


def _expect(holds: bool, key: str, value: Any, what: str, where: str) -> None:
    if not holds:
        size = np.size(value) or 0  # None of an empty dataset
        found = repr(value) if size <= 4 else f"{size} values"
        raise ImportingError(f"{key} holds {found[:80]}; expected {what}", where=where, help="export the net again")
