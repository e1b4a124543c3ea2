"""The host part: dense work is allowed in front of the first spike, and only there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Add, Affine, Conv, Input, Linear, Neuron, Op, SumPool
from spikewright.toolchain.passes.base import sends_binary
from spikewright.toolchain.spike_driven import costs
from spikewright.toolchain.spike_driven.faults import attention, gate_message
from spikewright.toolchain.spike_driven.signals import Context, Fault, Judgement, Leaf, Path, Signal, shortest, together


def _spiking(op: Op) -> bool:
    """Say whether an op sends spikes: the host part ends at the first that does."""
    return (isinstance(op, AttentionBlock) and not op.gates_currents) or (isinstance(op, Neuron) and op.fires)


def host_ops(graph: Graph, declared: frozenset[str], strategies: dict[str, str]) -> frozenset[str]:
    """Return the ops on the host: those declared, and those that only they read (folding may have merged names)."""
    inside = {name for name in declared if name in graph}
    inside |= {op.name for op in graph if isinstance(op, AttentionBlock) and strategies.get(op.name) == "host"}
    for op in reversed(graph.ops):
        readers = graph.readers[op.name]
        if readers and all(r.name in inside for r in readers) and not _spiking(op):
            inside.add(op.name)
    return frozenset(inside)


def judge(op: Op, operands: list[Signal], ctx: Context) -> Judgement:
    """Judge an op on the host: dense and allowed, unless it reads from behind the first spike."""
    if _copies(op) or (isinstance(op, Add) and all(_copies(ctx.ops[name]) for name in op.inputs)):
        return Judgement(together(operands), "moves values, and computes none", "D")
    faults = _behind(op, operands, ctx)
    if isinstance(op, AttentionBlock) and op.on_host:
        made = attention(op, operands, ctx)
        return Judgement(**{**vars(made), "faults": made.faults + faults})
    path = (*shortest(together(operands)), op.name)
    if isinstance(op, AttentionBlock) and op.looks_ahead and not ctx.still:
        late = _late(op, operands, path, ctx)
        return replace(late, leaves=(Leaf("current", op.name, path),)) if op.gates_currents else late
    if isinstance(op, AttentionBlock) and op.spiking:
        return _encoder(op, path, faults, ctx)
    if _spiking(op) and (sends_binary(op) or isinstance(op, Neuron)):
        leaf = Leaf("binary" if sends_binary(op) else "graded", op.name, path)
        return Judgement((leaf,), "fires; its spikes go to the chip", "D", "state", faults=faults)
    help = "let the host run up to the first spiking neuron, {reader} included"
    leaf = Leaf("dense", op.name, path, f"the real values that the host computes in {op.name!r}", help)
    if faults:
        leaf = Leaf("current", op.name, path)
    cost = costs.macs(op, ctx.shapes[op.name]) if isinstance(op, Linear | SumPool) else 0
    cost = op.macs_per_step if isinstance(op, AttentionBlock) else cost
    return Judgement((leaf,), "computes real values in front of the first spike", "D", macs=cost, faults=faults)


def _copies(op: Op) -> bool:
    """Say whether a map only moves values: each that it gives is one that it reads, or 0."""
    if not isinstance(op, Affine | Conv) or op.bias is not None or not np.isin(op.weight, (0, 1)).all():
        return False
    alone = isinstance(op, Affine) or op.groups == 1
    return alone and int(op.weight.reshape(len(op.weight), -1).sum(axis=1).max(initial=0)) <= 1


def _encoder(op: AttentionBlock, path: Path, faults: tuple[Fault, ...], ctx: Context) -> Judgement:
    """Judge attention that the host computes with its neuron; where a gate scales the spikes it sends payloads."""
    made = Leaf("binary", op.name, path)
    if op.sends != "binary":
        kind, reason, help = gate_message(op.name, ctx)
        made = Leaf(kind, op.name, path, reason, help)
    why = "runs in front of the first spike, once per " + ("still image" if ctx.still else "frame")
    return Judgement((made,), faults[0].why if faults else why, "D", "state", macs=op.macs_per_step, faults=faults)


def _late(op: AttentionBlock, operands: list[Signal], path: Path, ctx: Context) -> Judgement:
    """Judge attention on the host whose gates need frames to come."""
    what = f"{op.title} is not causal on frames that change: the host waits for the last of {op.timesteps} steps"
    fault = Fault(
        what, "feed still images (direct coding), or train the causal variant", path, "its gates need later steps"
    )
    judged = _encoder(op, path, (fault, *_behind(op, operands, ctx)), ctx)
    return replace(judged, causal=False, scope="sequence")


def _behind(op: Op, operands: list[Signal], ctx: Context) -> tuple[Fault, ...]:
    """Return the fault of host work that reads spikes or the chip."""
    for name, signal in zip(op.inputs, operands, strict=True):
        source = ctx.ops[name]
        if _spiking(source) or (name not in ctx.hosts and not isinstance(source, Input)):
            fault = Fault(
                f"{type(op).__name__} {op.name!r} is host work, but reads {name!r} behind the first spike",
                f"let the host end at {name!r}",
                (*shortest(signal), op.name),
                "the host would work in every step of the stream",
            )
            return (fault,)
    return ()
