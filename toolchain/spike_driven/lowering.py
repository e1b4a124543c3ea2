"""Before the rules: which lowering each attention block gets, the graph that then runs, and who reads what how often."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import AdaptivePool, Add, Array, Flatten, Multiply, Relu, Scale, SumPool
from spikewright.toolchain.passes.lower_max_pool import pool_first

SUMS = (Add, Flatten, Scale, Relu, Multiply, SumPool, AdaptivePool)
"""Ops through which a neuron reads synapses further in front."""


OFF_STREAM = {
    "replay": "every sample runs again for it: the host computes its gates from what it read out of the run before",
    "barrier": "exact and causal, but no event drives it: neurons wait inside the step for a pool of all membranes",
}
"""What a reader should know of lowerings that are exact and no events, by strategy."""


def by_op(graph: Graph, strategies: Mapping[str, str]) -> dict[str, str]:
    """Return the lowering of each attention op, which may be asked for by its own or its block's name."""
    found = {}
    for op in graph:
        if isinstance(op, AttentionBlock):
            wanted = strategies.get(op.name, strategies.get(op.block))
            if wanted is not None:
                found[op.name] = op.own_strategy if wanted in ("auto", "host") else wanted
    return found


def lower(
    graph: Graph, strategies: Mapping[str, str], hosts: frozenset[str]
) -> tuple[Graph, dict[str, tuple[str, ...]]]:
    """Lower attention as the compiler does where that is asked for, so that what is judged is what runs; notes by block."""
    notes: dict[str, tuple[str, ...]] = {}
    pooled = pool_first(graph)
    strategies = by_op(pooled, strategies) if pooled is not graph else strategies
    graph = pooled
    for op in graph.ops:
        if not isinstance(op, AttentionBlock) or op.on_host or op.name in hosts or op.misread(graph) is not None:
            continue
        wanted, reason = strategies.get(op.name), op.refusal("causal")
        if wanted == "static":
            graph = op.lowerings()["static"](graph, _unit_gates(op))
            notes[op.block] = ("gates are constants from calibration; the drift they cause is reported apart",)
        elif wanted in OFF_STREAM and not op.refusal(wanted):
            notes[op.block] = (OFF_STREAM[wanted],)  # judged as published: what is wrong with it stays
        elif not reason:
            graph = op.lowerings()["causal"](graph, {})
            notes[op.block] = (op.note,)
        elif wanted == "causal":
            notes[op.block] = (f"cannot be lowered by 'causal': {reason}",)
    return graph, notes


def _unit_gates(op: AttentionBlock) -> dict[str, Array]:
    """Return constant gates of the right shapes; their values do not matter to the rules."""
    return {dim: np.ones((1, *shape)) for dim, shape in op.gate_shapes().items()}


def copies(graph: Graph) -> dict[str, int]:
    """Count the readers of every op behind sums; each gets synapses of its own."""
    counts: dict[str, int] = {}
    for op in reversed(graph.ops):
        through = [counts.get(r.name, 1) if isinstance(r, SUMS) else 1 for r in graph.readers[op.name]]
        counts[op.name] = max(1, sum(through))
    return counts
