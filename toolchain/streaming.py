"""A run of samples in parts: what several backends recorded of the same samples and steps, one part after the other.

Samples are cut by the budget of bytes; where not even one fits with all its steps, backends that can (``backends.Resumable``)
are given it block by block of steps. Payloads are encoded when needed; answers and counters of the parts are added at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import joined_traces
from spikewright.toolchain import replay
from spikewright.toolchain.backends import (
    Backend,
    IntArray,
    Progress,
    Recording,
    Resumable,
    RunResult,
    Session,
    added,
)
from spikewright.toolchain.budget import RECORDED_BYTES, Cut, cut
from spikewright.toolchain.coding import check_range, payload_type, payloads
from spikewright.toolchain.deployment import Bars, Deployment, silent
from spikewright.toolchain.integer import IntNeuron, replays_of
from spikewright.toolchain.interpret import int_cut

STARTS = 4
"""Budgets of a part for a backend that starts anew for each: starting Lava takes seconds."""


@dataclass
class Payloads:
    """Data (T, B, *shape) in the net's own coding, as payloads when they are asked for: a sample's steps in their order."""

    made: Deployment
    x: NDArray[Any]
    hosted: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        """Refuse values that the input's coding does not take; of counts only where the net was deployed with ``strict``.

        Raises:
            InputError: With the option that takes them.
        """
        if self.made.host is None:
            check_range(self.made.integer, self.x, saturate=not self.made.options.strict)

    def take(self, samples: slice, steps: slice) -> NDArray[Any]:
        """Return the payloads of some samples and their next steps; a host computes all steps of a sample at once."""
        if self.made.host is None:
            chosen = self.x[steps, samples]
            return payloads(self.made.integer, chosen, levels_only=True, saturate=not self.made.options.strict)
        if self.hosted is None or steps.start == 0:
            self.hosted = self.made.encode(self.x[:, samples], compact=True)
        return self.hosted[steps]


@dataclass
class Given:
    """Payloads that are there already."""

    x: IntArray

    def take(self, samples: slice, steps: slice) -> NDArray[Any]:
        """Return the payloads of some samples and steps."""
        return self.x[steps, samples]


@dataclass
class Stream:
    """Samples on their way through backends.

    Args:
        made: The compiled net.
        backends: By name.
        payloads: Of all samples.
        samples: How many.
        progress: Makes the progress callback of a backend.
        results: By backend, of the parts so far; see ``result``.
    """

    made: Deployment
    backends: Mapping[str, Backend]
    payloads: Payloads | Given
    samples: int
    progress: Bars = silent
    results: dict[str, list[RunResult]] = field(init=False)
    bars: dict[str, Progress] = field(init=False)

    def __post_init__(self) -> None:
        """Nothing was run yet."""
        self.results = {name: [] for name in self.backends}
        self.bars = {name: self.progress(name) for name in self.backends}

    def parts(self) -> Iterator[tuple[slice, slice, dict[str, Mapping[str, Recording]]]]:
        """Yield samples, steps, and what every backend recorded of them, by layer; all steps of some samples, then the next."""
        timesteps = self.made.integer.timesteps
        size = self._cut(timesteps)
        if size.steps == timesteps:
            for chosen, steps in size.parts(self.samples, timesteps):
                yield chosen, steps, self.run(self.payloads.take(chosen, steps), chosen, record=True)
            return
        with ExitStack() as stack:
            sessions: dict[str, Session] = {}
            for chosen, steps in size.parts(self.samples, timesteps):
                if steps.start == 0:
                    stack.close()
                    opened = {name: self._open(one, chosen) for name, one in self.backends.items()}
                    sessions = {name: stack.enter_context(session) for name, session in opened.items()}
                x = self.payloads.take(chosen, steps)
                yield chosen, steps, {name: session.advance(x) for name, session in sessions.items()}
                if steps.stop == timesteps:
                    for name, session in sessions.items():
                        self.results[name].append(session.finish())
                        self.bars[name](chosen.stop, self.samples)

    def run(self, x: NDArray[Any], chosen: slice, *, record: bool = False) -> dict[str, Mapping[str, Recording]]:
        """Run the payloads of some samples on every backend, and return what was recorded."""
        found: dict[str, Mapping[str, Recording]] = {}
        for name, backend in self.backends.items():
            step = self.bars[name]

            def done(count: int, _: int, step: Progress = step) -> None:
                step(chosen.start + count, self.samples)

            result = replay.run(backend, self.made, x, record=record, progress=done)
            found[name] = result.recordings
            trace = None if result.trace is None else replace(result.trace, spikes={}, v={}, u={})
            self.results[name].append(replace(result, recordings={}, trace=trace))
        return found

    def _open(self, backend: Backend, chosen: slice) -> AbstractContextManager[Session]:
        if isinstance(backend, Resumable):
            return backend.open(self.made, chosen.stop - chosen.start)
        timesteps = self.made.integer.timesteps
        fresh = Payloads(self.made, self.payloads.x) if isinstance(self.payloads, Payloads) else self.payloads
        return nullcontext(_Whole(replay.run(backend, self.made, fresh.take(chosen, slice(0, timesteps)), record=True)))

    def _cut(self, timesteps: int) -> Cut:
        graph = self.made.integer
        neurons = sum(op.size for op in graph if isinstance(op, IntNeuron))
        budgets = 1 if all(isinstance(one, Resumable) for one in self.backends.values()) else STARTS
        size = int_cut(graph, self.samples, timesteps, states=True)
        recorded = cut(self.samples, timesteps, len(self.backends) * neurons * RECORDED_BYTES)
        if replays_of(graph):
            return Cut(min(self.samples, budgets * min(size.samples, recorded.samples)), timesteps)
        found = Cut(min(size.samples, recorded.samples), min(size.steps, recorded.steps))
        if found.steps == timesteps:
            found = Cut(min(self.samples, budgets * found.samples), timesteps)
        return found

    def result(self, name: str) -> RunResult:
        """Return the answers, counters and seconds of all parts, recordings left out."""
        parts = self.results[name]
        traces = [part.trace for part in parts if part.trace is not None]
        return RunResult(
            np.concatenate([part.answer for part in parts]),
            {},
            sum(part.startup_s for part in parts),
            sum(part.run_s for part in parts),
            joined_traces(traces) if traces else None,
            None
            if any(part.saturations is None for part in parts)
            else added(part.saturations or {} for part in parts),
        )


def run_parts(made: Deployment, backend: Backend, payloads: Payloads, record: bool, progress: Progress) -> RunResult:
    """Run data on one backend, as many samples at once as payloads fit the budget; ``record``: all at once, as asked."""
    timesteps, samples = payloads.x.shape[:2]
    row = prod(made.integer.input.shape) * np.dtype(payload_type(made.integer)).itemsize
    size = cut(samples, timesteps, row, whole=True, most=samples)
    if record or size.samples == samples:
        whole = payloads.take(slice(0, samples), slice(0, timesteps))
        return replay.run(backend, made, whole, record=record, progress=progress)
    stream = Stream(made, {"": backend}, payloads, samples, lambda _: progress)
    for chosen, steps in size.parts(samples, timesteps):
        stream.run(payloads.take(chosen, steps), chosen)
    return stream.result("")


@dataclass
class _Whole:
    """A session of a backend that takes whole samples: it ran before, and its recordings are handed out by steps."""

    ran: RunResult
    first: int = 0

    def advance(self, x: IntArray) -> Mapping[str, Recording]:
        steps = slice(self.first, self.first + x.shape[0])
        self.first = steps.stop
        return {
            name: Recording(r.out[steps], r.v[steps], None if r.u is None else r.u[steps])
            for name, r in self.ran.recordings.items()
        }

    def finish(self) -> RunResult:
        return replace(self.ran, recordings={})
