"""Data for a net: a user's ``.npz`` file, a data set by name, or the samples that travel with a bundle."""

from __future__ import annotations

import zipfile
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.deployment import Deployment, Samples
from toolchain.errors import InputError

NPZ_HELP = "write it with numpy.savez(file, x=..., y=...); x (T, B, C, H, W) numbers, y (B,) class numbers"


def add_data_options(parser: ArgumentParser) -> None:
    """Add ``--dataset``, ``--input`` and ``--limit``."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--dataset", metavar="NAME", help="test split of a data set (default: the bundle's own samples)"
    )
    source.add_argument("--input", type=Path, metavar="FILE.npz", help="x (T, B, C, H, W) and, for accuracy, y (B,)")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N samples")


def chosen_samples(deployment: Deployment, arguments: Namespace) -> Samples:
    """Return the samples that ``--input``, ``--dataset`` or the bundle give, ``--limit`` applied.

    Raises:
        InputError: There are none, or they cannot be read.
    """
    if arguments.limit is not None and arguments.limit < 1:
        raise InputError(
            f"{arguments.limit}; at least 1 is allowed", where="--limit", help="leave --limit out for all samples"
        )
    if arguments.input is not None:
        samples = read_npz(arguments.input)
    elif arguments.dataset is not None:
        samples = load_dataset(arguments.dataset, deployment.card, timesteps=deployment.captured.timesteps)
    elif deployment.samples is not None:
        samples = deployment.samples
    else:
        raise InputError(
            "this bundle travels without samples", where=deployment.name, help="give --input FILE.npz or --dataset NAME"
        )
    return first(samples, arguments.limit)


def first(samples: Samples, limit: int | None) -> Samples:
    """Return the first ``limit`` samples."""
    y = None if samples.y is None else samples.y[:limit]
    return Samples(samples.x[:, :limit], y, samples.dataset, samples.simulated)


def load_dataset(name: str, card: Mapping[str, Any], *, timesteps: int, split: str = "test") -> Samples:
    """Load a split of a data set, coded as the model card says.

    Raises:
        InputError: There is no such data set.
    """
    found = {point.name: point for point in entry_points(group="spikeforge.datasets")}
    if name not in found:
        raise InputError(
            f"no data set of this name; there are {', '.join(sorted(found)) or 'none'}",
            where=name,
            help="choose one of these, or give a FILE.npz",
        )
    loaded = found[name].load()(name, split=split, coding=card.get("coding", "direct"), timesteps=timesteps)
    return Samples(loaded.x, loaded.y, loaded.name, loaded.simulated)


def read_npz(path: Path) -> Samples:
    """Read ``x`` and, if it is there, ``y`` from an ``.npz`` file; pickled objects are never loaded.

    Raises:
        InputError: The file is missing, damaged, or holds something else.
    """
    where = str(path)
    try:
        with path.open("rb") as raw:
            file = np.load(raw, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise InputError("is one array, not an .npz archive", where=where, help=NPZ_HELP)
            if "x" not in file:
                names = ", ".join(file.files) or "nothing"
                raise InputError(f"holds no array x; it holds {names}", where=where, help=NPZ_HELP)
            x, y = file["x"], file.get("y")
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot be read ({error})", where=where, help=NPZ_HELP) from error
    if x.dtype.kind not in "biuf" or x.ndim < 3:
        raise InputError(
            f"x is {x.dtype} of shape {x.shape}; expected numbers (T, B, ...) with at least 3 axes",
            where=where,
            help=NPZ_HELP,
        )
    if y is not None and (y.dtype.kind not in "iu" or y.shape != x.shape[1:2] or (y < 0).any()):
        raise InputError(
            f"y is {y.dtype} of shape {y.shape}, least value {y.min() if y.dtype.kind in 'iu' and y.size else None}; "
            f"expected class numbers from 0 on, of shape ({x.shape[1]},)",
            where=where,
            help=NPZ_HELP,
        )
    return Samples(x.astype(np.float32), None if y is None else y.astype(np.int64), path.name)
