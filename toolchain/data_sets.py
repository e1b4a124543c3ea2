"""Splits of data sets by name, coded as a model card says; the sets come by entry point ``spikewright.datasets``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spikewright.hw_sim.names import did_you_mean
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.plugins import points
from spikewright.toolchain.samples import Samples, repeated


def known_sets() -> tuple[str, ...]:
    """Return the names of the data sets that can be loaded here."""
    return tuple(sorted({point.name for point in points("spikewright.datasets")}))


def load_split(
    name: str,
    card: Mapping[str, Any],
    *,
    timesteps: int,
    split: str,
    limit: int | None = None,
    seed: int | None = None,
    data: Path | None = None,
    last: bool = False,
) -> Samples:
    """Load samples of a split, coded as the net takes them.

    Args:
        name: The data set.
        card: The model card: its coding, and for events the frame's side and the window.
        timesteps: T.
        split: ``"train"`` or ``"test"``.
        limit: Samples at most; None: all.
        seed: Draws them; None: the first.
        last: Take the last ``limit`` samples; only a set whose function takes ``last`` has them.
        data: Folder of the data set, or the one above it; None: where it is looked for by default.

    Returns:
        The samples; a frame that every step repeats is held once (``x`` is a view of it).

    Raises:
        InputError: There is no such data set.
        SpikewrightError: Its files are missing or damaged: where it was looked for, and how to get it.
    """
    found = {point.name: point for point in points("spikewright.datasets")}
    if name not in found:
        raise InputError(
            f"no data set of this name; there are {', '.join(known_sets()) or 'none'}",
            where=name,
            help=f"{did_you_mean(name, found)}choose one of these, or give a FILE.npz",
        )
    more: dict[str, Any] = {"last": True} if last else {}
    loaded = found[name].load()(
        name,
        split=split,
        coding=card.get("coding"),
        timesteps=timesteps,
        limit=limit,
        seed=seed,
        root=data,
        side=card.get("side"),
        window_us=card.get("window_us"),
        stills_once=True,
        **more,
    )
    x = np.asarray(loaded.x, np.float32)
    return Samples(
        repeated(x, timesteps), np.asarray(loaded.y, np.int64), loaded.name, loaded.simulated, split, loaded.total, last
    )


def has_ends(name: str) -> bool:
    """Say whether the last samples of a split can be asked for."""
    found = {point.name: point for point in points(group="spikewright.datasets")}
    return name in found and "last" in inspect.signature(found[name].load()).parameters
