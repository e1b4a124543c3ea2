"""Before the rules: which lowering each attention block gets, the graph that then runs, and who reads what how often."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolchain.ir import Graph
from toolchain.ops import Add, Array, AttentiveLif, Flatten, GatedCoding, Multiply, Relu, Scale, SumPool
from toolchain.passes.lower_gates import REFUSED, lower_causal, lower_static

SUMS = (Add, Flatten, Scale, Relu, Multiply, SumPool)
"""Ops through which a neuron reads synapses further in front."""


def by_op(graph: Graph, strategies: Mapping[str, str]) -> dict[str, str]:
    """Return the lowering of each attention op, which may be asked for by its own or its block's name."""
    found = {}
    for op in graph:
        if isinstance(op, AttentiveLif | GatedCoding):
            wanted = strategies.get(op.name, strategies.get(op.block))
            if wanted in ("auto", "host") and isinstance(op, AttentiveLif):
                wanted = "causal" if op.variant == "causal" else "static"
            if wanted is not None:
                found[op.name] = "host" if wanted == "auto" else wanted
    return found


def lower(
    graph: Graph, strategies: Mapping[str, str], hosts: frozenset[str]
) -> tuple[Graph, dict[str, tuple[str, ...]]]:
    """Lower attention as the compiler does where that is asked for, so that what is judged is what runs; notes by block."""
    notes: dict[str, tuple[str, ...]] = {}
    for op in graph.ops:
        if not isinstance(op, AttentiveLif) or op.name in hosts:
            continue
        wanted = strategies.get(op.name)
        if wanted == "static":
            graph = lower_static(graph, op, _unit_gates(op))
            notes[op.block] = ("gates are constants from calibration; the drift they cause is reported apart",)
        elif op.variant == "causal":
            graph = lower_causal(graph, op)
            notes[op.block] = (f"gates from its own spikes, {op.gate_delay} steps late",)
        elif wanted == "causal":
            notes[op.block] = (f"cannot be lowered by 'causal': {REFUSED[op.variant, 'causal']}",)
    return graph, notes


def _unit_gates(op: AttentiveLif) -> dict[str, Array]:
    """Return constant gates of the right shapes; their values do not matter to the rules."""
    channels, *space = op.neuron.shape
    gate_shapes = {"T": (1,), "C": (channels,), "S": (1, *space)}
    return {dim: np.ones((1, *gate_shapes[dim])) for dim in op.dims}


def copies(graph: Graph) -> dict[str, int]:
    """Count the readers of every op behind sums; each gets synapses of its own."""
    counts: dict[str, int] = {}
    for op in reversed(graph.ops):
        through = [counts.get(r.name, 1) if isinstance(r, SUMS) else 1 for r in graph.readers[op.name]]
        counts[op.name] = max(1, sum(through))
    return counts
