"""Cut a net whose input is not spikes at its first spikes: what lies in front runs on the host, once per sample.

Host: the smallest set of ops from the input to the first neurons that send spikes (``Lif``, or an attention block with its
neuron); the chip's input is what they send. A net that is fed spikes or event counts has no host part, unless the attention of
its first neurons is to run on the host, which then gets the events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.budget import blocks
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Input, Neuron, Op, Output
from spikewright.toolchain.passes.base import drop_unread
from spikewright.toolchain.shapes import shapes


@dataclass(frozen=True)
class HostPart:
    """The encoder: a float graph from the net's input to ``boundary``'s spikes.

    Args:
        graph: Ends in an ``Output`` that reads the boundary op.
        boundary: Name of the op whose output is sent to the chip.
        graded: Whether it sends real gains times spikes, or several spikes a step (else binary spikes).
        still: Whether every step of the calibration data shows the same frame, so that the host computes it once.
    """

    graph: Graph
    boundary: str
    graded: bool
    still: bool = True

    @property
    def counted(self) -> bool:
        """Whether it sends how many spikes there are, whole numbers."""
        sender = self.graph[self.boundary]
        return self.graded and isinstance(sender, Neuron) and sender.sends == "graded" and sender.ports == 0


def is_still(x: NDArray[Any]) -> bool:
    """Say whether samples (T, B, *shape) repeat one frame over all T."""
    return all(bool((part == x[:1]).all()) for part in blocks(x))


def fires(op: Op) -> bool:
    """Say whether an op holds neurons that send spikes: the first spikes stand behind it."""
    return (isinstance(op, Neuron) and op.fires) or (isinstance(op, AttentionBlock) and op.spiking)


def _front(graph: Graph, reached: Callable[[Iterable[bool]], bool]) -> tuple[set[str], list[Op]]:
    """Return what real values reach by all (or any) of its operands in front of the first spikes, and what fires there."""
    inside: set[str] = set()
    first: list[Op] = []
    for op in graph:
        if isinstance(op, Input) or (op.inputs and reached(name in inside for name in op.inputs)):
            if fires(op):
                first.append(op)
            elif not isinstance(op, Output):
                inside.add(op.name)
    return inside, first


def _in_front_of(graph: Graph, op: Op) -> set[str]:
    """Return what an op reads, near and far: also tables, and its own feedback."""
    found: set[str] = set()
    waiting = list(op.inputs)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph[name].inputs
    return found


def before_first_spike(graph: Graph) -> frozenset[str]:
    """Return the ops in front of the first spikes and the neurons that send them: what a host can compute once per sample.

    For any net, also one that cannot be deployed.
    """
    inside, first = _front(graph, all)
    return frozenset(inside) | {op.name for op in first}


def first_blocks(graph: Graph) -> tuple[AttentionBlock, ...]:
    """Return the attention blocks that hold the first neurons, where the input reaches no others: a host can end there."""
    first = _front(graph, any)[1]
    return tuple(op for op in first if isinstance(op, AttentionBlock)) if len(first) == 1 else ()


def split_host(graph: Graph) -> tuple[Graph, HostPart]:
    """Return (chip graph, host part) of a net with real-valued input.

    Raises:
        UnsupportedNodeError: The input reaches the chip by another way than one first spiking layer.
    """
    entry = graph.input
    inside, first = _front(graph, any)
    for op in graph:
        if isinstance(op, Output) and any(name in inside for name in op.inputs):
            raise UnsupportedNodeError("has no spiking neuron on a path to the output", where=f"op {op.name!r}")
    if len(first) != 1:
        named = ", ".join(repr(op.name) for op in first) or "none"
        raise UnsupportedNodeError(
            f"the input reaches these first neurons: {named}; what the host sends is what one layer of neurons sends",
            where=f"input {entry.name!r}",
            help="encode the input in one spiking stem, or feed spikes (rate- or latency-coded) instead of real values",
        )
    boundary = first[0]
    graded = isinstance(boundary, AttentionBlock | Neuron) and boundary.sends == "graded"
    wanted = _in_front_of(graph, boundary)
    ops = [op for op in graph if op.name in wanted or op is boundary]
    host = graph.with_ops([*ops, Output(name="host.out", inputs=(boundary.name,), block=boundary.block)])
    shape = shapes(graph)[boundary.name]
    source = Input(name=boundary.name, shape=shape, binary=not graded, block=boundary.block)
    rest = [op for op in graph if op is not entry and op is not boundary]
    chip = drop_unread(graph.with_ops([source, *rest]))
    return chip, HostPart(drop_unread(host), boundary.name, graded)
