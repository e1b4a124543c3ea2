"""Backends run a compiled net on integer payloads; found by entry point ``spikewright.backends``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.errors import BackendError
from spikewright.toolchain.ir import Graph

if TYPE_CHECKING:
    from spikewright.hw_sim import Program, Trace

IntArray = NDArray[np.int64]
Progress = Callable[[int, int], None]
"""Called with (samples done, samples in all)."""


@dataclass(frozen=True, eq=False)
class Recording:
    """What one neuron op did at its local steps 0 .. T-1; states are read after reset.

    ``out`` (T, B, *shape): spikes 0/1, graded payloads (a rectifier: the change sent), or gate levels.
    ``v`` (T, B, *shape): v of a Lif, acc of the others. ``u``: the synaptic current of a Lif with ``decay_u`` below 4096,
    else None.
    """

    out: IntArray
    v: IntArray
    u: IntArray | None = None


@dataclass(frozen=True, eq=False)
class RunResult:
    """The answer of a run.

    Args:
        answer: (B, n) integers: membrane of the read-out after the last step, or spike counts.
        recordings: Per neuron op with a state, if asked for.
        startup_s: Seconds of building and starting, apart from
        run_s: seconds of running.
        trace: The machine's counters, where the backend has them.
    """

    answer: IntArray
    recordings: dict[str, Recording] = field(default_factory=dict)
    startup_s: float = 0.0
    run_s: float = 0.0
    trace: Trace | None = None


class Backend(Protocol):
    """One way to run a compiled net."""

    name: str

    def run(
        self,
        graph: Graph,
        program: Program | None,
        x: IntArray,
        *,
        record: bool = False,
        progress: Progress | None = None,
    ) -> RunResult:
        """Run integer payloads ``x`` (T, B, *shape) through the integer graph or its program."""
        ...


def load_backend(name: str) -> Backend:
    """Return the backend called ``name``.

    Raises:
        BackendError: No such backend, or what it needs is not installed.
    """
    found = {point.name: point for point in entry_points(group="spikewright.backends")}
    if name not in found:
        raise BackendError(
            f"no backend of this name; there are {', '.join(sorted(found))}",
            where=f"backend {name!r}",
            help="choose one of these with --backend",
        )
    backend: Backend = found[name].load()()
    return backend
