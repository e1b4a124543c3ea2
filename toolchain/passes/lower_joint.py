"""Lower TCJA's gate on spikes: counts per channel, taps over time or channels, gate neurons, relays that send g S.

    count   Z[c] = mean_HW S[c], sent when it changes          (depthwise synapses, one rectifier a channel)
    TLA     P[i] = sum_m tla[:, :, m] Z, k - 1 - m steps late  (one synapse block a tap)
    CLA     Q[c] = sum_m cla[m] n[c + m - (k - 1) // 2]        (n: the count that is kept, ``memory`` "count")
    relay   a memoryless neuron for each S': sends the level of its gate; of a binary gate, a binary spike

A relay starts when its gate is there, so any ``gate_delay`` from 0 on is exact. A constant gate needs no relay where the
neuron in front has no other reader: the neuron sends its level itself.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.interpret.joint import channel_matrix
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
    Accumulator,
    Affine,
    Array,
    AttentiveLif,
    Conv,
    Delay,
    GateNeuron,
    GateTable,
    Input,
    JointGate,
    Lif,
    MaxPool,
    Op,
    Shape,
    StaaLif,
)
from spikewright.toolchain.passes.base import in_place
from spikewright.toolchain.shapes import shapes

TRAIN = "train TCJA(variant='causal', dims='T'), or dims='C' with cla_memory='count', or deploy with --gates static"


def refused(op: JointGate, strategy: str) -> str:
    """Return why a block and a strategy do not go together; "" where they do."""
    match strategy:
        case "static":
            return ""
        case "causal" if op.variant == "published":
            return " and ".join(_looks_ahead(op))
        case "causal":
            return _not_lowered(op)
        case "host":
            return "the block stands behind the first spike; only blocks in front of it can run on the host"
        case "replay" if op.variant == "published":
            return "replaying the input is not built yet"
        case "replay":
            return "its gates are known in time, so there is nothing to replay"
        case _ if op.variant == "published":
            return "its gates read other steps than the one they act on"
        case _:
            return "a relay waits for its gate anyway, so there is nothing to wait for inside a step"


def _looks_ahead(op: JointGate) -> list[str]:
    found = []
    if "T" in op.dims:
        k = op.parameters["tla"].shape[-1]
        ahead = k - 1 - (k - 1) // 2
        found.append(f"its TLA looks {ahead} step{'' if ahead == 1 else 's'} ahead")
    if "C" in op.dims:
        found.append(f"its CLA reads all {op.timesteps} steps")
    return found


def _not_lowered(op: JointGate) -> str:
    if op.dims == "TC":
        return "its gate is h(P Q), a product of two sums: a neuron scales by a gain, it does not multiply sums"
    if op.dims == "C" and op.memory == "table":
        return "its CLA has other weights for every pair of steps: synapses are the same in every step"
    return ""


def lower_joint_causal(graph: Graph, op: JointGate, *, binary_input: bool) -> Graph:
    """Lower a causal gate exactly."""
    _check_binary(graph, op, binary_input)
    block, channels = op.block, op.shape[0]
    spikes = graph[op.inputs[0]]
    count = _count(op, spikes.name, _shape(graph, op, spikes))
    keeps = op.decay if op.dims == "C" else 0.0
    size = (channels, 1, 1) if isinstance(count, Conv) else (channels,)
    held = Accumulator(name=f"{op.name}.count", inputs=(count.name,), block=block, shape=size, decay=keeps)
    taps = _over_time(op, held.name) if op.dims == "T" else _over_channels(op, held.name)
    gate = GateNeuron(
        name=f"{op.name}.gate",
        inputs=tuple(tap.name for tap in taps if isinstance(tap, Affine)),
        block=block,
        shape=(channels, *(1,) * (len(op.shape) - 1)),
        bias=np.zeros(1),
        decay=0.0,
        function=op.gate,
        differences=True,
    )
    fresh: list[Op] = [count, held, *taps, gate]
    if op.gate_delay:
        late = Delay(name=f"{op.name}.late", inputs=(gate.name,), block=block, steps=op.gate_delay, initial=1.0)
        fresh.append(late)
    return in_place(graph, op, [*fresh, relay(op, fresh[-1].name, graded=op.gate != "binary")])


def _shape(graph: Graph, op: JointGate, spikes: Op) -> Shape:
    """Return the shape of the spikes that are counted."""
    if len(op.inputs) == 1:
        return op.shape
    return shapes(graph)[spikes.name]


def _count(op: JointGate, source: str, shape: Shape) -> Affine | Conv:
    """Return the mean over H and W as synapses."""
    name, channels = f"{op.name}.mean", shape[0]
    if len(shape) != 3:
        space = int(np.prod(shape[1:]))
        weight = np.repeat(np.eye(channels), space, axis=1) / space
        return Affine(name=name, inputs=(source,), block=op.block, weight=weight)
    weight = np.full((channels, 1, *shape[1:]), 1 / (shape[1] * shape[2]))
    return Conv(name=name, inputs=(source,), block=op.block, weight=weight, groups=channels)


def _over_time(op: JointGate, source: str) -> list[Op]:
    tla, found = op.parameters["tla"], list[Op]()
    k = tla.shape[-1]
    for m in range(k):
        name, read, lag = f"{op.name}.tla{m}", source, k - 1 - m
        if lag:
            read = f"{name}.late"
            found.append(Delay(name=read, inputs=(source,), block=op.block, steps=lag))
        found.append(Affine(name=name, inputs=(read,), block=op.block, weight=tla[:, :, m]))
    return found


def _over_channels(op: JointGate, source: str) -> list[Op]:
    weight = channel_matrix(op.parameters["cla"][0, 0], op.shape[0]) / op.timesteps
    return [Affine(name=f"{op.name}.cla", inputs=(source,), block=op.block, weight=weight)]


def relay(op: JointGate, gate: str, *, graded: bool) -> Lif:
    """Return the neurons that pass spikes on with the level of a gate: as payload, or, of a 0/1 gate, all or nothing."""
    return Lif(
        name=op.name,
        inputs=(op.inputs[-1], gate),
        block=op.block,
        shape=op.shape,
        beta=np.zeros(()),
        v_threshold=np.full((), 0.5),
        gates=1,
        output_gate=graded,
    )


def lower_joint_static(graph: Graph, op: JointGate, mean: Array, *, binary_input: bool) -> Graph:
    """Replace the gate by constants per step and channel, (T, C, 1, 1)."""
    _check_binary(graph, op, binary_input)
    table = GateTable(name=f"{op.name}.table", block=op.block, table=mean)
    neuron = graph[op.inputs[-1]]
    if isinstance(neuron, Lif) and graph.feeds_only(neuron, op):
        own = replace(
            neuron, name=op.name, inputs=(*neuron.inputs, table.name), gates=neuron.gates + 1, output_gate=True
        )
        return graph.replace((neuron, op), (table, own))
    return in_place(graph, op, [table, relay(op, table.name, graded=True)])


def not_binary(graph: Graph, op: JointGate, *, binary_input: bool) -> Op | None:
    """Return what a block reads that is no sender of binary spikes, if anything."""
    for name in op.inputs:
        source = graph[name]
        spikes = (isinstance(source, Lif) and not source.output_gate) or isinstance(source, AttentiveLif | MaxPool)
        spikes = spikes or (isinstance(source, StaaLif) and source.variant == "causal")
        if not spikes and not (isinstance(source, Input) and binary_input):
            return source
    return None


def _check_binary(graph: Graph, op: JointGate, binary_input: bool) -> None:
    """Refuse to scale or count anything but binary spikes."""
    source = not_binary(graph, op, binary_input=binary_input)
    if source is not None:
        raise GateLoweringError(
            f"TCJA gates {type(source).__name__} {source.name!r}, which does not send binary spikes",
            where=f"block {op.block!r}",
            help="put TCJA right behind a spiking neuron (a max pool between is fine)",
        )
