"""Cut a net whose input is not spikes at its first spikes: what lies in front runs on the host, once per sample.

Host: the smallest set of ops from the input to the first neurons that send spikes (``Lif``, or an attention block with its
neuron); the chip's input is what they send. A net that is fed spikes or event counts has no host part, unless the attention of
its first neurons is to run on the host, which then gets the events.

Several layers of first neurons, of which none reads another's spikes, send their maps beside each other, channel by channel::

    joined = [S_1; S_2; ...]  (maps of unequal size each in the upper left corner);   S_k = P_k joined,  P_k of zeros and ones

P_k is merged with the map that reads it; where something else reads S_k, memoryless neurons on the chip send it again.

Where the current of first neurons also goes round them, by the shortcut of a residual stream of membranes, the host ends at
that current and sends it, a signed value in every step: the chip holds its first neurons then, and `check` calls it dense.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.budget import blocks
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import AdaptivePool, Add, Affine, Conv, Input, Lif, Linear, Neuron, Op, Output, Shape
from spikewright.toolchain.passes import linear_maps
from spikewright.toolchain.passes.base import drop_unread
from spikewright.toolchain.shapes import shapes

JOINED = "host.joined"
"""What the host sends where several layers of neurons send it."""


@dataclass(frozen=True)
class HostPart:
    """The encoder: a float graph from the net's input to ``boundary``'s spikes.

    Args:
        graph: Ends in an ``Output`` that reads the boundary op.
        boundary: Name of the op whose output is sent to the chip: the first neurons, or what joins several layers of them.
        graded: Whether it sends real gains times spikes, or several spikes a step (else binary spikes).
        still: Whether every step of the calibration data shows the same frame, so that the host computes it once.
    """

    graph: Graph
    boundary: str
    graded: bool
    still: bool = True

    @property
    def current(self) -> bool:
        """Whether it sends a current, signed real values, and no spikes."""
        return not fires(self.graph[self.boundary]) and self.boundary != JOINED

    @property
    def counted(self) -> bool:
        """Whether it sends how many spikes there are, whole numbers."""
        sender = self.graph[self.boundary]
        return self.graded and isinstance(sender, Neuron) and sender.sends == "graded" and sender.ports == 0


def is_still(x: NDArray[Any]) -> bool:
    """Say whether samples (T, B, *shape) repeat one frame over all T."""
    return all(bool((part == x[:1]).all()) for part in blocks(x))


def too_large(graph: Graph) -> Op | None:
    """Return the pool in front of the first map that the two would be too large a matrix for: it belongs to the host."""
    known = shapes(graph)
    for op in graph:
        if not isinstance(op, AdaptivePool) or op.inputs != (graph.input.name,):
            continue
        for reader in graph.readers[op.name]:
            if isinstance(reader, Conv) and prod(graph.input.shape) * prod(known[reader.name]) > linear_maps.LARGEST:
                return op
    return None


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
    """Return the attention blocks that hold the first neurons or gate currents in front of them: what a host can compute.

    None where first neurons read each other's spikes: a host cannot end there.
    """
    first = _front(graph, any)[1]
    if _behind_another(graph, first) is not None:
        return ()
    inside = _front(graph, all)[0]
    gated = [op for op in graph if isinstance(op, AttentionBlock) and op.gates_currents and op.name in inside]
    return (*gated, *(op for op in first if isinstance(op, AttentionBlock)))


def _behind_another(graph: Graph, first: list[Op]) -> tuple[Op, Op] | None:
    """Return one of the first neurons that reads real values and, near or far, the spikes of another; and that other."""
    for op in first:
        wanted = _in_front_of(graph, op)
        for other in first:
            if other is not op and other.name in wanted:
                return op, other
    return None


def split_host(graph: Graph) -> tuple[Graph, HostPart]:
    """Return (chip graph, host part) of a net with real-valued input.

    Raises:
        UnsupportedNodeError: The input reaches the chip by another way than the first spiking layers.
    """
    entry = graph.input
    inside, first = _front(graph, any)
    for op in graph:
        if isinstance(op, Output) and any(name in inside for name in op.inputs):
            raise UnsupportedNodeError("has no spiking neuron on a path to the output", where=f"op {op.name!r}")
    if not first:
        raise UnsupportedNodeError(
            "the input reaches no neurons; what the host sends is what neurons send",
            where=f"input {entry.name!r}",
            help="encode the input in a spiking stem, or feed spikes (rate- or latency-coded) instead of real values",
        )
    if (late := _behind_another(graph, first)) is not None and (gate := _gateway(graph)) is not None:
        return _split_at(graph, gate)
    if late is not None:
        what = f"the input reaches {late[0].name!r} as real values, which also reads the spikes of {late[1].name!r}: on the "
        raise UnsupportedNodeError(
            f"{what}host it would work behind the first spike, on the chip the input would come in every step",
            where=f"input {entry.name!r}",
            help="encode the input in one spiking stem, or feed spikes (rate- or latency-coded) instead of real values",
        )
    graded = any(_sends_graded(op) for op in first)
    wanted = {op.name for op in first}.union(*(_in_front_of(graph, op) for op in first))
    ops = [op for op in graph if op.name in wanted]
    sent = shapes(graph)
    boundary, shape = first[0].name, sent[first[0].name]
    picks: dict[str, list[Op]] = {}
    if len(first) > 1:
        boundary, layout = JOINED, _Layout(tuple((op.name, sent[op.name]) for op in first))
        shape = layout.shape
        ops += layout.joined()
        picks = {op.name: layout.pick(graph, op) for op in first}
    host = graph.with_ops([*ops, Output(name="host.out", inputs=(boundary,), block=first[0].block)])
    source = Input(name=boundary, shape=shape, binary=not graded, block=first[0].block)
    rest = [new for op in graph if op is not entry for new in picks.get(op.name, [op] if op not in first else [])]
    chip = drop_unread(graph.with_ops([source, *rest]))
    return chip, HostPart(drop_unread(host), boundary, graded)


def _gateway(graph: Graph) -> Op | None:
    """Return the last current that all which the input brings passes through in front of the first spikes; None: the input."""
    inside = _front(graph, all)[0]
    for op in reversed(graph.ops):
        if op.name not in inside or isinstance(op, Input):
            continue
        reached = {graph.input.name}
        for other in graph:
            if other is not op and any(name in reached for name in other.inputs):
                reached.add(other.name)
        if reached <= _in_front_of(graph, op):
            return op
    return None


def _split_at(graph: Graph, gate: Op) -> tuple[Graph, HostPart]:
    """Return (chip graph, host part) of a net whose host sends a current."""
    wanted = _in_front_of(graph, gate) | {gate.name}
    ops = [op for op in graph if op.name in wanted]
    host = graph.with_ops([*ops, Output(name="host.out", inputs=(gate.name,), block=gate.block)])
    source = Input(name=gate.name, shape=shapes(graph)[gate.name], binary=False, block=gate.block)
    chip = drop_unread(graph.with_ops([source, *(op for op in graph if op.name not in wanted)]))
    return chip, HostPart(host, gate.name, graded=True)


def _sends_graded(op: Op) -> bool:
    return isinstance(op, AttentionBlock | Neuron) and op.sends == "graded"


@dataclass(frozen=True)
class _Layout:
    """Where the maps of several layers lie in what the host sends; ``parts``: their names and shapes, as they come."""

    parts: tuple[tuple[str, Shape], ...]

    @property
    def shape(self) -> Shape:
        """Shape of all together: their channels, as high and wide as the largest; of vectors, all values."""
        shapes_ = [shape for _, shape in self.parts]
        if len({len(shape) for shape in shapes_}) > 1:
            raise UnsupportedNodeError(
                f"the first neurons send maps and vectors: {', '.join(f'{name!r} {shape}' for name, shape in self.parts)}; "
                "beside each other lie maps, or vectors",
                where="what the host sends",
                help="let the vectors be neurons behind one of the maps",
            )
        return (
            sum(shape[0] for shape in shapes_),
            *(max(sides) for sides in zip(*(s[1:] for s in shapes_), strict=True)),
        )

    def joined(self) -> list[Op]:
        """Return the host's ops that lay all maps beside each other."""
        placed = [self._map(f"{JOINED}.{name}", name, name, back=True) for name, _ in self.parts]
        return [*placed, Add(name=JOINED, inputs=tuple(op.name for op in placed))]

    def pick(self, graph: Graph, op: Op) -> list[Op]:
        """Return the chip's ops that send what a layer sends, under its name."""
        shape = dict(self.parts)[op.name]
        merges = shape[1:] == self.shape[1:] and all(_merges(reader) for reader in graph.readers[op.name])
        if merges or _sends_graded(op):
            return [self._map(op.name, JOINED, op.name)]
        picked = self._map(f"{op.name}.picked", JOINED, op.name)
        again = Lif(
            name=op.name,
            inputs=(picked.name,),
            block=op.block,
            shape=shape,
            beta=np.zeros(()),
            v_threshold=np.full((), 0.5),
        )
        return [picked, again]

    def _map(self, name: str, reads: str, part: str, *, back: bool = False) -> Linear:
        """Return P_k from what all send to one part, or its transpose."""
        known, channels = dict(self.parts), self.shape[0]
        before = sum(shape[0] for name, shape in self.parts[: list(known).index(part)])
        shape = known[part]
        weight = np.zeros((shape[0], channels))
        weight[:, before : before + shape[0]] = np.eye(shape[0])
        weight = weight.T if back else weight
        if len(shape) == 1:
            return Affine(name=name, inputs=(reads,), weight=weight, block=part)
        less = [whole - own for whole, own in zip(self.shape[1:], shape[1:], strict=True)]
        high, wide = less if len(less) == 2 else (0, *less)
        kernel = np.zeros((*weight.shape, high + 1, wide + 1))
        kernel[:, :, -back * (high > 0), -back * (wide > 0)] = weight
        return Conv(name=name, inputs=(reads,), weight=kernel, padding=(high, wide) if back else (0, 0), block=part)


def _merges(reader: Op) -> bool:
    """Say whether a map in front of a reader always merges with it."""
    return isinstance(reader, Neuron | Add) or (isinstance(reader, Conv) and reader.groups == 1)
