"""The faults that several rules share: a real value where an event should be."""

from __future__ import annotations

from spikewright.toolchain.ops import Op, Output
from spikewright.toolchain.spike_driven.signals import Context, Fault, Leaf, Signal

QUANTIZE = "send the gate as an 8-bit payload (--payload-bits 8)"
"""What mends a real-valued gate on spikes."""

NOUNS = {
    "Add": "the membrane of",
    "Relu": "the rectified real values of",
    "SumPool": "the pooled real values of",
    "Multiply": "the real-valued product",
    "GateNeuron": "the gain of",
    "GateTable": "the gain of",
}
"""What a real-valued signal is called, by the op that hands it on; else "the real-valued current of"."""


def reason(leaf: Leaf, ctx: Context) -> str:
    """Say what a leaf that is no event is."""
    if leaf.reason:
        return leaf.reason
    last = leaf.path[-1]
    return f"{NOUNS.get(ctx.kind_of(last), 'the real-valued current of')} {last!r}"


def why(leaves: list[Leaf], ctx: Context) -> str:
    """Say what reading such leaves means."""
    origins = " and ".join(repr(leaf.origin) for leaf in leaves)
    if all(
        leaf.kind == "dense" and ctx.kind_of(leaf.origin) in ("GatedCoding", "JointGate", "Multiply", "StaaLif")
        for leaf in leaves
    ):
        return f"the spikes of {origins} carry real values, not integer payloads"
    return f"real values of {origins} arrive in every step, event or not"


def dense_read(op: Op, leaves: Signal, ctx: Context, macs: int) -> tuple[Fault, ...]:
    """Return the fault of synapses that read real values, or () if they read events only."""
    bad = [leaf for leaf in leaves if not leaf.event]
    if not bad:
        return ()
    worst = min(bad, key=lambda leaf: len(leaf.path))
    help = worst.help.format(reader=repr(op.name)) or f"insert a LIF in front of {op.name!r} (and retrain)"
    what = f"{type(op).__name__} {op.name!r} reads {reason(worst, ctx)}, not spikes: {macs:,} dense MACs every step"
    return (Fault(what, help, (*worst.path, op.name), why(bad, ctx)),)


def real_value_taken(op: Op, leaf: Leaf, size: int, ctx: Context) -> Fault:
    """Return the fault of a neuron, gate or read-out that takes real values from elsewhere in every step."""
    help = leaf.help.format(reader=repr(op.name))
    if not help and isinstance(op, Output):
        help = f"put a spiking neuron in front of {op.name!r}"
    elif not help and leaf.kind == "current":
        help = f"compute the gate of {op.name!r} in a gate neuron in front of it"
    elif not help:
        help = f"let {op.name!r} read spikes; a gain belongs at a gate port"
    what = f"{type(op).__name__} {op.name!r} takes {reason(leaf, ctx)}: {size:,} real values sent every step"
    return Fault(what, help, (*leaf.path, op.name), why([leaf], ctx))
