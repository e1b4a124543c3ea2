"""Backends run a compiled net on integer payloads; found by entry point ``spikewright.backends``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.names import did_you_mean
from spikewright.toolchain.errors import BackendError
from spikewright.toolchain.options import with_options
from spikewright.toolchain.plugins import points

if TYPE_CHECKING:
    from spikewright.hw_sim import Trace
    from spikewright.toolchain.deployment import Deployment

IntArray = NDArray[np.int64]
Recorded = Literal["spikes", "v", "u"]
"""What of a layer can be recorded."""
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


Part = tuple[slice, slice, Mapping[str, Recording]]
"""What was recorded of some samples and some of their steps, by layer."""


def joined(parts: Sequence[Part], timesteps: int, samples: int) -> dict[str, Recording]:
    """Return parts of a run as recordings of all of it."""

    def whole(name: str, state: str) -> IntArray | None:
        found = [(chosen, steps, getattr(recordings[name], state)) for chosen, steps, recordings in parts]
        if found[0][2] is None:
            return None
        made = np.empty((timesteps, samples, *found[0][2].shape[2:]), found[0][2].dtype)
        for chosen, steps, values in found:
            made[steps, chosen] = values
        return made

    made = {}
    for name in parts[0][2]:
        out, v = whole(name, "out"), whole(name, "v")
        assert out is not None
        assert v is not None
        made[name] = Recording(out, v, whole(name, "u"))
    return made


@dataclass(frozen=True, eq=False)
class RunResult:
    """The answer of a run.

    Args:
        answer: (B, n) integers: membrane of the read-out after the last step, or spike counts.
        recordings: Per neuron op with a state, if asked for.
        startup_s: Seconds of building and starting, apart from
        run_s: seconds of running.
        trace: The machine's counters, where the backend has them; of a net that runs several times, of all runs.
        saturations: (wraps of u, clips of v) by layer, where the backend counts them without a trace; None: it does not.
        last: Of a net that runs several times, the counters of the last run, whose recordings these are.
    """

    answer: IntArray
    recordings: dict[str, Recording] = field(default_factory=dict)
    startup_s: float = 0.0
    run_s: float = 0.0
    trace: Trace | None = None
    saturations: dict[str, tuple[int, int]] | None = None
    last: Trace | None = None


def added(parts: Iterable[Mapping[str, tuple[int, int]]]) -> dict[str, tuple[int, int]]:
    """Return the saturations of several parts of a run as those of the whole."""
    total: dict[str, tuple[int, int]] = {}
    for part in parts:
        for name, (wraps, clips) in part.items():
            before = total.get(name, (0, 0))
            total[name] = (before[0] + wraps, before[1] + clips)
    return total


class Session(Protocol):
    """A batch of samples on its way through time."""

    def advance(self, x: IntArray) -> Mapping[str, Recording]:
        """Take the next payloads (T', B, *shape); return the recordings of these steps, by layer."""
        ...

    def finish(self) -> RunResult:
        """Return the answer (B, n) of all steps; its recordings are empty."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """A backend that takes a sample block by block of steps, so that one of any length fits in memory."""

    def open(self, deployment: Deployment, samples: int) -> AbstractContextManager[Session]:
        """Begin so many samples of the deployment's number of steps."""
        ...


class Backend(Protocol):
    """One way to run a deployment.

    ``sees_all_steps``, where it has it and it is true: it computes gates that need steps to come by itself (``replay``).

    An entry point of group ``spikewright.backends`` is its class. A backend with options is a dataclass whose fields are made
    by ``toolchain.options.option``: they become arguments of ``Deployment.run`` and options of ``spikewright run``.
    """

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def counts(self) -> bool:
        """Whether a run has a trace: the machine's counters."""
        ...

    def run(
        self, deployment: Deployment, x: IntArray, *, record: bool = False, progress: Progress | None = None
    ) -> RunResult:
        """Run integer payloads ``x`` (T, B, *shape), as ``Deployment.encode`` gives them.

        A deployment keeps the backend: what is compiled in the first run should serve the next.
        """
        ...


def backend_class(name: str) -> type[Backend]:
    """Return the class of the backend called ``name``.

    Raises:
        BackendError: No such backend.
    """
    found = backend_points()
    if name not in found:
        raise BackendError(
            f"no backend of this name; there are {', '.join(sorted(found))}",
            where=f"backend {name!r}",
            help=f"{did_you_mean(name, found)}choose one of these with --backend",
        )
    kind: type[Backend] = found[name].load()
    return kind


def backend_points() -> dict[str, EntryPoint]:
    """Return the installed backends by name."""
    return {point.name: point for point in points("spikewright.backends")}


def load_backend(name: str, **options: str) -> Backend:
    """Return the backend called ``name``, with the options it declares.

    Raises:
        BackendError: No such backend, or what it needs is not installed.
        InputError: It has no such option.
    """
    return with_options(backend_class(name), options, f"backend {name!r}")
