"""Give every neuron its own synapses: residual sums become several projections, a shared map is copied per reader.

    lif(x + f(x)) with x = a + b   ->   lif reads a, b and f(x), each by its own synapses
    W (a + b) + c                  ->   (W a + c) + (W b)         for messages a, b

An MS-ResNet identity is a real-valued membrane; by this distribution no membrane ever travels. Exact in real arithmetic.
A map that reads a *current* (a shortcut convolution on membranes) has no such form and is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Add, Linear, Neuron, Op, Output
from spikewright.toolchain.passes.base import Pass, sends_messages


@dataclass(frozen=True)
class Distribute(Pass):
    """Remove ``Add`` and shared linear maps in front of neurons."""

    name: ClassVar[str] = "distribute"

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Expand one sum, or copy one shared map."""
        match op:
            case Neuron() | Output() | Add():
                return _expand(graph, op)
            case Linear():
                return _split(graph, op)
            case _:
                return None


def _expand(graph: Graph, op: Op) -> Graph | None:
    """Let a neuron read the operands of a sum; give each its own copy of a shared map."""
    inputs: list[str] = []
    for name in op.inputs:
        producer = graph[name]
        inputs.extend(producer.inputs if isinstance(producer, Add) else (name,))
    if tuple(inputs) != op.inputs:
        return graph.replace((op,), replace(op, inputs=tuple(inputs)))
    if isinstance(op, Add):
        return None
    for position, name in enumerate(op.inputs):
        producer = graph[name]
        twice = name in op.inputs[:position]
        if isinstance(producer, Linear) and (twice or len(graph.readers[name]) > 1):
            copy = replace(producer, name=f"{name}@{op.name}" + (f".{position}" if twice else ""))
            reads = (*op.inputs[:position], copy.name, *op.inputs[position + 1 :])
            return graph.replace((op,), (copy, replace(op, inputs=reads)))
    return None


def _split(graph: Graph, op: Linear) -> Graph | None:
    """Apply a map to the operands of the sum in front of it."""
    source = graph[op.inputs[0]]
    if isinstance(source, Linear):
        raise current_read(op, source)
    if not isinstance(source, Add):
        return None
    for name in source.inputs:
        if not sends_messages(graph, name) and not isinstance(graph[name], Add):
            raise current_read(op, graph[name])
    parts = [
        replace(op, name=f"{op.name}.{i}", inputs=(name,), bias=op.bias if i == 0 else None)
        for i, name in enumerate(source.inputs)
    ]
    total = Add(name=op.name, inputs=tuple(p.name for p in parts), block=op.block)
    return graph.replace((op,), (*parts, total))


def current_read(op: Op, source: Op) -> UnsupportedNodeError:
    """Return the error for a map that reads real values instead of spikes."""
    return UnsupportedNodeError(
        f"{type(op).__name__} reads the real-valued signal of {type(source).__name__} {source.name!r}, not spikes: "
        "a dense product every step",
        where=f"op {op.name!r}",
        help=f"put a spiking neuron between {source.name!r} and {op.name!r} (and retrain)",
    )
