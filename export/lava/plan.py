"""Integer graph -> plan of Lava processes: stock where stock means the same, our own everywhere else.

Samples stream through one run: sample b meets a layer at chip step ``b * period + start``, with ``period = T + largest lag``,
so a message of one sample never arrives in the next one's window.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.export.lava import stock
from spikewright.export.lava.bounds import worst
from spikewright.export.lava.checks import check
from spikewright.export.lava.nodes import Edge, Node, Plan
from spikewright.hw_sim.fixed_point import DECAY_ONE
from spikewright.toolchain.errors import BackendError
from spikewright.toolchain.int_ops import (
    Connection,
    IntConv,
    IntDeltaRelu,
    IntDense,
    IntGate,
    IntGateLink,
    IntGateTable,
    IntIdentity,
    IntInput,
    IntLif,
    IntOutput,
)
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op, Shape
from spikewright.toolchain.shapes import shapes

INPUT_FILE = "x.npy"
"""Payloads (samples, T, n), int32."""


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
        self.period = timesteps + max((op.lag for op in graph if isinstance(op, Connection)), default=0)
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
        return {"start": op.start, "period": self.period, "timesteps": self.timesteps, "samples": self.samples}

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
            case IntLif():
                self.lif(op)
            case IntDeltaRelu() | IntGate():
                self.accumulator(op)
            case IntGateTable():
                self.table(op)
            case IntGateLink():
                pass  # one delay line for each port that reads it, placed with the neuron
            case IntDense() | IntConv() | IntIdentity():
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
        if not isinstance(source, IntLif | IntDeltaRelu | IntGate):
            raise BackendError(
                f"reads {type(source).__name__} {source.name!r}; an answer is a neuron's",
                where=f"op {op.name!r}",
                help="read out a neuron's membrane or spikes",
            )

    # ----------------------------------------------------------------------------------------- neurons
    def lif(self, op: IntLif) -> None:
        currents = op.inputs[: len(op.inputs) - op.gates]
        lagged = any(isinstance(r, Connection) and r.lag for r in self.graph.readers[op.name])
        same = stock.lif(op, sum(self.worst[name] for name in currents), lagged)
        states = ("out", "v", "u") if np.any(op.decay_u < DECAY_ONE) else ("out", "v")
        if same is None:
            self.windowed_lif(op, states)
            return
        self.node(op.name, "lif", **same, reset_interval=self.period, reset_offset=op.start + 1)
        if files := self.files(op, states):
            name = f"{op.name}/recorder"
            self.node(name, "recorder", size=prod(op.shape), clock=self.clock(op), files=files)
            self.edge(op.name, name, "a_in")
            for state in states[1:]:
                self.edge(name, op.name, state)

    def windowed_lif(self, op: IntLif, states: tuple[str, ...]) -> None:
        links = op.inputs[len(op.inputs) - op.gates :]
        fields = ("decay_u", "decay_v", "bias", "threshold", "v_reset", "gate_bits", "rectify", "output_gate")
        self.node(
            op.name,
            "windowed_lif",
            size=prod(op.shape),
            clock=self.clock(op),
            parameters={name: getattr(op, name) for name in fields} | {"subtract": op.reset == "subtract"},
            gate_sizes=tuple(prod(self.shapes[name]) for name in links),
            gate_index=tuple(gate_index(self.shapes[name], op.shape) for name in links),
            files=self.files(op, states),
        )
        for port, name in enumerate(links):
            link: Any = self.graph[name]
            line = f"{op.name}/gate{port}"
            self.node(line, "delay", size=prod(self.shapes[name]), steps=link.delay, initial=1 << link.gate_bits)
            self.edge(link.inputs[0], line, "s_in")
            self.edge(line, op.name, f"g{port}")

    def accumulator(self, op: IntDeltaRelu | IntGate) -> None:
        common = {"size": prod(op.shape), "clock": self.clock(op), "decay": op.decay}
        files = self.files(op, ("out", "v"))
        if isinstance(op, IntDeltaRelu):
            self.node(op.name, "delta_relu", **common, shift=op.shift, files=files)
        else:
            fields = ("bias", "thresholds", "levels", "gate_bits")
            self.node(op.name, "gate", **common, **{name: getattr(op, name) for name in fields}, files=files)

    def table(self, op: IntGateTable) -> None:
        if len(op.table) not in (1, self.timesteps):
            raise BackendError(
                f"its gate table has {len(op.table)} rows; the input has T = {self.timesteps}",
                where=f"op {op.name!r}",
                help="run with the T the net was deployed for",
            )
        clock = self.clock(op)
        self.node(op.name, "gate_table", size=prod(op.shape), clock=clock, table=op.table, gate_bits=op.gate_bits)

    # ---------------------------------------------------------------------------------------- synapses
    def connection(self, op: IntDense | IntConv | IntIdentity) -> None:
        source = op.inputs[0]
        size, payload = prod(self.shapes[source]), self.worst[source]
        if op.delay > 1:
            self.node(f"{op.name}/delay", "delay", size=size, steps=op.delay - 1, initial=0)
            self.edge(source, f"{op.name}/delay", "s_in")
            source = f"{op.name}/delay"
        binary = payload == 1 and not isinstance(self.graph[op.inputs[0]], IntDeltaRelu)
        for kind, parameters in self.synapses(op, 0 if binary else payload.bit_length()):
            name = f"{op.name}/{len(self.nodes)}"
            self.node(name, kind, **parameters)
            self.edge(source, name, "s_in")
            for reader in self.graph.readers[op.name]:
                self.edge(name, reader.name, "a_in")

    def synapses(self, op: IntDense | IntConv | IntIdentity, bits: int) -> list[tuple[str, dict[str, Any]]]:
        """Return the processes (kind, parameters) whose sums add up to this connection."""
        shape = self.shapes[op.inputs[0]]
        if isinstance(op, IntConv):
            same = stock.conv(op, shape, self.worst[op.name], bits)
            parts = None if same is None else [("conv", same)]
        else:
            parts = stock.dense(op, prod(shape), self.worst[op.name], bits)
        return parts or [("wide", wide(op, shape, self.shapes[op.name]))]


def gate_index(gate: Shape, shape: Shape) -> NDArray[np.int64]:
    """Return for every neuron the flat gate element it reads; a channel vector gets trailing axes."""
    levels = np.arange(prod(gate))
    if levels.size in (1, prod(shape)):
        return np.broadcast_to(levels, (prod(shape),)).copy()
    return np.broadcast_to(levels.reshape(gate + (1,) * (len(shape) - len(gate))), shape).reshape(-1)


def wide(op: IntDense | IntConv | IntIdentity, source: Shape, target: Shape) -> dict[str, Any]:
    """Return a connection as a list of synapses (row, column, weight)."""
    match op:
        case IntDense(weight=w):
            rows, columns = np.nonzero(w)
            weight = w[rows, columns]
        case IntIdentity(weight=k):
            rows = columns = np.arange(prod(source))
            weight = np.full(rows.size, k, np.int64)
        case IntConv():
            rows, columns, weight = unrolled(op, source, target)
    shape = (prod(target), prod(source))
    return {"shape": shape, "rows": rows, "columns": columns, "weight": weight, "exponent": op.exponent}


def unrolled(op: IntConv, source: Shape, target: Shape) -> tuple[Any, Any, Any]:
    """Return the synapses of a convolution: tap (i, j) of output (y, x) reads input (y s - p + i d, x s - p + j d)."""
    co, per_group, kh, kw = op.weight.shape
    o, c, i, j, y, x = (
        axis.reshape(-1) for axis in np.indices((co, per_group, kh, kw, target[1], target[2]), dtype=np.int64)
    )
    row = y * op.stride[0] - op.padding[0] + i * op.dilation[0]
    column = x * op.stride[1] - op.padding[1] + j * op.dilation[1]
    channel = o // (co // op.groups) * per_group + c
    weight = op.weight[o, c, i, j]
    real = (row >= 0) & (row < source[1]) & (column >= 0) & (column < source[2]) & (weight != 0)
    rows = (o * target[1] + y) * target[2] + x
    columns = (channel * source[1] + row) * source[2] + column
    return rows[real], columns[real], weight[real]
