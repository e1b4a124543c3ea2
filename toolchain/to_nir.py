"""A float graph as standard NIR, which ``nir.read`` and so every tool that speaks NIR reads: batch norm folded, no extensions.

beta, gain, leak  ->  tau = dt / (1 - beta),  r = gain / (1 - beta),  v_leak = leak / (1 - beta);   beta = 1: an IF or I

What NIR has no field for (>=, subtraction, a floor of v, ...) and the constants without rounding go into metadata: other tools
may pass over them. A grouped convolution is written as a whole kernel with zeros, which ``nir`` 1.0.8 has shapes for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np

from spikewright.toolchain import nirx
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.nirx.registry import EXTENSION_VERSION, extension_names
from spikewright.toolchain.ops import (
    Accumulator,
    Add,
    Affine,
    Array,
    Conv,
    Delay,
    Flatten,
    Input,
    Lif,
    Op,
    Output,
    Scale,
    Shape,
    SumPool,
)
from spikewright.toolchain.parameters import grid
from spikewright.toolchain.passes.normal_form import NormalForm
from spikewright.toolchain.shapes import shapes

FILE = "graph.nir"


def save_standard(path: Path, graph: Graph, source: nir.NIRGraph | None) -> str:
    """Write a net as NIR that ``nir.read`` reads, else as it came in, and say which.

    Args:
        path: Where to.
        graph: The float graph as captured or imported.
        source: The NIR graph it came as, or None.

    Returns:
        A note for the manifest: what the file is, or the op that no standard node means.
    """
    if source is not None and not extension_names(source):
        nirx.write(path, source)
        if readable(path):
            return "standard NIR, as it came in"
    try:
        nirx.write(path, to_nir(graph, {} if source is None else source.metadata))
    except UnsupportedNodeError as error:
        if source is None:
            return f"not written: {error.where}: {error.what}"
        nirx.write(path, source)
        return f"with nodes of spikewright's own, since standard NIR has none: {error.where}: {error.what}"
    return "standard NIR; batch norm folded"


def readable(path: Path) -> bool:
    """Say whether the ``nir`` package reads a file."""
    try:
        nir.read(path)
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError):
        return False
    return True


def to_nir(graph: Graph, metadata: dict[str, Any] | None = None) -> nir.NIRGraph:
    """Return a float graph as a graph of standard nodes.

    Args:
        graph: Float ops; batch norms are folded into the maps beside them.
        metadata: Of the graph it came from; dt, T and read-out are the graph's own.

    Raises:
        UnsupportedNodeError: An op that no standard node means; it is named.
    """
    folded = NormalForm("scales")(graph)
    known = shapes(folded)
    nodes: dict[str, nir.NIRNode] = {}
    edges: list[tuple[str, str]] = []
    for op in folded:
        node = _node(op, known, folded.dt_s)
        if len(op.inputs) > len(set(op.inputs)):
            raise _refused(op, "reads one signal twice")
        nodes[op.name] = node
        edges += [(name, op.name) for name in op.inputs]
    about = {
        **(metadata or {}),
        "dt": folded.dt_s,
        "timesteps": folded.timesteps,
        "readout": "mean",
        "extension_version": EXTENSION_VERSION,
    }
    return nir.NIRGraph(nodes, edges, metadata=about, type_check=False)


def _node(op: Op, known: dict[str, Shape], dt_s: float) -> nir.NIRNode:
    shape = known[op.name]
    match op:
        case Input():
            return nir.Input(np.array(shape))
        case Output():
            return nir.Output(np.array(shape))
        case Add():
            return nir.Scale(np.ones(shape))  # several edges into a node are a sum
        case Delay(initial=0.0):
            return nir.Delay(np.full(shape, op.steps * dt_s))
        case Lif(gates=0, rectify=False, output_gate=False, pooled=None):
            return _lif(op, dt_s)
        case Accumulator(rectify=False):
            return _integrator(op, dt_s)
        case _:
            return _map(op, known[op.inputs[0]], shape)


def _map(op: Op, source: Shape, shape: Shape) -> nir.NIRNode:
    match op:
        case Affine() if len(source) == 1:
            return nir.Linear(op.weight) if op.bias is None else nir.Affine(op.weight, op.bias)
        case Conv():
            return _conv(op, source)
        case Scale():
            return _scale(op, shape)
        case SumPool():
            return _pool(op)
        case Flatten():
            return nir.Flatten({"input": np.array(source)}, 0, -1)
        case _:
            raise _refused(op, f"{type(op).__name__} has no standard node")


def _refused(op: Op, what: str) -> UnsupportedNodeError:
    return UnsupportedNodeError(
        what, where=f"op {op.name!r}", help="the bundle's graph.nir holds the net with spikewright's own nodes"
    )


def _conv(op: Conv, source: Shape) -> nir.NIRNode:
    weight, bias = _whole(op), np.zeros(op.weight.shape[0]) if op.bias is None else op.bias
    if len(source) == 2:
        return nir.Conv1d(source[1], weight[:, :, 0], op.stride[1], op.padding[1], op.dilation[1], 1, bias)
    weight, padding = _square(op, weight)
    return nir.Conv2d(source[1:], weight, op.stride, padding, op.dilation, 1, bias)


def _square(op: Conv, weight: Array) -> tuple[Array, tuple[int, int]]:
    """Return a square kernel, zeros around it, and the padding: nir 1.0.8 infers a wrong shape of any other."""
    size = max(weight.shape[2:])
    more = [size - k for k in weight.shape[2:]]
    if any(m % 2 for m in more):
        kernel = " x ".join(map(str, weight.shape[2:]))
        raise _refused(op, f"a kernel of {kernel}, of which nir infers a wrong shape, has no square one")
    (top, left), (dh, dw) = (m // 2 for m in more), op.dilation
    padding = (op.padding[0] + top * dh, op.padding[1] + left * dw)
    return np.pad(weight, ((0, 0), (0, 0), (top, top), (left, left))), padding


def _whole(op: Conv) -> Array:
    """Return the kernel (Co, Ci, kh, kw) of a convolution in groups, zero across them."""
    outs, inner, *kernel = op.weight.shape
    whole = np.zeros((outs, inner * op.groups, *kernel))
    for g, rows in enumerate(np.split(np.arange(outs), op.groups)):
        whole[rows, g * inner : (g + 1) * inner] = op.weight[rows]
    return whole


def _scale(op: Scale, shape: Shape) -> nir.NIRNode:
    factors = np.broadcast_to(grid(op.scale, shape), shape)
    if op.shift is None:
        return nir.Scale(factors.copy())
    shifts = np.broadcast_to(grid(op.shift, shape), shape)
    if len(shape) == 1:
        return nir.Affine(np.diag(factors), shifts.copy())
    if np.ndim(op.scale) > 1 or np.ndim(op.shift) > 1 or len(shape) != 3:
        raise _refused(op, f"a factor and a shift on {shape} have no standard node")
    kernel = np.diag(factors[:, 0, 0])[:, :, None, None]
    return nir.Conv2d(shape[1:], kernel, (1, 1), (0, 0), (1, 1), 1, shifts[:, 0, 0].copy())


def _pool(op: SumPool) -> nir.NIRNode:
    fields = [np.array(value) for value in (op.kernel, op.stride, op.padding)]
    if op.scale == 1:
        return nir.SumPool2d(*fields)
    if abs(op.scale * op.kernel[0] * op.kernel[1] - 1) < 1e-12:
        return nir.AvgPool2d(*fields)
    raise _refused(op, f"a pool with a factor of {op.scale:g} has no standard node")


def _lif(op: Lif, dt_s: float) -> nir.NIRNode:
    def full(value: Array) -> Array:
        return np.broadcast_to(grid(value, op.shape), op.shape).astype(np.float64)

    node: nir.NIRNode
    threshold, v_reset = full(op.v_threshold), full(op.v_reset)
    if op.v_subtract is not None and not np.allclose(full(op.v_subtract) * full(op.beta), threshold, rtol=1e-9):
        raise _refused(op, "neurons that subtract something else than their threshold have no standard node")
    endless = full(op.beta) == 1
    if endless.all() and not op.filters:
        node = nir.IF(full(op.gain) * full(op.gain_u) / dt_s, threshold, v_reset)
        node.metadata = _meant(op) | {"gain": full(op.gain) * full(op.gain_u)}
        if np.any(op.leak):
            raise _refused(op, "an integrator with a constant drive has no standard node")
        return node
    if endless.any():
        raise _refused(op, "neurons that do not leak beside others that do, or behind a filter, have no standard node")
    rate = 1 - full(op.beta)
    tau, r, leak = dt_s / rate, full(op.gain) / rate, full(op.leak) / rate
    exact = {"beta": full(op.beta), "gain": full(op.gain), "leak": full(op.leak)}
    if op.filters:
        rate_u = 1 - full(op.alpha)
        if (rate_u <= 0).any():
            raise _refused(op, "a current that does not decay has no standard node")
        w_in = full(op.gain_u) / rate_u
        node = nir.CubaLIF(dt_s / rate_u, tau, r, leak, threshold, v_reset, w_in)
        node.metadata = _meant(op) | exact | {"alpha": full(op.alpha), "gain_u": full(op.gain_u)}
        return node
    gain = full(op.gain) * full(op.gain_u)
    node = nir.LIF(tau, gain / rate, leak, threshold, v_reset)
    node.metadata = _meant(op) | exact | {"gain": gain}
    return node


def _meant(op: Lif) -> dict[str, Any]:
    """Return what NIR has no field for."""
    found: dict[str, Any] = {"comparison": op.comparison, "reset": op.reset}
    if op.v_subtract is not None:
        found["reset"] = "subtract-late"
    if op.refractory != 1 or op.max_spikes != 1:
        found |= {"refractory": op.refractory, "max_spikes": op.max_spikes or 0}
    if op.v_min is not None:
        found["v_min"] = op.v_min
    if np.any(op.v_start):
        found["v_start"] = op.v_start
    return found


def _integrator(op: Accumulator, dt_s: float) -> nir.NIRNode:
    def full(value: float | Array) -> Array:
        return np.broadcast_to(grid(np.asarray(value), op.shape), op.shape).astype(np.float64)

    ones, beta, alpha, leak = np.ones(op.shape), full(op.decay), full(op.alpha), full(op.leak)
    exact = {"beta": beta, "gain": ones}
    if (beta == 1).all() and not alpha.any() and not leak.any():
        return _with(nir.I(ones / dt_s), exact)
    if (beta == 1).any() or (alpha == 1).any():
        raise _refused(
            op, "integrators that do not leak beside others that do, or behind a filter, have no standard node"
        )
    tau, r, v_leak = dt_s / (1 - beta), 1 / (1 - beta), leak / (1 - beta)
    if not alpha.any():
        return _with(nir.LI(tau, r, v_leak), exact | {"leak": leak})
    rate_u = 1 - alpha
    node = nir.CubaLI(dt_s / rate_u, tau, r, v_leak, 1 / rate_u)
    return _with(node, exact | {"alpha": alpha, "gain_u": ones, "leak": leak})


def _with(node: nir.NIRNode, metadata: dict[str, Any]) -> nir.NIRNode:
    node.metadata = metadata
    return node
