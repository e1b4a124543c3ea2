"""Delays that outlast a run of T steps: an op first hears of the input at  h = min over its operands of h + steps."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Delay


def outlasting(graph: Graph) -> tuple[Diagnostic, ...]:
    """Return a warning for every delay of a float graph through which nothing of the input comes within its T steps."""
    return tuple(_outlasting(graph))


def _outlasting(graph: Graph) -> Iterator[Diagnostic]:
    heard = _first_heard(graph)
    found: dict[str, list[int]] = {}
    for op in graph:
        if isinstance(op, Delay) and heard[op.name] >= graph.timesteps > heard[op.inputs[0]]:
            found.setdefault(op.block or op.name, []).append(op.steps)
    for name, steps in found.items():
        some = f"{min(steps):,}" + (f" to {max(steps):,}" if len(set(steps)) > 1 else "")
        what = f"of what it delays by {some} steps nothing arrives within T = {graph.timesteps:,} steps of {graph.dt_s:g} s"
        lasts = f"T is {graph.timesteps * graph.dt_s:g} s"
        help = f"correct them (NIR holds delays in s, a .net in steps; {lasts}), or run the net for longer"
        yield Diagnostic("delay-outlasts", f"delay {name!r}", what, help)


def _first_heard(graph: Graph) -> dict[str, float]:
    """Return the step at which each op first hears of the input."""
    heard = {op.name: inf if op.inputs else 0.0 for op in graph}
    while True:
        before = dict(heard)
        for op in graph:
            if op.inputs:
                late = op.steps if isinstance(op, Delay) else 0
                heard[op.name] = min(heard[op.name], min(heard[name] for name in op.inputs) + late)
        if heard == before:
            return heard
