"""Data for a net: a user's ``.npz`` file, a data set by name, or the samples that travel with a bundle."""

from __future__ import annotations

import zipfile
from argparse import ArgumentParser, Namespace, _ArgumentGroup
from dataclasses import replace
from pathlib import Path

import numpy as np

from spikewright.toolchain.data_sets import load_split, repeated
from spikewright.toolchain.deployment import Deployment, Samples
from spikewright.toolchain.errors import InputError

NPZ_HELP = "write it with numpy.savez(file, x=..., y=...); x (T, B, C, H, W) numbers, y (B,) class numbers"


def add_data_options(parser: ArgumentParser) -> None:
    """Add ``--dataset``, ``--input``, ``--data`` and ``--limit``."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--dataset", metavar="NAME", help="test split of a data set (default: the bundle's own samples)"
    )
    source.add_argument("--input", type=Path, metavar="FILE.npz", help="x (T, B, C, H, W) and, for accuracy, y (B,)")
    add_folder_option(parser, "; without --dataset: its whole test split is taken")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N samples")


def add_folder_option(parser: ArgumentParser | _ArgumentGroup, more: str = "") -> None:
    """Add ``--data``."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help=f"folder of the data set, or the one above it (default: ~/.spikewright/data/<name>){more}",
    )


def chosen_samples(deployment: Deployment, arguments: Namespace) -> Samples:
    """Return the samples that ``--input``, ``--dataset`` or the bundle give, ``--limit`` applied.

    Raises:
        InputError: There are none, or they cannot be read.
    """
    if arguments.limit is not None and arguments.limit < 1:
        raise InputError(
            f"{arguments.limit}; at least 1 is allowed", where="--limit", help="leave --limit out for all samples"
        )
    dataset = arguments.dataset
    if arguments.data is not None and dataset is None:
        dataset = _set_of(deployment, arguments)
    if arguments.input is not None:
        samples = read_npz(arguments.input)
    elif dataset is not None:
        T = deployment.captured.timesteps
        limit, data = arguments.limit, arguments.data
        samples = load_split(dataset, deployment.card, timesteps=T, split="test", limit=limit, data=data)
    elif deployment.samples is not None:
        samples = deployment.samples
    else:
        raise InputError(
            "this bundle travels without samples", where=deployment.name, help="give --input FILE.npz or --dataset NAME"
        )
    return first(samples, arguments.limit)


def _set_of(deployment: Deployment, arguments: Namespace) -> str:
    """Return the data set that ``--data`` alone means: the model card's."""
    dataset = deployment.card.get("dataset")
    if arguments.input is not None:
        raise InputError(
            "says where a data set lies; --input is a file of its own", where="--data", help="leave one out"
        )
    if not dataset:
        raise InputError("the model names no data set", where="--data", help="say which one with --dataset NAME")
    return str(dataset)


def first(samples: Samples, limit: int | None) -> Samples:
    """Return the first ``limit`` samples."""
    y = None if samples.y is None else samples.y[:limit]
    return replace(samples, x=samples.x[:, :limit], y=y)


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
            T = int(file["timesteps"]) if "timesteps" in file else 1
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
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
    return Samples(repeated(x.astype(np.float32), T), None if y is None else y.astype(np.int64), path.name)
