"""Lower STAA-style layers: the position encoding to a clock's synapses, static gains to tables.

    clock      T neurons, neuron t fires at step t and never again:  v = v + 1;  s = v >= t + 1;  v[s] = -(T + 1)
    position   X[t] = X + pe[t]  =  X + W clock,   W[c, t] = pe[t, c]

The clock is driven by its bias, not by events; reports name it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spikewright.toolchain.interpret.joint import gated_by_counts
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Array, AttentiveLif, GateTable, Lif, Op, StaaLif
from spikewright.toolchain.passes.base import in_place

TRAIN = "train STAALIF(variant='causal'), or deploy with --gates static"


def refused(op: StaaLif, strategy: str) -> str:
    """Return why a block and a strategy do not go together; "" where they do."""
    causal = op.variant == "causal"
    match strategy:
        case "static":
            return ""
        case "causal":
            step = f"its step attention reads all {op.timesteps} steps"
            reads = "a softmax of the current" if "gc_key" in op.parameters else "a layer norm of its counts"
            return "" if causal else f"{step}, and its aggregator is {reads}"
        case "host":
            return "the block stands behind the first spike; only blocks in front of it can run on the host"
        case "replay":
            known = "its gates are known in time, so there is nothing to replay"
            return known if causal else "replaying the input is not built yet"
        case _:
            earlier = "its gates come from earlier steps, so there is nothing to wait for inside one"
            return earlier if causal else f"its step attention reads all {op.timesteps} steps, not one"


def position(op: StaaLif) -> list[Op]:
    """Return the clock and its synapses; nothing where there is no position encoding."""
    if "pe" not in op.parameters:
        return []
    pe, block = op.parameters["pe"], op.block
    T, shape = pe.shape[0], op.neuron.shape
    clock = Lif(
        name=f"{op.name}.clock",
        block=block,
        shape=(T,),
        beta=np.ones(()),
        leak=np.ones(()),
        v_threshold=np.arange(1.0, T + 1),
        v_reset=np.full((), -(T + 1.0)),
        comparison=">=",
    )
    weight = np.repeat(pe.T, int(np.prod(shape[1:])), axis=0)
    return [clock, Affine(name=f"{op.name}.position", inputs=(clock.name,), block=block, weight=weight)]


def causal_form(graph: Graph, op: StaaLif) -> tuple[Graph, AttentiveLif]:
    """Return the graph with the position encoding as synapses, and the causal gates, shared with MA, that are left."""
    before = position(op)
    left = replace(gated_by_counts(op), inputs=(*op.inputs, *(p.name for p in before[1:])))
    return in_place(graph, op, [*before, left]), left


def lower_staa_static(graph: Graph, op: StaaLif, means: dict[str, Array]) -> Graph:
    """Replace the gains by constants: the aggregator's ("C") on the current, the step attention ("T") on what is sent."""
    before = position(op)
    tables = [GateTable(name=f"{op.name}.{key}.table", block=op.block, table=mean) for key, mean in means.items()]
    drives = (*op.inputs, *(p.name for p in before[1:]))
    neuron = replace(
        op.neuron,
        name=op.name,
        block=op.block,
        inputs=(*drives, *(t.name for t in tables)),
        gates=len(tables),
        output_gate=op.variant == "reconstruction",
    )
    return in_place(graph, op, [*before, *tables, neuron])
