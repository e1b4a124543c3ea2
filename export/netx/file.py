"""A ``.net`` file as plain values: one ``Layer`` a group ``/layer/<i>``, every dataset read, nothing interpreted.

lava-dl stores integers as float32, and scalars as () or (1,) arrays; its loader cuts fractions off (``astype(int)``), and so
does ``Layer.ints``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.integer import IntArray
from spikewright.toolchain.nirx import hdf5

Pair = tuple[int, int]


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
    def where(self) -> str:
        """Place, for errors."""
        return f"{self.file}: layer {self.index} ({self.kind})"

    def __contains__(self, key: str) -> bool:
        return key in self.values or any(name.startswith(f"{key}/") for name in self.values)

    def ints(self, key: str) -> IntArray:
        """Return a dataset as integers, its fractions cut off as the loader does.

        Raises:
            ImportingError: It is missing, no number, or not finite.
        """
        if key not in self.values:
            raise self.error(f"has no dataset {key!r}", "export the net again with lava-dl's export_hdf5")
        values = np.asarray(self.values[key])
        if values.dtype.kind not in "biuf" or values.size == 0 or not np.isfinite(values).all():
            raise self.error(f"{key!r} is not an array of finite numbers", "the file is damaged: export the net again")
        return values.astype(np.int64)

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
        if values.size not in (1, 2):
            raise self.error(f"{key!r} has {values.size} values; 1 or 2 are allowed", "give (height, width)")
        return int(values[0]), int(values[-1])

    def text(self, key: str) -> str:
        """Return a string."""
        value = np.asarray(self.values[key]).reshape(-1)[0]
        return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)

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
        return layers, _simulation(file, "tSample", 0.0), _simulation(file, "Ts", 1.0)

    try:
        layers, timesteps, ts = hdf5.read(path, whole)
    except (OSError, ValueError) as error:
        raise ImportingError(f"cannot be read ({error})", where=str(path), help=help) from error
    return NetFile(layers, int(timesteps / ts + 1e-6) if ts > 0 else 0, 1e-3 * ts if ts > 0 else 1e-3)


def _layer(index: int, group: Any, path: Path) -> Layer:
    values: dict[str, Any] = {}
    if isinstance(group, h5py.Group):
        group.visititems(lambda name, item: values.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    if "type" not in values:
        raise ImportingError(
            "has no type",
            where=f"{path.name}: layer {index}",
            help="lava-dl writes nothing for some blocks (KWTA): leave it out",
        )
    layer = Layer(index, "", values, path.name)
    return Layer(index, layer.text("type"), values, path.name)


def _simulation(file: Any, key: str, default: float) -> float:
    item = file.get(f"simulation/{key}")
    return float(np.asarray(item[()]).reshape(-1)[0]) if isinstance(item, h5py.Dataset) else default
