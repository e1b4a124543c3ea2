"""Multiply-accumulates of float ops: what a host computes in front of the first spike, and what a dense network would.

    conv: C_out (C_in / groups) kh kw H' W'      affine: O I      gate, scale, product: one multiply an element

Poolings and joins only add and count 0; so does a neuron (its updates are counted apart).
"""

from __future__ import annotations

from math import prod

from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, AttentiveLif, Conv, GatedCoding, JointGate, Multiply, Op, Scale, StaaLif
from spikewright.toolchain.shapes import Shape, shapes


def macs_per_frame(graph: Graph) -> int:
    """Return the MACs of one timestep of a float graph."""
    known = shapes(graph)
    return sum(_frame(op, known[op.name]) for op in graph)


def macs_per_sample(graph: Graph, *, still: bool) -> int:
    """Return the MACs of one sample.

    Args:
        graph: A float graph.
        still: Every timestep sees the same frame, so what depends on one frame only is computed once.
    """
    frames, T = 1 if still else graph.timesteps, graph.timesteps
    known = shapes(graph)
    every_step = sum(2 * prod(known[op.name]) for op in graph if isinstance(op, GatedCoding))  # A_t F, and times S_t
    return frames * (macs_per_frame(graph) - every_step) + T * every_step + sum(_sequence(op) for op in graph)


def linear_macs_per_frame(graph: Graph) -> int:
    """Return the MACs of one frame's convolutions and affine maps only: the artificial network of the same shape."""
    known = shapes(graph)
    return sum(_frame(op, known[op.name]) for op in graph if isinstance(op, Conv | Affine))


def _frame(op: Op, shape: Shape) -> int:
    match op:
        case Affine(weight=weight):
            return int(weight.size)
        case Conv(weight=weight):
            return int(weight.size) * prod(shape[1:])
        case Scale() | Multiply():
            return prod(shape)
        case GatedCoding(parameters=p):
            return int(p["conv0"].size + p["conv1"].size) * prod(shape[1:]) + 2 * prod(shape)
        case AttentiveLif(dims=dims, parameters=p):
            spatial = int(p["sa_kernel"].size) * prod(shape[1:]) if "S" in dims else 0
            channel = 2 * int(p["ca_w0"].size + p["ca_w1"].size) if "C" in dims else 0
            return spatial + channel + len(dims) * prod(shape)
        case JointGate(parameters=p):
            kernel = p["cla"].shape[0] * p["cla"].shape[2] * shape[0] if "cla" in p else 0
            return int(kernel + (p["tla"].size if "tla" in p else 0)) + prod(shape)
        case StaaLif(parameters=p):
            names = ("ca_w0", "ca_w1", "gc_query", "gc_value")
            softmax = 2 * prod(shape) if "gc_key" in p else 0
            return softmax + sum(int(p[name].size) for name in names if name in p) + 2 * prod(shape)
        case _:
            return 0


def _sequence(op: Op) -> int:
    """Return the MACs an op does once per sample, over all T (a temporal squeeze: average and maximum branch)."""
    match op:
        case GatedCoding(parameters=p):
            return 2 * int(p["ta_w0"].size + p["ta_w1"].size)
        case StaaLif(parameters=p) if "sa_w0" in p:
            return int(p["sa_w0"].size + p["sa_w1"].size)
        case AttentiveLif(parameters=p) if "ta_w0" in p:
            return 2 * int(p["ta_w0"].size + p["ta_w1"].size)
        case _:
            return 0
