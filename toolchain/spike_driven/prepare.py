"""Before the rules: which lowering each attention block gets, the graph that then runs, and who reads what how often."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
    Add,
    Array,
    Attention,
    AttentiveLif,
    Flatten,
    GatedCoding,
    JointGate,
    Multiply,
    Relu,
    Scale,
    StaaLif,
    SumPool,
)
from spikewright.toolchain.passes.lower_gates import lower_constant, lower_exactly, own_strategy, refused
from spikewright.toolchain.passes.lower_joint import not_binary
from spikewright.toolchain.passes.lower_max_pool import pool_first

SUMS = (Add, Flatten, Scale, Relu, Multiply, SumPool)
"""Ops through which a neuron reads synapses further in front."""


def by_op(graph: Graph, strategies: Mapping[str, str]) -> dict[str, str]:
    """Return the lowering of each attention op, which may be asked for by its own or its block's name."""
    found = {}
    for op in graph:
        if isinstance(op, Attention):
            wanted = strategies.get(op.name, strategies.get(op.block))
            if wanted in ("auto", "host") and not isinstance(op, GatedCoding):
                wanted = own_strategy(op)
            if wanted is not None:
                found[op.name] = "host" if wanted == "auto" else wanted
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
        if not isinstance(op, AttentiveLif | JointGate | StaaLif) or op.name in hosts:
            continue
        wanted, reason = strategies.get(op.name), refused(op, "causal")
        if isinstance(op, JointGate) and not_binary(graph, op, binary_input=True) is not None:
            continue
        if wanted == "static":
            graph = lower_constant(graph, op, _unit_gates(op), binary_input=True)
            notes[op.block] = ("gates are constants from calibration; the drift they cause is reported apart",)
        elif op.variant == "causal" and not reason:
            graph = lower_exactly(graph, op, binary_input=True)
            late = f"{op.gate_delay} steps late" if op.gate_delay else "in the same step"
            own = "the spikes it gates" if isinstance(op, JointGate) else "its own spikes"
            notes[op.block] = (f"gates from {own}, {late}",)
        elif wanted == "causal":
            notes[op.block] = (f"cannot be lowered by 'causal': {reason}",)
    return graph, notes


def _unit_gates(op: AttentiveLif | JointGate | StaaLif) -> dict[str, Array]:
    """Return constant gates of the right shapes; their values do not matter to the rules."""
    if isinstance(op, JointGate):
        return {"TC": np.ones((1, op.shape[0], *(1,) * (len(op.shape) - 1)))}
    channels, *space = op.neuron.shape
    if isinstance(op, StaaLif):
        one = (1,) * len(space)
        gates = {"T": np.ones((1, 1, *one)), "C": np.ones((1, channels, *one))}
        return gates if op.variant == "causal" else {"C": gates["C"], "T": gates["T"]}
    gate_shapes = {"T": (1,), "C": (channels,), "S": (1, *space)}
    return {dim: np.ones((1, *gate_shapes[dim])) for dim in op.dims}


def copies(graph: Graph) -> dict[str, int]:
    """Count the readers of every op behind sums; each gets synapses of its own."""
    counts: dict[str, int] = {}
    for op in reversed(graph.ops):
        through = [counts.get(r.name, 1) if isinstance(r, SUMS) else 1 for r in graph.readers[op.name]]
        counts[op.name] = max(1, sum(through))
    return counts
