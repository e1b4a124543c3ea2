"""Rules of the attention ops as published, before any lowering: what pools over time, over neurons, and what it costs.

TA      2 paths x 2 T h MACs for T steps            waits for step T - 1
CA      2 paths x 2 C h MACs                        code: pools over all T; paper: pools the membrane inside the step
SA      2 k^2 H W MACs                              as CA
GAC     TA, and 2 C^2 k^2 H W MACs a step           one evaluation for a still image, on the host
"""

from __future__ import annotations

from math import ceil, prod
from typing import Literal

from spikewright.toolchain.ops import AttentiveLif, GatedCoding, JointGate, Op, StaaLif
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
    waits,
)

RETRAIN = "deploy with --gates static, or train variant 'causal'"
NAMES = {"T": "TA", "C": "CA", "S": "SA"}


def gate_message(origin: str, ctx: Context) -> tuple[Kind, str, str]:
    """Return (kind, reason, help) of spikes that a real gate scales: a graded payload if it is quantized, else dense."""
    if ctx.payload_bits is not None:
        return "graded", "", ""
    return "dense", f"the unquantized gate of {origin!r}", QUANTIZE


def gate_macs(op: AttentiveLif | GatedCoding) -> int:
    """Return the MACs of computing the gates, per step (those of gates for all T are divided by T, rounded up)."""
    p, T = op.parameters, op.timesteps
    total = 0.0
    if "ta_w0" in p:
        total += 2 * 2 * p["ta_w0"].size / T
    if isinstance(op, GatedCoding):
        pixels = prod(op.neuron.shape[1:])
        return ceil(total + (p["conv0"].size + p["conv1"].size) * pixels)
    over = T if op.variant == "code" else 1
    if "C" in op.dims:
        total += 2 * 2 * p["ca_w0"].size / over
    if "S" in op.dims:
        total += p["sa_kernel"].size * prod(op.neuron.shape[1:]) / over
    return ceil(total)


def attentive_lif(op: AttentiveLif, operands: list[Signal], ctx: Context) -> Judgement:
    """Judge MA attention as published, or replayed, or with a barrier inside the step."""
    size, lowering, leaves = prod(op.neuron.shape), ctx.strategies.get(op.name, ""), together(operands)
    path = (*shortest(leaves), op.name)
    found = (_replayed(op, path),) if lowering == "replay" else (_over_time(op, path), _in_step(op, path, lowering))
    faults = [fault for fault in found if fault is not None]
    faults += [real_value_taken(op, leaf, size, ctx) for leaf in leaves if leaf.kind in ("dense", "gate")]
    ahead = "T" in op.dims or op.variant == "code" or lowering == "replay"
    return Judgement(
        (Leaf("binary", op.name, path, waits=op.name if ahead else waits(leaves)),),
        faults[0].why if faults else "pools its membrane, computes gates and fires in sub-steps of one step",
        "D" if faults and lowering != "replay" else "C",
        "sequence" if ahead else "state",
        causal=not ahead,
        barrier=op.variant == "paper" and bool(set("CS") & set(op.dims)) and lowering != "replay",
        macs=gate_macs(op),
        gate_multiplies=size * len(op.dims),
        reductions=2 * size * len(op.dims),
        faults=tuple(faults),
    )


def _named(dims: str) -> tuple[str, str]:
    """Return ("CA and SA", "") or ("TA", "s"): names of gates, and the ending of their verb."""
    return " and ".join(NAMES[d] for d in dims), "" if len(dims) > 1 else "s"


def _title(op: AttentiveLif) -> str:
    return f"AttentiveLif {op.name!r} (MA {op.dims}, variant {op.variant!r})"


def _replayed(op: AttentiveLif, path: Path) -> Fault:
    """Gates injected from an earlier run of the same input."""
    what = f"{_title(op)} is replayed: all {op.timesteps} steps run once for its gates and again with them, exact but offline"
    return Fault(what, RETRAIN, path, "the gates of step 0 come from a run to the last step")


def _over_time(op: AttentiveLif, path: Path) -> Fault | None:
    """Gates that need all T steps: TA always, every gate of the released code."""
    late = op.dims if op.variant == "code" else "".join(d for d in op.dims if d == "T")
    if not late:
        return None
    (gates, s), last = _named(late), op.timesteps - 1
    return Fault(
        f"{_title(op)} is not causal: its {gates} pool{s} over all {op.timesteps} steps, so step 0 waits for step {last}",
        RETRAIN,
        path,
        f"{gates} of step 0 read{s} the current of step {last}",
    )


def _in_step(op: AttentiveLif, path: Path, lowering: str) -> Fault | None:
    """CA and SA of the paper: dense work on the membrane between integration and firing."""
    late = "".join(d for d in op.dims if d != "T")
    if op.variant != "paper" or not late or lowering == "barrier":
        return None
    gates, s = _named(late)
    return Fault(
        f"{_title(op)} computes dense gates inside the step: its {gates} pool{s} all membranes before any neuron may fire",
        RETRAIN,
        path,
        f"{gates} read{s} {prod(op.neuron.shape):,} membrane values every step, event or not",
    )


def gated_coding(op: GatedCoding, operands: list[Signal], ctx: Context) -> Judgement:
    """Judge gated attention coding: host work, once per still image; its spikes leave with the gate as payload."""
    leaves = together(operands)
    path = (*shortest(leaves), op.name)
    faults = tuple(f for f in (_events(op, path, ctx), _on_chip(op, path, ctx)) if f is not None)
    still = ctx.input_kind == "dense" and ctx.still
    return Judgement(
        _coded(op, path, "" if still else op.name, ctx),
        faults[0].why if faults else "runs in front of the first spike, once per still image",
        "D",
        "step" if still else "sequence",
        causal=still,
        macs=gate_macs(op),
        gate_multiplies=prod(op.neuron.shape),
        reductions=2 * prod(op.neuron.shape),
        faults=faults,
        notes=("once per sample: a still image gives every step the same current, so A_t is two pooled scalars",)
        if still
        else (),
    )


def _coded(op: GatedCoding, path: Path, held: str, ctx: Context) -> Signal:
    """Return what leaves: binary under a 0/1 gate; graded under a gate of few levels or a quantized one; else dense."""
    kind, reason, help = gate_message(op.name, ctx)
    if op.gate == "binary":
        kind, reason, help = "binary", "", ""
    elif op.gate == "pow2":
        kind, reason, help = "graded", "", ""
    return (Leaf(kind, op.name, path, reason, help, held),)


def _events(op: GatedCoding, path: Path, ctx: Context) -> Fault | None:
    if ctx.input_kind == "dense" and ctx.still:
        return None
    fed = "frames that change" if ctx.input_kind == "dense" else "events"
    return Fault(
        f"GatedCoding {op.name!r} is not causal on {fed}: its TA pools over all {op.timesteps} steps, "
        f"so step 0 waits for step {op.timesteps - 1}",
        "feed still images (direct coding), or train with constants per step in the place of TA",
        path,
        f"TA of step 0 reads the current of step {op.timesteps - 1}",
    )


def _on_chip(op: GatedCoding, path: Path, ctx: Context) -> Fault | None:
    if op.name in ctx.hosts:
        return None
    return Fault(
        f"GatedCoding {op.name!r} computes its gate on the chip: {gate_macs(op):,} dense MACs every step",
        "run the block on the host in front of the first spike (deploy with --gates host)",
        path,
        "two convolutions and global pools of real currents, event or not",
    )


def family(op: Op) -> Literal["ma", "gac", "tcja", "staa", "vanilla"]:
    """Return the attention family of an op."""
    match op:
        case AttentiveLif():
            return "ma"
        case GatedCoding():
            return "gac"
        case JointGate():
            return "tcja"
        case StaaLif():
            return "staa"
        case _:
            return "vanilla"
