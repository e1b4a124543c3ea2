"""The proof of a capture: the graph written, read back and interpreted gives the module's spikes, every one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray
from torch import fx

from spikewright.export.torch_to_nir.trace import Kept, Traced
from spikewright.toolchain import nirx
from spikewright.toolchain.blocks import AttentionBlock
from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.interpret import FloatRun
from spikewright.toolchain.interpret.states import FloatState
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array, Lif, Neuron, Op
from spikewright.toolchain.parameters import grid
from spikewright.toolchain.passes.base import sends_binary

TOLERANCE = 1e-9
"""Relative error allowed for real values: both sides compute in float64, in another order."""
OTHERWISE = (
    "the module computes something else than its class says (a hook, or a field that forward changes): use it as it is"
)
"""Help where a layer and its capture differ."""
TIE = 1e-12
"""A membrane this near to its threshold, relative to it, may fire or not: the order of a sum decides."""


class _Led(FloatState):
    """The state of neurons that fire as the module's where a membrane meets the threshold but for rounding.

    Args:
        op: The neurons, which fire once a step.
        spikes: What the module's sent, (T, B, *shape).
    """

    def __init__(self, op: Lif, spikes: NDArray[Any]) -> None:
        super().__init__(op, spikes.shape[1])
        self.spikes, self.t, self.ties = spikes, 0, 0

    def fired(self, op: Lif, v: Array) -> Array:
        """Return the spikes of a step."""
        own, theirs = super().fired(op, v), self.spikes[self.t]
        self.t += 1
        threshold = np.broadcast_to(grid(op.v_threshold, op.shape), v.shape)
        tie = (own != theirs) & (np.abs(v - threshold) <= TIE * np.abs(threshold))
        self.ties += int(tie.sum())
        return np.where(tie, theirs, own)


def check(
    graph: nir.NIRGraph, traced: Traced, names: Mapping[fx.Node, str], where: str, more: Sequence[Traced] = ()
) -> int:
    """Compare a captured graph with its module on the example, both in float64; return how many spikes only rounding decides.

    ``more``: the same calls on other inputs, such as events: an example on which nothing fires proves nothing.

    Raises:
        ImportingError: The file does not read back equal, or a signal differs; the first layer that does is named.
    """
    back = nirx.copied(graph)
    differs = nirx.difference(graph, back)
    if differs is not None:
        raise ImportingError(f"does not read back as written: {differs}", where=where, help="report this as a bug")
    lowered = from_nir(back, where=where)
    numbers = {node: i for i, node in enumerate(traced.nodes)}
    return sum(
        _compare(lowered, run, {run.nodes[numbers[node]]: name for node, name in names.items()}, where)
        for run in (traced, *more)
    )


def _compare(lowered: Graph, traced: Traced, names: Mapping[fx.Node, str], where: str) -> int:
    wanted = {name: traced.values[node] for node, name in names.items()}

    def seen(name: str, found: NDArray[np.float64]) -> None:
        if name in wanted:
            _signal(lowered[name], wanted[name], found, f"{where}: layer {name!r}")

    T, B = traced.example.shape[:2]
    run = FloatRun(lowered, B, keep=(), seen=seen)
    led = [
        _Led(op, wanted[op.name].numbers.numpy().reshape(T, B, *op.shape))
        for op in lowered
        if isinstance(op, Lif)
        and op.name in wanted
        and op.max_spikes == 1
        and sends_binary(op)
        and wanted[op.name].every == 1
    ]
    run.states |= {state.op.name: state for state in led}
    run.advance(traced.example.numpy())
    last = next(traced.values[node].numbers.numpy() for node in traced.nodes if node.op == "output")
    expected = last if last.size == run.answer.size else last.mean(axis=0)
    _values(expected.reshape(run.answer.shape), run.answer, f"{where}: the answer")
    return sum(state.ties for state in led)


def _signal(op: Op, kept: Kept, found: NDArray[np.float64], where: str) -> None:
    """Compare one layer: its spikes all, real values as far as they are kept."""
    expected = kept.numbers.numpy()
    if isinstance(op, Neuron | AttentionBlock) and sends_binary(op):
        if kept.every > 1:  # of spikes all are kept
            raise ImportingError("the module sends other values than 0 and 1 there", where=where, help=OTHERWISE)
        return _spikes(expected, found, where)
    if isinstance(op, AttentionBlock):
        fired = expected != 0 if kept.fired is None else kept.fired.numpy()
        _spikes(fired, found != 0 if found.size == fired.size else found.reshape(-1)[:: kept.every] != 0, where)
    _values(expected, found if kept.every == 1 else found.reshape(-1)[:: kept.every], where)


def _spikes(expected: NDArray[Any], found: NDArray[Any], where: str) -> None:
    wrong = int(np.count_nonzero(expected != found))
    if wrong:
        raise ImportingError(
            f"{wrong} of {expected.size} spikes differ between the module and its capture",
            where=where,
            help=OTHERWISE,
        )


def _values(expected: NDArray[Any], found: NDArray[np.float64], where: str) -> None:
    size = max(1.0, float(np.abs(expected).max(initial=0)))
    error = float(np.abs(expected - found).max(initial=0)) / size
    if error > TOLERANCE:
        raise ImportingError(
            f"its output differs from the module's by {error:.2g} of the largest value; allowed is {TOLERANCE:g}",
            where=where,
            help=OTHERWISE,
        )
