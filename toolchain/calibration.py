"""What calibration data says about a net, a few samples at a time, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.backends import IntArray, added
from spikewright.toolchain.deployment import CHUNK, Drift, payloads
from spikewright.toolchain.integer import IntInput, answer_of
from spikewright.toolchain.interpret import answer, run_float, run_int
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array, Lif, Neuron
from spikewright.toolchain.passes.lif_unit import Reach
from spikewright.toolchain.passes.lower_gates import mean_gates
from spikewright.toolchain.passes.scales import flat
from spikewright.toolchain.passes.split_host import HostPart

Labels = NDArray[np.int64]
Data = NDArray[Any]
"""Samples (T, B, *shape) of any number type: what runs is float64, a chunk at a time."""
Packed = NDArray[np.uint8]
"""Spikes, eight a byte."""


def chunks(x: Data) -> Iterator[Data]:
    """Cut samples (T, B, *shape) into parts of ``CHUNK``."""
    for start in range(0, x.shape[1], CHUNK):
        yield x[:, start : start + CHUNK]


def answers(graph: Graph, x: Data) -> Array:
    """Return a float or an integer graph's answers (B, n), in the net's units, to what its input gets."""
    if isinstance(graph.input, IntInput):
        return to_units(graph, run_int(graph, payloads(graph, x)).answer)
    return answer(graph, run_float(graph, x))


def to_units(integer: Graph, raw: IntArray) -> Array:
    """Return an integer graph's answers in the net's units."""
    return np.asarray(raw * answer_of(integer).scale, np.float64)


def sent_by(host: HostPart, x: Data) -> Data:
    """Return what the host sends to the chip, (T, B, *shape); spikes take a byte each."""
    kind = np.float64 if host.graded else np.uint8
    return np.concatenate([run_float(host.graph, part)[host.boundary].astype(kind) for part in chunks(x)], axis=1)


def gates_on(graph: Graph, x: Data) -> tuple[dict[str, dict[str, Array]], Array]:
    """Return every block's mean gates (see ``mean_gates``) and the net's answers (B, n)."""
    total: dict[str, dict[str, Array]] = {}
    found = []
    for part in chunks(x):
        share, signals = part.shape[1] / x.shape[1], run_float(graph, part)
        found.append(answer(graph, signals))
        for block, gates in mean_gates(graph, signals).items():
            before = total.setdefault(block, {})
            for dim, mean in gates.items():
                before[dim] = before[dim] + share * mean if dim in before else share * mean
    return total, np.concatenate(found)


@dataclass(frozen=True, eq=False)
class Seen:
    """What a lowered float net did on calibration data.

    Args:
        answers: (B, n).
        reach: Largest |value| or |sum over time| of the answer.
        peak: Largest |value| of it in one step.
        reached: How far the states of every ``Lif`` went.
        spikes: Of every chunk, the spikes of every ``Neuron``.
    """

    answers: Array
    reach: float
    peak: float
    reached: dict[str, Reach]
    spikes: tuple[dict[str, Packed], ...]


def observe(lowered: Graph, x: Data) -> Seen:
    """Run a lowered net once, and keep what quantize and its drift ask for."""
    output = lowered.output
    found, spikes, reach, peak, reached = [], [], 0.0, 0.0, dict[str, Reach]()
    lifs = [op for op in lowered if isinstance(op, Lif)]
    for part in chunks(x):
        membranes: dict[str, Array] = {}
        signals = run_float(lowered, part, membranes=membranes)
        reached = {op.name: _further(reached.get(op.name), _reach(op, signals, membranes[op.name])) for op in lifs}
        values = signals[output.name]
        peak = max(peak, np.abs(values).max(initial=0.0))
        reach = max(reach, peak, np.abs(np.cumsum(values, axis=0)).max(initial=0.0))
        found.append(answer(lowered, signals))
        spikes.append(
            {op.name: np.packbits(signals[op.name] != 0) for op in lowered if isinstance(op, Neuron) and op.fires}
        )
    return Seen(np.concatenate(found), float(reach), float(peak), reached, tuple(spikes))


def _reach(op: Lif, signals: dict[str, Array], after: Array) -> Reach:
    """Return how far a ``Lif`` went: u by its currents, v before reset by u and what it was ``after`` the step before."""
    T, B = after.shape[:2]
    n = prod(op.shape)
    i = sum((signals[name].reshape(T, B, -1) for name in op.currents), np.zeros((T, B, n)))
    alpha, beta = flat(op.alpha, op.shape), flat(op.beta, op.shape)
    if alpha.any():
        for t in range(1, T):
            i[t] += alpha * i[t - 1]
    gain = flat(np.asarray(op.gain) * np.asarray(op.gain_u), op.shape)
    kept = after.reshape(T, B, n)[:-1] * (beta / gain)
    v = i + flat(op.leak, op.shape) / gain
    if op.gates > op.output_gate:  # gains lie in 0 .. 1
        v[1:] = np.abs(v[1:]) + np.abs(kept)
    else:
        v[1:] += kept
    return Reach(np.abs(i).max(axis=(0, 1)), np.abs(v).max(axis=(0, 1)))


def _further(a: Reach | None, b: Reach) -> Reach:
    return b if a is None else Reach(np.maximum(a.current, b.current), np.maximum(a.voltage, b.voltage))


def drift(seen: Seen, integer: Graph, x: Data) -> tuple[Drift, IntArray]:
    """Run the integer graph once, and compare it with the float graph it came from.

    Args:
        seen: What that did.
        integer: The integer graph.
        x: What the chip gets.

    Returns:
        The drift, and the integer answers (B, n).
    """
    differ: dict[str, int] = {}
    counts: dict[str, tuple[int, int, int]] = {}
    saturated = []
    found, error, start = [], 0.0, 0
    for part, spikes in zip(chunks(x), seen.spikes, strict=True):
        result = run_int(integer, payloads(integer, part))
        found.append(result.answer)
        saturated.append(result.saturations)
        wanted = seen.answers[start : start + part.shape[1]]
        error, start = error + float(np.abs(wanted - to_units(integer, result.answer)).sum()), start + part.shape[1]
        for name, packed in spikes.items():
            if name in result.recordings:
                out = result.recordings[name].out
                sent = np.packbits(out != 0)
                differ[name] = differ.get(name, 0) + _ones(sent ^ packed)
                was, now, size = counts.get(name, (0, 0, 0))
                counts[name] = (was + _ones(packed), now + _ones(sent), size + out.size)
    mismatch = {name: wrong / counts[name][2] for name, wrong in differ.items()}
    got = np.concatenate(found)
    same = (seen.answers.argmax(axis=1) == to_units(integer, got).argmax(axis=1)).mean()
    return Drift(mismatch, float(same), error / seen.answers.size, counts, added(saturated)), got


def _ones(packed: Packed) -> int:
    return int(np.bitwise_count(packed).sum())
