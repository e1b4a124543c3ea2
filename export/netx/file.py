"""A ``.net`` file as plain values: one ``Layer`` a group ``/layer/<i>``, every dataset read and checked, nothing interpreted.

lava-dl stores integers as float32, and scalars as () or (1,) arrays; its loader cuts fractions off (``astype(int)``), and so
does ``Layer.ints``. What a field may hold stands in ``FIELDS``; a field that is not there is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spikewright.hw_sim.fixed_point import DECAY_ONE
from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.integer import IntArray
from spikewright.toolchain.nirx import hdf5
from spikewright.toolchain.ops import Shape

Pair = tuple[int, int]


@dataclass(frozen=True)
class Field:
    """What a dataset may hold: numbers from ``low`` to ``high``, ``most`` of them (None: any number, at least one)."""

    low: int
    high: int
    most: int | None = None


SIZE = 1 << 16
"""Largest height, width, stride, padding or dilation that is read."""
NEURONS = 1 << 26
"""Most neurons of a layer that are read: more than any chip here holds, and less than memory does."""
FIELDS: Mapping[str, Field] = {
    "shape": Field(1, NEURONS, 3),
    "weight": Field(-(1 << 24), 1 << 24),
    "weight_rec": Field(-(1 << 24), 1 << 24),
    "bias": Field(-(1 << 17), 1 << 17),
    "delay": Field(0, 1 << 16),
    "stride": Field(1, SIZE, 2),
    "padding": Field(0, SIZE, 2),
    "dilation": Field(1, SIZE, 2),
    "groups": Field(1, NEURONS, 1),
    "layers": Field(0, 1 << 16),
    "neuron/iDecay": Field(0, DECAY_ONE),
    "neuron/vDecay": Field(0, DECAY_ONE),
    "neuron/vThMant": Field(0, 1 << 24),
    "neuron/refDelay": Field(0, 64),
}
"""Numbers that are read, by path inside the layer."""
MARKS = ("weight/imag", "weight/real", "neuron/sigma_output")
"""Datasets of which only their being there is looked at."""
VALUES = 1 << 28
"""Most values of one dataset that are read."""
LEAST_STEP_MS, LONGEST_MS = 1e-6, 1e9
"""Shortest timestep and longest sample that are taken for ones, in ms."""
TEXTS = ("type", "neuron/type", "neuron/activation")
DAMAGED = "the file is damaged: export the net again with lava-dl's export_hdf5"


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a file.

    Args:
        index: Its number.
        kind: ``dense``, ``conv``, ...
        values: Datasets by path inside the layer, such as ``weight`` or ``neuron/vThMant``.
        file: Name of the file, for errors.
    """

    index: int
    kind: str
    values: Mapping[str, Any]
    file: str

    @property
    def name(self) -> str:
        """Name of its neuron op."""
        return f"{self.index}.{self.kind}"

    @property
    def shape(self) -> Shape:
        """Shape of its neurons: (C, H, W) or (N,).

        Raises:
            ImportingError: It has two axes, or too many neurons.
        """
        shape = tuple(int(n) for n in self.ints("shape").reshape(-1))
        if len(shape) == 2 or prod(shape) > NEURONS:
            raise self.error(f"has shape {shape}; (C, H, W) or (N,) of at most {NEURONS} neurons is allowed", DAMAGED)
        return shape

    @property
    def where(self) -> str:
        """Place, for errors."""
        return f"{self.file}: layer {self.index} ({self.kind})"

    def __contains__(self, key: str) -> bool:
        return key in self.values or any(name.startswith(f"{key}/") for name in self.values)

    def ints(self, key: str) -> IntArray:
        """Return a dataset as integers, its fractions cut off as the loader does.

        Raises:
            ImportingError: It is missing.
        """
        if key not in self.values:
            raise self.error(f"has no dataset {key!r}", "export the net again with lava-dl's export_hdf5")
        found: IntArray = np.asarray(self.values[key]).astype(np.int64)
        return found

    def number(self, key: str, default: int | None = None) -> int:
        """Return a scalar, stored as () or (1,)."""
        if default is not None and key not in self.values:
            return default
        values = self.ints(key)
        if values.size != 1:
            raise self.error(
                f"{key!r} has {values.size} values; one for the layer is allowed", "give all neurons one value"
            )
        return int(values.reshape(-1)[0])

    def pair(self, key: str) -> Pair:
        """Return (height, width); a scalar stands for both."""
        values = self.ints(key).reshape(-1)
        return int(values[0]), int(values[-1])

    def text(self, key: str, default: str = "") -> str:
        """Return a string."""
        value = self.values.get(key, default)
        return value if isinstance(value, str) else _string(value)

    def error(self, what: str, help: str) -> ImportingError:
        """Return an error about this layer."""
        return ImportingError(what, where=self.where, help=help)


@dataclass(frozen=True, eq=False)
class NetFile:
    """All layers of a file, and the length of a sample in steps (0: not said) and of a step in s."""

    layers: tuple[Layer, ...]
    timesteps: int
    dt_s: float


def read(path: Path) -> NetFile:
    """Read a file.

    Raises:
        ImportingError: It is missing, damaged, or no netx file.
    """
    help = "give a .net file that lava-dl's export_hdf5 wrote"
    if not path.exists():
        raise ImportingError("no such file", where=str(path), help=help)

    def whole(file: h5py.File) -> tuple[tuple[Layer, ...], float, float]:
        if not isinstance(file.get("layer"), h5py.Group) or not len(file["layer"]):
            raise ImportingError("holds no layers: no group /layer", where=str(path), help=help)
        names = sorted(file["layer"], key=lambda n: (len(n), n))
        if names != [str(i) for i in range(len(names))]:
            raise ImportingError(
                f"its layers are called {', '.join(names)}; 0, 1, ... is allowed", where=str(path), help=help
            )
        layers = tuple(_layer(int(name), file["layer"][name], path) for name in names)
        return layers, _simulation(file, "tSample", 0.0, str(path)), _simulation(file, "Ts", 1.0, str(path))

    try:
        layers, timesteps, ts = hdf5.read(path, whole)
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise ImportingError(f"cannot be read ({error})", where=str(path), help=help) from error
    return NetFile(layers, int(timesteps / ts + 1e-6), 1e-3 * ts)


def _layer(index: int, group: Any, path: Path) -> Layer:
    values: dict[str, Any] = {}
    if isinstance(group, h5py.Group):
        for key in (*FIELDS, *TEXTS, *MARKS):
            if isinstance(item := group.get(key), h5py.Dataset):
                values[key] = item
    if "type" not in values:
        raise ImportingError(
            "has no type",
            where=f"{path.name}: layer {index}",
            help="lava-dl writes nothing for some blocks (KWTA): leave it out",
        )
    kind = _checked(Layer(index, "?", values, path.name), "type", values["type"])
    layer = Layer(index, kind, values, path.name)
    for key, item in values.items():
        values[key] = _checked(layer, key, item)
    if isinstance(group.get("neuron"), h5py.Group):
        values.setdefault("neuron/type", "none")
    return layer


def _checked(layer: Layer, key: str, item: Any) -> Any:
    """Return the values of a dataset, of the type and in the range that ``FIELDS`` says; its size before it is read."""
    if key in MARKS:
        return True
    if key in TEXTS:
        if item.size != 1:
            raise layer.error(f"{key!r} holds {item.size} texts; one is expected", DAMAGED)
        return _string(item[()])
    field = FIELDS[key]
    if not item.size or item.dtype.kind not in "biuf":
        raise layer.error(f"{key!r} is not an array of finite numbers", DAMAGED)
    if item.size > (field.most or VALUES):
        raise layer.error(f"{key!r} has {item.size} values; at most {field.most or VALUES} are allowed", DAMAGED)
    values = np.asarray(item[()])
    if not np.isfinite(values).all():
        raise layer.error(f"{key!r} is not an array of finite numbers", DAMAGED)
    low, high = float(values.min()), float(values.max())
    if low < field.low or high >= field.high + 1:
        found = f"is {low:g}" if low == high else f"runs from {low:g} to {high:g}"
        raise layer.error(
            f"{key!r} {found}; {field.low} .. {field.high} is allowed",
            "correct it, and export again",
        )
    return values


def _string(value: Any) -> str:
    one = np.asarray(value).reshape(-1)[:1]
    found = one[0] if one.size else ""
    return found.decode("ascii", "replace") if isinstance(found, bytes) else str(found)


def _simulation(file: Any, key: str, default: float, where: str) -> float:
    item = file.get(f"simulation/{key}")
    if not isinstance(item, h5py.Dataset):
        return default
    value = float(np.asarray(item[()]).reshape(-1)[0]) if item.size == 1 and item.dtype.kind in "biuf" else -1.0
    least = 0.0 if key == "tSample" else LEAST_STEP_MS
    if not isfinite(value) or not least <= value <= LONGEST_MS:
        raise ImportingError(
            f"simulation/{key} is {_shown(item)}; one number of ms, {least:g} .. {LONGEST_MS:g}, is expected",
            where=where,
            help="correct it, or leave it out and give --timesteps and --dt",
        )
    return value


def _shown(item: Any) -> str:
    return f"{item.size} values" if item.size != 1 else str(np.asarray(item[()]).reshape(-1)[0])
