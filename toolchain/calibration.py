"""What calibration data says about a net, part by part, so that memory grows neither with its samples nor with its steps."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from math import prod
from tempfile import SpooledTemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.backends import IntArray, added
from spikewright.toolchain.budget import BUDGET, Cut
from spikewright.toolchain.coding import payloads
from spikewright.toolchain.deployment import Drift
from spikewright.toolchain.integer import IntInput, IntNeuron, answer_of
from spikewright.toolchain.interpret import FloatRun, IntRun, float_answers, float_blocks, float_cut, int_blocks
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.limits import FEW
from spikewright.toolchain.ops import Array, Lif, Neuron, Relay
from spikewright.toolchain.passes.lif_unit import Reach
from spikewright.toolchain.passes.lower_gates import mean_gates
from spikewright.toolchain.passes.scales import flat
from spikewright.toolchain.passes.split_host import HostPart
from spikewright.toolchain.samples import Samples, repeated
from spikewright.toolchain.shapes import shapes

Labels = NDArray[np.int64]
Data = NDArray[Any]
"""Samples (T, B, *shape) of any number type: what runs is float64, a part at a time."""
Packed = NDArray[np.uint8]
"""Spikes, eight a byte, or counts of them in four bytes each."""


def sample_bytes(graph: Graph) -> int:
    """Return what all values of a graph, of all steps of one sample, take in float64."""
    return 8 * graph.timesteps * sum(prod(shape) for shape in shapes(graph).values())


def looked_at(graph: Graph, samples: int, most_bytes: int) -> int:
    """Return how many of so many samples are looked at: as many as fit, one at least."""
    return max(1, min(samples, most_bytes // sample_bytes(graph)))


def spread_over(samples: Samples, count: int) -> Samples:
    """Return so many samples, evenly spaced: files are often sorted by class. x (T, count, *shape), a frame one of them."""
    chosen = np.arange(count) * len(samples) // count
    y = None if samples.y is None else samples.y[chosen]
    still = samples.x.strides[0] == 0
    x = repeated(samples.x[:1, chosen], samples.x.shape[0]) if still else samples.x[:, chosen]
    return replace(samples, x=x, y=y)


def answers(graph: Graph, x: Data) -> Array:
    """Return a float or an integer graph's answers (B, n), in the net's units, to what its input gets."""
    if isinstance(graph.input, IntInput):
        T = x.shape[0]
        found = [run.answer for _, steps, run, _ in int_blocks(graph, payloads(graph, x)) if steps.stop == T]
        return to_units(graph, np.concatenate(found))
    return float_answers(graph, x)


def to_units(integer: Graph, raw: IntArray) -> Array:
    """Return an integer graph's answers in the net's units."""
    return np.asarray(raw * answer_of(integer).scale, np.float64)


def sent_by(host: HostPart, x: Data) -> Data:
    """Return what the host sends to the chip, (T, B, *shape); spikes take a byte each."""
    sent = np.empty((*x.shape[:2], *shapes(host.graph)[host.boundary]), np.float64 if host.graded else np.uint8)
    for chosen, steps, _, signals in float_blocks(host.graph, x, keep=(host.boundary,)):
        sent[steps, chosen] = signals[host.boundary]
    return sent


def gates_on(graph: Graph, x: Data) -> tuple[dict[str, dict[str, Array]], Array]:
    """Return every block's mean gates (see ``mean_gates``) and the net's answers (B, n)."""
    total: dict[str, dict[str, Array]] = {}
    found = []
    read = {name for op in graph if isinstance(op, AttentionBlock) for name in op.inputs}
    for chosen, _, run, signals in float_blocks(graph, x, keep=read):
        share = (chosen.stop - chosen.start) / x.shape[1]
        found.append(run.answer)
        for block, gates in mean_gates(graph, signals).items():
            before = total.setdefault(block, {})
            for dim, mean in gates.items():
                before[dim] = before[dim] + share * mean if dim in before else share * mean
    return total, np.concatenate(found)


class Spikes:
    """Spikes of a run, packed and in the order they came; what exceeds the budget waits in a file without a name."""

    def __init__(self) -> None:
        self.file = SpooledTemporaryFile(max_size=BUDGET)  # noqa: SIM115 - lives as long as the spikes
        weakref.finalize(self, self.file.close)

    def add(self, held: Packed) -> None:
        """Put some, packed, at the end."""
        self.file.write(held.data)

    def start(self) -> None:
        """Read from the beginning."""
        self.file.seek(0)

    def next(self, count: int) -> Packed:
        """Return the next ``count`` bytes, as they were added."""
        return np.frombuffer(self.file.read(count), np.uint8)


@dataclass(frozen=True)
class Firing:
    """Neurons that send spikes: how many, and whether several a step.

    Args:
        size: Number of neurons.
        counted: Whether the number of spikes is compared, and not only whether there is one.
    """

    size: int
    counted: bool

    def packed(self, sent: NDArray[Any]) -> Packed:
        """Return what is compared of messages (T', B, ...): eight spikes a byte, or a count in four."""
        if self.counted:
            return np.ascontiguousarray(sent.reshape(-1), np.int32).view(np.uint8)
        return np.packbits(sent != 0)

    def bytes(self, rows: int) -> int:
        """Return how many bytes ``packed`` takes for so many (step, sample)."""
        return 4 * rows * self.size if self.counted else -(-rows * self.size // 8)

    def differ(self, a: Packed, b: Packed) -> int:
        """Count what differs between two of them."""
        return int(np.count_nonzero(a.view(np.int32) != b.view(np.int32))) if self.counted else _ones(a ^ b)

    def sent(self, held: Packed) -> int:
        """Count the messages."""
        return int(np.count_nonzero(held.view(np.int32))) if self.counted else _ones(held)


@dataclass(frozen=True, eq=False)
class Seen:
    """What a lowered float net did on calibration data.

    Args:
        answers: (B, n).
        reach: Largest |value| or |sum over time| of the answer.
        peak: Largest |value| of it in one step.
        reached: How far the states of every ``Lif`` and ``Relay`` went.
        firing: The neuron ops that fire, and
        spikes: theirs, part by part of ``cut``, in this order.
        busy: How many messages each of their neurons sent, (n,) each.
        cut: How the data was cut.
    """

    answers: Array
    reach: float
    peak: float
    reached: dict[str, Reach]
    firing: dict[str, Firing]
    spikes: Spikes
    busy: dict[str, IntArray]
    cut: Cut


def observe(lowered: Graph, x: Data) -> Seen:
    """Run a lowered net once, and keep what quantize and its drift ask for."""
    output, spikes = lowered.output.name, Spikes()
    firing = {op.name: _firing(op) for op in lowered if isinstance(op, Neuron) and op.fires}
    busy = {name: np.zeros(kind.size, np.int64) for name, kind in firing.items()}
    keep = (*firing, output)
    found, reach, peak, total = [], 0.0, 0.0, np.zeros(())
    reached: dict[str, Reach] = {}
    for _, steps, run, signals in float_blocks(lowered, x, keep=keep, peaks=True):
        values = signals[output]
        sums = np.cumsum(values, axis=0) if steps.start == 0 else np.cumsum([total + values[0], *values[1:]], axis=0)
        peak = max(peak, np.abs(values).max(initial=0.0))
        reach, total = max(reach, np.abs(values).max(initial=0.0), np.abs(sums).max(initial=0.0)), sums[-1]
        for name, kind in firing.items():
            spikes.add(kind.packed(signals[name]))
            busy[name] += _messages(signals[name])
        if steps.stop == x.shape[0]:
            found.append(run.answer)
            reached = {
                op.name: _further(reached.get(op.name), _reach(op, run))
                for op in lowered
                if isinstance(op, Lif | Relay)
            }
    parts = float_cut(lowered, x.shape[1], x.shape[0], keep=keep)
    return Seen(np.concatenate(found), float(reach), float(peak), reached, firing, spikes, busy, parts)


def _firing(op: Neuron) -> Firing:
    return Firing(prod(op.shape), isinstance(op, Lif) and op.max_spikes != 1)


def _messages(sent: NDArray[Any]) -> IntArray:
    """Return how many messages each neuron sent, (n,), of (T', B, ...)."""
    found: IntArray = (sent.reshape(-1, prod(sent.shape[2:])) != 0).sum(axis=0, dtype=np.int64)
    return found


def _reach(op: Lif | Relay, run: FloatRun) -> Reach:
    """Return how far neurons went in a run, in units of their synaptic input."""
    current, voltage = run.states[op.name].peaks
    if isinstance(op, Relay):
        return Reach(current, voltage)
    gain_u = flat(op.gain_u, op.shape)
    return Reach(current / gain_u, voltage / (gain_u * flat(op.gain, op.shape)))


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
    here = {op.name for op in integer if isinstance(op, IntNeuron) and op.soma.states}
    differ = dict.fromkeys((name for name in seen.firing if name in here), 0)
    counts = dict.fromkeys(differ, (0, 0, 0))
    busy = {name: np.zeros(seen.firing[name].size, np.int64) for name in differ}
    saturated = []
    found, error, run = [], 0.0, IntRun(integer, 1)
    seen.spikes.start()
    for chosen, steps in seen.cut.parts(x.shape[1], x.shape[0]):
        batch = chosen.stop - chosen.start
        if steps.start == 0:
            run = IntRun(integer, batch, keep=differ)
        run.advance(payloads(integer, x[steps, chosen], saturate=True))
        for name, kind in seen.firing.items():
            rows = (steps.stop - steps.start) * batch
            wanted = seen.spikes.next(kind.bytes(rows))
            if name in differ:
                messages = run.sent(name)
                sent = kind.packed(messages)
                differ[name] += kind.differ(sent, wanted)
                busy[name] += _messages(messages)
                was, now, before = counts[name]
                counts[name] = (was + kind.sent(wanted), now + kind.sent(sent), before + rows * kind.size)
        if steps.stop == x.shape[0]:
            found.append(run.answer)
            saturated.append(run.saturations)
            error += float(np.abs(seen.answers[chosen] - to_units(integer, run.answer)).sum())
    mismatch = {name: wrong / counts[name][2] for name, wrong in differ.items()}
    silenced = {name: (int(((seen.busy[name] > FEW) & (now == 0)).sum()), now.size) for name, now in busy.items()}
    got = np.concatenate(found)
    same = (seen.answers.argmax(axis=1) == to_units(integer, got).argmax(axis=1)).mean()
    return Drift(mismatch, float(same), error / seen.answers.size, counts, added(saturated), silenced), got


def _ones(packed: Packed) -> int:
    return int(np.bitwise_count(packed).sum())
