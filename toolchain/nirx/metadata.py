"""What we record in NIR's metadata, for want of fields: dt, T, read-out of a graph; comparison and reset of a neuron.

Graph: ``dt`` (s), ``timesteps``, ``readout`` ("mean"), ``extension_version``, and free entries (``dataset``, ``card``).
Neuron: ``comparison`` (">" or ">="), ``reset`` ("value" or "subtract"), ``refractory`` (steps, 1: none), ``max_spikes`` a step
(0: any number), ``v_min`` and ``v_start`` (floor and start of v), and ``alpha``, ``beta``, ``gain``, ``gain_u``, ``leak``: the
discrete constants that tau, r and v_leak were made from, to read them back without rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.nirx.registry import EXTENSION_VERSION

DEFAULT_DT_S = 1e-4
"""Timestep where a graph states none, in s: the de-facto value of NIR's users (snnTorch, norse, SpikingJelly)."""


@dataclass(frozen=True)
class Settings:
    """How a neuron fires and resets; fields as those of ``ops.Lif``, floor and start of v as they stand in the file."""

    comparison: Literal[">", ">="] = ">"
    reset: Literal["value", "subtract"] = "value"
    refractory: int = 1
    max_spikes: int | None = 1
    v_min: Any = None
    v_start: Any = 0.0


def settings(metadata: Mapping[str, Any], where: str) -> Settings:
    """Return how a neuron fires and resets; NIR's own rule (``>``, to a value) where its metadata does not say.

    Raises:
        ImportingError: The metadata say something else.
    """
    comparison, reset = metadata.get("comparison", ">"), metadata.get("reset", "value")
    texts = isinstance(comparison, str) and isinstance(reset, str)
    if not texts or comparison not in (">", ">=") or reset not in ("value", "subtract"):
        raise ImportingError(
            f"metadata comparison {comparison!r}, reset {reset!r}; allowed are '>' or '>=', 'value' or 'subtract'",
            where=where,
            help="correct the metadata, or leave it out (NIR: '>', 'value')",
        )
    most = _count(metadata, "max_spikes", 0, where)
    return Settings(
        comparison,
        reset,
        _count(metadata, "refractory", 1, where),
        None if most == 0 else most,
        metadata.get("v_min"),
        metadata.get("v_start", 0.0),
    )


def _count(metadata: Mapping[str, Any], name: str, least: int, where: str) -> int:
    value = metadata.get(name, 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ImportingError(
            f"metadata {name} {value!r}; whole numbers from {least} on are allowed",
            where=where,
            help="correct the metadata, or leave it out (1)",
        )
    return value


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
