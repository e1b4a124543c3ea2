"""Random NIR nets in all shapes of parameters, nested, against NIR's equations in plain numpy, sharing no code of ours.

make nir N=300     nets, spikes, and values that differ
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.interpret import run_float

Array = NDArray[np.float64]
DT = 1e-3
STEPS, BATCH = 12, 3


@dataclass
class Net:
    """A chain of nodes; ``full`` holds each parameter spread over its signal by hand."""

    rng: np.random.Generator
    shape: tuple[int, ...]
    nodes: list[nir.NIRNode] = field(default_factory=list)
    full: list[dict[str, Array]] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shapes.append(self.shape)

    def parameter(self, low: float, high: float) -> tuple[Array, Array]:
        """A parameter as a file may hold it, and for every value of the signal."""
        shape = self.shape
        whole = np.empty(shape)
        form = self.rng.integers(0, 5)
        if form == 0:
            value = np.array(self.rng.uniform(low, high))
            whole[...] = value
            return (value if self.rng.random() < 0.5 else value.reshape(1)), whole
        if form in (1, 2, 3) and len(shape) > 1:
            channel = self.rng.uniform(low, high, shape[0])
            for c in range(shape[0]):
                whole[c] = channel[c]
            held = {1: channel, 2: channel.reshape(-1, *(1,) * (len(shape) - 1)), 3: whole.copy()}[int(form)]
            return (held[None] if self.rng.random() < 0.2 else held), whole
        whole = self.rng.uniform(low, high, shape)
        return whole.copy(), whole

    def add(self, kind: type[nir.NIRNode], ranges: dict[str, tuple[float, float]]) -> None:
        """Add a node with parameters of any form, past the constructor's own demand for one shape."""
        held, full = {}, {}
        for name, (low, high) in ranges.items():
            held[name], full[name] = self.parameter(low, high)
        node = kind(**dict.fromkeys(ranges, np.zeros(1)))
        for name, value in held.items():
            setattr(node, name, value)
        self.push(node, full, self.shape)

    def push(self, node: nir.NIRNode, full: dict[str, Any], shape: tuple[int, ...]) -> None:
        self.nodes.append(node)
        self.full.append(full)
        self.shape = shape
        self.shapes.append(shape)

    def graph(self) -> nir.NIRGraph:
        """Return the chain; now and then a part of it, and a part of that, is a graph of its own."""
        meta = {"dt": DT, "timesteps": STEPS}
        return self.part(0, len(self.nodes), depth=0, **meta)

    def part(self, first: int, last: int, depth: int, **meta: Any) -> nir.NIRGraph:
        """Return nodes ``first`` to ``last`` as a graph; nested ones may say axes of a batch of one in front."""
        members: list[tuple[str, nir.NIRNode]] = []
        k = first
        while k < last:
            length = int(self.rng.integers(1, last - k + 1))
            if depth < 3 and self.rng.random() < 0.25 and (k, k + length) != (first, last):
                members.append((f"g{k}", self.part(k, k + length, depth + 1)))
            else:
                length = 1
                members.append((f"n{k}", self.nodes[k]))
            k += length
        lead = (1,) if depth and self.rng.random() < 0.3 else ()
        ends = [np.array([*lead, *self.shapes[at]]) for at in (first, last)]
        nodes = {"input": nir.Input(ends[0]), **dict(members), "output": nir.Output(ends[1])}
        return nir.NIRGraph(nodes, list(pairwise(nodes)), metadata=meta, type_check=False)


NEURONS: dict[type[nir.NIRNode], dict[str, tuple[float, float]]] = {
    nir.LIF: {"tau": (1e-3, 9e-3), "r": (-2, 6), "v_leak": (-1, 1), "v_threshold": (-0.2, 2), "v_reset": (-1, 0.5)},
    nir.CubaLIF: {
        **{"tau_syn": (1e-3, 5e-3), "tau_mem": (1e-3, 9e-3), "r": (0, 6), "v_leak": (-1, 1)},
        **{"v_threshold": (0.1, 2), "v_reset": (-1, 0), "w_in": (-1, 4)},
    },
    nir.IF: {"r": (1, 1), "v_threshold": (0.1, 3), "v_reset": (-3, 0)},
}


def weights(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Weights with zeros, and now and then one beyond all others."""
    w = rng.normal(0, 1, shape) * (rng.random(shape) < 0.8)
    if rng.random() < 0.2:
        w.flat[rng.integers(w.size)] = rng.choice([-1e3, 1e3, 1e-6])
    return w


def bias(rng: np.random.Generator, n: int) -> Array:
    return rng.choice([0.0, 1.0, -20.0], 1) * rng.normal(0, 0.5, n)


def grow(net: Net) -> None:
    """Add one layer."""
    rng, c = net.rng, net.shape[0]
    flat = len(net.shape) == 1
    match int(rng.integers(0, 6)):
        case 0 if flat:
            o = int(rng.integers(2, 7))
            w, b = weights(rng, (o, c)), bias(rng, o)
            net.push(nir.Affine(w, b), {"w": w, "b": b}, (o,))
        case 0:
            w, b = weights(rng, (c, c, *(3,) * (len(net.shape) - 1))), bias(rng, c)
            one = nir.Conv1d if len(net.shape) == 2 else nir.Conv2d
            net.push(one(None, w, 1, 1, 1, 1, b), {"w": w, "b": b}, net.shape)
        case 1:
            net.add(nir.Scale, {"scale": (-2, 2)})
        case 2:
            held, whole = net.parameter(0, 4)
            net.push(nir.Delay(np.floor(held) * DT), {"steps": np.floor(whole)}, net.shape)
        case 3 if len(net.shape) == 3 and net.shape[1] > 3 and net.shape[2] > 3:
            kernel, stride = rng.integers(2, 4, 2), rng.integers(1, 4, 2)
            padding = rng.integers(0, 2, 2)
            size = (np.array(net.shape[1:]) + 2 * padding - kernel) // stride + 1
            average = bool(rng.integers(2))
            full = {"average": average, "kernel": kernel, "stride": stride, "padding": padding}
            node = (nir.AvgPool2d if average else nir.SumPool2d)(kernel, stride, padding)
            net.push(node, full, (c, int(size[0]), int(size[1])))
        case 4 if not flat:
            n = int(np.prod(net.shape))
            net.push(nir.Flatten({"input": np.array(net.shape)}, 0, -1), {}, (n,))
        case _:
            kind = list(NEURONS)[int(rng.integers(0, len(NEURONS)))]
            net.add(kind, NEURONS[kind])


def random_net(seed: int) -> Net:
    """A net of four to eight layers with a neuron at the end."""
    rng = np.random.default_rng(seed)
    c = int(rng.integers(2, 5))
    shapes = [(c, int(rng.integers(3, 7)), c), (c, c), (c, 4, 6), (int(rng.integers(2, 7)),)]
    net = Net(rng, shapes[int(rng.integers(0, len(shapes)))])
    for _ in range(int(rng.integers(4, 9))):
        grow(net)
    net.add(nir.LIF, NEURONS[nir.LIF])
    return net


def convolve(x: Array, w: Array, b: Array) -> Array:
    """Cross-correlate (B, C, ...) with kernels of 3, padding 1, tap by tap."""
    size = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), *((1, 1) for _ in size)))
    y = np.zeros((x.shape[0], w.shape[0], *size)) + b.reshape(1, -1, *(1,) * len(size))
    for tap in np.ndindex(*w.shape[2:]):
        part = padded[(slice(None), slice(None), *(slice(t, t + n) for t, n in zip(tap, size, strict=True)))]
        y += np.einsum("bc...,oc->bo...", part, w[(slice(None), slice(None), *tap)])
    return y


def pool(
    x: Array,
    average: bool,
    kernel: Sequence[int] = (2, 2),
    stride: Sequence[int] = (2, 2),
    padding: Sequence[int] = (0, 0),
) -> Array:
    """Sum, or average, every window of (B, C, H, W) inside zeros, one by one; what no window reaches is left out."""
    padded = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    size = [(n - k) // s + 1 for n, k, s in zip(padded.shape[2:], kernel, stride, strict=True)]
    y = np.zeros((*x.shape[:2], *size))
    for i, j in np.ndindex(*size):
        top, left = i * stride[0], j * stride[1]
        y[:, :, i, j] = padded[:, :, top : top + kernel[0], left : left + kernel[1]].sum((2, 3))
    return y / (kernel[0] * kernel[1]) if average else y


class Reference:
    """NIR's equations by forward Euler, node by node and step by step."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.state: list[dict[str, Array]] = [{} for _ in net.nodes]
        self.past: list[list[Array]] = [[] for _ in net.nodes]

    def step(self, x: Array) -> Array:
        for k, node in enumerate(self.net.nodes):
            x = self.node(k, node, x)
        return x

    def node(self, k: int, node: nir.NIRNode, x: Array) -> Array:
        p = self.net.full[k]
        match node:
            case nir.Affine():
                return x @ p["w"].T + p["b"]
            case nir.Conv1d() | nir.Conv2d():
                return convolve(x, p["w"], p["b"])
            case nir.Scale():
                return x * p["scale"]
            case nir.Delay():
                self.past[k].append(x)
                y = np.zeros_like(x)
                for place in np.ndindex(*x.shape[1:]):
                    t = len(self.past[k]) - 1 - int(p["steps"][place])
                    if t >= 0:
                        y[(slice(None), *place)] = self.past[k][t][(slice(None), *place)]
                return y
            case nir.AvgPool2d() | nir.SumPool2d():
                return pool(x, **p)
            case nir.Flatten():
                return x.reshape(x.shape[0], -1)
            case _:
                return self.neuron(node, p, self.state[k], x)

    def neuron(self, node: nir.NIRNode, p: dict[str, Array], state: dict[str, Array], x: Array) -> Array:
        v, u = state.get("v", np.zeros_like(x)), state.get("u", np.zeros_like(x))
        match node:
            case nir.IF():
                v = v + x
            case nir.LIF():
                v = v + DT / p["tau"] * ((p["v_leak"] - v) + p["r"] * x)
            case _:
                u = u + DT / p["tau_syn"] * (-u + p["w_in"] * x)
                v = v + DT / p["tau_mem"] * ((p["v_leak"] - v) + p["r"] * u)
        state["near"] = np.abs(v - p["v_threshold"])
        s = v > p["v_threshold"]
        state["v"], state["u"] = np.where(s, p["v_reset"], v), u
        return s.astype(np.float64)


def compared(seed: int) -> tuple[int, int, int]:
    """Return (values, ones of the reference, values that differ) of a random net's output."""
    net = random_net(seed)
    x = (net.rng.random((STEPS, BATCH, *net.shapes[0])) < 0.5).astype(np.float64)
    reference = Reference(net)
    expected = np.stack([reference.step(frame) for frame in x])
    got = run_float(from_nir(net.graph()), x)["output"]
    return expected.size, int(expected.sum()), int((got != expected).sum())


if __name__ == "__main__":
    count = int(sys.argv[1])
    sizes, ones, wrong = np.array([compared(seed) for seed in range(count)]).T
    nets = f"{count} nets, {int((ones > 0).sum())} of them firing"
    print(
        f"{nets}: {sizes.sum():,} values, {ones.sum():,} spikes; {int((wrong > 0).sum())} nets with {wrong.sum()} unlike"
    )
