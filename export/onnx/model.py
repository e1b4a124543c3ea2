"""A float graph as an ONNX model: whole sequences where nothing feeds back, a ``Scan`` over T for neurons and feedback loops.

    net    x (T, B, *shape)  ->  answer (B, n), the mean over T
    host   x (T, B, *shape)  ->  payload (T, B, *shape') int64,   payload = round(O / scale)

Every op's result is called as the op: (T, B, *shape) of neurons and blocks, frames (T B, *shape) of the rest. A node is called
after its block, its op and its operator. A block with an exact causal lowering is written lowered; another writes itself.
Where the net reads real values, a frame that is the same in all T steps is computed once, up to the first spike.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, helper

from spikewright.export.onnx.block_writer import BlockWriter
from spikewright.export.onnx.operators import neuron_step, no_form, stateless, states_of
from spikewright.export.onnx.writer import BATCH, FRAMES, Precision
from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.interpret.schedule import spans
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Delay, GateTable, Input, Neuron, Op, Output, Shape
from spikewright.toolchain.shapes import shapes

OPSET = 18
"""ONNX operator set (2022-12); every runtime of 2023 or later has it."""
IR_VERSION = 10
"""The first (2024) in which a node may say where it belongs."""
LARGEST = 1 << 31
"""Bytes of a protobuf file, at most."""


@dataclass
class _Signal:
    """An op's result in the forms that were asked for."""

    shape: Shape
    sequence: str = ""
    frames: str = ""


def lowered_where_exact(graph: Graph) -> Graph:
    """Return the graph with every block in its exact causal lowering, where it has one."""
    for op in tuple(graph):
        if isinstance(op, AttentionBlock) and not op.refusal("causal") and op.misread(graph) is None:
            graph = op.lowerings()["causal"](graph, {})
    return graph


class _Net:
    """One graph on its way to a model."""

    def __init__(self, graph: Graph, precision: Precision, dense: bool) -> None:
        self.graph = lowered_where_exact(graph)
        self.shapes = shapes(self.graph)
        self.make = BlockWriter(graph.timesteps, precision)
        self.dense = dense
        self.signals: dict[str, _Signal] = {}

    # ------------------------------------------------------------------------------------------ the forms
    def sequence(self, name: str) -> str:
        """Return an op's result as (T or 1, B, *shape)."""
        signal = self.signals[name]
        signal.sequence = signal.sequence or self.make.sequence(signal.frames, signal.shape)
        return signal.sequence

    def every(self, name: str) -> str:
        """Return an op's result as (T, B, *shape)."""
        return self.make.every(self.sequence(name), self.signals[name].shape)

    def frames(self, name: str) -> str:
        """Return an op's result as frames."""
        signal = self.signals[name]
        signal.frames = signal.frames or self.make.frames(signal.sequence, signal.shape)
        return signal.frames

    # -------------------------------------------------------------------------------------------- the ops
    def write(self) -> None:
        """Write every op but the output."""
        for ops, looped in spans(self.graph):
            if looped or isinstance(ops[0], Neuron):
                self._together(ops)
            elif not isinstance(ops[0], Output):
                with self.make.owned(ops[0].name, ops[0].block):
                    self.signals[ops[0].name] = self._whole(ops[0])

    def _whole(self, op: Op) -> _Signal:
        make, shape = self.make, self.shapes[op.name]
        match op:
            case Input():
                return _Signal(shape, self._input(op))
            case Delay():
                return _Signal(shape, self._delay(op))
            case GateTable(table=table):
                rows = table if table.shape[0] > 1 else np.repeat(table, make.timesteps, axis=0)
                row = make.constant(rows[: make.timesteps, None])
                return self._made(op, make.node("Expand", row, make.dims((make.timesteps,), shape)))
            case AttentionBlock():
                y = op.operators(make, [self.sequence(name) for name in op.inputs])
                return self._made(op, y)
            case _:
                return self._stateless(op)

    def _made(self, op: Op, tensor: str) -> _Signal:
        """Return a sequence under its op's name."""
        name, shape = self.make.named(tensor, op.name), self.shapes[op.name]
        self.make.info(name, [self.make.timesteps, BATCH, *shape])
        return _Signal(shape, name)

    def _input(self, op: Input) -> str:
        """Return the input; of real values that repeat one frame over all T, that frame."""
        make = self.make
        if not self.dense or make.timesteps == 1:
            return "x"
        first, start = make.constant(np.array([0], np.int64)), make.constant(np.array([1], np.int64))
        frame = make.node("Slice", "x", first, start, first)
        moved = make.node("ReduceMax", make.node("Abs", make.node("Sub", "x", frame)), keepdims=0)
        last = make.node(
            "Where",
            make.node("Greater", moved, make.constant(0.0)),
            make.constant(np.array([make.timesteps], np.int64)),
            start,
        )
        y = make.named(make.node("Slice", "x", first, last, first), op.name)
        make.info(y, ["1 or T", BATCH, *op.shape])
        make.free.add(y)
        return y

    def _delay(self, op: Delay) -> str:
        make, shape, T = self.make, self.shapes[op.name], self.make.timesteps
        x, late = self.every(op.inputs[0]), min(op.steps, T)
        before = make.full(op.initial, (late,), shape)
        if late == T:
            return self._made(op, before).sequence
        first, end = (make.constant(np.array([at], np.int64)) for at in (0, T - late))
        kept = make.node("Slice", x, first, end, first)
        return self._made(op, make.node("Concat", before, kept, axis=0)).sequence

    def _stateless(self, op: Op) -> _Signal:
        make, shape = self.make, self.shapes[op.name]
        read = [self.frames(name) for name in op.inputs]
        free = [frames in make.free for frames in read]
        if any(free) and not all(free):
            read = [
                make.frames(self.every(name), self.signals[name].shape) if one else frames
                for name, frames, one in zip(op.inputs, read, free, strict=True)
            ]
        y = make.named(stateless(make, op, read, [self.shapes[name] for name in op.inputs]), op.name)
        if all(free):
            make.free.add(y)
        make.info(y, ["frames" if all(free) else FRAMES, *shape])
        return _Signal(shape, frames=y)

    # ------------------------------------------------------------------------------------------- in a Scan
    def _together(self, ops: tuple[Op, ...]) -> None:
        """Write ops that advance together, step by step."""
        with self.make.owned(ops[0].name, ops[0].block):
            _Loop(self, ops).write()


class _Loop:
    """One neuron, or a feedback loop, as a ``Scan``."""

    def __init__(self, net: _Net, ops: tuple[Op, ...]) -> None:
        self.net, self.make, self.ops = net, net.make, ops
        self.inside = {op.name for op in ops}
        self.read = list(dict.fromkeys(n for op in ops for n in op.inputs if n not in self.inside))
        self.given = [op for op in ops if isinstance(op, Neuron) or self._read_outside(op)]

    def _read_outside(self, op: Op) -> bool:
        return any(reader.name not in self.inside for reader in self.net.graph.readers[op.name])

    def write(self) -> None:
        """Write it, and tell the net what it gives."""
        net, make = self.net, self.make
        states = [state for op in self.ops for state in self._first(op)]
        inputs = [(net.every(name), net.shapes[name]) for name in self.read]
        names = [op.name for op in self.given]
        make.scan(states, inputs, self._step, names)
        block = self.ops[0].block
        make.called(names[-1], block if block in names else names[-1])
        for op in self.given:
            make.info(op.name, [make.timesteps, BATCH, *net.shapes[op.name]])
            net.signals[op.name] = _Signal(net.shapes[op.name], op.name)

    def _first(self, op: Op) -> list[tuple[str, Shape]]:
        """Return the first values of an op's states, and their shapes; a delay holds its last steps, oldest first."""
        make, shape = self.make, self.net.shapes[op.name]
        match op:
            case Neuron():
                return [(make.full(value, (), shape), shape) for value in states_of(op).values()]
            case Delay():
                return [(make.full(op.initial, (), shape), shape) for _ in range(op.steps)]
            case AttentionBlock() | GateTable() | Input():
                raise no_form(op)
            case _:
                return []

    def _step(self, states: list[str], inputs: list[str]) -> tuple[list[str], list[str]]:
        """Write the body: what delays hold, then the ops in order, then what delays take up."""
        here = dict(zip(self.read, inputs, strict=False))
        held: dict[str, list[str]] = {}
        for op in self.ops:
            count = len(states_of(op)) if isinstance(op, Neuron) else op.steps if isinstance(op, Delay) else 0
            held[op.name], states = states[:count], states[count:]
            if isinstance(op, Delay):
                here[op.name] = held[op.name][0]
        after: dict[str, list[str]] = {}
        for op in self.ops:
            if not isinstance(op, Delay):
                with self.make.owned(op.name, op.block):
                    here[op.name], after[op.name] = self._one(op, here, held[op.name])
                    self.make.called(here[op.name], op.name)
        for op in self.ops:
            if isinstance(op, Delay):
                after[op.name] = [*held[op.name][1:], here[op.inputs[0]]]
        return [name for op in self.ops for name in after[op.name]], [here[op.name] for op in self.given]

    def _one(self, op: Op, here: dict[str, str], states: list[str]) -> tuple[str, list[str]]:
        read = [here[name] for name in op.inputs]
        shapes_read = [self.net.shapes[name] for name in op.inputs]
        if isinstance(op, Neuron):
            return neuron_step(self.make, op, read, shapes_read, states)
        return stateless(self.make, op, read, shapes_read), []


def net_model(
    graph: Graph, *, precision: Precision = "float32", dense: bool = False, record: Iterable[str] = ()
) -> onnx.ModelProto:
    """Return the ONNX model of a float graph.

    Args:
        graph: The net.
        precision: Of all real numbers; "float64" gives the interpreter's spikes also where a sum lies on a threshold.
        dense: Whether it reads real values, of which one frame may repeat over all T.
        record: Ops whose results are outputs, too, under their names.

    Raises:
        UnsupportedNodeError: An op has no ONNX form.
    """
    net = _Net(graph, precision, dense)
    net.write()
    make, out = net.make, net.graph.output
    with make.owned(out.name, out.block):
        total = net.every(out.inputs[0])
        for name in out.inputs[1:]:
            total = make.node("Add", total, net.every(name))
        shape = net.shapes[out.inputs[0]]
        mean = make.node("ReduceMean", total, make.constant(np.array([0], np.int64)), keepdims=0)
        make.named(make.reshape(mean, -1, prod(shape)), "answer")
    outputs = [helper.make_tensor_value_info("answer", make.type, [BATCH, prod(shape)])]
    for name in record:
        recorded = _dims(make.timesteps, BATCH, *net.shapes[name])
        outputs.append(helper.make_tensor_value_info(net.every(name), make.type, recorded))
    return _model(net, "net", outputs)


def host_model(graph: Graph, scale: float, *, precision: Precision = "float32") -> onnx.ModelProto:
    """Return the ONNX model of a host graph: ``x`` to integer ``payload``, in units of ``scale``.

    Raises:
        UnsupportedNodeError: An op has no ONNX form.
    """
    net = _Net(graph, precision, dense=True)
    net.write()
    make, out = net.make, net.graph.output
    with make.owned(out.name, out.block):
        units = make.node("Round", make.node("Div", net.every(out.inputs[0]), make.constant(scale)))
        make.named(make.node("Cast", units, to=TensorProto.INT64), "payload")
    sent = _dims(make.timesteps, BATCH, *net.shapes[out.inputs[0]])
    return _model(net, "host", [helper.make_tensor_value_info("payload", TensorProto.INT64, sent)])


def _dims(*lengths: int | str) -> list[int | str]:
    return list(lengths)


def _model(net: _Net, name: str, outputs: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
    make = net.make
    size = sum(len(constant.raw_data) for constant in make.constants.values())
    if size >= LARGEST:
        raise InputError(
            f"{size / 1e9:.1f} GB of weights; a file holds 2 GB", where="ONNX", help="export a narrower net"
        )
    given = {value.name for value in outputs} | {"x"}
    graph = helper.make_graph(
        make.nodes,
        name,
        [helper.make_tensor_value_info("x", make.type, [make.timesteps, BATCH, *net.graph.input.shape])],
        outputs,
        list(make.constants.values()),
        value_info=[info for info in make.infos if info.name not in given],
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], producer_name="spikewright", ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model
