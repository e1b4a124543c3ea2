"""What we record in NIR's metadata, for want of fields: dt, T, read-out of a graph; how a neuron fires, resets and decays.

Graph: ``dt`` (s), ``timesteps``, ``readout`` ("mean"), ``extension_version``, and free entries (``dataset``, ``card``).
Neuron: ``comparison`` (">" or ">="), ``reset`` ("value", "subtract" or "subtract-late"), ``decay`` ("euler" or "exact"),
``v_start`` (numbers, "leak" or "reset"), ``refractory`` (steps, 1: none), ``max_spikes`` (a step; 0 or "any": as many as fit),
``v_min`` (floor of v); and ``alpha``, ``beta``, ``gain``, ``gain_u``, ``leak``: the discrete constants that tau, r and v_leak
were made from, to read them back without rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.nirx.registry import EXTENSION_VERSION

DEFAULT_DT_S = 1e-4
"""Timestep where a graph states none, in s: the de-facto value of NIR's users (snnTorch, norse, SpikingJelly)."""

COMPARISONS = (">", ">=")
RESETS = ("value", "subtract", "subtract-late")
DECAYS = ("euler", "exact")
STARTS = ("leak", "reset")
"""What v is before the first step, beside a number: v_leak, v_reset."""


@dataclass(frozen=True)
class Settings:
    """How a neuron fires, resets and decays; None: not said.

    Args:
        comparison: Fires at ``v > v_threshold`` or ``v >= v_threshold``.
        reset: To ``v_reset``, by subtracting ``v_threshold`` at once, or in the next step (snnTorch's reset_delay).
        decay: ``1 - dt / tau`` (forward Euler) or ``exp(-dt / tau)``.
        v_start: v before the first step: numbers as they stand in the file, ``leak`` (v_leak) or ``reset`` (v_reset).
        refractory: Steps from a spike to the next possible one; 1: none.
        max_spikes: Spikes in one step at most; 0: as many as fit.
        v_min: v is never below it; numbers as they stand in the file.
    """

    comparison: str | None = None
    reset: str | None = None
    decay: str | None = None
    v_start: Any = None
    refractory: int | None = None
    max_spikes: int | None = None
    v_min: Any = None


NAMES = tuple(f.name for f in fields(Settings))
OURS = {
    "graph": frozenset({"dt", "timesteps", "readout", "extension_version", "dataset", "card"}),
    "node": frozenset({*NAMES, "alpha", "beta", "gain", "gain_u", "leak"}),
}
"""Metadata keys that mean something here."""

_ALLOWED: dict[str, tuple[object, ...]] = {"comparison": COMPARISONS, "reset": RESETS, "decay": DECAYS}
_LEAST = {"refractory": 1, "max_spikes": 0}


def settings(metadata: Mapping[str, Any], where: str) -> Settings:
    """Return what a neuron's metadata say of how it fires, resets and decays.

    Raises:
        ImportingError: They say something else.
    """
    found = {key: _plain(metadata[key]) for key in NAMES if key in metadata}
    if found.get("max_spikes") == "any":
        found["max_spikes"] = 0
    wrong = [key for key, value in found.items() if not _is_allowed(key, value)]
    if wrong:
        key = wrong[0]
        raise ImportingError(
            f"metadata {key} {found[key]!r}; {allowed(key)}",
            where=where,
            help="correct the metadata, or leave it out",
        )
    return Settings(**found)


def allowed(key: str) -> str:
    """Say in words what a setting may be."""
    if key in _ALLOWED:
        return f"allowed are {', '.join(map(repr, _ALLOWED[key]))}"
    if key in _LEAST:
        return f"whole numbers from {_LEAST[key]} on are allowed" + (", or 'any'" if key == "max_spikes" else "")
    return "numbers are allowed" + (f", or {' or '.join(map(repr, STARTS))}" if key == "v_start" else "")


def _is_allowed(key: str, value: Any) -> bool:
    if key in _ALLOWED:
        return isinstance(value, str) and value in _ALLOWED[key]
    if key in _LEAST:
        return isinstance(value, int) and not isinstance(value, bool) and value >= _LEAST[key]
    if isinstance(value, str):
        return key == "v_start" and value in STARTS
    return not isinstance(value, bool) and np.asarray(value).dtype.kind in "iuf"


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray | np.generic) and value.size == 1 else value


def check_version(metadata: dict[str, Any], where: str) -> None:
    """Refuse a file of a newer extension version.

    Raises:
        ImportingError: The version is newer than ours.
    """
    version = metadata.get("extension_version", EXTENSION_VERSION)
    if not isinstance(version, int) or version > EXTENSION_VERSION:
        raise ImportingError(
            f"extension version {version!r}; this release reads up to {EXTENSION_VERSION}",
            where=where,
            help="update spikewright",
        )


def positive_number(value: Any, what: str, where: str) -> float:
    """Return a positive, finite float.

    Raises:
        ImportingError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ImportingError(f"{what} is {value!r}; it must be positive", where=where, help=f"give a positive {what}")
    return float(value)
