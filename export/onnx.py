"""ONNX: the host part of a deployment as one file any runtime loads; time is unrolled, payloads come out as integers.

    x (T, B, C, H, W) float32  ->  payload (T, B, C', H', W') int64      payload = round(O / scale)

Defined by the interpreter in float64; this float32 export must agree within one payload unit (``agreement`` counts).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from spikewright.toolchain.blocks import AttentionBlock
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.integer import source_of
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
    Add,
    Affine,
    Array,
    Conv,
    Flatten,
    Input,
    Lif,
    MaxPool,
    Op,
    Output,
    Relu,
    Scale,
    SumPool,
)
from spikewright.toolchain.shapes import shapes

OPSET = 18
"""ONNX operator set (2022-12); every runtime of 2023 or later has it."""
IR_VERSION = 9


@dataclass
class _Builder:
    """ONNX nodes and constants; signals are lists of T tensor names, one a step, each (B, *shape)."""

    T: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    made: int = 0

    def constant(self, value: Array | NDArray[np.int64] | float) -> str:
        array = np.asarray(value)
        array = array if array.dtype == np.int64 else array.astype(np.float32)
        self.made += 1
        name = f"c{self.made}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        self.made += 1
        name = f"t{self.made}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    # ------------------------------------------------------------------------------------- stateless
    def linear(self, op: Op, x: str) -> str:
        """Apply a stateless op to one step."""
        match op:
            case Conv():
                return self.conv(op.weight, op.bias, x, op.stride, op.padding * 2, op.dilation, op.groups)
            case Affine(weight=w, bias=b):
                flat = self.node("Flatten", x, axis=1)
                y = self.node("MatMul", flat, self.constant(w.T))
                return y if b is None else self.node("Add", y, self.constant(b))
            case Scale(scale=s, shift=b):
                y = self.node("Mul", x, self.constant(_channels(s)))
                return y if b is None else self.node("Add", y, self.constant(_channels(b)))
            case SumPool():
                total = op.kernel[0] * op.kernel[1] * op.scale
                pads = list(op.padding * 2)
                shape = {"kernel_shape": op.kernel, "strides": op.stride, "pads": pads}
                y = self.node("AveragePool", x, count_include_pad=1, **shape)
                return self.node("Mul", y, self.constant(total))
            case MaxPool():
                return self.node("MaxPool", x, kernel_shape=op.kernel, strides=op.stride, pads=list(op.padding * 2))
            case Flatten():
                return self.node("Flatten", x, axis=1)
            case Relu():
                return self.node("Relu", x)
            case _:
                raise UnsupportedNodeError(
                    f"{type(op).__name__} has no ONNX form here",
                    where=f"op {op.name!r}",
                    help="the host part may hold linear maps, pooling, Lif and attention blocks that have a host form",
                )

    def conv(
        self,
        weight: Array,
        bias: Array | None,
        x: str,
        stride: tuple[int, int],
        pads: tuple[int, ...],
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> str:
        inputs = [x, self.constant(weight), *([] if bias is None else [self.constant(bias)])]
        return self.node("Conv", *inputs, strides=stride, pads=list(pads), dilations=dilation, group=groups)

    # -------------------------------------------------------------------------------------- stateful
    def lif(self, op: Lif, currents: list[str]) -> list[str]:
        """Unroll a neuron over T."""
        if np.asarray(op.alpha).any() or op.gates:
            raise UnsupportedNodeError("a filtered or gated neuron has no ONNX form here", where=f"op {op.name!r}")
        v, spikes = "", []
        gain = self.constant(_channels(np.asarray(op.gain) * np.asarray(op.gain_u)))
        beta, leak = self.constant(_channels(op.beta)), self.constant(_channels(op.leak))
        threshold, rest = self.constant(_channels(op.v_threshold)), self.constant(_channels(op.v_reset))
        for current in currents:
            drive = self.node("Add", self.node("Mul", current, gain), leak)
            v = self.node("Add", self.node("Mul", v, beta), drive) if v else drive
            fired = self.node("Greater" if op.comparison == ">" else "GreaterOrEqual", v, threshold)
            spikes.append(self.node("Cast", fired, to=TensorProto.FLOAT))
            after = rest if op.reset == "value" else self.node("Sub", v, threshold)
            v = self.node("Where", fired, after, v)
        return spikes

    def same(self, kernel: Array, x: str) -> str:
        """Convolve with 'same' padding."""
        total = kernel.shape[-1] - 1
        low, high = total // 2, total - total // 2
        return self.conv(kernel, None, x, (1, 1), (low, low, high, high))


def _channels(parameter: Array) -> Array:
    """Shape a per-channel parameter for (B, C, H, W)."""
    p = np.asarray(parameter, np.float64)
    return p.reshape(-1, 1, 1) if p.ndim == 1 and p.size > 1 else p


def _signals(builder: _Builder, graph: Graph) -> list[str]:
    """Emit every op and return the steps of the output."""
    steps: dict[str, list[str]] = {}
    for op in graph:
        operands = [steps[name] for name in op.inputs]
        match op:
            case Input():
                steps[op.name] = [
                    builder.node("Gather", "x", builder.constant(np.array(t, np.int64)), axis=0)
                    for t in range(builder.T)
                ]
            case Lif():
                steps[op.name] = builder.lif(op, operands[0])
            case AttentionBlock():
                steps[op.name] = op.host_form(builder, operands[0])
            case Output():
                return operands[0]
            case Add():
                steps[op.name] = [builder.node("Sum", *parts) for parts in zip(*operands, strict=True)]
            case _:
                steps[op.name] = [builder.linear(op, x) for x in operands[0]]
    raise UnsupportedNodeError("has no output", where="host graph")


def host_model(graph: Graph, scale: float) -> onnx.ModelProto:
    """Return the ONNX model of a host graph: ``x`` to integer ``payload``."""
    builder = _Builder(graph.timesteps)
    shape = graph.input.shape
    sent = shapes(graph)[graph.output.inputs[0]]
    axis = builder.constant(np.array([0], np.int64))
    rows = [builder.node("Unsqueeze", step, axis) for step in _signals(builder, graph)]
    units = builder.node("Round", builder.node("Div", builder.node("Concat", *rows, axis=0), builder.constant(scale)))
    builder.nodes.append(helper.make_node("Cast", [units], ["payload"], to=TensorProto.INT64))
    model = helper.make_model(
        helper.make_graph(
            builder.nodes,
            "host",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [graph.timesteps, "B", *shape])],
            [helper.make_tensor_value_info("payload", TensorProto.INT64, [graph.timesteps, "B", *sent])],
            builder.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="spikewright",
    )
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


@dataclass(frozen=True)
class Agreement:
    """How the export compares with the interpreter's float64 payloads: values, how many differ by one unit and by more."""

    values: int
    off_by_one: int
    off_by_more: int


def agreement(model: onnx.ModelProto, deployment: Deployment, x: Array) -> Agreement:
    """Run the export in onnxruntime on ``x`` (T, B, C, H, W) and compare."""
    import onnxruntime

    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3  # what it simplifies is none of the user's business
    session = onnxruntime.InferenceSession(model.SerializeToString(), quiet, providers=["CPUExecutionProvider"])
    got = session.run(["payload"], {"x": x.astype(np.float32)})[0]
    gap = np.abs(got - deployment.encode(x.astype(np.float32).astype(np.float64)))
    return Agreement(gap.size, int((gap == 1).sum()), int((gap > 1).sum()))


def export_host(deployment: Deployment, folder: Path) -> dict[str, str]:
    """Write ``host.onnx`` into a bundle's folder where there is a host part; entry point of ``spikewright.exporters``."""
    if deployment.host is None:
        return {"host.onnx": "not written: the net has no host part"}
    source = source_of(deployment.integer)
    try:
        model = host_model(deployment.host.graph, source.scale)
    except UnsupportedNodeError as error:
        return {"host.onnx": f"not written: {error.where}: {error.what}"}
    (folder / "host.onnx").write_bytes(model.SerializeToString())
    if deployment.samples is None:
        return {"host.onnx": "written; not compared with the interpreter, as the bundle has no samples"}
    found = agreement(model, deployment, np.asarray(deployment.samples.x[:, :64], np.float64))
    return {
        "host.onnx": f"written; of {found.values} payloads on samples {found.off_by_one} differ by one unit from the "
        f"interpreter's and {found.off_by_more} by more"
    }
