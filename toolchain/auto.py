"""``--gates auto``: the cheapest spike-driven lowering whose loss on the calibration data stays within the tolerance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.calibration import Labels
from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.passes.lower_gates import strategies_for
from spikewright.toolchain.stage import Context, Note


def choose(context: Context, y: Labels | None, lower: Callable[[Context], Context], note: Note) -> Context:
    """Try the strategies from cheap to dear up to the integer graph; return the first one's that is good enough.

    Args:
        context: What the gates are lowered from.
        y: Labels of the calibration data; without them, agreement with the float net is judged.
        lower: The stages from there to the integer graph.
        note: Told what is tried.

    Raises:
        GateLoweringError: Every strategy loses too much; says how much.
    """
    blocks = [op for op in context.captured if isinstance(op, AttentionBlock)]
    losses = []
    for strategy in _candidates(context.captured):
        note(f"trying gates: {strategy}")
        tried = lower(replace(context, gates=strategy, strategies=strategies_for(blocks, strategy)))
        context = replace(context, reference=tried.reference)
        lost = _loss(tried, y)
        if lost <= context.options.tolerance:
            return tried
        losses.append(f"{strategy} loses {100 * lost:.1f} points")
    raise GateLoweringError(
        f"no spike-driven lowering stays within {100 * context.options.tolerance:.1f} points on the calibration data: "
        + ", ".join(losses)
        + _why_not_exactly(context.captured),
        where=f"{context.name}, --gates auto",
        help="allow more with --tolerance, choose --gates yourself (static: constant gates), or train the causal variant",
    )


def _loss(tried: Context, y: Labels | None) -> float:
    """Return by how much the integer net's accuracy is below the float net's."""
    assert tried.reference is not None
    assert tried.integer_answers is not None
    wanted, got = tried.reference.argmax(axis=1), tried.integer_answers.argmax(axis=1)
    truth = wanted if y is None else y
    return float((wanted == truth).mean()) - float((got == truth).mean())


def _why_not_exactly(graph: Graph) -> str:
    """Say why the first block that no exact lowering takes has none; "" where there is no such block."""
    for op in _on_chip(graph):
        if reason := op.refusal("causal"):
            return f"; for block {op.block!r}, {op.title}, no other is exact: {reason}"
    return ""


def _on_chip(graph: Graph) -> list[AttentionBlock]:
    """Return the attention blocks behind the first spike."""
    return [op for op in graph if isinstance(op, AttentionBlock) and not op.on_host]


def _candidates(graph: Graph) -> list[Any]:
    """Return the strategies to try, cheapest first."""
    blocks = _on_chip(graph)
    if not blocks:
        return ["host"]
    exact = all(op.own_strategy == "causal" for op in blocks)
    if exact and any(op.refusal("static") for op in blocks):
        return ["causal"]
    return ["static", "causal"] if exact else ["static"]
