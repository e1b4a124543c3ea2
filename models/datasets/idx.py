"""MNIST and Fashion-MNIST from IDX files, plain or ``.gz``: 60,000 + 10,000 grey images of 28 x 28 pixels, 10 classes.

IDX: 2 zero bytes, type 0x08 (uint8), number of axes, the axes as big-endian uint32, the bytes. LeCun et al., "Gradient-based
learning applied to document recognition", Proc. IEEE, 1998; Xiao, Rasul and Vollgraf, "Fashion-MNIST", arXiv 1708.07747, 2017.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.arrays import RATIO, need_memory
from spikewright.hw_sim.files import regular
from spikewright.models.datasets.folders import find
from spikewright.models.datasets.samples import Images, Split
from spikewright.models.errors import DatasetError

FASHION = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
SYSTEM = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts the files."""
WHITE = 255.0
"""The brightest pixel of 8 bits."""


def mnist(split: Split, root: Path | None) -> Images:
    """Load a split of MNIST, scaled to [0, 1].

    Raises:
        DatasetError: It is not there, or damaged.
    """
    files = "the four IDX files of MNIST (train-images-idx3-ubyte[.gz], ...)"
    how = f"put {files} into ~/.spikewright/data/mnist, or name their folder with --data DIR"
    return _load("mnist", split, root, (), how, tuple("0123456789"))


def fashion_mnist(split: Split, root: Path | None) -> Images:
    """Load a split of Fashion-MNIST, scaled to [0, 1].

    Raises:
        DatasetError: It is not there, or damaged.
    """
    place = "~/.spikewright/data/fashion-mnist, or name their folder with --data DIR"
    how = f"apt-get install dataset-fashion-mnist, or put its four IDX files into {place}"
    return _load("fashion-mnist", split, root, (SYSTEM,), how, FASHION)


def _load(
    name: str, split: Split, root: Path | None, system: tuple[Path, ...], how: str, classes: tuple[str, ...]
) -> Images:
    stem = "train" if split == "train" else "t10k"
    folder = find(name, [f"{stem}-images*idx3-ubyte*"], root, system, how)
    x, y = read_idx(_one(folder, f"{stem}-images", how)), read_idx(_one(folder, f"{stem}-labels", how))
    if x.ndim != 3 or y.shape != x.shape[:1] or (y.size and int(y.max()) >= len(classes)):
        raise DatasetError(f"images {x.shape} and labels {y.shape} do not fit", where=str(folder), help=how)
    levels = (np.arange(256) / WHITE).astype(np.float32)
    return Images(x=levels[x[:, None]], y=y.astype(np.int64), classes=classes)


def _one(folder: Path, stem: str, how: str) -> Path:
    found = sorted(folder.glob(f"{stem}*ubyte*"))
    if not found:
        raise DatasetError(f"no file {stem}*-ubyte[.gz]", where=str(folder), help=how)
    return found[0]


def read_idx(path: Path) -> NDArray[Any]:
    """Read an IDX file of bytes.

    Raises:
        DatasetError: It cannot be read, or is truncated, or no IDX file of bytes.
    """
    again = "copy or download the file again"
    try:
        regular(path)
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            shape = _shape(file, path, again)
            count = prod(shape)
            if count > RATIO * path.stat().st_size:
                raise DatasetError(f"its header says {shape}, more than the file can hold", where=str(path), help=again)
            need_memory(count)
            data = file.read(count + 1)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DatasetError(f"cannot be read: {error}", where=str(path), help=again) from error
    if len(data) != count:
        held = f"{len(data)} bytes" if len(data) < count else f"more than {count} bytes"
        raise DatasetError(f"holds {held}; its header says {shape}, {count} bytes", where=str(path), help=again)
    return np.frombuffer(data, np.uint8).reshape(shape)


def _shape(file: BinaryIO | gzip.GzipFile, path: Path, help: str) -> tuple[int, ...]:
    """Return the axes that the header of an IDX file names."""
    magic = file.read(4)
    axes = file.read(4 * magic[3]) if len(magic) == 4 else b""
    if magic[:3] != b"\x00\x00\x08" or not 1 <= magic[3] <= 4 or len(axes) != 4 * magic[3]:
        raise DatasetError("is no IDX file of bytes (magic 00 00 08)", where=str(path), help=help)
    return struct.unpack(f">{magic[3]}I", axes)
