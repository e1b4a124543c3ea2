"""What calibration data says about a net, a few samples at a time, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.backends import IntArray
from spikewright.toolchain.deployment import CHUNK, Drift, encode
from spikewright.toolchain.integer import IntOutput
from spikewright.toolchain.interpret import answer, run_float, run_int
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array, Lif, Output
from spikewright.toolchain.passes.lower_gates import mean_gates
from spikewright.toolchain.passes.split_host import HostPart

Labels = NDArray[np.int64]


def chunks(x: Array) -> Iterator[Array]:
    """Cut samples (T, B, *shape) into parts of ``CHUNK``."""
    for start in range(0, x.shape[1], CHUNK):
        yield x[:, start : start + CHUNK]


def float_answers(graph: Graph, x: Array) -> Array:
    """Return the float net's answers (B, n)."""
    return np.concatenate([answer(graph, run_float(graph, part)) for part in chunks(x)])


def int_answers(graph: Graph, host: HostPart | None, x: Array) -> IntArray:
    """Return the integer net's answers (B, n) to data in the net's own coding."""
    return np.concatenate([run_int(graph, encode(host, graph, part)).answer for part in chunks(x)])


def sent_by(host: HostPart, x: Array) -> Array:
    """Return what the host sends to the chip, (T, B, *shape)."""
    return np.concatenate([run_float(host.graph, part)[host.boundary] for part in chunks(x)], axis=1)


def gates_on(graph: Graph, x: Array) -> dict[str, dict[str, Array]]:
    """Return every block's mean gates; see ``mean_gates``."""
    total: dict[str, dict[str, Array]] = {}
    for part in chunks(x):
        share = part.shape[1] / x.shape[1]
        for block, gates in mean_gates(graph, run_float(graph, part)).items():
            before = total.setdefault(block, {})
            for dim, mean in gates.items():
                before[dim] = before[dim] + share * mean if dim in before else share * mean
    return total


def reach(lowered: Graph, x: Array) -> float:
    """Return the largest |value| or |sum over time| of the answer."""
    output = next(op for op in lowered if isinstance(op, Output))
    most = 0.0
    for part in chunks(x):
        values = run_float(lowered, part)[output.name]
        most = max(most, np.abs(values).max(initial=0.0), np.abs(np.cumsum(values, axis=0)).max(initial=0.0))
    return float(most)


def drift(lowered: Graph, integer: Graph, host: HostPart | None, x: Array, chip_x: Array) -> Drift:
    """Compare the integer graph with the float graph it came from.

    Args:
        lowered: The float graph.
        integer: The integer graph.
        host: The encoder in front of both.
        x: Data in the net's own coding.
        chip_x: The same as the chip gets it.
    """
    scale = next(op.scale for op in integer if isinstance(op, IntOutput))
    differ: dict[str, int] = {}
    sizes: dict[str, int] = {}
    agree, error, count = 0, 0.0, 0
    for part, chip_part in zip(chunks(x), chunks(chip_x), strict=True):
        signals, result = run_float(lowered, chip_part), run_int(integer, encode(host, integer, part))
        wanted, got = answer(lowered, signals), result.answer * scale
        agree += int((wanted.argmax(axis=1) == got.argmax(axis=1)).sum())
        error, count = error + float(np.abs(wanted - got).sum()), count + wanted.size
        for op in lowered:
            if isinstance(op, Lif) and op.name in result.recordings:
                wrong = signals[op.name] != result.recordings[op.name].out
                differ[op.name] = differ.get(op.name, 0) + int(wrong.sum())
                sizes[op.name] = sizes.get(op.name, 0) + wrong.size
    mismatch = {name: wrong / sizes[name] for name, wrong in differ.items()}
    return Drift(mismatch, agree / x.shape[1], error / count)
