"""The transfer functions of neurons, gates and the read-out: what integrates, scales and fires."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from spikewright.toolchain.ops import (
    Accumulator,
    AdaptivePool,
    Add,
    Delay,
    Flatten,
    GatedRelay,
    GateNeuron,
    GateTable,
    HeldSum,
    Input,
    Lif,
    Linear,
    Op,
    Output,
    Relay,
    Scale,
    SigmaDelta,
    SumPool,
)
from spikewright.toolchain.spike_driven.faults import real_value_taken
from spikewright.toolchain.spike_driven.signals import (
    Context,
    CostClass,
    Judgement,
    Leaf,
    Rule,
    Signal,
    event_class,
    made_by,
    together,
)

LINEAR = (Linear, SumPool, AdaptivePool, Scale, Flatten, Add, Delay)
"""Ops that a change passes as its value does."""


def lif(op: Lif, operands: list[Signal], ctx: Context) -> Judgement:
    """Integrate currents and messages; scale by gates (C); fire."""
    split = len(operands) - op.gates
    currents, gates = together(operands[:split]), together(operands[split:])
    size = prod(op.shape)
    bad = [leaf for leaf in currents if leaf.kind in ("dense", "gate")]
    bad += [leaf for leaf in gates if leaf.kind in ("dense", "current")]
    faults = tuple(real_value_taken(op, leaf, size, ctx) for leaf in bad)
    made = made_by(op, operands, op.sends)
    scope = "state" if np.any(op.beta) or np.any(op.alpha) else "step"
    direct = [leaf for leaf in currents if leaf.event]
    why = "integrates " + ("graded payloads and fires" if event_class(currents) == "B" else "synaptic input and fires")
    inner = op.gates - op.output_gate
    if inner:
        why = f"scales its current by {inner} gain{'s' if inner > 1 else ''} per neuron and step, then fires"
    if op.output_gate:
        why += ", and sends a gate's level as payload"
    if op.max_spikes != 1:
        why += ", and sends how many spikes as payload"
    return Judgement(
        made,
        faults[0].why if faults else why,
        _cost(op, inner, direct) if not faults else "D",
        scope,
        macs=size * len(faults),
        synapses=size * len(direct),
        gate_multiplies=size * op.gates,
        faults=faults,
    )


def _cost(op: Lif, inner: int, direct: list[Leaf]) -> CostClass:
    """C for gains on the current, B for payloads in or out, else A."""
    if inner:
        return "C"
    return "B" if op.sends == "graded" else event_class(tuple(direct))


def accumulator(op: Accumulator, operands: list[Signal], ctx: Context) -> Judgement:
    """Sends changes of its rectified sum: messages only if a gate counts them and nothing but events moves the sum."""
    leaves = together(operands)
    bad = [leaf for leaf in leaves if leaf.kind == "dense"]
    faults = tuple(real_value_taken(op, leaf, prod(op.shape), ctx) for leaf in bad)
    reason, help = "", ""
    if not _counted(op, ctx):
        reason = f"the sum in {op.name!r} (a real value in every step, event or not)"
        help = f"put a spiking neuron in the place of {op.name!r} (and retrain)"
    elif (leaking := np.ravel(op.decay)[(np.ravel(op.decay) > 0) & (np.ravel(op.decay) < 1)]).size:
        reason = f"the sum in {op.name!r} (it leaks by {leaking[0]:g}, so it changes in every step without an event)"
        help = "train and deploy with decay = 1 (or 0)"
    elif any(ctx.rest[name].any() for name in op.inputs if name in ctx.rest):
        reason = f"the sum in {op.name!r} (a bias moves it in every step)"
        help = f"remove the bias in front of {op.name!r}"
    made = made_by(op, operands, "dense" if reason else "graded", reason, help)
    why = "would send its sum in every step" if reason else "sends a change of its sum when an event moved it"
    cost: CostClass = "D" if faults else event_class(leaves)
    return Judgement(made, why, cost, "state", macs=prod(op.shape) * len(faults), faults=faults)


def relay(op: Relay, operands: list[Signal], ctx: Context) -> Judgement:
    """Sends its synaptic input on, a payload where it is not 0: messages, where nothing but events reaches it."""
    leaves = together(operands)
    size = prod(op.shape)
    faults = tuple(
        real_value_taken(op, leaf, size, ctx) for leaf in leaves if leaf.kind in ("dense", "gate", "current")
    )
    moved = any(ctx.rest[name].any() for name in op.inputs if name in ctx.rest)
    reason = f"the sum in {op.name!r} (a bias moves it in every step)" if moved else ""
    help = f"remove the bias in front of {op.name!r}" if moved else ""
    made = made_by(op, operands, "dense" if reason else "graded", reason, help)
    why = "passes its synaptic input on as a signed payload where it is not 0"
    return Judgement(made, why, "D" if faults else "B", "step", macs=size * len(faults), faults=faults)


def gated_relay(op: GatedRelay, operands: list[Signal], ctx: Context) -> Judgement:
    """Scales its synaptic input, and sends what is above 0 of it as a payload: as neurons fire."""
    split, size = len(operands) - op.gates, prod(op.shape)
    bad = [leaf for leaf in together(operands[:split]) if leaf.kind in ("dense", "gate")]
    bad += [leaf for leaf in together(operands[split:]) if leaf.kind in ("dense", "current")]
    faults = tuple(real_value_taken(op, leaf, size, ctx) for leaf in bad)
    why = f"scales its synaptic input by {op.gates} gain{'s' if op.gates != 1 else ''}, and sends a payload where it is above 0"
    return Judgement(
        made_by(op, operands, "graded"), faults[0].why if faults else why, "D" if faults else "C", "step",
        macs=size * len(faults), gate_multiplies=size * op.gates, faults=faults,
    )  # fmt: skip


def sigma_delta(op: SigmaDelta, operands: list[Signal], ctx: Context) -> Judgement:
    """Sends the change of its activation where that reached the threshold: nothing without an event, but its bias once."""
    leaves = together(operands)
    size = prod(op.shape)
    encodes = not op.sums and all(isinstance(ctx.ops[leaf.origin], Input) for leaf in leaves)
    bad = [] if encodes else [leaf for leaf in leaves if leaf.kind in ("dense", "gate")]
    faults = tuple(real_value_taken(op, leaf, size, ctx) for leaf in bad)
    why = "encodes its input as changes" if encodes else "adds up changes and sends the change of its activation"
    cost: CostClass = "D" if faults else "B"
    return Judgement(made_by(op, operands, "graded"), why, cost, "state", macs=size * len(faults), faults=faults)


def _counted(op: Accumulator, ctx: Context) -> bool:
    """Say whether everything that reads an accumulator, through linear maps, is a gate that adds up its changes."""
    todo, seen = [op.name], set()
    while todo:
        name = todo.pop()
        for reader in (other for other in ctx.ops.values() if name in other.inputs):
            if isinstance(reader, LINEAR):
                todo += [] if reader.name in seen else [reader.name]
                seen.add(reader.name)
            elif not (isinstance(reader, GateNeuron | HeldSum) and reader.differences):
                return False
    return op.rectify


def gate_neuron(op: GateNeuron | HeldSum, operands: list[Signal], ctx: Context) -> Judgement:
    """Counts events into a gain level, or into a factor of one."""
    leaves = together(operands[: len(operands) - op.ports])
    faults = tuple(real_value_taken(op, leaf, prod(op.shape), ctx) for leaf in leaves if leaf.kind == "dense")
    leaks = 0.0 < op.decay < 1.0 and not op.differences
    notes = (
        (f"gate {op.name!r} leaks by {op.decay:g}: its level may change, and be sent, without an event",)
        if leaks
        else ()
    )
    made = made_by(op, operands, "gate")
    cost: CostClass = "D" if faults else "C" if op.ports else event_class(leaves)
    why = "turns counted events into a gain level, sent when it changes"
    if op.ports:
        why = "multiplies two counts, one multiply per neuron and step, and sends the gain level when it changes"
    return Judgement(made, why, cost, "state", macs=prod(op.shape) * len(faults), faults=faults, notes=notes)


def gate_table(op: GateTable, operands: list[Signal], ctx: Context) -> Judgement:
    """Hold constant gains."""
    return Judgement(made_by(op, operands, "gate"), "holds constant gains, one row a step, in the neuron", "C")


def output(op: Output, operands: list[Signal], ctx: Context) -> Judgement:
    """Count spikes, or sum currents in a read-out neuron."""
    leaves = together(operands)
    bad = [
        leaf for leaf in leaves if leaf.kind in ("dense", "gate") and not isinstance(ctx.ops[leaf.origin], Accumulator)
    ]
    size = prod(ctx.shapes[op.name])
    faults = tuple(real_value_taken(op, leaf, size, ctx) for leaf in bad)
    why = "counts spikes" if all(leaf.event for leaf in leaves) else "sums synaptic input over the steps"
    if faults:
        return Judgement((), faults[0].why, "D", "state", macs=size * len(faults), faults=faults)
    return Judgement((), why, event_class(leaves), "state")


RULES: Mapping[type[Op], Rule] = {
    Lif: lif,
    Accumulator: accumulator,
    Relay: relay,
    GatedRelay: gated_relay,
    SigmaDelta: sigma_delta,
    GateNeuron: gate_neuron,
    HeldSum: gate_neuron,
    GateTable: gate_table,
    Output: output,
}
"""Op type -> rule."""
