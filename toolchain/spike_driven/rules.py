"""The transfer functions: for each op type, from the kinds of its operands to the kind, cost class and faults of the op.

A fault is blamed at the op that reads what it must not; behind it the analysis goes on as if it were mended.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.ops import (
    AdaptivePool,
    Add,
    Affine,
    Conv,
    Delay,
    Flatten,
    Input,
    Lif,
    Linear,
    MaxPool,
    Multiply,
    Op,
    Output,
    Relu,
    Scale,
    SumPool,
    TransposedConv,
)
from spikewright.toolchain.spike_driven import costs, neurons
from spikewright.toolchain.spike_driven.faults import dense_read, gate_message, real_value_taken
from spikewright.toolchain.spike_driven.signals import (
    Context,
    Fault,
    Judgement,
    Kind,
    Leaf,
    Rule,
    Signal,
    event_class,
    made_by,
    shortest,
    through,
    together,
)


def _input(op: Input, operands: list[Signal], ctx: Context) -> Judgement:
    reason, help = "", ""
    if ctx.input_kind == "dense":
        reason = f"the real-valued input {op.name!r}"
        help = (
            "run {reader} on the host in front of the first spike (deploy cuts behind the first spiking layer), "
            "or feed spikes"
        )
    return Judgement(made_by(op, operands, ctx.input_kind, reason, help), f"{ctx.input_kind} input")


# ------------------------------------------------------------------------------------------- synapses
def _linear(op: Linear, operands: list[Signal], ctx: Context) -> Judgement:
    """Accumulate events (A), multiply payloads (B), or read real values: a dense product (D)."""
    leaves, out = together(operands), ctx.shapes[op.name]
    made = made_by(op, operands, "current")
    cost = costs.macs(op, out)
    faults = dense_read(op, leaves, ctx, cost)
    if faults:
        return Judgement(made, faults[0].why, "D", macs=cost, faults=faults)
    events = [leaf for leaf in leaves if leaf.event]
    count = costs.synapses(op, ctx.shapes[op.inputs[0]], out) * len(events) * ctx.copies.get(op.name, 1)
    graded = event_class(leaves) == "B"
    why = "multiplies graded payloads with weights, one per event" if graded else "accumulates weights of binary spikes"
    return Judgement(made, why, "B" if graded else "A", synapses=count)


def _sum_pool(op: SumPool | AdaptivePool, operands: list[Signal], ctx: Context) -> Judgement:
    """Linear, so it folds into the synapses beside it; alone in front of a neuron it is synapses itself."""
    leaves = together(operands)
    events = sum(leaf.event for leaf in leaves)
    alone = any(isinstance(r, Lif | AttentionBlock | Output) for r in _readers(op, ctx))
    count = costs.synapses(op, ctx.shapes[op.inputs[0]], ctx.shapes[op.name]) * events if alone else 0
    why = "adds up spikes" if alone and events else "is linear: folds into the synapses beside it"
    return Judgement(through(op, operands), why, event_class(leaves), synapses=count)


def _readers(op: Op, ctx: Context) -> list[Op]:
    return [other for other in ctx.ops.values() if op.name in other.inputs]


def _max_pool(op: MaxPool, operands: list[Signal], ctx: Context) -> Judgement:
    """OR of binary spikes; of anything else a comparison that synapses, which add, cannot make."""
    leaves, out = together(operands), ctx.shapes[op.name]
    made = made_by(op, operands, "binary")
    cost = costs.macs(op, out)
    if all(leaf.kind == "binary" for leaf in leaves) and len(leaves) <= 1:
        count = costs.synapses(op, ctx.shapes[op.inputs[0]], out)
        return Judgement(made, "is the OR of binary spikes", "A", synapses=count)
    bad = min((leaf for leaf in leaves), key=lambda leaf: (leaf.kind == "binary", len(leaf.path)))
    what = "real values" if not bad.event else "graded payloads or sums of spikes"
    fault = Fault(
        f"MaxPool {op.name!r} takes the maximum of {what} of {bad.path[-1]!r}: {cost:,} comparisons every step, "
        "and dendrites only add",
        f"insert a LIF in front of {op.name!r} (the maximum of spikes is their OR), or pool by averages",
        (*bad.path, op.name),
        f"compares {what} of neighbours inside the step",
    )
    return Judgement(made, fault.why, "D", barrier=True, macs=cost, reductions=cost, faults=(fault,))


# ---------------------------------------------------------------------------------------- element-wise
def _pass(op: Op, operands: list[Signal], ctx: Context) -> Judgement:
    return Judgement(through(op, operands), "passes its operand on", event_class(together(operands)))


def _scale(op: Scale, operands: list[Signal], ctx: Context) -> Judgement:
    """Folds into the synapses beside it; on spikes a shift would be a value in every step."""
    leaves = together(operands)
    if op.shift is None or not np.any(op.shift) or not any(leaf.event for leaf in leaves):
        return Judgement(through(op, operands), "is linear: folds into the synapses beside it", event_class(leaves))
    help = f"fold the shift of {op.name!r} into the bias of {{reader}}"
    made = made_by(op, operands, "dense", f"the shift that {op.name!r} adds to spikes in every step", help)
    return Judgement(made, "adds a constant to spikes, event or not")


def _add(op: Add, operands: list[Signal], ctx: Context) -> Judgement:
    """A residual join: no membrane travels if every leaf reaches the reading neurons by its own synapses."""
    made = through(op, operands)
    named = ", ".join(f"{leaf.origin} ({leaf.kind})" for leaf in made)
    good = all(leaf.kind != "dense" for leaf in made)
    why = "by its own synapses each, no membrane travels" if good else "a real value would travel in every step"
    copies = ctx.copies.get(op.name, 1)
    notes = (f"{copies} neuron layers read it; each gets its own synapses from every branch",) if copies > 1 else ()
    return Judgement(made, f"sums {named}: {why}", event_class(made), notes=notes if good else ())


def _relu(op: Relu, operands: list[Signal], ctx: Context) -> Judgement:
    """A clamp inside the neuron that reads it; what leaves it is no sum of synapses any more."""
    leaves = together(operands)
    if len(leaves) > 1 and all(leaf.event for leaf in leaves):
        return Judgement(made_by(op, operands, "graded"), "clamps a sum of messages; nothing in, nothing out", "B")
    if all(leaf.event or leaf.kind == "dense" for leaf in leaves):
        return _pass(op, operands, ctx)
    return Judgement(made_by(op, operands, "current"), "clamps the current inside the neuron")


def _multiply(op: Multiply, operands: list[Signal], ctx: Context) -> Judgement:
    """Spikes times spikes are spikes; spikes times a real gate need a payload; currents times gates stay in the neuron."""
    leaves = together(operands)
    out = prod(ctx.shapes[op.name])
    events = [signal for signal in operands if signal and all(leaf.event for leaf in signal)]
    if len(events) == len(operands):
        sent: Kind = "graded" if event_class(leaves) == "B" else "binary"
        return Judgement(made_by(op, operands, sent), "multiplies messages", "B", gate_multiplies=out)
    if events:
        gate = next(leaf for leaf in leaves if not leaf.event)
        kind, reason, help = gate_message(gate.origin, ctx)
        made = made_by(op, operands, kind, reason, help)
        return Judgement(made, f"scales spikes by {gate.origin!r}", "B", gate_multiplies=out)
    if bad := next((leaf for leaf in leaves if leaf.kind == "dense"), None):
        fault = real_value_taken(op, bad, out, ctx)
        return Judgement(made_by(op, operands, "current"), fault.why, "D", macs=out, faults=(fault,))
    return Judgement(made_by(op, operands, "current"), "scales a current inside the neuron", "C", gate_multiplies=out)


def _delay(op: Delay, operands: list[Signal], ctx: Context) -> Judgement:
    """Keep what comes for later; a negative delay would need what has not come."""
    if op.steps > 0 and op.initial and any(leaf.event for leaf in together(operands)):
        reason = f"the value {op.initial:g} that {op.name!r} sends for {op.steps} steps without an event"
        return Judgement(made_by(op, operands, "dense", reason, f"start {op.name!r} at 0"), "starts without events")
    if op.steps >= 0:
        return Judgement(through(op, operands), f"comes {op.steps} steps later", scope="state" if op.steps else "step")
    ahead, path = -op.steps, (*shortest(together(operands)), op.name)
    fault = Fault(
        f"Delay {op.name!r} needs its operand {ahead} step{'s' if ahead > 1 else ''} before it happens",
        f"delay the other branches by {ahead} instead, or train with padding on the past side only",
        path,
        f"reads {ahead} steps ahead",
    )
    made = tuple(Leaf(x.kind, x.origin, x.path, x.reason, x.help, op.name) for x in through(op, operands))
    return Judgement(made, fault.why, "A", f"window({ahead})", causal=False, faults=(fault,))


RULES: Mapping[type[Op], Rule] = {
    Input: _input,
    Affine: _linear,
    Conv: _linear,
    TransposedConv: _linear,
    SumPool: _sum_pool,
    AdaptivePool: _sum_pool,
    MaxPool: _max_pool,
    Scale: _scale,
    Flatten: _pass,
    Add: _add,
    Multiply: _multiply,
    Relu: _relu,
    Delay: _delay,
    **neurons.RULES,
}
"""Op type -> rule."""
