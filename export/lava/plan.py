"""Integer graph -> plan of Lava processes: stock where stock means the same, our own everywhere else.

Samples stream through one run: sample b meets a layer at chip step ``b * period + start``, with ``period = T + largest lag``,
so a message of one sample never arrives in the next one's window.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from spikewright.export.lava import stock
from spikewright.export.lava.bounds import worst
from spikewright.export.lava.checks import check
from spikewright.export.lava.nodes import Edge, Node, Plan
from spikewright.hw_sim.synapses import gate_index
from spikewright.toolchain.errors import BackendError
from spikewright.toolchain.integer import (
    IntConnection,
    IntInput,
    IntNeuron,
    IntOutput,
    IntReplay,
    by_delay,
    life,
    replays_of,
)
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op
from spikewright.toolchain.shapes import shapes

INPUT_FILE = "x.npy"
"""Payloads (samples, T, n), int32."""


def gate_file(graph: Graph, op: IntReplay) -> str:
    """Return the name of the file of a gate's levels (samples, T, n), int32."""
    return f"gate{[gate.name for gate in replays_of(graph)].index(op.name)}.npy"


def plan(graph: Graph, timesteps: int, samples: int, folder: Path, *, record: bool) -> Plan:
    """Choose the processes.

    Args:
        graph: Aligned integer graph.
        timesteps: T of the input.
        samples: How many.
        folder: Where the payloads are read and the recordings written.
        record: Whether every neuron is recorded, or only the read-out.

    Raises:
        BackendError: A value is outside what Lava's fixed point means exactly, or an op is unknown.
    """
    check(graph)
    planner = _Planner(graph, timesteps, samples, folder, record)
    for op in graph:
        planner.place(op)
    last = max(getattr(op, "start", 0) for op in graph)
    steps = (samples - 1) * planner.period + last + timesteps
    return Plan(tuple(planner.nodes), tuple(planner.edges), planner.records, steps, planner.period)


class _Planner:
    """Collects nodes and edges, op by op."""

    def __init__(self, graph: Graph, timesteps: int, samples: int, folder: Path, record: bool) -> None:
        self.graph, self.timesteps, self.samples, self.folder, self.record = graph, timesteps, samples, folder, record
        self.period = timesteps + max((op.last for op in graph if isinstance(op, IntConnection)), default=0)
        self.shapes = shapes(graph)
        self.worst = worst(graph, timesteps)
        self.readouts = {op.inputs[0] for op in graph if isinstance(op, IntOutput)}
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self.records: dict[str, dict[str, str]] = {}

    # ------------------------------------------------------------------------------------------ bricks
    def node(self, name: str, kind: str, **parameters: Any) -> None:
        self.nodes.append(Node(name, kind, parameters))

    def edge(self, source: str, target: str, port: str) -> None:
        self.edges.append(Edge(source, target, port))

    def clock(self, op: Any) -> dict[str, int]:
        steps = life(self.graph, op, self.timesteps)
        return {"start": op.start, "period": self.period, "timesteps": steps, "samples": self.samples}

    def files(self, op: Op, states: tuple[str, ...]) -> dict[str, str]:
        """Name the files of an op's recording; none where it is not recorded."""
        if not (self.record or op.name in self.readouts):
            return {}
        index = len(self.records)
        self.records[op.name] = {state: f"{index}.{state}.npy" for state in states}
        return {state: str(self.folder / name) for state, name in self.records[op.name].items()}

    def place(self, op: Op) -> None:
        """Add an op's processes and what they read."""
        match op:
            case IntInput():
                path = str(self.folder / INPUT_FILE)
                self.node(op.name, "feed", size=prod(op.shape), path=path, clock=self.clock(op))
            case IntReplay():
                path = str(self.folder / gate_file(self.graph, op))
                self.node(op.name, "feed", size=op.size, path=path, clock=self.clock(op))
            case IntNeuron():
                self.neuron(op)
            case IntConnection():
                self.connection(op)
            case IntOutput():
                self.output(op)
            case _:
                raise BackendError(
                    f"{type(op).__name__} has no Lava process",
                    where=f"op {op.name!r}",
                    help="lower and quantize the graph first",
                )

    def output(self, op: IntOutput) -> None:
        source = self.graph[op.inputs[0]]
        if not isinstance(source, IntNeuron) or source.soma.on_host:
            raise BackendError(
                f"reads {type(source).__name__} {source.name!r}; an answer is a neuron's",
                where=f"op {op.name!r}",
                help="read out a neuron's membrane or spikes",
            )

    # ----------------------------------------------------------------------------------------- neurons
    def neuron(self, op: IntNeuron) -> None:
        """Add neurons: stock where a stock process means the same, else ours, which run the soma's own ``step``."""
        lagged = any(isinstance(r, IntConnection) and r.last for r in self.graph.readers[op.name])
        same = stock.lif(op, sum(self.worst[name] for name in op.currents), lagged)
        states = ("out", *(("v", "u") if op.soma.filters else ("v",))) if op.soma.states else ()
        if same is None:
            self.windowed(op, states)
            return
        self.node(op.name, "lif", **same, reset_interval=self.period, reset_offset=op.start + 1)
        if files := self.files(op, states):
            name = f"{op.name}/recorder"
            self.node(name, "recorder", size=op.size, clock=self.clock(op), files=files)
            self.edge(op.name, name, "a_in")
            for state in states[1:]:
                self.edge(name, op.name, state)

    def windowed(self, op: IntNeuron, states: tuple[str, ...]) -> None:
        """Add neurons of our own process."""
        for wrong in op.soma.wrong(op.size, self.timesteps):
            raise BackendError(wrong.what, where=f"op {op.name!r}", help="run with the T the net was deployed for")
        self.node(
            op.name,
            "neuron",
            size=op.size,
            clock=self.clock(op),
            soma=op.soma,
            gate_sizes=tuple(prod(self.shapes[name]) for name in op.links),
            gate_index=tuple(gate_index(self.shapes[name], op.shape) for name in op.links),
            files=self.files(op, states) if states else {},
        )
        for port, name in enumerate(op.links):
            link: Any = self.graph[name]
            source: Any = self.graph[link.inputs[0]]
            line = f"{op.name}/gate{port}"
            self.node(line, "delay", size=prod(self.shapes[name]), steps=link.delay, initial=source.soma.idle)
            self.edge(link.inputs[0], line, "s_in")
            self.edge(line, op.name, f"g{port}")

    # ---------------------------------------------------------------------------------------- synapses
    def connection(self, op: IntConnection) -> None:
        """Add a connection; a gate link has one delay line for each port that reads it, placed with the neuron."""
        if op.synapses.gate:
            return
        source: Any = self.graph[op.inputs[0]]
        shape, payload, before = self.shapes[source.name], self.worst[source.name], source.name
        if op.delay > 1:
            before = f"{op.name}/delay"
            self.node(before, "delay", size=prod(shape), steps=op.delay - 1, initial=0)
            self.edge(source.name, before, "s_in")
        bits = 0 if source.soma.sends == "binary" else payload.bit_length()
        parts = None if op.late is not None else stock.synapses(op, shape, self.worst[op.name], bits)
        for kind, parameters in parts or [("wide", self.wide(op))]:
            name = f"{op.name}/{len(self.nodes)}"
            self.node(name, kind, **parameters)
            self.edge(before, name, "s_in")
            for reader in self.graph.readers[op.name]:
                self.edge(name, reader.name, "a_in")

    def wide(self, op: IntConnection) -> dict[str, Any]:
        """Return a connection as a list of synapses (row, column, weight, steps it is late)."""
        source, target = self.shapes[op.inputs[0]], self.shapes[op.name]
        parts = [(*part.synapses.entries(source, target), part.lag - op.lag) for part in by_delay(op)]
        rows, columns, weight = (np.concatenate([part[k] for part in parts]) for k in range(3))
        late = np.concatenate([np.full(len(part[0]), part[3]) for part in parts])
        shape = (prod(target), prod(source))
        return {
            "shape": shape,
            "rows": rows,
            "columns": columns,
            "weight": weight,
            "late": late,
            "exponent": op.exponent,
        }
