"""The proof of a capture: the graph written, read back and interpreted gives the module's spikes, every one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import nir
import numpy as np
from numpy.typing import NDArray
from torch import fx

from spikewright.export.torch_to_nir.trace import Traced
from spikewright.toolchain import nirx
from spikewright.toolchain.blocks import AttentionBlock
from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.interpret import answer, run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Neuron
from spikewright.toolchain.passes.base import sends_binary

TOLERANCE = 1e-9
"""Relative error allowed for real values: both sides compute in float64, in another order."""


def check(
    graph: nir.NIRGraph, traced: Traced, names: Mapping[fx.Node, str], where: str, more: Sequence[Traced] = ()
) -> Graph:
    """Compare a captured graph with its module on the example, both in float64; return the float Graph.

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
    for run in (traced, *more):
        _compare(lowered, run, {run.nodes[numbers[node]]: name for node, name in names.items()}, where)
    return lowered


def _compare(lowered: Graph, traced: Traced, names: Mapping[fx.Node, str], where: str) -> None:
    signals = run_float(lowered, traced.example.numpy())
    for node, name in names.items():
        op, expected, found = lowered[name], traced.values[node].numpy(), signals[name]
        if isinstance(op, Neuron | AttentionBlock) and sends_binary(op):
            _spikes(expected, found, f"{where}: layer {name!r}")
        else:
            _values(expected, found, f"{where}: layer {name!r}", graded=isinstance(op, AttentionBlock))
    found = answer(lowered, signals)
    last = next(traced.values[node].numpy() for node in traced.nodes if node.op == "output")
    expected = last if last.size == found.size else last.mean(axis=0)
    _values(expected.reshape(found.shape), found, f"{where}: the answer", graded=False)


def _spikes(expected: NDArray[np.float64], found: NDArray[np.float64], where: str) -> None:
    wrong = int(np.count_nonzero(expected != found))
    if wrong:
        raise ImportingError(
            f"{wrong} of {expected.size} spikes differ between the module and its capture",
            where=where,
            help="the module computes something else than its class says; use the class as it is",
        )


def _values(expected: NDArray[np.float64], found: NDArray[np.float64], where: str, *, graded: bool) -> None:
    if graded and np.any((expected != 0) != (found != 0)):
        return _spikes((expected != 0).astype(float), (found != 0).astype(float), where)
    size = max(1.0, float(np.abs(expected).max(initial=0)))
    error = float(np.abs(expected - found).max(initial=0)) / size
    if error > TOLERANCE:
        raise ImportingError(
            f"its output differs from the module's by {error:.2g} of the largest value; allowed is {TOLERANCE:g}",
            where=where,
            help="the module computes something else than its class says; use the class as it is",
        )
