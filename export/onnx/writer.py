"""Writes ONNX operators: names, constants, and the two forms a signal has, (T, B, *shape) and frames (T B, *shape).

In front of the first spike a signal may be *free*: its first axis is 1 where the input repeats one frame, else T (``every``).
Inside a ``Scan`` there is one step: a signal is (B, *shape).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from spikewright.toolchain.gates import POW2_LEVELS
from spikewright.toolchain.ops import Array, Pair, Shape
from spikewright.toolchain.parameters import grid

Precision = Literal["float32", "float64"]
Step = Callable[[list[str], list[str]], tuple[list[str], list[str]]]
"""One step of a ``Scan``: (states, inputs) to (states, outputs), names of tensors (B, ...)."""
BATCH = "B"
FRAMES = "T*B"


class Writer:
    """Nodes and constants of one model.

    Args:
        timesteps: T.
        precision: Of all real numbers. onnxruntime has no convolution in float64; there it is a ``Gather`` and a ``MatMul``.
    """

    def __init__(self, timesteps: int, precision: Precision) -> None:
        self.timesteps = timesteps
        self.double = precision == "float64"
        self.type = TensorProto.DOUBLE if self.double else TensorProto.FLOAT
        self.constants: dict[str, TensorProto] = {}
        self.infos: list[onnx.ValueInfoProto] = []
        self.free: set[str] = set()
        self._scopes: list[list[onnx.NodeProto]] = [[]]
        self._owner = self._block = ""
        self._made: Counter[str] = Counter()
        self._dims: dict[tuple[Shape, Shape], str] = {}
        self._batch = ""

    # ------------------------------------------------------------------------------------------- the basics
    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """The nodes of the scope that is written: the model, or the body of a ``Scan``."""
        return self._scopes[-1]

    @contextmanager
    def owned(self, owner: str, block: str) -> Iterator[None]:
        """Name what is written after an op and its block."""
        before = self._owner, self._block
        self._owner, self._block = owner, block
        yield
        self._owner, self._block = before

    def unique(self, name: str) -> str:
        """Return a name that no tensor has."""
        self._made[name] += 1
        return f"{name}.{self._made[name]}"

    def label(self, kind: str) -> str:
        """Return the name of a node: block, op, operator."""
        place = self._owner if self._block in ("", self._owner) else f"{self._block}/{self._owner}"
        self._made[place + kind] += 1
        number = self._made[place + kind]
        return f"{place}/{kind}" + (f"_{number}" if number > 1 else "")

    def constant(self, value: Any, name: str = "") -> str:
        """Return the name of a constant; whole numbers stay int64, other arrays take the model's precision.

        Args:
            value: Its value.
            name: Path of a field of the op that is written; "": a number of the equation itself.
        """
        array = np.asarray(value)
        if array.dtype != np.int64:
            array = array.astype(np.float64 if self.double else np.float32)
        key = f"{self._owner}/{name}" if name else self.unique(f"{self._owner}/c")
        self.constants[key] = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), key)
        return key

    def parameter(self, value: Array, shape: Shape, name: str) -> str:
        """Return a scalar, per-channel or full parameter as a constant that broadcasts over (B, *shape)."""
        return self.constant(grid(np.asarray(value, np.float64), shape), name)

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator; return the name of its result."""
        name = self.unique(f"{self._owner}.{kind.lower()}")
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=self.label(kind), **attributes))
        return name

    def named(self, tensor: str, name: str) -> str:
        """Give a result that was just made its final name, and its operator too."""
        made = next((node for node in reversed(self.nodes) if tensor in node.output), None)
        if made is None:
            made = helper.make_node("Identity", [tensor], [tensor], name=self.label("Identity"))
            self.nodes.append(made)
        made.output[list(made.output).index(tensor)] = name
        self.called(name, name)
        return name

    def called(self, tensor: str, name: str) -> None:
        """Call the operator of a result by an op's name, as viewers look for it; where it stood goes to its metadata."""
        made = next((node for node in reversed(self.nodes) if tensor in node.output), None)
        if made is not None and not made.metadata_props:
            place, _, _ = made.name.rpartition("/")
            made.name = name
            made.metadata_props.append(onnx.StringStringEntryProto(key="namespace", value=place))

    def info(self, name: str, dims: Sequence[int | str]) -> None:
        """Record the shape of a tensor."""
        self.infos.append(helper.make_tensor_value_info(name, self.type, list(dims)))

    # -------------------------------------------------------------------------------------------- the forms
    def dims(self, before: Shape, after: Shape) -> str:
        """Return (*before, B, *after) as a tensor."""
        if (before, after) not in self._dims:
            with self.owned("batch", ""):
                self._batch = self._batch or self.node("Shape", "x", start=1, end=2)
                parts = [self.constant(np.array(part, np.int64)) if part else "" for part in (before, after)]
                names = [name for name in (parts[0], self._batch, parts[1]) if name]
                self._dims[before, after] = self.node("Concat", *names, axis=0)
        return self._dims[before, after]

    def reshape(self, x: str, *lengths: int) -> str:
        """Return x with other axes; one may be -1."""
        return self.node("Reshape", x, self.constant(np.array(lengths, np.int64)))

    def frames(self, x: str, shape: Shape) -> str:
        """Return (T, B, *shape) as frames (T B, *shape)."""
        y = self.reshape(x, -1, *shape)
        if x in self.free:
            self.free.add(y)
        return y

    def sequence(self, x: str, shape: Shape, like: str = "") -> str:
        """Return frames (T B, *shape) as (T, B, *shape), or free as they or the signal ``like`` is."""
        if not {x, like} & self.free:
            return self.reshape(x, self.timesteps, -1, *shape)
        y = self.node("Reshape", x, self.dims((-1,), shape))
        self.free.add(y)
        return y

    def every(self, x: str, shape: Shape) -> str:
        """Return a signal (1 or T, B, *shape) with all T steps."""
        return self.node("Expand", x, self.dims((self.timesteps,), shape)) if x in self.free else x

    def full(self, value: float | Array, before: Shape, after: Shape) -> str:
        """Return a constant signal (*before, B, *after)."""
        return self.node("Expand", self.constant(value), self.dims(before, after))

    # ------------------------------------------------------------------------------------------- operators
    def reduce(self, kind: str, x: str, *axes: int) -> str:
        """Return x without axes; kind: ``ReduceMean``, ``ReduceMax`` or ``ReduceSum``."""
        if not axes:
            return x
        y = self.node(kind, x, self.constant(np.array(axes, np.int64)), keepdims=0)
        if x in self.free and 0 not in axes:
            self.free.add(y)
        return y

    def gate(self, function: str, x: str) -> str:
        """Return the gate function h of x (``toolchain.gates``)."""
        if function == "sigmoid":
            return self.node("Sigmoid", x)
        quarter = self.node("Add", self.node("Mul", x, self.constant(0.25)), self.constant(0.5))
        hard = self.node("Clip", quarter, self.constant(0.0), self.constant(1.0))
        if function == "hard":
            return hard
        if function == "binary":
            return self.cast(self.node("GreaterOrEqual", hard, self.constant(0.5)))
        middles, rises = (POW2_LEVELS[1:] + POW2_LEVELS[:-1]) / 2, np.diff(POW2_LEVELS)
        steps = [
            self.node("Mul", self.cast(self.node("GreaterOrEqual", hard, self.constant(m))), self.constant(r))
            for m, r in zip(middles, rises, strict=True)
        ]
        return self.node("Sum", *steps)

    def cast(self, x: str) -> str:
        """Return truth values as numbers."""
        return self.node("Cast", x, to=self.type)

    def mlp(self, w0: str, w1: str, x: str) -> str:
        """Return w1 relu(w0 x) along the last axis of x (N, I)."""
        return self.node("Gemm", self.node("Relu", self.node("Gemm", x, w0, transB=1)), w1, transB=1)

    def conv(
        self,
        x: str,
        shape: Shape,
        weight: Array,
        *,
        bias: Array | None = None,
        stride: Pair = (1, 1),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        dilation: Pair = (1, 1),
        groups: int = 1,
        name: str = "weight",
    ) -> str:
        """Convolve frames (N, *shape); ``pads``: top, left, bottom, right; ``name``: of the weight's field."""
        w = self.constant(weight, name)
        if not self.double:
            b = () if bias is None else (self.constant(bias, "bias"),)
            return self.node("Conv", x, w, *b, strides=stride, pads=pads, dilations=dilation, group=groups)
        kernel = (int(weight.shape[2]), int(weight.shape[3]))
        patches, size = self._patches(x, shape, kernel, stride, pads, dilation)
        taps, outer = weight[0].size, weight.shape[0]
        columns = self.reshape(patches, -1, groups, taps, size[0] * size[1])
        y = self.node("MatMul", self.reshape(w, groups, outer // groups, taps), columns)
        y = self.reshape(y, -1, outer, *size)
        return y if bias is None else self.node("Add", y, self.parameter(bias, (outer, *size), "bias"))

    def pooled_sum(self, x: str, shape: Shape, kernel: Pair, stride: Pair, padding: Pair, scale: float) -> str:
        """Return scale times the sums over windows of frames (N, *shape)."""
        pads = (*padding, *padding)
        wider = padding[0] >= kernel[0] or padding[1] >= kernel[1]  # AveragePool takes no window of padding alone
        if self.double or wider:
            patches, size = self._patches(x, shape, kernel, stride, pads)
            axis = self.constant(np.array([2], np.int64))
            y = self.reshape(self.node("ReduceSum", patches, axis, keepdims=0), -1, shape[0], *size)
            return self.node("Mul", y, self.constant(scale))
        y = self.node("AveragePool", x, kernel_shape=kernel, strides=stride, pads=pads, count_include_pad=1)
        total = kernel[0] * kernel[1] * scale
        return y if total == 1 else self.node("Mul", y, self.constant(total))

    def _patches(
        self,
        x: str,
        shape: Shape,
        kernel: Pair,
        stride: Pair,
        pads: tuple[int, int, int, int],
        dilation: Pair = (1, 1),
    ) -> tuple[str, Pair]:
        """Return the windows of frames as (N, C, kernel places, windows), and how many windows there are on each axis."""
        channels, high, wide = shape[0], shape[1] + pads[0] + pads[2], shape[2] + pads[1] + pads[3]
        if any(pads):
            x = self.node("Pad", x, self.constant(np.array([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64)))
        size = tuple(
            (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip((high, wide), kernel, stride, dilation, strict=True)
        )
        rows, columns = (
            np.arange(k)[:, None] * d + np.arange(n) * s
            for k, d, n, s in zip(kernel, dilation, size, stride, strict=True)
        )
        at = rows[:, None, :, None] * wide + columns[None, :, None, :]
        places = self.constant(at.reshape(kernel[0] * kernel[1], -1).astype(np.int64))
        flat = self.reshape(x, -1, channels, high * wide)
        return self.node("Gather", flat, places, axis=2), (size[0], size[1])

    # ------------------------------------------------------------------------------------------------ time
    def scan(
        self, states: Sequence[tuple[str, Shape]], inputs: Sequence[tuple[str, Shape]], step: Step, outputs: list[str]
    ) -> list[str]:
        """Add a ``Scan`` over T.

        Args:
            states: Their first values (B, *shape) by name, and the shapes.
            inputs: What is read, (T, B, *shape) by name, and the shapes.
            step: Writes the body.
            outputs: Names of what it gives, each (T, B, ...).
        """
        if not inputs:  # a Scan needs something to go over
            inputs = [(self.constant(np.zeros((self.timesteps, 1))), ())]
        self._scopes.append([])
        held = [self.unique(f"{self._owner}.state") for _ in states]
        read = [self.unique(f"{self._owner}.step") for _ in inputs]
        after, given = step(list(held), list(read))
        ends = self._ends([*after, *given])
        nodes = self._scopes.pop()
        body = helper.make_graph(
            nodes,
            self.label("step"),
            [self._value(n, s) for n, (_, s) in zip((*held, *read), (*states, *inputs), strict=True)],
            [
                *(self._value(n, s) for n, (_, s) in zip(ends, states, strict=False)),
                *(helper.make_tensor_value_info(n, self.type, None) for n in ends[len(states) :]),
            ],
        )
        reads = [name for name, _ in (*states, *inputs)]
        last = [self.unique(f"{self._owner}.last") for _ in states]
        self.nodes.append(
            helper.make_node(
                "Scan", reads, [*last, *outputs], name=self.label("Scan"), body=body, num_scan_inputs=len(inputs)
            )
        )
        return outputs

    def _ends(self, names: list[str]) -> list[str]:
        """Return the body's results, each made in the body and named once."""
        made = {name for node in self.nodes for name in node.output}
        ends: list[str] = []
        for name in names:
            ends.append(name if name in made and name not in ends else self.node("Identity", name))
        return ends

    def _value(self, name: str, shape: Shape) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, self.type, [BATCH, *shape] if shape else [None])


def numbers(tensor: TensorProto) -> NDArray[Any]:
    """Return the value of a constant."""
    return np.asarray(numpy_helper.to_array(tensor))
