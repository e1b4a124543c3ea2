"""CIFAR-10 and CIFAR-100: 50,000 + 10,000 color images of 32 x 32 pixels; the binary version, or mosaics of WebP.

binary   records of 1 (CIFAR-100: 2, coarse and fine) label bytes and 3,072 pixels, C H W: data_batch_1.bin .. 5, test_batch.bin
mosaic   train_0.webp .. train_4.webp, test.webp: 100 x 100 images in one picture, row by row; labels in <name>_labels.npy

``*_normalized``: per channel less the mean, divided by the deviation, as GAC's and others' released code feeds their nets.

Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.errors import DAMAGE
from spikewright.hw_sim.files import read_whole, regular
from spikewright.models.datasets.folders import find
from spikewright.models.datasets.samples import Images, Split
from spikewright.models.errors import DatasetError

SIDE, PIXELS = 32, 3 * 32 * 32
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN10, DEVIATION10 = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
MEAN100, DEVIATION100 = (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)
"""Of each channel, as GAC's ``data_loaders.py`` has them."""
LONGEST = 1 << 16
"""Bytes that the names of the classes take at most."""
AGAIN = "copy or download the file again"


def cifar10(split: Split, root: Path | None) -> Images:
    """Load a split of CIFAR-10, scaled to [0, 1].

    Raises:
        DatasetError: It is not there, or damaged, or pillow is missing for a mosaic.
    """
    place = "~/.spikewright/data/cifar10, or name its folder with --data DIR"
    how = f"unpack cifar-10-binary.tar.gz (the binary version) in {place}"
    if split == "train":
        names, mosaics = [f"data_batch_{i}.bin" for i in range(1, 6)], [f"train_{i}.webp" for i in range(5)]
    else:
        names, mosaics = ["test_batch.bin"], ["test.webp"]
    inside = "cifar-10-batches-bin"
    folder = find("cifar10", [names[0], f"{inside}/{names[0]}", mosaics[0]], root, (), how)
    if (folder / mosaics[0]).is_file():
        parts = [_mosaic(folder / name) for name in mosaics]
    else:
        folder = folder / inside if (folder / inside).is_dir() else folder
        parts = [_records(folder / name, 1) for name in names]
    return _images(parts, CIFAR10)


def cifar100(split: Split, root: Path | None) -> Images:
    """Load a split of CIFAR-100 with its fine labels, scaled to [0, 1].

    Raises:
        DatasetError: It is not there, or damaged.
    """
    place = "~/.spikewright/data/cifar100, or name its folder with --data DIR"
    how = f"unpack cifar-100-binary.tar.gz (the binary version) in {place}"
    inside, name = "cifar-100-binary", f"{split}.bin"
    folder = find("cifar100", [name, f"{inside}/{name}"], root, (), how)
    folder = folder / inside if (folder / inside).is_dir() else folder
    named = folder / "fine_label_names.txt"
    return _images([_records(folder / name, 2)], _names(named) if named.exists() else tuple(map(str, range(100))))


def _names(path: Path) -> tuple[str, ...]:
    """Return the names of the classes, one a line."""
    try:
        found = tuple(read_whole(path, LONGEST).decode().split())
        if len(found) != 100:
            raise ValueError(f"{len(found)} names; there are 100 classes")
        return found
    except (OSError, ValueError) as error:
        raise DatasetError(f"cannot be read: {error}", where=str(path), help=AGAIN) from error


def cifar10_normalized(split: Split, root: Path | None) -> Images:
    """Load a split of CIFAR-10, normalised per channel. Images are (N, 3, 32, 32), float32."""
    return _normalized(cifar10(split, root), MEAN10, DEVIATION10)


def cifar100_normalized(split: Split, root: Path | None) -> Images:
    """Load a split of CIFAR-100 with its fine labels, normalised per channel. Images are (N, 3, 32, 32), float32."""
    return _normalized(cifar100(split, root), MEAN100, DEVIATION100)


def _normalized(images: Images, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Images:
    m, d = (np.asarray(v, np.float32).reshape(-1, 1, 1) for v in (mean, deviation))
    return replace(images, x=(images.x - m) / d)


def _images(parts: list[tuple[NDArray[np.uint8], NDArray[Any]]], classes: tuple[str, ...]) -> Images:
    x, y = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    return Images(x=x.astype(np.float32) / np.float32(255), y=y.astype(np.int64), classes=classes)


def _records(path: Path, labels: int) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    try:
        regular(path)
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DatasetError(f"cannot be read: {error}", where=str(path), help=AGAIN) from error
    if data.size == 0 or data.size % (labels + PIXELS):
        raise DatasetError(
            f"holds {data.size} bytes, no whole number of records of {labels + PIXELS}", where=str(path), help=AGAIN
        )
    rows = data.reshape(-1, labels + PIXELS)
    return rows[:, labels:].reshape(-1, 3, SIDE, SIDE), rows[:, labels - 1]


def _mosaic(path: Path) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    try:
        from PIL import Image
    except ImportError as error:
        raise DatasetError(
            "pillow, which reads WebP, is missing", where=str(path), help="pip install pillow"
        ) from error
    try:
        labels = path.with_name(f"{path.stem}_labels.npy")
        for one in (path, labels):
            regular(one)
        with Image.open(path) as picture:
            a = np.asarray(picture.convert("RGB"))
        y = np.load(labels, allow_pickle=False)
        if y.dtype.kind not in "iu" or y.ndim != 1 or any(n % SIDE for n in a.shape[:2]):
            raise ValueError(f"a picture of {a.shape[:2]} and labels {y.dtype} {y.shape}")
    except (*DAMAGE, OSError, Image.DecompressionBombError) as error:
        raise DatasetError(f"cannot be read: {error}", where=str(path), help=AGAIN) from error
    rows, columns = a.shape[0] // SIDE, a.shape[1] // SIDE
    x = a.reshape(rows, SIDE, columns, SIDE, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, SIDE, SIDE)
    if len(y) != len(x):
        raise DatasetError(f"{len(x)} images and {len(y)} labels", where=str(path), help=AGAIN)
    return x, y
