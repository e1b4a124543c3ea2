"""What a pass is: a pure function from graph to graph, a frozen dataclass whose fields are its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spikewright.toolchain.blocks.base import AttentionBlock
from spikewright.toolchain.errors import PassError
from spikewright.toolchain.int_ops import IntInput
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Input, Lif, MaxPool, Op, Output

MAX_REWRITES = 10_000
"""A pass that has not settled by then loops: our bug."""


@dataclass(frozen=True)
class Pass:
    """Repeat ``rewrite`` over the ops until nothing matches; the same graph comes back if nothing did."""

    name: ClassVar[str] = ""

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Return a new graph if the rule matches at ``op``, else None."""
        raise PassError("has no rule", where=f"pass {self.name!r}")

    def __call__(self, graph: Graph) -> Graph:
        """Apply the pass."""
        for _ in range(MAX_REWRITES):
            for op in graph:
                changed = self.rewrite(graph, op)
                if changed is not None:
                    graph = drop_unread(changed)
                    break
            else:
                return graph
        raise PassError("does not settle", where=f"pass {self.name!r}")


def drop_unread(graph: Graph) -> Graph:
    """Remove ops whose result nobody reads (inputs and outputs stay)."""
    while True:
        dead = [op for op in graph if not graph.readers[op.name] and not isinstance(op, Output | Input | IntInput)]
        dead = [op for op in dead if type(op).__name__ != "IntOutput"]
        if not dead:
            return graph
        graph = graph.with_ops(op for op in graph if op not in dead)


def in_place(graph: Graph, op: Op, fresh: list[Op]) -> Graph:
    """Put several ops in the place of one whose name one of them keeps."""
    ops: list[Op] = []
    for old in graph:
        ops.extend(fresh if old is op else [old])
    return graph.with_ops(ops)


def sends_messages(graph: Graph, name: str) -> bool:
    """Say whether a signal is made of messages (input or neuron output), not of currents."""
    op = graph[name]
    match op:
        case Input() | Lif() | AttentionBlock():
            return True
        case MaxPool():
            return sends_messages(graph, op.inputs[0])
        case _:
            return False


def sends_binary(op: Op) -> bool:
    """Say whether an op sends binary spikes; a max pool does, as its own rules refuse all but spikes in front of it."""
    match op:
        case Input():
            return op.binary
        case Lif():
            return not op.output_gate
        case AttentionBlock():
            return op.sends == "binary"
        case _:
            return isinstance(op, MaxPool)
