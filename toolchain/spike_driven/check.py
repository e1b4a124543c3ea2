"""Check a float graph: infer each signal's kind by one rule an op type, to a fixed point over feedback; judge the blocks."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Delay, Flatten, Input, Op, Output, Relu, Scale
from spikewright.toolchain.shapes import shapes
from spikewright.toolchain.spike_driven.faults import attention
from spikewright.toolchain.spike_driven.host import host_ops
from spikewright.toolchain.spike_driven.host import judge as judge_host
from spikewright.toolchain.spike_driven.lowering import by_op, copies, lower
from spikewright.toolchain.spike_driven.resting_state import bias_driven, resting
from spikewright.toolchain.spike_driven.rules import RULES
from spikewright.toolchain.spike_driven.signals import Context, InputKind, Judgement, Signal, shortest, waits
from spikewright.toolchain.spike_driven.verdict import Block, Judged, Verdict, summed

FOLDED = (Input, Flatten, Scale, Delay, Relu)
"""Ops that cost nothing by themselves; a block of only these has no row, unless it is at fault."""


def check_graph(
    graph: Graph,
    *,
    input_kind: InputKind,
    still: bool = True,
    host: frozenset[str] = frozenset(),
    strategies: dict[str, str] | None = None,
    payload_bits: int | None = None,
    fits: bool | None = None,
) -> Verdict:
    """Say whether a net is spike-driven, block by block, with a path that proves each verdict.

    Args:
        graph: Float ops as captured; also of nets that cannot be deployed.
        input_kind: What the net is fed: ``binary`` spikes, ``graded`` integer payloads (event counts), ``dense`` real values.
        still: Whether ``dense`` input is one image, the same in every step; else frames that change.
        host: Names of the ops that run on the host in front of the first spike.
        strategies: Gate lowering by block (or op) name: ``static``, ``causal``, ``host``; blocks not named stream as
            published.
        payload_bits: Bits of a gated spike's integer payload; None: gates are real-valued.
        fits: Whether the deployed net fits its chip, if known.

    Raises:
        VerifyError: The graph's shapes do not fit.
        UnsupportedNodeError: An op type has no rule.
    """
    chosen = by_op(graph, strategies or {})
    hosts = host_ops(graph, host, chosen)
    families = {op.block: op.kind for op in graph if isinstance(op, AttentionBlock)}
    lowered, notes = lower(graph, chosen, hosts)
    known = shapes(lowered)
    context = Context(
        input_kind=input_kind,
        still=still,
        payload_bits=payload_bits,
        timesteps=graph.timesteps,
        hosts=hosts,
        ops=lowered.by_name,
        shapes=known,
        rest=resting(lowered, known, hosts),
        copies=copies(lowered),
    )
    judged = judge(lowered, context)
    blocks = []
    for (name, on_host), ops in _groups(lowered, hosts).items():
        rows = [judged[op.name] for op in ops]
        if all(isinstance(op, FOLDED) and not judged[op.name].judgement.faults for op in ops):
            continue
        block = summed(name, rows, "host" if on_host else "chip")
        more = notes.get(name, ()) + block.notes + _fire_alone(ops, context)
        blocks.append(replace(block, family=families.get(name, "vanilla"), fits=None if on_host else fits, notes=more))
    return Verdict(not any(block.violation for block in blocks), tuple(blocks))


def check_host(graph: Graph, *, still: bool, payload_bits: int) -> tuple[Block, ...]:
    """Return the verdict on a host's part: dense work is allowed there, but none behind its first spikes.

    Args:
        graph: Float ops from the net's input to what is sent to the chip.
        still: Whether the input is one image, the same in every step.
        payload_bits: Bits of what is sent.
    """
    ops = [op for op in graph if not isinstance(op, Output)]
    part = graph.with_ops(ops)
    hosts = frozenset(op.name for op in ops)
    context = Context(
        input_kind="dense",
        still=still,
        payload_bits=payload_bits,
        timesteps=graph.timesteps,
        hosts=hosts,
        ops=part.by_name,
        shapes=shapes(part),
    )
    judged = judge(part, context)
    families = {op.block: op.kind for op in ops if isinstance(op, AttentionBlock)}
    blocks = []
    for (name, _), group in _groups(part, hosts).items():
        if not all(isinstance(op, FOLDED) and not judged[op.name].judgement.faults for op in group):
            block = summed(name, [judged[op.name] for op in group], "host")
            blocks.append(replace(block, family=families.get(name, "vanilla")))
    return tuple(blocks)


def judge(graph: Graph, context: Context) -> dict[str, Judged]:
    """Apply the rules in order until no signal changes; a feedback edge carries nothing at first."""
    sent: dict[str, Signal] = {}
    while True:
        judged: dict[str, Judged] = {}
        before = _kinds(sent)
        for op in graph:
            operands = [sent.get(name, ()) for name in op.inputs]
            heard = [leaf for signal in operands for leaf in signal]
            judged[op.name] = Judged(op.name, _apply(op, operands, context), (*shortest(heard), op.name), waits(heard))
            sent[op.name] = judged[op.name].judgement.leaves
        if _kinds(sent) == before:
            return judged


def _kinds(signals: dict[str, Signal]) -> dict[str, frozenset[tuple[str, str]]]:
    return {name: frozenset((leaf.kind, leaf.origin) for leaf in signal) for name, signal in signals.items()}


def _apply(op: Op, operands: list[Signal], context: Context) -> Judgement:
    if op.name in context.hosts and not isinstance(op, Input):
        return judge_host(op, operands, context)
    if isinstance(op, AttentionBlock):
        return attention(op, operands, context)
    rule = RULES.get(type(op))
    if rule is None:
        raise UnsupportedNodeError(
            f"{type(op).__name__} has no rule in the checker",
            where=f"op {op.name!r}",
            help="check the float graph as it was captured, not one behind `quantize`",
        )
    return rule(op, operands, context)


def _groups(graph: Graph, hosts: frozenset[str]) -> dict[tuple[str, bool], list[Op]]:
    """Return the ops of each block, host and chip apart, in graph order."""
    groups: dict[tuple[str, bool], list[Op]] = {}
    for op in graph:
        groups.setdefault((op.block, op.name in hosts), []).append(op)
    return groups


def _fire_alone(ops: list[Op], context: Context) -> tuple[str, ...]:
    """Return a note for each op whose neurons a bias makes fire."""
    notes = []
    for op in ops:
        alone = 0 if op.name in context.hosts else bias_driven(op, context.rest, context.timesteps)
        if alone:
            size = prod(context.shapes[op.name])
            notes.append(f"{alone:,} of {size:,} neurons of {op.name!r} fire without any event, by their bias")
    return tuple(notes)
