"""N-MNIST, MNIST digits seen by a moving event camera: 34 x 34 pixels, two polarities, about 300 ms a recording.

npz    ``nmnist_train*.npz``, ``nmnist_test*.npz``: x, y, p (1 = ON), dt (µs since the event before), off (B + 1), label
bin    folders ``Train/<digit>/*.bin``, ``Test/<digit>/*.bin`` as distributed, and as tonic unpacks them: 5 bytes an event,
       x, y, then 1 bit polarity and 23 bits of time in µs; y = 240 is a clock overflow of 2^13 µs

Orchard et al., "Converting static image datasets to spiking neuromorphic datasets using saccades", Front. Neurosci., 2015.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.arrays import Arrays, read_arrays
from spikewright.hw_sim.files import regular
from spikewright.models.datasets.events import Recording, Recordings
from spikewright.models.datasets.folders import find
from spikewright.models.datasets.samples import Split
from spikewright.models.errors import DatasetError

SIDE = 34
NAMES = ("x", "y", "p", "dt", "off", "label")
"""Arrays of the npz, in this order."""
OVERFLOW_Y, OVERFLOW_US = 240, 2**13
"""An event at this y is no event but a wrap of the camera's clock, by so many µs (the set's own reader)."""
HOW = (
    "unpack N-MNIST's Train and Test folders (or tonic's NMNIST folder) in ~/.spikewright/data/nmnist, "
    "or name their folder with --data DIR"
)


def nmnist(split: Split, root: Path | None) -> Recordings:
    """Load a split of N-MNIST.

    Raises:
        DatasetError: It is not there, or damaged.
    """
    name = "Train" if split == "train" else "Test"
    patterns = [f"nmnist_{split}*.npz", f"{name}/0/*.bin", f"NMNIST/{name}/0/*.bin"]
    folder = find("nmnist", patterns, root, (), HOW)
    packed = sorted(folder.glob(patterns[0]))
    if packed:
        events, labels = _npz(packed[0])
    else:
        inside = folder / name if (folder / name).is_dir() else folder / "NMNIST" / name
        files = sorted(inside.glob("*/*.bin"))
        events, labels = [read_bin(file) for file in files], [int(file.parent.name) for file in files]
    return Recordings(events, np.asarray(labels, np.int64), tuple("0123456789"), (SIDE, SIDE))


def _npz(path: Path) -> tuple[list[Recording], list[int]]:
    try:
        held = read_arrays(path, NAMES)
        x, y, p, dt, off, label = (held[name] for name in NAMES)
        _check_packed(held, off, len(label))
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"cannot be read: {error}", where=str(path), help=HOW) from error
    events = []
    for begin, end in zip(off[:-1].tolist(), off[1:].tolist(), strict=True):
        s = slice(begin, end)
        time = np.cumsum(dt[s].astype(np.int64))
        events.append(Recording(x[s].astype(np.int64), y[s].astype(np.int64), p[s].astype(np.int64), time))
    return events, label.tolist()


def _check_packed(held: Arrays, off: NDArray[Any], samples: int) -> None:
    """Refuse arrays that are no recordings, one after the other: whole numbers, of one length, cut at rising places.

    Raises:
        ValueError: Says which.
    """
    for name in NAMES:
        if held[name].ndim != 1 or held[name].dtype.kind not in "biu":
            raise ValueError(
                f"{name} has {held[name].ndim} axes of {held[name].dtype}; one of whole numbers is expected"
            )
    lengths = {len(held[name]) for name in NAMES[:4]}
    rising = len(off) == samples + 1 and off[0] == 0 and bool((off[1:] >= off[:-1]).all()) and {int(off[-1])} == lengths
    if not rising:
        raise ValueError(f"off does not cut the events of {samples:,} labels")


def read_bin(path: Path) -> Recording:
    """Read one recording of 5 bytes an event.

    Raises:
        DatasetError: It cannot be read, or is truncated.
    """
    try:
        regular(path)
        raw = np.fromfile(path, np.uint8).astype(np.int64)
    except OSError as error:
        raise DatasetError(f"cannot be read: {error}", where=str(path), help=HOW) from error
    if raw.size % 5:
        raise DatasetError(f"holds {raw.size} bytes, no whole number of 5-byte events", where=str(path), help=HOW)
    x, y, high, middle, low = raw.reshape(-1, 5).T
    time = ((high & 127) << 16) | (middle << 8) | low
    overflow = y == OVERFLOW_Y
    time = time + OVERFLOW_US * np.cumsum(overflow)
    real = ~overflow & (x < SIDE) & (y < SIDE)
    return Recording(x[real], y[real], high[real] >> 7, time[real])
