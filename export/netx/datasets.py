"""The datasets of one netx layer, from neurons and connections; what the format cannot hold is refused with the reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from spikewright.export.lava.bounds import worst
from spikewright.export.netx.layers import MAX_DELAY
from spikewright.export.netx.neurons import SPIKE_EXP, STATE_EXP
from spikewright.export.netx.weights import LostError, chip_form, effective, loaded
from spikewright.hw_sim.fixed_point import (
    BIAS_MANTISSA,
    CURRENT_SHIFT,
    DECAY_ONE,
    STATE_MAX,
    THRESHOLD_MANTISSA_MAX,
    THRESHOLD_SHIFT,
)
from spikewright.hw_sim.somas import Lif, SigmaDelta, Soma
from spikewright.hw_sim.synapses import ConvSynapses, DenseSynapses, IdentitySynapses
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.integer import IntArray, IntConnection, IntNeuron
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op, Shape

Values = dict[str, Any]
GRID = 1 << THRESHOLD_SHIFT
NEVER = (1 << 18) - 1
"""Threshold mantissa lava-dl itself writes for a layer that is read by its membrane: no 24-bit v exceeds it."""
MAX_IDENTITY = 4096
"""Neurons of a flat layer whose identity synapses are written as a matrix."""


def refused(op: Op, what: str, help: str = "run it with --backend lava, which takes every op") -> UnsupportedNodeError:
    """Return the refusal of an op."""
    return UnsupportedNodeError(what, where=f"op {op.name!r}", help=help)


# --------------------------------------------------------------------------------------------- neurons
def neuron(graph: Graph, op: IntNeuron, soma: Soma) -> Values:
    """Return ``neuron/*`` and ``bias``.

    Raises:
        UnsupportedNodeError: A gate, a reset, a threshold or a bias that CUBA neurons have not; a threshold or bias between the
            mantissas of SDNN neurons.
    """
    if isinstance(soma, SigmaDelta):
        return _sdnn(op, soma)
    assert isinstance(soma, Lif)
    if soma.reset == "subtract":
        raise refused(op, "resets by subtraction; netx neurons reset to zero")
    if soma.v_reset.any():
        raise refused(op, f"resets to {int(soma.v_reset.reshape(-1)[0])}; netx neurons reset to zero")
    if soma.refractory > 1:
        raise refused(op, f"has a refractory period of {soma.refractory} steps, which lava-dl's loader ignores")
    if soma.max_spikes != 1:
        raise refused(op, "sends several spikes a step; netx neurons send one")
    if soma.floored or soma.v_start.any():
        raise refused(op, "has a floor of v, or starts at another v than 0; netx neurons have neither")
    if soma.rectify:
        raise refused(op, "rectifies its current; netx has no rectifier in front of a neuron")
    values: Values = {
        "neuron/type": "CUBA",
        "neuron/iDecay": _one(op, "decay_u", soma.decay_u),
        "neuron/vDecay": _one(op, "decay_v", soma.decay_v),
        "neuron/vThMant": _threshold(graph, op, soma),
        "neuron/refDelay": 1,
        "neuron/gradedSpike": False,
    }
    return values | _bias(op, soma.bias)


def _sdnn(op: IntNeuron, soma: SigmaDelta) -> Values:
    """Return sigma-delta neurons as the format has them: an encoder, relu, or a read-out; ``_driven`` knows the encoder."""
    grid = 1 << SPIKE_EXP + STATE_EXP
    if soma.shift != STATE_EXP:
        raise refused(op, f"sends changes >> {soma.shift}; lava-dl's loader builds >> {STATE_EXP}")
    values: Values = {"neuron/type": "SDNN", "neuron/activation": np.bytes_(b"relu")}
    if soma.kind == "none" and soma.sums and not soma.rectify:
        return values | {"neuron/sigma_output": True, "neuron/vThMant": 0} | _grid_bias(op, soma.bias, grid)
    if soma.sums != soma.rectify:
        raise refused(op, "sends changes of a signed sum; netx neurons rectify, but for the encoder of an input layer")
    threshold = _one(op, "threshold", soma.threshold)
    if threshold % grid:
        raise refused(op, f"sends changes from {threshold} on; netx holds multiples of {grid}")
    return values | {"neuron/vThMant": threshold // grid} | _grid_bias(op, soma.bias, grid)


def _grid_bias(op: IntNeuron, bias: IntArray, grid: int) -> Values:
    if not bias.any():
        return {}
    if np.any(bias % grid) or not isinstance(op.soma, SigmaDelta) or not op.soma.rectify:
        raise refused(op, f"has biases that netx does not hold: multiples of {grid} of neurons that rectify are")
    mantissa = np.broadcast_to(bias // grid, (prod(op.shape),))
    return {"bias": _bias_layout(mantissa, op.shape).astype(np.float32)}


def _one(op: IntNeuron, what: str, values: IntArray) -> int:
    first = int(values.reshape(-1)[0])
    if np.any(values != first):
        raise refused(op, f"has {what} from {values.min()} to {values.max()}; netx holds one value for a layer")
    return first


def _threshold(graph: Graph, op: IntNeuron, soma: Lif) -> int:
    threshold = _one(op, "threshold", soma.threshold)
    if threshold >= STATE_MAX:
        return NEVER
    if threshold < 0 or threshold >> THRESHOLD_SHIFT > THRESHOLD_MANTISSA_MAX:
        raise refused(
            op, f"has a threshold of {threshold}; netx holds 0 .. {THRESHOLD_MANTISSA_MAX << THRESHOLD_SHIFT}"
        )
    if threshold % GRID and not _on_grid(graph, op, soma):
        raise refused(
            op,
            f"compares v with {threshold}; netx holds multiples of {GRID} only, and v here takes values between",
        )
    return threshold >> THRESHOLD_SHIFT


def _on_grid(graph: Graph, op: IntNeuron, soma: Lif) -> bool:
    """Say whether v is always a multiple of 64: nothing decays, every bias is one, no sum over all steps is clipped."""
    current = sum(worst(graph, graph.timesteps)[name] for name in op.inputs) << CURRENT_SHIFT
    reach = (current + int(np.abs(soma.bias).max())) * max(graph.timesteps, 1)
    keeps = not soma.decay_v.any() and bool((soma.decay_u == DECAY_ONE).all())
    return keeps and not np.any(soma.bias % GRID) and graph.timesteps > 0 and reach < STATE_MAX


def _bias(op: IntNeuron, bias: IntArray) -> Values:
    if not bias.any():
        return {}
    if np.any(bias % GRID):
        raise refused(op, f"has biases off the grid of {GRID} that netx holds (mantissa << {THRESHOLD_SHIFT})")
    mantissa, (low, high) = bias >> CURRENT_SHIFT, BIAS_MANTISSA  # its exponent is 6 in every netx layer
    if mantissa.min() < low or mantissa.max() > high:
        raise refused(op, f"has bias mantissas from {mantissa.min()} to {mantissa.max()}; netx holds {low} .. {high}")
    return {"bias": _bias_layout(np.broadcast_to(mantissa, (prod(op.shape),)), op.shape).astype(np.float32)}


def _bias_layout(mantissa: IntArray, shape: Shape) -> IntArray:
    """Return one bias a channel where they are equal, else one a neuron in the loader's (W, H, C) order."""
    if len(shape) != 3:
        return mantissa
    grid = mantissa.reshape(shape)
    return grid[:, 0, 0] if np.all(grid == grid[:, :1, :1]) else grid.transpose(2, 1, 0)


# -------------------------------------------------------------------------------------------- synapses
def synapses(
    op: IntNeuron,
    forward: Sequence[IntConnection],
    recurrent: Sequence[IntConnection],
    source: Shape,
    flatten: Callable[[], None],
) -> Values:
    """Return type, shape, weights and delays of a layer.

    Args:
        op: Its neurons.
        forward: Connections from the layer in front.
        recurrent: Connections of the neurons with each other.
        source: Shape of the layer in front.
        flatten: Called before a dense layer is written.

    Raises:
        UnsupportedNodeError: The connections are no single netx synapse.
    """
    if _all_dense(forward):
        values = _dense(op, forward, recurrent, prod(source))
        flatten()
        return values
    if len(forward) > 1:
        raise refused(op, f"joins {len(forward)} connections of the layer in front; netx holds one")
    if recurrent:
        raise refused(op, "is a recurrent layer whose input is no dense map; netx has dense_rec only")
    (link,) = forward
    if isinstance(link.synapses, IdentitySynapses) and len(source) != 3:
        if prod(source) > MAX_IDENTITY:
            raise refused(link, f"is an identity over {prod(source)} neurons; netx has no layer for it")
        weight = np.eye(prod(source), dtype=np.int64) * link.synapses.weight
        return synapses(op, [replace(link, synapses=DenseSynapses(weight))], (), source, flatten)
    return _conv(op, link, source)


def _all_dense(links: Sequence[IntConnection]) -> bool:
    return all(isinstance(link.synapses, DenseSynapses) for link in links)


def _conv(op: IntNeuron, link: IntConnection, source: Shape) -> Values:
    conv = link.synapses
    if isinstance(conv, IdentitySynapses):
        conv = ConvSynapses(np.full((source[0], 1, 1, 1), conv.weight, np.int64), groups=source[0])
    if not isinstance(conv, ConvSynapses):
        raise refused(link, f"holds {type(conv).__name__}; netx has no layer for it")
    if link.lag:
        raise refused(link, f"has a delay of {link.lag} steps; lava-dl's loader drops the delays of convolutions")
    if len(source) != 3 or len(op.shape) != 3:
        raise refused(link, f"maps {source} to {op.shape}; a netx conv layer maps (C, H, W) to (C, H, W)")
    weight = _effective(link, conv.weight)
    stored = chip_form(weight).weight
    if stored.min() < -256 or stored.max() > 255:
        raise refused(
            link, f"has weights from {weight.min()} to {weight.max()}, exponent included, which are no 8-bit weights"
        )
    co, ci, kh, kw = weight.shape
    return {
        "type": "conv",
        "shape": np.array(op.shape),
        "inChannels": ci * conv.groups,
        "outChannels": co,
        "kernelSize": np.array((kh, kw)),
        "stride": np.array(conv.stride),
        "padding": np.array(conv.padding),
        "dilation": np.array(conv.dilation),
        "groups": conv.groups,
        "weight": weight.astype(np.float32),
    }


def _effective(link: IntConnection, weights: IntArray) -> IntArray:
    weight = effective(weights, link.exponent)
    if weight is None:
        raise refused(link, f"has weights that exponent {link.exponent} shifts below 1; netx holds integers")
    return weight


def _dense(op: IntNeuron, forward: Sequence[IntConnection], recurrent: Sequence[IntConnection], inputs: int) -> Values:
    outputs = prod(op.shape)
    if len(op.shape) != 1:
        raise refused(op, f"is a grid {op.shape} behind a dense map; netx dense layers are flat")
    weight, delay = _joined(op, forward, 0)
    values: Values = {
        "type": "dense_rec" if recurrent else "dense",
        "shape": np.array((outputs,)),
        "inFeatures": inputs,
        "outFeatures": outputs,
        "weight": weight.astype(np.float32),
    }
    parts = [weight]
    if recurrent:
        if not _all_dense(recurrent):
            raise refused(op, "feeds back through a map that is not dense; netx has dense_rec only")
        again, late = _joined(op, recurrent, 1)
        if late.any() or delay.any():
            raise refused(op, "has delays on a recurrent layer; lava-dl's loader shares and mostly refuses these")
        parts.append(again)
        values["weight_rec"] = again.astype(np.float32)
    elif delay.any():
        values["delay"] = _delay(op, delay, outputs, inputs).astype(np.float32)
    _check_loaded(op, parts)
    return values


def _joined(op: IntNeuron, links: Sequence[IntConnection], least: int) -> tuple[IntArray, IntArray]:
    """Return one matrix for connections of different lags, and the delay (lag - ``least``) of each synapse, -1 for none."""
    total = np.zeros_like(links[0].synapses.weights)
    delay = np.full(total.shape, -1, np.int64)
    for link in links:
        weight = _effective(link, link.synapses.weights)
        here = weight != 0
        if np.any(here & (delay >= 0)):
            raise refused(op, f"has two synapses between the same neurons ({link.name!r} and another); netx holds one")
        if not least <= link.lag <= MAX_DELAY + least:
            raise refused(link, f"has a lag of {link.lag} steps; netx holds {least} .. {MAX_DELAY + least}")
        total, delay = total + weight, np.where(here, link.lag - least, delay)
    return total, np.where((delay < 0) & (not np.any(delay > 0)), 0, delay)


def _delay(op: IntNeuron, delay: IntArray, outputs: int, inputs: int) -> IntArray:
    """Return delays as netx holds them: one a neuron, or one an input."""
    for axis in (1, 0):
        found = delay.max(axis=axis, keepdims=True)
        if np.all((delay == found) | (delay < 0)) and (axis == 1 or outputs != inputs):
            late: IntArray = np.maximum(found, 0).reshape(-1)
            return late
    raise refused(op, "has delays that differ from synapse to synapse; netx holds one a neuron or one an input")


def _check_loaded(op: IntNeuron, parts: Sequence[IntArray]) -> None:
    """Refuse weights that lava-dl's loader would change."""
    try:
        held = [effective(s.weight, s.exponent) for s in loaded(*parts)]
    except LostError as error:
        raise refused(op, f"cannot keep its weights: {error}", "quantize to fewer --weight-bits") from error
    changed = sum(int(part.size if now is None else (now != part).sum()) for part, now in zip(parts, held, strict=True))
    if changed:
        low, high = min(int(p.min()) for p in parts), max(int(p.max()) for p in parts)
        raise refused(
            op,
            f"has weights from {low} to {high}, exponent included; lava-dl's loader changes {changed} of them",
            "quantize to fewer --weight-bits",
        )
