"""Samples: data in a net's own coding, from memory or a user's ``.npz`` file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.arrays import array_shapes, read_arrays
from spikewright.hw_sim.files import regular
from spikewright.toolchain.errors import InputError

Fits = Callable[[tuple[int, ...]], None]
"""Refuses data by its shape (T, B, *shape)."""
MAX_STEPS = 1 << 20
"""T at most, as deploy allows."""
NPY_MAGIC = b"\x93NUMPY"
NPZ_HELP = "write it with numpy.savez(file, x=..., y=...); x (T, B, C, H, W) numbers, y (B,) class numbers"


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """Data in the net's own coding: ``x`` (T, N, *shape), ``y`` (N,) class numbers or None.

    Real values are float32; whole numbers stay in the type they came in, which is what one gesture at 1 ms bins has room for.

    ``simulated``: events made from still images, and called so wherever they are shown. ``split`` and ``total`` say where
    samples of a data set come from, and how many that split holds; ``last``: whether they are from its end.
    """

    x: NDArray[Any]
    y: NDArray[np.int64] | None
    dataset: str
    simulated: bool = False
    split: str = ""
    total: int | None = None
    last: bool = False

    def __len__(self) -> int:
        return int(self.x.shape[1])

    def __repr__(self) -> str:
        return f"<Samples {self.source}: x {self.x.shape}>"

    @property
    def source(self) -> str:
        """Say where they come from: "1,000 of the 10,000 test samples of fashion-mnist"."""
        return self.called(len(self))

    def called(self, number: int) -> str:
        """Say where so many samples as these come from."""
        if self.total is None:
            return f"{number:,} samples of {self.dataset}"
        which = "the last " if self.last else ""
        count = f"all {self.total:,}" if number == self.total else f"{which}{number:,} of the {self.total:,}"
        return f"{count} {self.split} samples of {self.dataset}"


def repeated(x: NDArray[Any], timesteps: int) -> NDArray[Any]:
    """Return one frame (1, B, *shape) as T of them, without a copy; whole sequences stay as they are."""
    return np.broadcast_to(x, (timesteps, *x.shape[1:])) if x.shape[:1] == (1,) and timesteps > 1 else x


def first(samples: Samples, limit: int | None) -> Samples:
    """Return the first ``limit`` samples: x (T, limit, *shape); all where it is None."""
    return part(samples, 0, limit)


def part(samples: Samples, start: int, stop: int | None) -> Samples:
    """Return the samples ``start`` to ``stop``: x (T, stop - start, *shape), a view."""
    y = None if samples.y is None else samples.y[start:stop]
    return replace(samples, x=samples.x[:, start:stop], y=y)


def apart(samples: Samples, others: Samples) -> Samples:
    """Return the samples that are not among others, compared byte by byte: x (T, n, *shape)."""
    known = {others.x[:, i].tobytes() for i in range(len(others))}
    kept = np.array([samples.x[:, i].tobytes() not in known for i in range(len(samples))], bool)
    return replace(samples, x=samples.x[:, kept], y=None if samples.y is None else samples.y[kept])


def read_npz(path: Path, fits: Fits | None = None) -> Samples:
    """Read ``x`` and, if it is there, ``y`` from an ``.npz`` file; pickled objects are never loaded.

    ``fits`` refuses what cannot be meant by the shape that ``x`` declares, before it is read.

    Raises:
        InputError: The file is missing, damaged, or holds something else.
    """
    where = str(path)
    try:
        if _start(path) == NPY_MAGIC:
            raise InputError("is one array, not an .npz archive", where=where, help=NPZ_HELP)
        shapes = array_shapes(path)
        if "x" not in shapes:
            names = ", ".join(shapes) or "nothing"
            raise InputError(f"holds no array x; it holds {names}", where=where, help=NPZ_HELP)
        held = read_arrays(path, ("y", "timesteps"))
        T = steps_of(held.get("timesteps", np.int64(1)), where)
        if fits is not None and shapes["x"]:  # what declares no shape is refused by the reader, with its reason
            fits((T if shapes["x"][:1] == (1,) else shapes["x"][0], *shapes["x"][1:]))
        held |= read_arrays(path, ("x",))
    except (OSError, ValueError) as error:
        what = "pickled objects are never loaded" if "allow_pickle" in str(error) else error
        raise InputError(f"cannot be read ({what})", where=where, help=NPZ_HELP) from error
    return arranged(repeated(held["x"], T), held.get("y"), path.name, where)


def _start(path: Path) -> bytes:
    """Return the first bytes of a regular file."""
    if regular(path) is None:
        return b""
    with path.open("rb") as file:
        return file.read(len(NPY_MAGIC))


def steps_of(value: NDArray[Any] | np.int64, where: str) -> int:
    """Return a number of steps as a file holds it.

    Raises:
        InputError: It is no whole number from 1 on, or more than a net can have.
    """
    if value.size != 1 or value.dtype.kind not in "iu" or not 1 <= int(value.item()) <= MAX_STEPS:
        raise InputError(
            f"timesteps is {value.dtype} {np.array2string(np.asarray(value), threshold=4)}; "
            f"expected one whole number, 1 .. {MAX_STEPS}",
            where=where,
            help=NPZ_HELP,
        )
    return int(value.item())


def arranged(x: Any, y: Any, dataset: str, where: str) -> Samples:
    """Return arrays as samples; tensors are taken, too.

    Raises:
        InputError: They are not numbers (T, B, ...) with class numbers (B,).
    """
    x, y = np.asarray(x), None if y is None else np.asarray(y)
    if x.dtype.kind not in "biuf" or x.ndim < 3:
        raise InputError(
            f"x is {x.dtype} of shape {x.shape}; expected numbers (T, B, ...) with at least 3 axes",
            where=where,
            help=NPZ_HELP,
        )
    if y is not None and (y.dtype.kind not in "iu" or y.shape != x.shape[1:2] or (y.astype(np.int64) < 0).any()):
        raise InputError(
            f"y is {y.dtype} of shape {y.shape}{f', least value {y.min()}' if y.dtype.kind in 'iu' and y.size else ''}; "
            f"expected class numbers from 0 on, of shape ({x.shape[1]},)",
            where=where,
            help=NPZ_HELP,
        )
    # a frame that every step repeats stays one (astype would write it out)
    if x.dtype.kind == "f":
        still = x.strides[0] == 0
        x = np.broadcast_to(x[:1].astype(np.float32), x.shape) if still else x.astype(np.float32, copy=False)
    elif x.dtype.kind == "b":
        x = x.view(np.uint8)
    return Samples(x, None if y is None else y.astype(np.int64), dataset)
