"""Rules of TCJA and STAA-style blocks that no lowering has made events of: what looks ahead, and what it costs.

TLA    C^2 k MACs a step         looks k - 1 - (k - 1) // 2 steps ahead as published
CLA    T C k MACs a step         reads all T steps as published
STAA   softmax: 2 C H W MACs a step inside the step;   step attention: reads all T steps
"""

from __future__ import annotations

from math import ceil, prod

from spikewright.toolchain.ops import JointGate, StaaLif
from spikewright.toolchain.passes import lower_joint, lower_staa
from spikewright.toolchain.spike_driven.faults import QUANTIZE, real_value_taken
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
)


def joint_macs(op: JointGate) -> int:
    """Return the MACs of computing TCJA's gates, per step."""
    found = 0
    if "T" in op.dims:
        found += op.parameters["tla"].size
    if "C" in op.dims:
        cla = op.parameters["cla"]
        found += cla.shape[0] * cla.shape[2] * op.shape[0]
    return found


def joint_gate(op: JointGate, operands: list[Signal], ctx: Context) -> Judgement:
    """Judge TCJA as published, or a causal form that no lowering expresses."""
    leaves, size = together(operands), prod(op.shape)
    path = (*shortest(leaves), op.name)
    published = op.variant == "published"
    faults = [_ahead(op, path) if published else _no_events(op, path)]
    faults += [real_value_taken(op, leaf, size, ctx) for leaf in leaves if not leaf.event]
    return Judgement(
        (_sent(op.name, op.gate, path, op.name if published else "", ctx),),
        faults[0].why,
        "D",
        _scope(op),
        causal=not published,
        macs=joint_macs(op),
        gate_multiplies=size,
        reductions=size,
        faults=tuple(faults),
    )


def _scope(op: JointGate) -> str:
    if op.variant == "causal":
        return "state"
    if "C" in op.dims:
        return "sequence"
    k = op.parameters["tla"].shape[-1]
    return f"window({k - 1 - (k - 1) // 2})"


def _sent(name: str, gate: str, path: Path, waits: str, ctx: Context) -> Leaf:
    """Return gated spikes: binary under a 0/1 gate; graded under one of few levels or a quantized one; else dense."""
    kind: Kind = "binary" if gate == "binary" else "graded"
    if gate in ("binary", "pow2") or ctx.payload_bits is not None:
        return Leaf(kind, name, path, waits=waits)
    return Leaf("dense", name, path, f"the unquantized gate of {name!r}", QUANTIZE, waits)


def _ahead(op: JointGate, path: Path) -> Fault:
    reasons = lower_joint.refused(op, "causal")
    last = op.timesteps - 1
    k = op.parameters["tla"].shape[-1] if "T" in op.dims else 1
    first = last if "C" in op.dims else min(last, k - 1 - (k - 1) // 2)
    what = f"JointGate {op.block!r} (TCJA {op.dims}, variant 'published') is not causal: {reasons}"
    if first == 0:
        return Fault(
            f"JointGate {op.block!r} (TCJA {op.dims}, variant 'published') computes its gate inside the step",
            lower_joint.TRAIN,
            path,
            "the gate of a step reads the spikes of that step",
        )
    return Fault(
        f"{what}, so step 0 waits for step {first}",
        lower_joint.TRAIN,
        path,
        f"the gate of step 0 reads the spikes of step {first}",
    )


def _no_events(op: JointGate, path: Path) -> Fault:
    reason = lower_joint.refused(op, "causal") or "it gates what is no binary spike"
    return Fault(
        f"JointGate {op.block!r} (TCJA {op.dims}, variant 'causal') is no work of synapses and gate neurons: {reason}",
        lower_joint.TRAIN,
        path,
        f"{joint_macs(op):,} dense MACs every step",
    )


def staa_macs(op: StaaLif) -> int:
    """Return the MACs of computing STAA's gains, per step (the step attention's, for all T, divided by T)."""
    p = op.parameters
    if op.variant == "causal":
        return int(p["ca_w0"].size + p["ca_w1"].size) + 1
    context = 2 * prod(op.neuron.shape) if "gc_key" in p else 0
    step = ceil((p["sa_w0"].size + p["sa_w1"].size) / op.timesteps)
    return int(context + p["gc_query"].size + p["gc_value"].size + step)


def staa_lif(op: StaaLif, operands: list[Signal], ctx: Context) -> Judgement:
    """Judge the reconstruction of STAA: a softmax of the current, a step attention over all T."""
    leaves, size = together(operands), prod(op.neuron.shape)
    path = (*shortest(leaves), op.name)
    last = op.timesteps - 1
    title = f"StaaLif {op.block!r} (STAA-style, variant 'reconstruction')"
    faults = [
        Fault(
            f"{title} is not causal: its step attention reads all {op.timesteps} steps, so step 0 waits for step {last}",
            lower_staa.TRAIN,
            path,
            f"the gain of what step 0 sends reads the spikes of step {last}",
        ),
        _aggregator(op, title, path),
    ]
    faults += [real_value_taken(op, leaf, size, ctx) for leaf in leaves if leaf.kind in ("dense", "gate")]
    return Judgement(
        (_sent(op.name, op.gate, path, op.name, ctx),),
        faults[0].why,
        "D",
        "sequence",
        causal=False,
        barrier="gc_key" in op.parameters,
        macs=staa_macs(op),
        gate_multiplies=2 * size,
        reductions=2 * size,
        faults=tuple(faults),
    )


def _aggregator(op: StaaLif, title: str, path: Path) -> Fault:
    """The context attention: a softmax inside the step, or a norm of counts."""
    if "gc_key" in op.parameters:
        what = f"{title} computes dense gates inside the step: its aggregator takes a softmax of all currents"
        why = f"the softmax reads {prod(op.neuron.shape):,} currents every step, event or not"
    else:
        what = f"{title} computes dense gates every step: its aggregator normalises (LN) counts of the step before"
        why = "a layer norm has no events: every value changes with every other"
    return Fault(what, lower_staa.TRAIN, path, why)
