"""Ranges that Lava takes without a word, checked before anything is built.

Sources: declared precisions of lava-nc 0.10.0 (``lif/models.py``, ``dense/models.py``) and the 24-bit states and payloads of
``hw_sim.fixed_point``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikewright.export.lava.nodes import MAX_GATES
from spikewright.hw_sim.fixed_point import DECAY_ONE, STATE_MAX
from spikewright.toolchain.errors import BackendError
from spikewright.toolchain.int_ops import (
    Connection,
    IntConv,
    IntDeltaRelu,
    IntDense,
    IntGate,
    IntGateTable,
    IntIdentity,
    IntInput,
    IntLif,
)
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op

WEIGHT_MIN, WEIGHT_MAX = -256, 255
"""Signed 8-bit weights on Lava's grid (clip of ``weightutils``; mixed-sign weights are even there)."""
EXPONENT_MIN, EXPONENT_MAX = -24, 15
"""Shifts of a synaptic sum that the 24-bit state can show."""
PAYLOAD_BITS_MAX = 24
"""Graded spikes carry up to 24 bits (Loihi 2)."""
GATE_BITS_MAX = 16
"""Gate levels: 24-bit drive times level stays in 64 bits with room."""


@dataclass(frozen=True)
class Range:
    """A named value of an op with what it may be."""

    what: str
    values: Any
    low: int
    high: int
    help: str


def check(graph: Graph) -> None:
    """Check every op of an integer graph.

    Raises:
        BackendError: Names the op, the value and the range.
    """
    for op in graph:
        for item in _ranges(op):
            _check(op, item)
        if isinstance(op, Connection):
            _check_delay(op, graph)


def _check(op: Op, item: Range) -> None:
    values = np.asarray(item.values)
    if values.dtype.kind not in "iub":
        raise BackendError(
            f"{item.what} is of type {values.dtype}; Lava's fixed point takes integers",
            where=f"op {op.name!r}",
            help="quantize the graph first",
        )
    if values.size and (values.min() < item.low or values.max() > item.high):
        worst = values.min() if values.min() < item.low else values.max()
        raise BackendError(
            f"{item.what} {worst} is outside {item.low} .. {item.high}", where=f"op {op.name!r}", help=item.help
        )


def _ranges(op: Op) -> Iterator[Range]:
    decay_help = "decays are 12-bit: 0 keeps all, 4096 keeps nothing"
    match op:
        case IntInput():
            yield Range("payload_bits", op.payload_bits, 1, PAYLOAD_BITS_MAX, "deploy with fewer --payload-bits")
        case IntDense() | IntConv() | IntIdentity():
            yield Range("weight", op.weight, WEIGHT_MIN, WEIGHT_MAX, "quantize to 8 bits, and use the exponent")
            yield Range("exponent", op.exponent, EXPONENT_MIN, EXPONENT_MAX, "rescale the layer's weights")
        case IntLif():
            state_help = "states are 24-bit: rescale the layer"
            yield Range("decay_u", op.decay_u, 0, DECAY_ONE, decay_help)
            yield Range("decay_v", op.decay_v, 0, DECAY_ONE, decay_help)
            for what in ("bias", "threshold", "v_reset"):
                yield Range(what, getattr(op, what), -STATE_MAX, STATE_MAX, state_help)
            yield Range("gates", op.gates, 0, MAX_GATES, "fold static gates into one table")
            yield Range("gate_bits", op.gate_bits, 0, GATE_BITS_MAX, "use fewer gate bits")
        case IntDeltaRelu():
            yield Range("decay", op.decay, 0, DECAY_ONE, decay_help)
            yield Range("shift", op.shift, 0, 23, "the accumulator has 24 bits")
        case IntGate():
            yield Range("decay", op.decay, 0, DECAY_ONE, decay_help)
            yield from _levels(op.levels, op.gate_bits)
        case IntGateTable():
            yield from _levels(op.table, op.gate_bits)
        case _:
            return


def _levels(levels: Any, bits: int) -> Iterator[Range]:
    yield Range("gate_bits", bits, 0, GATE_BITS_MAX, "use fewer gate bits")
    yield Range("gate level", levels, 0, 1 << bits, "a level of 2**gate_bits is 1.0")


def _check_delay(op: Connection, graph: Graph) -> None:
    source: Any = graph[op.inputs[0]]
    for reader in graph.readers[op.name]:
        wanted = getattr(reader, "start", 0) + op.lag - source.start
        if wanted == op.delay and op.delay >= 1:
            continue
        raise BackendError(
            f"delay {op.delay} from a neuron that starts at step {source.start} to {reader.name!r}, which starts at "
            f"{getattr(reader, 'start', 0)}, is no lag of {op.lag}; it takes {wanted}, at least 1",
            where=f"op {op.name!r}",
            help="run the align pass",
        )
