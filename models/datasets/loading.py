"""Load a dataset by its name: still images coded in time, or events counted in frames, always (T, B, C, H, W).

direct, rate, latency       for images, see ``coding``; the first is the default
count, time                 for events, see ``events``; the first is the default
count-binary, time-binary   the same, min(count, 1): a pixel spikes or not
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.names import did_you_mean
from spikewright.models.datasets.cifar import cifar10, cifar10_normalized, cifar100, cifar100_normalized
from spikewright.models.datasets.coding import IMAGE_CODINGS, ImageCoding, encode
from spikewright.models.datasets.digits import digits_images
from spikewright.models.datasets.events import Framing, Recordings, frames
from spikewright.models.datasets.idx import fashion_mnist, mnist
from spikewright.models.datasets.nmnist import nmnist
from spikewright.models.datasets.samples import Images, Samples, Split
from spikewright.models.datasets.tonic_sets import cifar10_dvs, dvs128_gesture
from spikewright.models.errors import DatasetError

Coding = Literal["direct", "rate", "latency", "count", "time", "count-binary", "time-binary"]
EVENT_CODINGS: tuple[Coding, ...] = ("count", "time", "count-binary", "time-binary")
CODINGS: tuple[Coding, ...] = (*IMAGE_CODINGS, *EVENT_CODINGS)

DATASETS: dict[str, Callable[[Split, Path | None], Images | Recordings]] = {
    "digits": digits_images,
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
    "cifar10-normalized": cifar10_normalized,
    "cifar100": cifar100,
    "cifar100-normalized": cifar100_normalized,
    "nmnist": nmnist,
    "dvs128gesture": dvs128_gesture,
    "cifar10-dvs": cifar10_dvs,
}
"""The sets; each function reads one split from a folder, or from where it is looked for by default."""


def load(
    name: str,
    *,
    split: Split = "test",
    coding: Coding | None = None,
    timesteps: int = 8,
    limit: int | None = None,
    root: str | Path | None = None,
    side: int | None = None,
    window_us: float | None = None,
    seed: int | None = None,
    stills_once: bool = False,
    last: bool = False,
) -> Samples:
    """Load a split of a dataset as samples in time.

    Args:
        name: One of ``DATASETS``.
        split: ``"train"``, ``"test"``, or ``"all"``: both, in this order, for cross-validation.
        coding: One of ``CODINGS`` that fits the set; None: ``"direct"`` for images; ``"count"`` for events, ``"time"`` where
            ``window_us`` is given.
        timesteps: T.
        limit: Only so many samples: the first.
        root: Folder of the set's files, or the folder above it.
        side: Events only: side of smaller, square frames.
        window_us: Events framed by time only: length of a step in µs; None: a recording's length divided by T.
        seed: Draw the ``limit`` samples by this seed, in the split's order, instead of taking the first.
        last: Take the last ``limit`` samples of the split.
        stills_once: With coding ``direct``, give the one frame that every step shows: x (1, B, C, H, W).

    Raises:
        DatasetError: The name, split, coding or T does not exist, or the files are missing or damaged.
    """
    source = read(name, split=split, root=root)
    if timesteps < 1:
        raise DatasetError(f"T = {timesteps}; T is at least 1", where="--timesteps", help="give a positive number")
    allowed = IMAGE_CODINGS if isinstance(source, Images) else EVENT_CODINGS
    usual: Coding = "time" if allowed is EVENT_CODINGS and window_us is not None else allowed[0]
    chosen = usual if coding is None else coding
    if chosen not in allowed:
        raise DatasetError(
            f"coding {chosen!r}; allowed are {', '.join(allowed)}",
            where=f"dataset {name!r}",
            help=f"use {allowed[0]!r}",
        )
    index = _index(len(source.y), limit, seed, last)
    y = source.y[index]
    if isinstance(source, Images):
        once = stills_once and chosen == "direct"
        x = encode(source.x[index], cast(ImageCoding, chosen), 1 if once else timesteps)
    else:
        framing, _, binary = chosen.partition("-")
        x = np.empty((timesteps, len(y), 2, *(source.size if side is None else (side, side))), np.float32)
        for i, place in enumerate(index):
            x[:, i] = frames(
                source.events[place],
                timesteps,
                source.size,
                framing=cast(Framing, framing),
                side=side,
                window_us=window_us,
            )
        if binary:
            np.minimum(x, 1.0, out=x)
    simulated = isinstance(source, Images) and chosen != "direct"
    return Samples(x=x, y=y, simulated=simulated, coding=chosen, name=name, classes=source.classes, total=len(source.y))


def _index(total: int, limit: int | None, seed: int | None, last: bool) -> NDArray[np.int64]:
    if last and limit is not None:
        return np.arange(max(0, total - limit), total)
    if limit is None or limit >= total or seed is None:
        return np.arange(total if limit is None else min(limit, total))
    return np.sort(np.random.default_rng(seed).choice(total, limit, replace=False))


def read(name: str, *, split: Split = "test", root: str | Path | None = None) -> Images | Recordings:
    """Read a split of a dataset as it is: images, or recordings of events.

    Raises:
        DatasetError: The name or split does not exist, or the files are missing or damaged.
    """
    if name not in DATASETS:
        raise DatasetError(
            f"no dataset {name!r}; there are {', '.join(DATASETS)}",
            where="--dataset",
            help=f"{did_you_mean(name, DATASETS)}use digits",
        )
    if split not in ("train", "test", "all"):
        raise DatasetError(f"split {split!r}; allowed are train, test, all", where=name, help="use split='test'")
    folder = None if root is None else Path(root).expanduser()
    if split != "all":
        return DATASETS[name](split, folder)
    first, second = DATASETS[name]("train", folder), DATASETS[name]("test", folder)
    y = np.concatenate([first.y, second.y])
    if isinstance(first, Images) and isinstance(second, Images):
        return replace(first, x=np.concatenate([first.x, second.x]), y=y)
    if isinstance(first, Recordings) and isinstance(second, Recordings):
        return replace(first, events=[*first.events, *second.events], y=y)
    raise AssertionError("a dataset whose splits differ in kind")
