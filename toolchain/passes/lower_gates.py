"""Lower attention blocks to neurons, synapses, gate ports: ``causal`` gates from earlier events, ``static`` ones from a table.

The host strategy (attention in front of the first spike) is ``split-host``; strategy and family meet in ``STRATEGIES``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np

from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.interpret.attention import attentive_gates
from spikewright.toolchain.interpret.joint import gated_by_counts, joint_gains, positioned, staa_gains
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
    Accumulator,
    Affine,
    Array,
    Attention,
    AttentiveLif,
    Conv,
    Delay,
    GatedCoding,
    GateNeuron,
    GateTable,
    JointGate,
    Op,
    StaaLif,
)
from spikewright.toolchain.passes import lower_joint, lower_staa
from spikewright.toolchain.passes.base import Pass, in_place

Strategy = Literal["auto", "static", "causal", "barrier", "replay", "host"]

REFUSED: dict[tuple[str, str], str] = {
    ("code", "causal"): "its channel and spatial gates pool over all T steps: they need frames that have not arrived",
    ("paper", "causal"): "its temporal gate needs all T steps, and its other gates read the membrane inside the step",
    ("code", "barrier"): "its gates pool over all T steps, not over one",
    ("paper", "barrier"): "in-step sub-barriers have no mapping yet",
    ("causal", "barrier"): "its gates come from earlier steps, so there is nothing to wait for inside one",
    ("code", "replay"): "replaying the input is not built yet",
    ("paper", "replay"): "replaying the input is not built yet",
    ("causal", "replay"): "its gates are known in time, so there is nothing to replay",
    ("causal", "host"): "the block stands behind the first spike; only blocks in front of it can run on the host",
    ("code", "host"): "the block stands behind the first spike; only blocks in front of it can run on the host",
    ("paper", "host"): "the block stands behind the first spike; only blocks in front of it can run on the host",
}
"""Family variant and strategy that do not go together, with the reason."""


def refused(op: Attention, strategy: Strategy) -> str:
    """Return why a block and a strategy do not go together; "" where they do."""
    match op:
        case AttentiveLif():
            return REFUSED.get((op.variant, strategy), "")
        case JointGate():
            return lower_joint.refused(op, strategy)
        case StaaLif():
            return lower_staa.refused(op, strategy)
        case _:
            return ""


def strategy_for(op: Attention, wanted: Strategy) -> Strategy:
    """Return the strategy an attention block gets, or refuse it with the reason.

    Raises:
        GateLoweringError: The block and the strategy do not go together.
    """
    if isinstance(op, GatedCoding):
        return "host"
    chosen = own_strategy(op) if wanted == "auto" else wanted
    reason = refused(op, chosen)
    if reason:
        title, help = _described(op)
        raise GateLoweringError(
            f"{title} cannot be lowered by {chosen!r}: {reason}", where=f"block {op.block!r}", help=help
        )
    return chosen


def strategies_for(blocks: Sequence[Attention], wanted: Strategy) -> dict[str, str]:
    """Return the strategy of every attention block of a net, by block.

    A ``GatedCoding`` block in front of the first spike runs on the host whatever the others get; where there are no others,
    another strategy is refused.

    Raises:
        GateLoweringError: A block and the strategy do not go together.
    """
    encoders = [op for op in blocks if isinstance(op, GatedCoding)]
    if encoders and len(encoders) == len(blocks) and wanted not in ("auto", "host"):
        raise GateLoweringError(
            f"gated attention coding cannot be lowered by {wanted!r}: it stands in front of the first spike, where "
            "its gates are computed once per sample on the host",
            where=f"block {encoders[0].block!r}",
            help="deploy with --gates host (or auto)",
        )
    return {op.block: strategy_for(op, wanted) for op in blocks}


def own_strategy(op: AttentiveLif | JointGate | StaaLif) -> Strategy:
    """Return the exact lowering of a block that has one, else ``static``."""
    return "causal" if op.variant == "causal" and not refused(op, "causal") else "static"


def _described(op: AttentiveLif | JointGate | StaaLif) -> tuple[str, str]:
    """Return a block's title and what to do where a strategy is refused."""
    match op:
        case AttentiveLif():
            help = "deploy with --gates static, or train the causal variant and deploy with --gates causal"
            return f"MA attention ({op.dims}, variant {op.variant!r})", help
        case JointGate():
            return f"TCJA ({op.dims}, variant {op.variant!r})", lower_joint.TRAIN
        case StaaLif():
            return f"STAA-style attention (variant {op.variant!r})", lower_staa.TRAIN


@dataclass(frozen=True)
class LowerGates(Pass):
    """Replace every attention block behind the first spike by neurons with gate ports and what drives them."""

    name: ClassVar[str] = "lower-gates"
    strategy: Strategy = "auto"
    means: dict[str, dict[str, Array]] = field(default_factory=dict)
    """For ``static``: per block and dimension the mean gate over a calibration set, (T or 1, *gate shape)."""
    binary_input: bool = True
    """Whether the net's input is binary spikes."""

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Lower the block at ``op``."""
        if not isinstance(op, AttentiveLif | JointGate | StaaLif):
            return None
        if strategy_for(op, self.strategy) == "causal":
            return lower_exactly(graph, op, binary_input=self.binary_input)
        return lower_constant(graph, op, self.means[op.name], binary_input=self.binary_input)


def lower_exactly(graph: Graph, op: AttentiveLif | JointGate | StaaLif, *, binary_input: bool) -> Graph:
    """Lower a causal block of any family."""
    match op:
        case AttentiveLif():
            return lower_causal(graph, op)
        case JointGate():
            return lower_joint.lower_joint_causal(graph, op, binary_input=binary_input)
        case StaaLif():
            return lower_causal(*lower_staa.causal_form(graph, op))


def lower_constant(
    graph: Graph, op: AttentiveLif | JointGate | StaaLif, means: dict[str, Array], *, binary_input: bool
) -> Graph:
    """Put constants in the place of a block's gates."""
    match op:
        case AttentiveLif():
            return lower_static(graph, op, means)
        case JointGate():
            return lower_joint.lower_joint_static(graph, op, means["TC"], binary_input=binary_input)
        case StaaLif() if op.variant == "causal":
            graph, left = lower_staa.causal_form(graph, op)
            return lower_static(graph, left, means)
        case StaaLif():
            return lower_staa.lower_staa_static(graph, op, means)


def lower_causal(graph: Graph, op: AttentiveLif) -> Graph:
    """Lower a causal block exactly: spike-count synapses, a small MLP of accumulators, gate neurons, delayed gate ports."""
    shape = op.neuron.shape
    before: list[Op] = []
    after: list[Op] = []
    for dim in op.dims:
        after.extend(_DRIVERS[dim](op))
        gate = after[-1].name
        before.append(Delay(name=f"{gate}.delay", inputs=(gate,), block=op.block, steps=op.gate_delay, initial=1.0))
    gates = tuple(d.name for d in before)
    neuron = replace(op.neuron, name=op.name, inputs=op.inputs + gates, block=op.block, shape=shape, gates=len(gates))
    return in_place(graph, op, [*before, neuron, *after])


def _temporal(op: AttentiveLif) -> list[Op]:
    n = int(np.prod(op.neuron.shape))
    weight = np.full((1, n), float(op.parameters["ta_w"]) / (n * op.timesteps))
    count = Affine(name=f"{op.name}.ta.count", inputs=(op.name,), block=op.block, weight=weight)
    bias = np.reshape(op.parameters["ta_b"], (1,))
    gate = _gate(op, "ta", count.name, (1,) * len(op.neuron.shape), bias, op.decay)
    return [count, gate]


def _channel(op: AttentiveLif) -> list[Op]:
    shape = op.neuron.shape
    space = int(np.prod(shape[1:]))
    squeeze, excite = op.parameters["ca_w0"], op.parameters["ca_w1"]
    weight = np.repeat(squeeze, space, axis=1) / (space * op.timesteps)
    count = Affine(name=f"{op.name}.ca.count", inputs=(op.name,), block=op.block, weight=weight)
    hidden = Accumulator(
        name=f"{op.name}.ca.hidden",
        inputs=(count.name,),
        block=op.block,
        shape=(squeeze.shape[0],),
        decay=op.decay,
    )
    expand = Affine(name=f"{op.name}.ca.excite", inputs=(hidden.name,), block=op.block, weight=excite)
    gate = _gate(op, "ca", expand.name, (shape[0], *(1,) * (len(shape) - 1)), op.parameters["ca_b"], 0.0)
    return [count, hidden, expand, replace(gate, differences=True)]


def _spatial(op: AttentiveLif) -> list[Op]:
    channels, height, width = op.neuron.shape
    kernel = op.parameters["sa_kernel"]
    pad = kernel.shape[-1] // 2
    weight = np.repeat(kernel, channels, axis=1) / (channels * op.timesteps)
    count = Conv(name=f"{op.name}.sa.count", inputs=(op.name,), block=op.block, weight=weight, padding=(pad, pad))
    bias = np.reshape(op.parameters["sa_b"], (1,))
    return [count, _gate(op, "sa", count.name, (1, height, width), bias, op.decay)]


def _gate(op: AttentiveLif, kind: str, source: str, shape: tuple[int, ...], bias: Array, decay: float) -> GateNeuron:
    return GateNeuron(
        name=f"{op.name}.{kind}.gate",
        inputs=(source,),
        block=op.block,
        shape=shape,
        bias=np.asarray(bias),
        decay=decay,
        function=op.gate,
    )


_DRIVERS = {"T": _temporal, "C": _channel, "S": _spatial}


def mean_gates(graph: Graph, signals: dict[str, Array]) -> dict[str, dict[str, Array]]:
    """Return every block's mean gates over the samples of ``signals``: per dimension (T or 1, *gate shape)."""
    return {
        op.name: {dim: g.mean(axis=1) for dim, g in gates_of(op, [signals[name] for name in op.inputs]).items()}
        for op in graph
        if isinstance(op, AttentiveLif | JointGate | StaaLif)
    }


def gates_of(op: AttentiveLif | JointGate | StaaLif, operands: list[Array]) -> dict[str, Array]:
    """Return the gates a block applies, by dimension: (T or 1, B, *gate shape)."""
    match op:
        case AttentiveLif():
            return attentive_gates(op, operands[0])
        case JointGate():
            return {"TC": _trailing(joint_gains(op, operands[0]), operands[0].ndim)}
        case StaaLif() if op.variant == "causal":
            return attentive_gates(gated_by_counts(op), positioned(op, operands[0]))
        case StaaLif():
            current, sent = staa_gains(op, operands[0])
            return {"C": _trailing(current, operands[0].ndim), "T": _trailing(sent, operands[0].ndim)}


def _trailing(gate: Array, rank: int) -> Array:
    return gate.reshape(gate.shape + (1,) * (rank - gate.ndim))


def lower_static(graph: Graph, op: AttentiveLif, means: dict[str, Array]) -> Graph:
    """Replace a block's gates by constants: tables on the current; the paper's channel and space gates scale the membrane."""
    neuron = replace(op.neuron, name=op.name, inputs=op.inputs, block=op.block, rectify=op.variant == "code")
    tables: list[Op] = []
    for dim in op.dims:
        mean = means[dim]
        if op.variant == "paper" and dim != "T":
            constant = np.broadcast_to(_full(mean.mean(axis=0), neuron.shape), neuron.shape)
            neuron = replace(
                neuron,
                beta=_full(neuron.beta, neuron.shape) * constant,
                gain=_full(neuron.gain, neuron.shape) * constant,
                leak=_full(neuron.leak, neuron.shape) * constant,
            )
        else:
            tables.append(GateTable(name=f"{op.name}.{dim.lower()}a.table", block=op.block, table=mean))
    gates = tuple(t.name for t in tables)
    return in_place(graph, op, [*tables, replace(neuron, inputs=op.inputs + gates, gates=len(gates))])


def _full(parameter: Array, shape: tuple[int, ...]) -> Array:
    p = np.asarray(parameter, np.float64)
    return p.reshape(p.shape + (1,) * (len(shape) - p.ndim)) if p.ndim else p
