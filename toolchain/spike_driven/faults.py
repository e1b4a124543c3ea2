"""What several rules share: a real value where an event should be, and attention that no lowering made events of."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.ops import Multiply, Op, Output
from spikewright.toolchain.spike_driven.signals import (
    Context,
    Fault,
    Judgement,
    Kind,
    Leaf,
    Path,
    Signal,
    shortest,
    together,
    waits,
)

QUANTIZE = "send the gate as an 8-bit payload (--payload-bits 8)"
"""What mends a real-valued gate on spikes."""

NOUNS = {
    "Add": "the membrane of",
    "Relu": "the rectified real values of",
    "AdaptivePool": "the pooled real values of",
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
    if all(leaf.kind == "dense" and isinstance(ctx.ops[leaf.origin], Multiply | AttentionBlock) for leaf in leaves):
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


def gate_message(origin: str, ctx: Context) -> tuple[Kind, str, str]:
    """Return (kind, reason, help) of spikes that a real gate scales: a graded payload if it is quantized, else dense."""
    if ctx.payload_bits is not None:
        return "graded", "", ""
    return "dense", f"the unquantized gate of {origin!r}", QUANTIZE


def attention(block: AttentionBlock, operands: list[Signal], ctx: Context) -> Judgement:
    """Judge an attention block by its own rule, or, where it has none, as one that computes dense gates in every step."""
    own = block.judge(operands, ctx)
    return own if own is not None else unlowered(block, operands, ctx, lambda path: [_dense_gates(block, path)])


def _dense_gates(block: AttentionBlock, path: Path) -> Fault:
    what = f"{block.title} computes dense gates every step: {block.macs_per_step:,} MACs"
    return Fault(what, block.advice, path, "its gates are made of values, not of events")


def unlowered(
    block: AttentionBlock,
    operands: list[Signal],
    ctx: Context,
    faults: Callable[[Path], list[Fault]],
    *,
    scope: str = "state",
    causal: bool = True,
    barrier: bool = False,
    gates: int = 1,
    pooled: int = 1,
    why: str = "",
    notes: tuple[str, ...] = (),
) -> Judgement:
    """Judge an attention block as published.

    Args:
        block: The block.
        operands: What it reads.
        ctx: What the rules know.
        faults: From the path to the block: what is wrong with it.
        scope: How far its gates look.
        causal: Whether no later step is needed.
        barrier: Whether neurons wait for each other inside a step.
        gates: Gains applied per value and step, and
        pooled: reads of a value by a squeeze.
        why: What it does, where nothing is wrong.
        notes: What a reader should know.
    """
    leaves, size = together(operands), prod(block.shape)
    path = (*shortest(leaves), block.name)
    refused = ("dense", "gate") if block.spiking else ("dense", "gate", "current")
    found = faults(path)
    if not block.on_host:
        found += [real_value_taken(block, leaf, size, ctx) for leaf in leaves if leaf.kind in refused]
    return Judgement(
        (_gated(block, path, waits(leaves) if causal else block.name, ctx),),
        found[0].why if found else why,
        "D",
        scope,
        causal=causal,
        barrier=barrier,
        macs=block.macs_per_step,
        gate_multiplies=size * gates,
        reductions=size * pooled,
        faults=tuple(found),
        notes=notes,
    )


def _gated(block: AttentionBlock, path: Path, held: str, ctx: Context) -> Leaf:
    """Return what a block sends: binary under a 0/1 gate; graded under one of few levels or a quantized one; else dense."""
    if block.sends == "binary" or block.gate == "binary":
        return Leaf("binary", block.name, path, waits=held)
    kind, reason, help = gate_message(block.name, ctx)
    if block.gate == "pow2":
        kind, reason, help = "graded", "", ""
    return Leaf(kind, block.name, path, reason, help, held)
