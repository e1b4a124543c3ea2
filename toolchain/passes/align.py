"""Give every neuron its arrival step and every connection its chip delay: a message arrives one step later at the earliest.

    start(target) + lag - start(source) = delay >= 1        smallest starts by longest path

Joins get their shorter branch delayed; a feedback edge needs a lag of at least the hops on its loop. A layer that reads with a
lag need not start later; but where the chip is halted, as silicon is, every layer starts a step after the one before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from spikewright.toolchain.errors import PassError
from spikewright.toolchain.integer import IntConnection, IntInput, IntNeuron, delay_of, source_of
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op
from spikewright.toolchain.passes.base import Pass


@dataclass(frozen=True)
class Align(Pass):
    """Set ``start`` of neurons and ``delay`` of connections."""

    name: ClassVar[str] = "align"

    def __call__(self, graph: Graph) -> Graph:
        """Return the aligned graph."""
        starts = arrival(graph)

        def aligned(op: Op) -> Op:
            match op:
                case IntConnection():
                    delay = delay_of(starts, graph, op)
                    return op if delay == op.delay else replace(op, delay=delay)
                case IntNeuron():
                    start = starts[op.name]
                    return op if start == op.start else replace(op, start=start)
                case _:
                    return op

        return graph.map(aligned)


def arrival(graph: Graph) -> dict[str, int]:
    """Return the chip step at which every neuron's local step 0 happens.

    Raises:
        PassError: A feedback loop has more hops than its lag allows.
    """
    tables = [op.name for op in graph if isinstance(op, IntNeuron) and op.soma.on_host]
    halted, order = bool(source_of(graph).stop), {op.name: i for i, op in enumerate(graph)}
    edges = []
    for op in graph:
        if isinstance(op, IntConnection) and op.inputs[0] not in tables:
            source = op.inputs[0]
            for reader in graph.readers[op.name]:
                hidden = 0 if halted and order[source] < order[reader.name] else op.lag
                edges.append((source, reader.name, 1 - hidden, op))
    starts = {op.name: 0 for op in graph if isinstance(op, IntInput | IntNeuron)}
    for _ in range(len(starts) + 1):
        late = [(s, t, w, op) for s, t, w, op in edges if starts[s] + w > starts[t]]
        if not late:
            break
        for source, target, weight, _op in late:
            starts[target] = max(starts[target], starts[source] + weight)
    else:
        op = late[0][3]
        raise PassError(
            f"feeds back with a lag of {op.lag} steps, fewer than the hops around its loop",
            where=f"connection {op.name!r}",
            help="put a Delay of more steps on the feedback edge, one for each layer of neurons in the loop (attention: train "
            "and deploy with a larger gate_delay)",
        )
    for name in tables:
        link = graph.readers[name][0]
        starts[name] = starts[graph.readers[link.name][0].name] - 1
    return starts
