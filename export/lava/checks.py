"""Ranges that Lava takes without a word, checked before anything is built.

Sources: declared precisions of lava-nc 0.10.0 (``lif/models.py``, ``dense/models.py``) and the 24-bit states and payloads of
``hw_sim.fixed_point``.
"""

from __future__ import annotations

from collections.abc import Iterator

from spikewright.export.lava.nodes import MAX_GATES
from spikewright.hw_sim.ranges import Wrong, within
from spikewright.toolchain.errors import BackendError
from spikewright.toolchain.integer import IntConnection, IntNeuron, wrong, wrong_delay
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op

EXPONENT_MIN, EXPONENT_MAX = -24, 15
"""Shifts of a synaptic sum that the 24-bit state can show."""


def check(graph: Graph) -> None:
    """Check every op of an integer graph: what the machine's own classes call wrong, and what Lava's processes do not hold.

    Raises:
        BackendError: Names the op, the value and the range.
    """
    for op in graph:
        for found in (*wrong(op, 0), *_own(op, graph)):
            raise BackendError(found.what, where=f"op {op.name!r}", help=found.help)


def _own(op: Op, graph: Graph) -> Iterator[Wrong]:
    match op:
        case IntConnection():
            yield from within("exponent", op.exponent, EXPONENT_MIN, EXPONENT_MAX, "rescale the layer's weights")
            if graph.readers[op.name] and (what := wrong_delay(graph, op)):
                yield Wrong(what, "run the align pass")
        case IntNeuron():
            yield from within("gates", op.soma.ports, 0, MAX_GATES, "fold static gates into one table")
        case _:
            return
