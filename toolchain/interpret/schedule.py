"""The order of evaluation: whole sequences where nothing feeds back, step by step inside a feedback loop."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.errors import VerifyError
from spikewright.toolchain.integer import IntConnection
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Delay, Op

Signal = NDArray[Any]
WORK = 3
"""Copies of an op's values that its evaluation makes beside them: another type, a product, the sum."""


class NotAvailable(VerifyError):
    """A graph whose order needs the future."""


def lag_of(op: Op) -> int:
    """Return how many local steps later an op's operand arrives. In steps."""
    match op:
        case Delay(steps=steps):
            return steps
        case IntConnection(lag=lag):
            return lag
        case _:
            return 0


def loops(graph: Graph) -> list[tuple[int, int]]:
    """Return the spans of op indices that must advance together, step by step (merged where they overlap).

    Raises:
        VerifyError: An operand does not exist.
        NotAvailable: A value is read in the step in which it is computed later.
    """
    index = {op.name: i for i, op in enumerate(graph)}
    spans = []
    for i, op in enumerate(graph):
        for name in op.inputs:
            if name not in index:
                raise VerifyError("reads an op that is not there", where=f"op {op.name!r}", help=f"operand {name!r}")
            if index[name] >= i:
                if lag_of(op) < 1:
                    raise NotAvailable(
                        f"reads {name!r}, which is computed later, without a delay",
                        where=f"op {op.name!r}",
                        help="put a Delay of at least one step on the feedback edge",
                    )
                spans.append((i, index[name]))
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def spans(graph: Graph) -> Iterator[tuple[tuple[Op, ...], bool]]:
    """Yield what is evaluated together, in order, and whether it is a feedback loop; else it is one op."""
    ends, position = dict(loops(graph)), 0
    while position < len(graph):
        end = ends.get(position, position) + 1
        yield graph.ops[position:end], position in ends
        position = end


def shifted(x: Signal, lag: int, initial: float) -> Signal:
    """Return a sequence ``lag`` steps later, filled with ``initial``.

    It is (T, B, *shape), and so is what is returned; the lag is in steps.
    """
    if lag == 0:
        return x
    out = np.full_like(x, initial)
    out[lag:] = x[: x.shape[0] - lag] if lag < x.shape[0] else x[:0]
    return out


def last_readers(graph: Graph) -> dict[str, int]:
    """Return for every signal the span (numbered as ``spans`` yields them) after which nothing reads it."""
    found: dict[str, int] = {}
    for number, (ops, _) in enumerate(spans(graph)):
        for op in ops:
            found.setdefault(op.name, number)
            found |= {name: max(number, found.get(name, number)) for name in op.inputs}
    return found


def most_alive(graph: Graph, sizes: Mapping[str, int], keep: Collection[str]) -> int:
    """Return the most values of one step of one sample that are held at once, room for the largest op's own work among them."""
    last, alive, most = last_readers(graph), 0, 0
    dying: dict[int, int] = {}
    for name, number in last.items():
        if name not in keep:
            dying[number] = dying.get(number, 0) + sizes[name]
    for number, (ops, _) in enumerate(spans(graph)):
        alive += sum(sizes[op.name] for op in ops)
        work = max(sizes[name] for op in ops for name in (op.name, *op.inputs))
        most = max(most, alive + WORK * work)
        alive -= dying.get(number, 0)
    return most


def longest_lags(graph: Graph) -> dict[str, int]:
    """Return for every signal how far back its readers look, in steps."""
    found = dict.fromkeys((op.name for op in graph), 0)
    for op in graph:
        for name in op.inputs:
            found[name] = max(found[name], lag_of(op))
    return found
