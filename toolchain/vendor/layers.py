"""What the compiler sees of an integer graph: per neuron layer its shape, what arrives, and the form of what it sends to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

import numpy as np

from spikewright.hw_sim import ConvSynapses, DenseSynapses, GateLink, IdentitySynapses, SparseSynapses
from spikewright.toolchain.errors import MappingError
from spikewright.toolchain.integer import (
    IntArray,
    IntConnection,
    IntInput,
    IntNeuron,
    IntOutput,
    kind_of,
    neurons_of,
)
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op, Shape
from spikewright.toolchain.vendor import lists
from spikewright.toolchain.vendor.lists import Conv, Dense, FromHost, OneToOne, Sparse, weight_bits

Bits = Callable[[IntArray], int]
Target = Literal["list", "grid", "host"]
"""How a destination keeps what arrives: one list an axon, a shared kernel, or the host reads it."""

GATED = "gate ports have no counterpart in the vendor's tables: their axons and words are not counted"
ONE_TO_ONE = "one-to-one synapses of a grid: no printed row, their words are not counted"
DELAYED = "delays of more than one step: how they are stored is not known; each is counted as lists of its own, no bits for it"
HOSTED = (
    "one-to-one from the host: counted as an input layer whose biases it sets (one axon, no synapses; one printed row)"
)
SEQUENCE = "convolution along one axis: no printed row, it is cut and counted as a grid of height 1 (assumed)"
PATTERN = "sparse synapses: no printed row has both words and pattern, each list holds what its axon reaches (assumed)"
GROUPED = "grouped convolution: no printed row, its lists are those of its groups (assumed)"


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of neurons.

    Args:
        name: As in the graph.
        shape: (n,) or (C, H, W).
        connections: What arrives.
        targets: The form of each destination.
        notes: What of it no printed row shows.
        gated: It reads or feeds gate ports.
    """

    name: str
    shape: Shape
    connections: tuple[lists.Connection, ...]
    targets: tuple[Target, ...] = ("host",)
    notes: tuple[str, ...] = ()
    gated: bool = False

    @property
    def size(self) -> int:
        """Number of neurons."""
        return prod(self.shape)

    @property
    def grid(self) -> tuple[int, int, int] | None:
        """(C, H, W) of a layer that is cut as an image, (C, 1, L) of a sequence; None for one cut as a list of neurons."""
        if any(isinstance(link, Dense | Sparse) for link in self.connections):
            return None
        if len(self.shape) == 2 and any(isinstance(link, Conv) for link in self.connections):
            return self.shape[0], 1, self.shape[1]
        return (self.shape[0], self.shape[1], self.shape[2]) if len(self.shape) == 3 else None

    @property
    def grid_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a layer known to be a grid."""
        assert self.grid is not None
        return self.grid

    @property
    def on_lists(self) -> tuple[lists.OnList, ...]:
        """The connections kept one list an axon."""
        return tuple(link for link in self.connections if isinstance(link, Dense | Sparse | OneToOne))

    def words(self, first: int, last: int) -> int:
        """Return the synapse words of neurons ``first`` .. ``last`` - 1 of a list."""
        return sum(link.words(first, last) for link in self.on_lists)

    def fullest(self, chunk: int) -> int:
        """Return the most words that a core takes with so many neurons on each. In words of 64 bits."""
        if any(isinstance(link, Sparse) for link in self.connections):
            return max(self.words(k, min(k + chunk, self.size)) for k in range(0, self.size, chunk))
        return self.words(0, min(chunk, self.size))


def layers_of(graph: Graph, bits: Bits = weight_bits) -> tuple[Layer, ...]:
    """Return the neuron layers of an integer graph, first layer first; ``bits`` counts the bits of a weight in memory.

    Raises:
        MappingError: A layer mixes a convolution with all-to-all synapses: no printed row says how it is cut.
    """
    return tuple(_layer(graph, op, bits) for op in neurons_of(graph))


def _layer(graph: Graph, op: IntNeuron, bits: Bits) -> Layer:
    links = [link for name in op.inputs if isinstance(link := graph[name], IntConnection)]
    sent = [link for link in graph.readers.get(op.name, ()) if isinstance(link, IntConnection | IntOutput)]
    gated = any(_gates(link) for link in (*links, *sent))
    synapses = [link for link in links if not _gates(link)]
    made = Layer(
        op.name,
        op.shape,
        tuple(_connection(graph, link, bits) for link in synapses),
        tuple(_target(link) for link in sent if not _gates(link)),
        gated=gated,
    )
    kinds = {type(link) for link in made.connections}
    if made.grid is None and Conv in kinds:
        raise MappingError(
            f"shape {op.shape} reads a convolution and all-to-all synapses; no printed table shows how the vendor's compiler "
            "cuts such a layer",
            where=f"layer {op.name!r}",
            help="use another mapping strategy, or put the two into layers of their own",
        )
    found = {
        GATED: gated,
        ONE_TO_ONE: made.grid is not None and OneToOne in kinds,
        HOSTED: FromHost in kinds,
        DELAYED: any(link.delay > 1 for link in synapses),
        GROUPED: any(isinstance(link, Conv) and link.groups > 1 for link in made.connections),
        SEQUENCE: made.grid is not None and len(op.shape) == 2,
        PATTERN: Sparse in kinds,
    }
    return replace(made, notes=tuple(note for note, true in found.items() if true))


def _connection(graph: Graph, link: IntConnection, bits: Bits) -> lists.Connection:
    match link.synapses:
        case DenseSynapses(weight=weight):
            return Dense(weight.shape[1], bits(weight))
        case SparseSynapses(weight=weight) as sparse:
            rows, columns, _ = sparse.entries((), ())
            return Sparse(rows, columns, bits(weight))
        case ConvSynapses(weight=weight, groups=groups):
            outputs, inputs, *kernel = weight.shape
            return Conv(inputs * groups, prod(kernel), bits(weight), outputs, groups)
        case IdentitySynapses(weight=one):
            source: Op = graph[link.inputs[0]]
            return FromHost() if isinstance(source, IntInput) else OneToOne(bits(np.array([one])))
        case _:
            raise MappingError(f"{kind_of(link)} has no synapse format", where=f"op {link.name!r}")


def _gates(link: Op) -> bool:
    return isinstance(link, IntConnection) and isinstance(link.synapses, GateLink)


def _target(link: Op) -> Target:
    if isinstance(link, IntOutput):
        return "host"
    return "grid" if isinstance(link, IntConnection) and isinstance(link.synapses, ConvSynapses) else "list"
