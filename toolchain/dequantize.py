"""An integer graph read as real numbers: the float net whose rounding it is, in units of v; for the checker and reports.

    alpha = 1 - decay_u / 4096,  beta = 1 - decay_v / 4096,  gain_u = 2^6,  leak = bias,  same thresholds;  lag -> Delay

A read-out membrane that forgets nothing answers with the mean of its drive; one that leaks, with the mean of itself.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from spikewright.hw_sim.fixed_point import CURRENT_SHIFT, DECAY_ONE
from spikewright.hw_sim.somas import Lif as LifSoma
from spikewright.hw_sim.somas import SigmaDelta as SigmaDeltaSoma
from spikewright.hw_sim.synapses import ConvSynapses, DenseSynapses, IdentitySynapses, TransposedConvSynapses
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.integer import (
    IntArray,
    IntConnection,
    IntInput,
    IntNeuron,
    IntOutput,
    answer_of,
    kind_of,
    separated,
)
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
    Accumulator,
    Add,
    Affine,
    Array,
    Conv,
    Delay,
    Input,
    Lif,
    Op,
    Output,
    Scale,
    Shape,
    SigmaDelta,
    TransposedConv,
)


def to_float(graph: Graph) -> Graph:
    """Return the float graph; neuron ops keep their names.

    Raises:
        UnsupportedNodeError: An op that no imported integer net holds (gates, rectifiers).
    """
    output = answer_of(graph)
    ops: list[Op] = []
    for op in separated(graph):
        match op:
            case IntInput():
                ops.append(Input(name=op.name, block=op.block, shape=op.shape))
            case IntConnection():
                ops += _connection(op)
            case IntNeuron(soma=LifSoma() as soma) if output.readout == "membrane" and op.name == output.inputs[0]:
                ops += _readout(op, soma, graph.timesteps)
            case IntNeuron(soma=SigmaDeltaSoma() as soma) if output.held and op.name == output.inputs[0]:
                ops += _held(op, soma, output, graph.timesteps)
            case IntNeuron(soma=SigmaDeltaSoma() as soma):
                ops.append(_sigma_delta(op, soma))
            case IntNeuron(soma=LifSoma(gates=0, on_membrane=0, pools=False) as soma):
                ops.append(_lif(op, soma))
            case IntOutput():
                ops.append(Output(name=op.name, block=op.block, inputs=op.inputs))
            case _:
                raise UnsupportedNodeError(f"{kind_of(op)} has no real-valued reading", where=f"op {op.name!r}")
    return graph.with_ops(ops)


def _connection(op: IntConnection) -> list[Op]:
    inputs, before = op.inputs, []
    if op.lag:
        late = Delay(name=f"{op.name}.delay", block=op.block, inputs=op.inputs, steps=op.lag)
        before, inputs = [late], (late.name,)
    match op.synapses:
        case DenseSynapses(weight=weight):
            made: Op = Affine(name=op.name, block=op.block, inputs=inputs, weight=_real(weight, op.exponent))
        case ConvSynapses() as conv:
            made = Conv(
                name=op.name,
                block=op.block,
                inputs=inputs,
                weight=_real(conv.weight, op.exponent),
                stride=conv.stride,
                padding=conv.padding,
                dilation=conv.dilation,
                groups=conv.groups,
            )
        case TransposedConvSynapses() as conv:
            made = TransposedConv(
                name=op.name,
                block=op.block,
                inputs=inputs,
                weight=_real(conv.weight, op.exponent),
                stride=conv.stride,
                padding=conv.padding,
                output_padding=conv.output_padding,
            )
        case IdentitySynapses(weight=one):
            factor = _real(np.full(1, one, np.int64), op.exponent)
            made = Scale(name=op.name, block=op.block, inputs=inputs, scale=factor)
        case _:
            raise UnsupportedNodeError(f"{kind_of(op)} has no real-valued reading", where=f"op {op.name!r}")
    return [*before, made]


def _real(weight: IntArray, exponent: int) -> Array:
    return weight.astype(np.float64) * 2.0**exponent


def _grid(values: IntArray, shape: Shape) -> Array:
    """Return a parameter as () or in the neurons' shape."""
    real = values.astype(np.float64)
    return real.reshape(shape) if real.size == prod(shape) else real.reshape(())


def _lif(op: IntNeuron, soma: LifSoma) -> Lif:
    return Lif(
        name=op.name,
        block=op.block,
        inputs=op.inputs,
        shape=op.shape,
        alpha=1 - _grid(soma.decay_u, op.shape) / DECAY_ONE,
        beta=1 - _grid(soma.decay_v, op.shape) / DECAY_ONE,
        gain_u=np.full((), float(1 << CURRENT_SHIFT)),
        leak=_grid(soma.bias, op.shape),
        v_reset=_grid(soma.v_reset, op.shape),
        reset=soma.reset,
        rectify=soma.rectify,
        refractory=soma.refractory,
        max_spikes=soma.max_spikes,
        v_min=_grid(soma.v_min, op.shape) if soma.floored else None,
        v_start=_grid(soma.v_start, op.shape),
        **_counts(op, soma),
    )


def _sigma_delta(op: IntNeuron, soma: SigmaDeltaSoma, name: str | None = None) -> SigmaDelta:
    return SigmaDelta(
        name=op.name if name is None else name,
        block=op.block,
        inputs=op.inputs,
        shape=op.shape,
        bias=_grid(soma.bias, op.shape),
        v_threshold=_grid(soma.threshold, op.shape),
        unit=float(1 << soma.shift),
        rectify=soma.rectify,
        sums=soma.sums,
    )


def _held(op: IntNeuron, soma: SigmaDeltaSoma, output: IntOutput, timesteps: int) -> list[Op]:
    """Return an answer that is held after the last step, as what its mean over the steps is taken of: T times each change."""
    every = np.full(1, float(max(timesteps, 1)))
    if output.readout == "spikes":
        changes = _sigma_delta(op, soma, f"{op.name}.changes")
        return [changes, Scale(name=op.name, block=op.block, inputs=(changes.name,), scale=every)]
    joined = Add(name=f"{op.name}.sum", block=op.block, inputs=op.inputs)
    return [joined, Scale(name=op.name, block=op.block, inputs=(joined.name,), scale=every)]


def _counts(op: IntNeuron, soma: LifSoma) -> dict[str, Any]:
    """Return threshold and comparison: one of ``v > threshold``, or of multiples of the spacing.

    Raises:
        UnsupportedNodeError: Thresholds that are no multiples of their spacing.
    """
    if soma.max_spikes == 1:
        return {"v_threshold": _grid(soma.threshold, op.shape)}
    below = np.unique(soma.spacing - soma.threshold)
    if below.tolist() not in ([0], [1]):
        raise UnsupportedNodeError(
            "sends several spikes a step at thresholds that are no multiples of their spacing", where=f"op {op.name!r}"
        )
    return {"v_threshold": _grid(soma.spacing, op.shape), "comparison": ">=" if below[0] else ">"}


def _readout(op: IntNeuron, soma: LifSoma, timesteps: int) -> list[Op]:
    """Return the read-out as what its mean over the steps is taken of: the drive, or the leaking membrane."""
    gain, bias = np.full(1, float(1 << CURRENT_SHIFT)), _grid(soma.bias, op.shape)
    joined = Add(name=f"{op.name}.sum", block=op.block, inputs=op.inputs)
    in_v = bool((soma.decay_u == DECAY_ONE).all()) and not soma.decay_v.any()
    in_u = bool((soma.decay_v == DECAY_ONE).all()) and not soma.decay_u.any()
    if in_v or in_u:  # the bias comes in every step, or once, as u sums and v is u + bias
        shift = bias if in_v else bias / max(timesteps, 1)
        shift = shift if shift.ndim else shift.reshape(1)
        return [joined, Scale(name=op.name, block=op.block, inputs=(joined.name,), scale=gain, shift=shift)]
    current = Scale(name=f"{op.name}.current", block=op.block, inputs=(joined.name,), scale=gain)
    sums = Accumulator(
        name=op.name,
        block=op.block,
        inputs=(current.name,),
        shape=op.shape,
        alpha=1 - _grid(soma.decay_u, op.shape) / DECAY_ONE,
        decay=1 - _grid(soma.decay_v, op.shape) / DECAY_ONE,
        leak=bias,
        rectify=False,
    )
    return [joined, current, sums]
