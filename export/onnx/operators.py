"""The float ops as ONNX operators: stateless ones on frames (N, *shape), neurons one step at a time, on (B, *shape).

The equations are those of ``toolchain.interpret``; a neuron's state is written by name, the first value of each is zero.
"""

from __future__ import annotations

from math import prod

import numpy as np

from spikewright.export.onnx.writer import Writer
from spikewright.hw_sim.linear import planar
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.ops import (
    Accumulator,
    AdaptivePool,
    Add,
    Affine,
    Array,
    Conv,
    Flatten,
    GateNeuron,
    HeldSum,
    Lif,
    MaxPool,
    Multiply,
    Neuron,
    Op,
    Output,
    Relu,
    Scale,
    Shape,
    SumPool,
    TransposedConv,
)
from spikewright.toolchain.parameters import grid
from spikewright.toolchain.shapes import infer


def no_form(op: Op) -> UnsupportedNodeError:
    """Return the refusal of an op, by its name."""
    return UnsupportedNodeError(
        f"{type(op).__name__} has no ONNX form",
        where=f"op {op.name!r}",
        help="bring the net as .nir, .safetensors or file.py:factory; ONNX holds the ops of the float vocabulary",
    )


def stateless(make: Writer, op: Op, operands: list[str], shapes: list[Shape]) -> str:
    """Write a stateless op on frames of these shapes; return the name of its result."""
    x, shape = operands[0], shapes[0]
    match op:
        case Conv(weight=w, bias=b):
            pads, plane = (*op.padding, *op.padding), planar(shape)
            x = x if plane == shape else make.reshape(x, -1, *plane)
            y = make.conv(x, plane, w, bias=b, stride=op.stride, pads=pads, dilation=op.dilation, groups=op.groups)
            return y if plane == shape else make.reshape(y, -1, *infer(op, [shape]))
        case TransposedConv(weight=w, bias=b):
            terms = (make.constant(w.swapaxes(0, 1), "weight"), *(() if b is None else (make.constant(b, "bias"),)))
            pads, more = (*op.padding, *op.padding), op.output_padding
            return make.node("ConvTranspose", x, *terms, strides=op.stride, pads=pads, output_padding=more)
        case Affine(weight=w, bias=b):
            flat = x if len(shape) == 1 else make.reshape(x, -1, prod(shape))
            bias = () if b is None else (make.constant(b, "bias"),)
            return make.node("Gemm", flat, make.constant(w, "weight"), *bias, transB=1)
        case SumPool():
            return make.pooled_sum(x, shape, op.kernel, op.stride, op.padding, op.scale)
        case MaxPool():
            pads = (*op.padding, *op.padding)
            return make.node("MaxPool", x, kernel_shape=op.kernel, strides=op.stride, pads=pads)
        case Scale(scale=s, shift=b):
            y = make.node("Mul", x, make.parameter(s, shape, "scale"))
            return y if b is None else make.node("Add", y, make.parameter(b, shape, "shift"))
        case Flatten():
            return make.reshape(x, -1, prod(shape))
        case Relu():
            return make.node("Relu", x)
        case _:
            return _joined(make, op, operands, shapes)


def _joined(make: Writer, op: Op, operands: list[str], shapes: list[Shape]) -> str:
    """Write an op on several operands, or a pool of uneven windows."""
    y = operands[0]
    match op:
        case Add() | Output():
            for other in operands[1:]:
                y = make.node("Add", y, other)
            return y
        case Multiply():
            for other, shape in zip(operands[1:], shapes[1:], strict=True):
                y = make.node("Mul", y, spread(make, other, shape, len(shapes[0])))
            return y
        case AdaptivePool():
            _, height, width = shapes[0]
            down, across = op.rows(0, height), op.rows(1, width).T
            return make.node(
                "MatMul", make.node("MatMul", make.constant(down, "down"), y), make.constant(across, "across")
            )
        case _:
            raise no_form(op)


def spread(make: Writer, gate: str, shape: Shape, rank: int) -> str:
    """Return a gate (B, *shape) with axes of length 1 behind it, up to ``rank``."""
    missing = rank - len(shape)
    return make.reshape(gate, -1, *shape, *(1,) * missing) if missing > 0 else gate


# ------------------------------------------------------------------------------------------------ neurons
def states_of(op: Neuron) -> dict[str, Array]:
    """Return a neuron's states and the first value of each, which broadcasts over (B, *shape)."""
    if isinstance(op, Accumulator) and np.any(op.alpha):
        return {"v": np.zeros(()), "u": np.zeros(())}
    if not isinstance(op, Lif):
        return {"v": np.zeros(())}
    states = {"v": grid(op.v_start, op.shape)}
    if op.filters:
        states["u"] = np.zeros(())
    if op.refractory > 1:
        states["hold"] = np.zeros(())
    return states


def neuron_step(
    make: Writer, op: Neuron, operands: list[str], shapes: list[Shape], states: list[str], path: str = ""
) -> tuple[str, list[str]]:
    """Write one step of a neuron.

    Args:
        make: The model.
        op: The neuron.
        operands: Its currents and gates in this step, (B, ...).
        shapes: Their shapes.
        states: Its states before the step, as ``states_of`` names them.
        path: In front of the names of its parameters, where it is part of a block.

    Returns:
        What it sends, and its states after the step.
    """
    currents = operands[: len(operands) - op.ports]
    parts = [
        part if shape == op.shape else make.reshape(part, -1, *op.shape)
        for part, shape in zip(currents, shapes, strict=False)
    ]
    total = parts[0] if parts else ""
    for part in parts[1:]:
        total = make.node("Add", total, part)
    match op:
        case Lif() if op.membrane_gates or op.pooled is not None:
            raise no_form(op)
        case Lif():
            gates = [
                spread(make, gate, shape, len(op.shape))
                for gate, shape in zip(operands[len(currents) :], shapes[len(currents) :], strict=True)
            ]
            return _lif(make, op, total, gates, states, path)
        case Accumulator():
            return _accumulated(make, op, total, states, path)
        case GateNeuron():
            v = _decayed(make, states[0], op.decay, total)
            score = make.node("Add", v, make.parameter(op.bias, op.shape, f"{path}bias"))
            for factor in operands[len(currents) :]:
                score = make.node("Mul", score, make.reshape(factor, -1, *op.shape))
            return make.gate(op.function, score), [v]
        case HeldSum():
            v = _decayed(make, states[0], op.decay, total)
            return v, [v]
        case _:
            raise no_form(op)


def _accumulated(make: Writer, op: Accumulator, total: str, states: list[str], path: str) -> tuple[str, list[str]]:
    """Write one step of an accumulator."""
    after = []
    if len(states) > 1:
        held = make.node("Mul", states[1], make.parameter(np.asarray(op.alpha), op.shape, f"{path}alpha"))
        total = make.node("Add", held, total)
        after.append(total)
    if np.size(op.decay) == 1:
        v = _decayed(make, states[0], float(np.ravel(op.decay)[0]), total)
    else:
        held = make.node("Mul", states[0], make.parameter(np.asarray(op.decay), op.shape, f"{path}decay"))
        v = make.node("Add", held, total)
    if np.any(op.leak):
        v = make.node("Add", v, make.parameter(np.asarray(op.leak), op.shape, f"{path}leak"))
    return (make.node("Relu", v) if op.rectify else v), [v, *after]


def _decayed(make: Writer, state: str, decay: float, total: str) -> str:
    if decay == 0:
        return total
    return make.node("Add", state if decay == 1 else make.node("Mul", state, make.constant(decay)), total)


def _lif(make: Writer, op: Lif, i: str, gates: list[str], states: list[str], path: str) -> tuple[str, list[str]]:
    """Write one step of a ``Lif`` with current ``i`` ("": none)."""
    held = dict(zip(states_of(op), states, strict=True))

    def times(x: str, value: Array, name: str) -> str:
        return make.node("Mul", x, make.parameter(value, op.shape, path + name)) if np.any(value != 1) else x

    drive = times(i, op.gain_u, "gain_u") if i else ""
    if op.filters:
        before = times(held["u"], op.alpha, "alpha")
        drive = held["u"] = make.node("Add", before, drive) if drive else before
    if drive:
        drive = times(drive, op.gain, "gain")
        for gate in gates[:-1] if op.output_gate else gates:
            drive = make.node("Mul", drive, gate)
        drive = make.node("Relu", drive) if op.rectify else drive
    v = times(held["v"], op.beta, "beta") if np.any(op.beta) else ""
    v = make.node("Add", v, drive) if v and drive else v or drive or make.node("Sub", held["v"], held["v"])
    if np.any(op.leak):
        v = make.node("Add", v, make.parameter(op.leak, op.shape, f"{path}leak"))
    s, after = fire(make, op, v, list(held.values()), path)
    return (make.node("Mul", s, gates[-1]) if op.output_gate else s), after


def fire(make: Writer, op: Lif, v: str, states: list[str], path: str = "") -> tuple[str, list[str]]:
    """Write spikes and reset of a membrane that has integrated; return the spikes and the states after the step."""
    held = dict(zip(states_of(op), states, strict=True))
    threshold = make.parameter(op.v_threshold, op.shape, f"{path}v_threshold")
    fired = make.node("Greater" if op.comparison == ">" else "GreaterOrEqual", v, threshold)
    s = make.cast(fired) if op.max_spikes == 1 else _count(make, op, v, threshold, fired)
    free = make.node("Equal", held["hold"], make.constant(0.0)) if op.refractory > 1 else ""
    if free:
        s = make.node("Where", free, s, make.constant(0.0))
    if op.reset == "value":
        to = make.parameter(op.v_reset, op.shape, f"{path}v_reset")
    else:
        taken = threshold if op.v_subtract is None else make.parameter(op.v_subtract, op.shape, f"{path}v_subtract")
        to = make.node("Sub", v, taken if op.max_spikes == 1 else make.node("Mul", s, taken))
    after = make.node("Where", fired, to, v)
    if op.v_min is not None:
        after = make.node("Max", after, make.parameter(op.v_min, op.shape, f"{path}v_min"))
    if free:
        after = make.node("Where", free, after, held["v"])
        rest = make.node("Max", make.node("Sub", held["hold"], make.constant(1.0)), make.constant(0.0))
        sent = make.node("Greater", s, make.constant(0.0))
        held["hold"] = make.node("Where", sent, make.constant(op.refractory - 1.0), rest)
    return s, list((held | {"v": after}).values())


def _count(make: Writer, op: Lif, v: str, threshold: str, fired: str) -> str:
    """Write how many multiples of the threshold a membrane is above, or reaches; ``max_spikes`` at most."""
    times = make.node("Div", v, threshold)
    if op.comparison == ">":
        count = make.node("Sub", make.node("Ceil", times), make.constant(1.0))
    else:
        count = make.node("Floor", times)
    most = () if op.max_spikes is None else (make.constant(float(op.max_spikes)),)
    return make.node("Where", fired, make.node("Clip", count, make.constant(1.0), *most), make.constant(0.0))
