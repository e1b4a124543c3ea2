"""Runs of a net whose gates need steps to come: run, read out what the gates are made of, compute them on the host, run again.

Gates that read nothing of each other are computed together: runs = 1 + the longest chain of them. In a run, gates that are
not known yet stand at 1.0; what is read out follows from known ones only. The host works in float64 on v times its scale, and
rounds a gate once, so that every backend gets the same levels. Counted and priced: all runs, each level the host sends when it
changes, and a host message for each value read out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Protocol, runtime_checkable

import numpy as np

from spikewright.hw_sim import HostGate, in_sequence
from spikewright.toolchain.backends import Backend, IntArray, Progress, RunResult
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import BackendError
from spikewright.toolchain.integer import IntReplay, replays_of
from spikewright.toolchain.interpret import host_levels
from spikewright.toolchain.ir import Graph

Levels = Mapping[str, IntArray]
"""Gate levels that the host sends, (T, B, *shape), by op."""


@runtime_checkable
class TakesGates(Protocol):
    """A backend that takes gate levels from the host in a run."""

    def run_gated(
        self,
        deployment: Deployment,
        x: IntArray,
        gates: Levels,
        *,
        record: bool = False,
        progress: Progress | None = None,
    ) -> RunResult:
        """Run payloads under the levels of every host gate; else as ``run``."""
        ...


def rounds(graph: Graph) -> list[list[IntReplay]]:
    """Return the gates that each run but the last makes known."""
    depth: dict[str, int] = {}
    for op in graph:
        read = max((depth.get(name, 0) for name in op.inputs), default=0)
        depth[op.name] = read + isinstance(op, IntReplay)
    found = replays_of(graph)
    last = max((depth[op.name] for op in found), default=0)
    return [[op for op in found if depth[op.name] == k] for k in range(1, last + 1)]


def values_read(graph: Graph) -> int:
    """Return how many values of a sample the host reads in one step, in all runs."""
    taps = {name for op in replays_of(graph) for name in op.inputs}
    return sum(prod(vars(graph[name])["shape"]) for name in taps)


def run(
    backend: Backend, made: Deployment, x: IntArray, *, record: bool = False, progress: Progress | None = None
) -> RunResult:
    """Run payloads on a backend, as often as the net's gates ask for.

    Raises:
        BackendError: The net's gates come from the host, and the backend takes none.
    """
    passes = rounds(made.integer)
    if not passes or getattr(backend, "sees_all_steps", False):
        return backend.run(made, x, record=record, progress=progress)
    if not isinstance(backend, TakesGates):
        raise BackendError(
            "takes no gates from a host, which this net (--gates replay) needs",
            where=f"backend {backend.name!r}",
            help="run it on interpreter, hw_sim or lava, or give the backend a method run_gated",
        )
    gates = {op.name: _open(op, *x.shape[:2]) for op in replays_of(made.integer)}
    results = []
    for known in passes:
        found = backend.run_gated(made, x, gates, record=True)
        held = {name: found.recordings[name].v for op in known for name in op.inputs}
        gates |= {op.name: host_levels(made.integer, op, held) for op in known}
        results.append(billed(found, sum(held[name][0, 0].size for name in held)))
    last = backend.run_gated(made, x, gates, record=record, progress=progress)
    return _joined([*results, last])


def _open(op: IntReplay, steps: int, samples: int) -> IntArray:
    """Return the levels of a gate that is not known yet: 1.0."""
    assert isinstance(op.soma, HostGate)
    return np.full((steps, samples, *op.shape), op.soma.idle, np.int64)


def billed(found: RunResult, values: int) -> RunResult:
    """Return a run with the values that the host read in each of its steps."""
    if found.trace is None:
        return found
    trace, read = found.trace, found.trace.host_messages.copy()
    read[: trace.steps] += values * trace.samples
    return replace(found, trace=replace(trace, host_messages=read))


def _joined(results: list[RunResult]) -> RunResult:
    """Return the last of several runs, with the time and the counters of all."""
    last = results[-1]
    traces = [found.trace for found in results if found.trace is not None]
    return replace(
        last,
        startup_s=sum(found.startup_s for found in results),
        run_s=sum(found.run_s for found in results),
        trace=in_sequence(traces) if traces else None,
        last=last.trace,
    )
