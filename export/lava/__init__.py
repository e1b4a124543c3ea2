"""Lava: an integer graph as real Lava processes in a watched child process; nothing here imports ``lava`` before a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikewright.export.lava.backend import LavaBackend as LavaBackend
    from spikewright.export.lava.compat import available as available

_HOME = {"LavaBackend": "spikewright.export.lava.backend", "available": "spikewright.export.lava.compat"}


def __getattr__(name: str) -> Any:
    """Import on first use: the child process needs neither the compiler nor the machine."""
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
