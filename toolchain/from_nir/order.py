"""Order of evaluation: a deterministic topological sort; one-step recurrence made explicit, longer feedback refused.

A loop through one neuron and linear maps (n -> n, n -> w -> n, n -> w -> s -> n) is the usual one-step recurrence: it gets a
``Delay(steps=1)`` behind what fires, n or the Threshold that reads it. Any other feedback must go through a Delay node of at
least one step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from heapq import heapify, heappop, heappush
from typing import TypeVar

import nir
import numpy as np

from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.from_nir.flatten import Edge, Flat
from spikewright.toolchain.ir import fresh

Key = TypeVar("Key", str, int)

SILENT = (nir.I, nir.LI, nir.CubaLI)
STATEFUL = (*SILENT, nir.IF, nir.LIF, nir.CubaLIF)
MAPS = (nir.Affine, nir.Linear, nir.Scale, nir.Conv1d, nir.Conv2d, nir.SumPool2d, nir.AvgPool2d, nir.Flatten)


class OneStep(nir.NIRNode):  # type: ignore[misc]
    """A delay of one step, inserted on a recurrent edge (never in a file)."""

    def __init__(self) -> None:
        self.input_type = {"input": None}
        self.output_type = {"output": None}
        self.metadata: dict[str, object] = {}


def explicit_recurrence(flat: Flat, where: str = "graph") -> Flat:
    """Put a one-step delay on every loop through one neuron and linear maps.

    Raises:
        UnsupportedNodeError: Another loop has no Delay node that is late for all its values; the loop is named.
    """
    nodes, edges = dict(flat.nodes), list(flat.edges)
    for loop in components(sorted(nodes), _without_delays(nodes, edges)):
        if len(loop) == 1 and (loop[0], loop[0]) not in edges:
            continue
        neuron = _center(loop, nodes, edges)
        if neuron is None:
            raise UnsupportedNodeError(
                f"the loop {_cycle(loop, edges)} has no Delay node of one step or more",
                where=where,
                help="put a Delay on the feedback edge, of as many steps as the loop has neurons "
                "(one neuron and linear maps need none)",
            )
        delay = fresh(f"{neuron}.delay", nodes)
        nodes[delay] = OneStep()
        inside = set(loop)
        edges = [(delay, b) if a == neuron and b in inside else (a, b) for a, b in edges]
        edges.append((neuron, delay))
    return replace(flat, nodes=nodes, edges=tuple(edges))


def sort(flat: Flat) -> list[str]:
    """Return the nodes so that operands stand first, loops in one piece, delays first in their loop; ties by name."""
    names = sorted(flat.nodes)
    loops = components(names, flat.edges)
    home = {name: index for index, loop in enumerate(loops) for name in loop}
    between = {(home[a], home[b]) for a, b in flat.edges if home[a] != home[b]}
    out: list[str] = []
    for index in _kahn(range(len(loops)), between, {i: min(loop) for i, loop in enumerate(loops)}):
        loop = set(loops[index])
        inner = {(a, b) for a, b in _without_delays(flat.nodes, flat.edges) if a in loop and b in loop and a != b}
        key = {name: f"{0 if is_delay(flat.nodes[name]) else 1}{name}" for name in loop}
        out += _kahn(sorted(loop), inner, key)
    return out


def is_delay(node: nir.NIRNode) -> bool:
    """Say whether a node delays its signal."""
    return isinstance(node, OneStep) or (isinstance(node, nir.Delay) and bool(np.all(np.asarray(node.delay) > 0)))


def _without_delays(nodes: dict[str, nir.NIRNode], edges: Iterable[Edge]) -> list[Edge]:
    return [(a, b) for a, b in edges if not is_delay(nodes[b])]


def _center(loop: list[str], nodes: dict[str, nir.NIRNode], edges: list[Edge]) -> str | None:
    """Return what fires in a one-step recurrence, or None: one neuron, else linear maps that feed it alone, no other loop."""
    fires = [name for name in loop if isinstance(nodes[name], nir.Threshold)]
    neurons = [name for name in loop if isinstance(nodes[name], STATEFUL)]
    maps = set(loop).difference(neurons, fires)
    around = {end for edge in edges if maps & set(edge) for end in edge}
    if len(neurons) != 1 or not all(isinstance(nodes[name], MAPS) for name in maps) or not around <= set(loop):
        return None
    inside = [(a, b) for a, b in edges if a in loop and b in loop]
    if fires and not (isinstance(nodes[neurons[0]], SILENT) and [b for a, b in inside if a == neurons[0]] == fires):
        return None
    center = (fires or neurons)[0]
    beside = [(a, b) for a, b in inside if center not in (a, b)]
    rest = sorted(set(loop) - {center})
    return center if len(components(rest, beside)) == len(rest) and all(a != b for a, b in beside) else None


def _cycle(loop: list[str], edges: list[Edge]) -> str:
    """Write one cycle of a strongly connected set as a -> b -> a."""
    path = [min(loop)]
    while path.count(path[-1]) < 2:
        path.append(min(b for a, b in edges if a == path[-1] and b in loop))
    return " -> ".join(path[path.index(path[-1]) :])


def _kahn(names: Iterable[Key], edges: set[tuple[Key, Key]], rank: dict[Key, str]) -> list[Key]:
    waiting = {name: 0 for name in names}
    readers: dict[Key, list[Key]] = {name: [] for name in waiting}
    for a, b in edges:
        waiting[b] += 1
        readers[a].append(b)
    ready = [(rank[name], name) for name, count in waiting.items() if count == 0]
    heapify(ready)
    out: list[Key] = []
    while ready:
        _, name = heappop(ready)
        out.append(name)
        for reader in readers[name]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heappush(ready, (rank[reader], reader))
    return out


def components(names: list[str], edges: Iterable[Edge]) -> list[list[str]]:
    """Return the strongly connected sets of nodes, each sorted (Kosaraju, without recursion)."""
    forward: dict[str, list[str]] = {name: [] for name in names}
    backward: dict[str, list[str]] = {name: [] for name in names}
    for a, b in edges:
        forward[a].append(b)
        backward[b].append(a)
    finished: list[str] = []
    seen: set[str] = set()
    for name in names:
        _visit(name, forward, seen, finished)
    seen.clear()
    sets: list[list[str]] = []
    for name in reversed(finished):
        found: list[str] = []
        _visit(name, backward, seen, found)
        if found:
            sets.append(sorted(found))
    return sets


def _visit(start: str, edges: dict[str, list[str]], seen: set[str], finished: list[str]) -> None:
    if start in seen:
        return
    seen.add(start)
    stack = [(start, iter(edges[start]))]
    while stack:
        name, rest = stack[-1]
        following = next((n for n in rest if n not in seen), None)
        if following is None:
            finished.append(name)
            stack.pop()
        else:
            seen.add(following)
            stack.append((following, iter(edges[following])))
