"""DVS128 Gesture and CIFAR10-DVS, read by tonic from the folders it made; nothing is ever downloaded here.

DVS128 Gesture: Amir et al., CVPR 2017, 11 classes, 128 x 128, as tonic cuts it. CIFAR10-DVS: Li et al., Front. Neurosci., 2017,
10 classes, 128 x 128, 10,000 recordings without an official split: first 90 % of each class train (TCJA's split).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from spikewright.models.datasets.cifar import CIFAR10
from spikewright.models.datasets.events import Recording, Recordings
from spikewright.models.datasets.folders import find
from spikewright.models.datasets.samples import Split
from spikewright.models.errors import DatasetError

SIDE = 128
TRAIN_SHARE = 0.9
"""Of every class of CIFAR10-DVS, in the order of its files (SpikingJelly's split_to_train_test_set)."""


class Lazy(Sequence[Recording]):
    """Recordings that are read from disk when asked for."""

    def __init__(self, source: Any, indices: Sequence[int]) -> None:
        self.source, self.indices = source, indices

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> Recording: ...
    @overload
    def __getitem__(self, index: slice) -> Lazy: ...
    def __getitem__(self, index: int | slice) -> Recording | Lazy:
        if isinstance(index, slice):
            return Lazy(self.source, self.indices[index])
        events = self.source[self.indices[index]][0]
        x, y, p, t = (np.asarray(events[name], np.int64) for name in ("x", "y", "p", "t"))
        return Recording(x, y, p, t)

    def __iter__(self) -> Iterator[Recording]:
        return (self[i] for i in range(len(self)))


def dvs128_gesture(split: Split, root: Path | None) -> Recordings:
    """Load a split of DVS128 Gesture.

    Raises:
        DatasetError: It is not there, or tonic is missing.
    """
    part = "Train" if split == "train" else "Test"
    how = "download it once with tonic: tonic.datasets.DVSGesture(save_to=FOLDER), FOLDER = ~/.spikewright/data/dvs128gesture"
    folder = find("dvs128gesture", [f"DVSGesture/ibmGesture{part}/*/*.npy"], root, (), how)
    source = _tonic("DVSGesture", folder, how, train=split == "train")
    return Recordings(
        Lazy(source, range(len(source))), np.asarray(source.targets, np.int64), tuple(source.classes), (SIDE, SIDE)
    )


def cifar10_dvs(split: Split, root: Path | None) -> Recordings:
    """Load a split of CIFAR10-DVS.

    Raises:
        DatasetError: It is not there, or tonic is missing.
    """
    how = "download it once with tonic: tonic.datasets.CIFAR10DVS(save_to=FOLDER), FOLDER = ~/.spikewright/data/cifar10-dvs"
    folder = find("cifar10-dvs", ["CIFAR10DVS/*/*.aedat4"], root, (), how)
    source = _tonic("CIFAR10DVS", folder, how)
    y = np.asarray(source.targets, np.int64)
    chosen: list[int] = []
    for label in range(len(CIFAR10)):
        own = sorted(np.flatnonzero(y == label).tolist(), key=lambda i: str(source.data[i]))
        cut = round(TRAIN_SHARE * len(own))
        chosen += own[:cut] if split == "train" else own[cut:]
    return Recordings(Lazy(source, chosen), y[chosen], CIFAR10, (SIDE, SIDE))


def _tonic(kind: str, folder: Path, how: str, **options: bool) -> Any:
    """Open a tonic dataset whose files are all there; tonic would download what is missing."""
    try:
        import tonic.datasets
    except ImportError as error:
        raise DatasetError(
            "tonic, which reads it, is not installed", where=str(folder), help="pip install tonic"
        ) from error
    maker = getattr(tonic.datasets, kind)

    class Offline(maker):  # type: ignore[misc,valid-type]
        def _check_exists(self) -> bool:
            return True  # recordings are there: found above; the archive they came in is not needed

        def download(self) -> None:
            raise DatasetError("is incomplete", where=str(folder), help=how)

    Offline.__name__ = kind  # tonic names the folder by the class
    return Offline(save_to=str(folder), **options)
