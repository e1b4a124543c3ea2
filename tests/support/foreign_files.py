"""NIR files as other writers make them, in plain h5py, and what NIR's equations say of them in plain numpy.

Each case: a tree of fields, its input (T, B, *shape), what is right at the output, and how the user says to read it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from nir_reference import pool
from numpy.typing import NDArray

from spikewright.toolchain.options import Reading

Array = NDArray[np.float64]
Tree = dict[str, Any]
T, B, DT = 10, 3, 1e-3
TEXT = h5py.string_dtype()


@dataclass(frozen=True)
class Case:
    """A file, its input and its output; ``dt_s`` and ``reading`` are what the user says."""

    tree: Tree
    x: Array
    wanted: Array
    dt_s: float | None = None
    reading: Reading | None = None


def write(path: Path, tree: Tree) -> None:
    """Write a tree as nir 1.0.8 lays its files out."""
    with h5py.File(path, "w") as file:
        file.create_dataset("version", data="1.0.8", dtype=TEXT)
        _put(file.create_group("node"), tree)


def _put(group: h5py.Group, tree: Tree) -> None:
    for key, value in tree.items():
        if isinstance(value, dict):
            _put(group.create_group(key), value)
        elif isinstance(value, str) or key == "edges":
            group.create_dataset(key, data=np.array(value, dtype=object) if key == "edges" else value, dtype=TEXT)
        else:
            group.create_dataset(key, data=value)


def graph(nodes: Tree, edges: Sequence[tuple[str, str]] | None = None, **metadata: Any) -> Tree:
    """A graph of nodes, in a row where no edges are given."""
    names = list(nodes)
    pairs = list(itertools.pairwise(names)) if edges is None else edges
    return {"type": "NIRGraph", "nodes": nodes, "edges": [list(e) for e in pairs]} | (
        {"metadata": metadata} if metadata else {}
    )


def node(kind: str, **fields: Any) -> Tree:
    return {"type": kind, **fields}


def ends(first: Sequence[int], last: Sequence[int], **between: Tree) -> Tree:
    """Input, what stands between, output."""
    return {"input": node("Input", shape=np.array(first)), **between, "output": node("Output", shape=np.array(last))}


def lif(**fields: Any) -> Tree:
    return node("LIF", **({"tau": 4e-3, "r": 4.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0} | fields))


def integrate(threshold: Any = 1.0, **fields: Any) -> Tree:
    return node("IF", r=1.0, v_threshold=threshold, v_reset=0.0, **fields)


def linear(weight: Any, bias: Any = None) -> Tree:
    return node("Linear", weight=weight) if bias is None else node("Affine", weight=weight, bias=bias)


def conv(weight: Array, bias: Any = None, **fields: Any) -> Tree:
    kind = "Conv2d" if weight.ndim == 4 else "Conv1d"
    zero = np.zeros(len(weight)) if bias is None else bias
    return node(
        kind, **{"weight": weight, "bias": zero, "stride": 1, "padding": 0, "dilation": 1, "groups": 1, **fields}
    )


def drawn(*shape: int) -> Array:
    return np.random.default_rng((7, *shape)).normal(size=shape)


def events(*shape: int, rate: float = 0.4) -> Array:
    return (np.random.default_rng((3, *shape)).random((T, B, *shape)) < rate).astype(np.float64)


# ------------------------------------------------------------------------------------------- the equations
def fired(
    current: Array, threshold: Any = 1.0, *, decay: Any = 1.0, gain: Any = 1.0, leak: Any = 0.0, reset: Any = 0.0,
    start: Any = 0.0, ties: bool = False, subtract: bool = False, most: int = 1, floor: Any = None, refractory: int = 1,
) -> Array:  # fmt: skip
    """v = decay v + gain i + leak; spikes where v is above ``threshold`` (``ties``: at it, too)."""
    v = np.zeros(current.shape[1:]) + start
    hold, found = np.zeros(v.shape), []
    for i in current:
        v = np.where(hold > 0, v, decay * v + gain * i + leak)
        s = ((v >= threshold) if ties else (v > threshold)).astype(np.float64)
        for k in range(2, most + 1):
            s += (v >= k * np.asarray(threshold)) if ties else (v > k * np.asarray(threshold))
        s = np.where(hold > 0, 0.0, s)
        v = np.where(s > 0, v - s * threshold if subtract else np.broadcast_to(reset, v.shape), v)
        v = v if floor is None else np.maximum(v, floor)
        hold = np.where(s > 0, refractory - 1, np.maximum(hold - 1, 0))
        found.append(s)
    return np.stack(found)


def leaky(current: Array, threshold: Any = 1.0, tau: Any = 4e-3, r: Any = 4.0, v_leak: Any = 0.0, **how: Any) -> Array:
    """NIR's LIF by forward Euler."""
    rate = DT / np.asarray(tau)
    return fired(current, threshold, decay=1 - rate, gain=rate * r, leak=rate * v_leak, **how)


def late(x: Array, steps: Any) -> Array:
    """Each value so many steps later."""
    y, each = np.zeros_like(x), np.broadcast_to(steps, x.shape[2:]).astype(int)
    for place in np.ndindex(*x.shape[2:]):
        d = min(each[place], len(x))
        y[(slice(d, None), slice(None), *place)] = x[(slice(0, len(x) - d), slice(None), *place)]
    return y


def convolved(
    x: Array, w: Array, bias: Any = 0.0, *, stride: tuple[int, int] = (1, 1), dilation: tuple[int, int] = (1, 1),
    pad: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)), groups: int = 1,
) -> Array:  # fmt: skip
    """Cross-correlate (T, B, C, H, W), tap by tap and group by group."""
    x = np.pad(x, ((0, 0), (0, 0), (0, 0), *pad))
    outs, inner, *kernel = w.shape
    size = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[3:], kernel, stride, dilation, strict=True)]
    y = np.zeros((*x.shape[:2], outs, *size)) + np.reshape(bias, (-1, 1, 1))
    for o, c, i, j in np.ndindex(*w.shape):
        channel, top, left = o // (outs // groups) * inner + c, i * dilation[0], j * dilation[1]
        rows = slice(top, top + (size[0] - 1) * stride[0] + 1, stride[0])
        columns = slice(left, left + (size[1] - 1) * stride[1] + 1, stride[1])
        y[:, :, o] += w[o, c, i, j] * x[:, :, channel, rows, columns]
    return y


def pooled(x: Array, average: bool, **how: Any) -> Array:
    return np.stack([pool(frame, average, **how) for frame in x])


# --------------------------------------------------------------------------------- shapes of parameters
def numbers_alone() -> Case:
    x = events(2, 4, 4)
    return Case(
        graph(ends((2, 4, 4), (2, 4, 4), n=lif(r=3, v_leak=0, v_threshold=1, v_reset=-0.25)), dt=DT),
        x,
        leaky(x, r=3, reset=-0.25),
    )


def small_types() -> Case:
    x = events(5)
    n = lif(
        tau=np.full(5, 4e-3, np.float32), r=np.full(5, 3, np.int8), v_leak=np.zeros(5, bool),
        v_threshold=np.full(5, 1, np.uint8), v_reset=np.full(5, -0.25, np.float16),
    )  # fmt: skip
    tau = np.float64(np.float32(4e-3))
    return Case(graph(ends((5,), (5,), n=n), dt=DT), x, leaky(x, tau=tau, r=3, reset=-0.25))


def channels_beside_neurons_of_a_square_map() -> Case:
    x, tau, r, th = events(3, 4, 3), np.array([2e-3, 4e-3, 8e-3]), 3 + np.abs(drawn(3, 4, 3)), np.array([0.5, 1, 1.5])
    n = lif(
        tau=tau, r=r, v_leak=np.full((1, 3, 1, 1), 0.1), v_threshold=th.reshape(3, 1, 1), v_reset=np.zeros((1, 3, 4, 3))
    )
    up = (3, 1, 1)
    return Case(
        graph(ends((1, 3, 4, 3), (1, 3, 4, 3), n=n), dt=DT), x, leaky(x, th.reshape(up), tau.reshape(up), r, v_leak=0.1)
    )


def neurons_in_a_row_for_a_map() -> Case:
    x, th = events(2, 3, 5), 1 + np.abs(drawn(30))
    return Case(
        graph(ends((2, 3, 5), (2, 3, 5), n=integrate(th, metadata={})), dt=DT), x, fired(x, th.reshape(2, 3, 5))
    )


def axes_of_batch_and_time() -> Case:
    x, w = events(4), drawn(3, 4)
    n = lif(tau=np.full((1, 1, 3), 4e-3), v_threshold=np.ones((1, 3)))
    made = graph(ends((1, T, 4), (1, T, 3), w=linear(w[None]), n=n), dt=DT, timesteps=T)
    return Case(made, x, leaky(x @ w.T))


def an_integrator_and_a_leaky_channel() -> Case:
    x, decay = events(2, 3, 2), np.array([1, 0.75]).reshape(2, 1, 1)
    n = lif(tau=np.array([np.inf, 4e-3]), r=np.array([np.inf, 4.0]), v_threshold=1.5)
    return Case(graph(ends((2, 3, 2), (2, 3, 2), n=n), dt=DT), x, fired(x, 1.5, decay=decay))


def thresholds_below_zero() -> Case:
    x, w, th, reset = events(4), drawn(4, 4), np.array([-0.2, 0.05, 0.3, 1]), np.array([-1, 0, 0, 0.5])
    n = lif(v_leak=0.5, v_threshold=th, v_reset=reset)
    return Case(graph(ends((4,), (4,), w=linear(w), n=n), dt=DT), x, leaky(x @ w.T, th, v_leak=0.5, reset=reset))


def thresholds_of_channels_alone() -> Case:
    x, w, th = events(3, 2, 3), drawn(3, 3, 1, 1), np.array([0.1, 0.5, -0.2])
    nodes = ends((3, 2, 3), (3, 2, 3), c=conv(w), t=node("Threshold", threshold=th))
    return Case(graph(nodes, dt=DT), x, (convolved(x, w) > th.reshape(3, 1, 1)).astype(float))


# ------------------------------------------------------------------------------------------------- maps
def groups_and_unlike_axes() -> Case:
    x, w, b = events(4, 7, 6), drawn(6, 2, 3, 2), drawn(6)
    c = conv(
        w, b.reshape(1, 6, 1, 1), stride=np.array([2, 1]), padding=np.array([1, 0]), dilation=np.array([1, 2]), groups=2,
        input_shape=np.array([7, 6]),
    )  # fmt: skip
    y = convolved(x, w, b, stride=(2, 1), pad=((1, 1), (0, 0)), dilation=(1, 2), groups=2)
    return Case(graph(ends((4, 7, 6), y.shape[2:], c=c, n=integrate(2.0)), dt=DT), x, fired(y, 2.0))


def same_padding_of_even_kernels() -> Case:
    x, w = events(2, 5, 6), drawn(3, 2, 2, 4)
    y = convolved(x, w, pad=((0, 1), (1, 2)))
    return Case(
        graph(ends((2, 5, 6), y.shape[2:], c=conv(w, padding="same"), n=integrate(2.0)), dt=DT), x, fired(y, 2.0)
    )


def a_line_as_long_as_its_channels() -> Case:
    x, w, th, steps = events(3, 3), drawn(3, 3, 3), np.array([0.5, 1, 2]), np.array([[0], [1], [3]])
    y = convolved(x[..., None], w[..., None], pad=((1, 1), (0, 0)))[..., 0]
    c, d = conv(w, np.zeros((3, 1)), padding=1, input_shape=3), node("Delay", delay=steps.ravel() * DT)
    made = graph(ends((3, 3), (3, 3), c=c, n=lif(v_threshold=th), d=d), dt=DT)
    return Case(made, x, late(leaky(y, th.reshape(3, 1)), steps))


def maps_in_a_row_with_biases() -> Case:
    x, ws, bs = events(2, 6, 6), (drawn(3, 2, 3, 3), drawn(2, 3, 1, 1), drawn(4, 32)), (drawn(3), drawn(2), drawn(4))
    y = convolved(convolved(x, ws[0], bs[0]), ws[1], bs[1]).reshape(T, B, -1) @ ws[2].T + bs[2]
    parts = {"a": conv(ws[0], bs[0]), "b": conv(ws[1], bs[1]), "f": node("Flatten", start_dim=0, end_dim=-1)}
    made = graph(ends((2, 6, 6), (4,), **parts, l=linear(ws[2], bs[2]), n=lif(v_threshold=4.0)), dt=DT)
    return Case(made, x, leaky(y, 4.0))


def neurons_and_delays_behind_a_flatten() -> Case:
    x, w, steps, th = events(2, 3, 3), drawn(4, 18), np.arange(18) % 3, 0.5 + np.arange(18) / 9
    y = late(leaky(x, th.reshape(2, 3, 3), v_leak=0.3), steps.reshape(2, 3, 3))
    parts = {
        "f": node("Flatten", start_dim=1, end_dim=-1, input_type=np.array([1, 2, 3, 3])), "m": lif(v_threshold=th, v_leak=0.3),
        "d": node("Delay", delay=steps * DT), "l": linear(w), "n": integrate(),
    }  # fmt: skip
    return Case(graph(ends((1, 2, 3, 3), (1, 4), **parts), dt=DT), x, fired(y.reshape(T, B, -1) @ w.T))


def scales_pools_and_delays() -> Case:
    x, w, b, s = events(2, 5, 5), drawn(2, 2, 3, 3), np.array([0.3, -0.1]), np.array([0.5, 2])
    y = late(convolved(x, w, b, pad=((1, 1), (1, 1))) * s.reshape(2, 1, 1), 2)
    places = np.array([[1, 2], [3, 4.0]])
    y = pooled(y, average=False) * places
    parts = {
        "c": conv(w, b, padding=1), "s": node("Scale", scale=s), "d": node("Delay", delay=2 * DT),
        "p": node("SumPool2d", kernel_size=2, stride=2, padding=0), "q": node("Scale", scale=places[None]),
    }  # fmt: skip
    return Case(graph(ends((2, 5, 5), (2, 2, 2), **parts, n=integrate(3.0)), dt=DT), x, fired(y, 3.0))


def windows_that_overlap_and_pad() -> Case:
    x, how = events(2, 7, 5), {"kernel": (3, 2), "stride": (2, 3), "padding": (1, 0)}
    y = pooled(x, average=True, **how)
    p = node("AvgPool2d", kernel_size=np.array([3, 2]), stride=np.array([2, 3]), padding=np.array([1, 0]))
    return Case(graph(ends((2, 7, 5), y.shape[2:], p=p, n=lif(v_threshold=0.5)), dt=DT), x, leaky(y, 0.5))


def whole_numbers_for_weights() -> Case:
    x, rng = events(5), np.random.default_rng(4)
    w, b = rng.integers(-9, 10, (4, 5)).astype(np.int16), np.array([1, -2, 3, 0], np.int8)
    n = node("IF", r=1, v_threshold=7, v_reset=0)
    return Case(graph(ends((5,), (4,), w=linear(w, b), n=n), dt=DT), x, fired(x @ w.T.astype(float) + b, 7))


def whole_numbers_without_a_sign() -> Case:
    x, w = events(5), np.random.default_rng(4).integers(0, 200, (4, 5)).astype(np.uint8)
    n = lif(r=4, v_leak=-50, v_threshold=300, v_reset=0)
    return Case(graph(ends((5,), (4,), w=linear(w), n=n), dt=DT), x, leaky(x @ w.T.astype(float), 300, v_leak=-50))


# ------------------------------------------------------------------------------------- graphs and time
def a_graph_inside_that_feeds_back() -> Case:
    x, w, back = events(4), drawn(3, 4), drawn(3, 3)
    v = s = np.zeros((B, 3))
    found = []
    for i in x @ w.T:
        v = v + DT / 4e-3 * (-v + 4 * (i + s @ back.T))
        s = (v > 0.7).astype(float)
        v = np.where(s > 0, 0.0, v)
        found.append(s)
    inside = graph(
        ends((3,), (3,), lif=lif(v_threshold=0.7), w_rec=linear(back)),
        [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
    )
    return Case(graph(ends((4,), (3,), **{"0": linear(w), "rnn.1": inside}), dt=DT), x, np.stack(found))


def graphs_inside_with_one_name() -> Case:
    x, w, v = events(4), drawn(3, 4), drawn(2, 3)
    inner = graph(ends((1, 3), (1, 3), n=lif(v_threshold=0.5)))
    parts = {"w": linear(w), "n": graph(ends((3,), (3,), n=inner)), "größe λ": linear(v), "m x": lif(v_threshold=0.5)}
    return Case(graph(ends((4,), (2,), **parts), dt=DT), x, leaky(leaky(x @ w.T, 0.5) @ v.T, 0.5))


def feedback_through_a_convolution_and_a_delay() -> Case:
    x, w, back = events(2, 4, 4), drawn(2, 2, 3, 3), drawn(2, 2, 3, 3)
    pad = ((1, 1), (1, 1))
    drive, found = convolved(x, w, pad=pad), []
    v = np.zeros((B, 2, 4, 4))
    for t in range(T):
        came = found[t - 3] if t >= 3 else np.zeros_like(v)
        v = v + drive[t] + convolved(came[None], back, 0.2, pad=pad)[0]
        s = (v > 1.5).astype(float)
        v = np.where(s > 0, 0.0, v)
        found.append(s)
    nodes = ends(
        (2, 4, 4), (2, 4, 4), c=conv(w, padding=1), n=integrate(1.5), d=node("Delay", delay=3 * DT),
        r=conv(back, np.full(2, 0.2), padding=1),
    )  # fmt: skip
    edges = [("input", "c"), ("c", "n"), ("n", "d"), ("d", "r"), ("r", "n"), ("n", "output")]
    return Case(graph(nodes, edges, dt=DT), x, np.stack(found))


def a_graph_inside_the_loop() -> Case:
    x, w, k, pad = events(2, 4, 4), drawn(2, 2, 3, 3), np.array([0.5, -1]), ((1, 1), (1, 1))
    v = s = np.zeros((B, 2, 4, 4))
    found = []
    for i in x:
        v = v + i + convolved((s * k.reshape(2, 1, 1))[None], w, 0.1, pad=pad)[0]
        s = (v > 1).astype(float)
        v = np.where(s > 0, 0.0, v)
        found.append(s)
    back = graph(ends((2, 4, 4), (2, 4, 4), s=node("Scale", scale=k), c=conv(w, np.full(2, 0.1), padding=1)))
    edges = [("input", "n"), ("n", "rec"), ("rec", "n"), ("n", "output")]
    cell = graph(ends((2, 4, 4), (2, 4, 4), n=integrate(), rec=back), edges)
    return Case(graph(ends((2, 4, 4), (2, 4, 4), cell=cell), dt=DT), x, np.stack(found))


def an_integrator_whose_threshold_feeds_back() -> Case:
    x = events(4)
    v = s = np.zeros((B, 4))
    found = []
    for i in x:
        v = v + i - 0.5 * s
        s = (v > 1.2).astype(float)
        found.append(s)
    nodes = ends((4,), (4,), i=node("I", r=1.0), t=node("Threshold", threshold=1.2), w=linear(-0.5 * np.eye(4)))
    edges = [("input", "i"), ("i", "t"), ("t", "w"), ("w", "i"), ("t", "output")]
    return Case(graph(nodes, edges, dt=DT), x, np.stack(found))


def an_input_that_skips_late() -> Case:
    x, w, steps = events(4), drawn(4, 4), np.array([0, 1, 1, 4])
    nodes = ends((4,), (4,), a=lif(v_threshold=0.6), w=linear(w), d=node("Delay", delay=steps * DT), n=integrate())
    edges = [("input", "a"), ("a", "w"), ("w", "n"), ("input", "d"), ("d", "n"), ("n", "output")]
    return Case(graph(nodes, edges, dt=DT), x, fired(leaky(x, 0.6) @ w.T + late(x, steps)))


def biases_of_channels_that_are_late() -> Case:
    x, w, b, steps = events(2, 4, 3), drawn(3, 2, 1, 1), np.array([0.4, -0.2, 0.6]), np.array([0, 2, 3])
    n = lif(v_leak=0.2, v_threshold=0.8, v_reset=-0.1)
    made = graph(ends((2, 4, 3), (3, 4, 3), c=conv(w, b), d=node("Delay", delay=steps * DT), n=n), dt=DT)
    return Case(made, x, leaky(late(convolved(x, w, b), steps.reshape(3, 1, 1)), 0.8, v_leak=0.2, reset=-0.1))


def delays_longer_than_the_net_runs() -> Case:
    x, steps = events(4), np.array([0, T - 1, T, 500])
    made = graph(ends((4,), (4,), d=node("Delay", delay=steps * DT), n=integrate(0.5)), dt=DT)
    return Case(made, x, fired(late(x, steps), 0.5))


def milliseconds() -> Case:
    x = events(4)
    return Case(graph(ends((4,), (4,), n=lif(tau=20.0, r=9.0))), x, fired(x, decay=0.95, gain=0.45), dt_s=1.0)


# ------------------------------------------------------------------------------------- kinds of neurons
def filtered_and_read_out() -> Case:
    x, w = events(4), drawn(3, 4)
    fast, slow, w_in = np.array([2e-3, 3e-3, 5e-3]), 6e-3, np.array([1, -2, 0.5])
    u = v = np.zeros((B, 3))
    found = []
    for i in x @ w.T:
        u = u + DT / fast * (-u + w_in * i)
        v = v + DT / slow * (0.3 - v + 2 * u)
        found.append(v)
    n = node("CubaLI", tau_syn=fast, tau_mem=slow, r=2.0, v_leak=0.3, w_in=w_in)
    return Case(graph(ends((4,), (3,), w=linear(w), n=n), dt=DT), x, np.stack(found))


def filtered_with_gains_of_both_signs() -> Case:
    x, w = events(4), drawn(3, 4)
    slow, r, w_in = np.array([3e-3, 6e-3, 1e-3]), np.array([-2.0, 2, 1]), np.array([1.0, -1.5, 2])
    u = v = np.zeros((B, 3))
    found = []
    for i in x @ w.T:
        u = u + DT / 2e-3 * (-u + w_in * i)
        v = v + DT / slow * (0.1 - v + r * u)
        s = v > 0.4
        v = np.where(s, -0.2, v)
        found.append(s.astype(float))
    n = node("CubaLIF", tau_syn=2e-3, tau_mem=slow, r=r, v_leak=0.1, v_threshold=0.4, v_reset=-0.2, w_in=w_in)
    return Case(graph(ends((4,), (3,), w=linear(w), n=n), dt=DT), x, np.stack(found))


def leaked(current: Array, tau: Any = 4e-3, r: float = 4.0, v_leak: float = 0.0) -> Array:
    """v of NIR's LI by forward Euler."""
    v, found = np.zeros(current.shape[1:]), []
    for i in current:
        v = v + DT / np.asarray(tau) * (v_leak - v + r * i)
        found.append(v)
    return np.stack(found)


def integrators_in_the_middle() -> Case:
    x, w, v, b, tau = events(2, 4, 4), drawn(2, 2, 3, 3), drawn(3, 8), np.array([0.1, -0.2]), np.array([2e-3, 5e-3])
    s = leaky(convolved(leaked(x, v_leak=0.2), w, b), 0.4)
    per_channel = tau.reshape(2, 1, 1)
    current = leaky(leaked(s, per_channel) * np.array([1, 2]).reshape(2, 1, 1), 0.6)
    parts = {
        "l": node("LI", tau=4e-3, r=4.0, v_leak=0.2), "c": conv(w, b), "n": lif(v_threshold=0.4),
        "k": node("LI", tau=tau, r=4.0, v_leak=0.0), "s": node("Scale", scale=np.array([1.0, 2])), "m": lif(v_threshold=0.6),
        "f": node("Flatten", start_dim=0, end_dim=-1), "o": linear(v), "q": integrate(),
    }  # fmt: skip
    made = graph(ends((2, 4, 4), (3,), **parts), dt=DT)
    return Case(made, x, fired(current.reshape(T, B, -1) @ v.T))


def maps_behind_a_read_out() -> Case:
    x, places, steps = events(2, 4, 4), drawn(8), np.arange(8) % 3
    v = pooled(leaked(leaked(leaky(x, 0.5), np.array([2e-3, 5e-3]).reshape(2, 1, 1))), average=True)
    parts = {
        "n": lif(v_threshold=0.5), "l": node("LI", tau=np.array([2e-3, 5e-3]), r=4.0, v_leak=0.0),
        "k": node("LI", tau=4e-3, r=4.0, v_leak=0.0), "p": node("AvgPool2d", kernel_size=2, stride=2, padding=0),
        "f": node("Flatten", start_dim=0, end_dim=-1), "d": node("Delay", delay=steps * DT), "s": node("Scale", scale=places),
    }  # fmt: skip
    return Case(graph(ends((2, 4, 4), (8,), **parts), dt=DT), x, late(v.reshape(T, B, -1), steps) * places)


def two_thresholds_of_one_integrator() -> Case:
    x = events(4)
    parts = {f"t{k}": node("Threshold", threshold=k + 0.2) for k in (1, 2)}
    nodes = ends((4,), (4,), i=node("I", r=1.0), **parts, s=node("Scale", scale=0.6), n=lif(v_threshold=0.5))
    edges = [("input", "i"), ("i", "t1"), ("i", "t2"), ("t1", "n"), ("t2", "s"), ("s", "n"), ("n", "output")]
    v = np.cumsum(x, axis=0)
    return Case(graph(nodes, edges, dt=DT), x, leaky((v > 1.2) + 0.6 * (v > 2.2), 0.5))


def silent_steps_behind_a_spike() -> Case:
    x = events(4, rate=0.8)
    n = integrate(0.5, metadata={"refractory": 3})
    return Case(graph(ends((4,), (4,), n=n), dt=DT), x, fired(x, 0.5, refractory=3))


def several_spikes_and_a_floor_each() -> Case:
    x, w, floor = events(5, rate=0.6), 0.4 + 1.2 * drawn(4, 5), np.array([-1, -0.5, 0, -2])
    said = {"max_spikes": 3, "reset": "subtract", "comparison": ">=", "v_min": floor}
    made = graph(ends((5,), (4,), w=linear(w), n=integrate(0.7, metadata=said)), dt=DT)
    return Case(made, x, fired(x @ w.T, 0.7, most=3, subtract=True, ties=True, floor=floor))


# --------------------------------------------------------------------------------------------- dialects
def as_sinabs_writes_it() -> Case:
    x, a = 3 * events(4), np.exp(-1 / 5)
    made = graph(ends((1, 4), (1, 4), n=lif(tau=5.0, r=1.0)))
    return Case(
        made, x, fired(x, decay=a, gain=1 - a, most=9, subtract=True, ties=True), reading=Reading(dialect="sinabs")
    )


def as_snntorch_writes_it() -> Case:
    x, beta = 2 * events(3, 2, 3), np.array([0.5, 0.8, 0.95]).reshape(3, 1, 1)
    v = s = np.zeros((B, 3, 2, 3))
    found = []
    for i in x:
        v = beta * v + i - 1.2 * s
        s = (v > 1.2).astype(float)
        found.append(s)
    tau = 1e-4 / (1 - beta)
    n = lif(tau=tau.ravel(), r=tau / 1e-4, v_leak=np.zeros((3, 2, 3)), v_threshold=1.2)
    return Case(graph(ends((3, 2, 3), (3, 2, 3), n=n)), x, np.stack(found), reading=Reading(dialect="snntorch"))


def as_spikingjelly_writes_it() -> Case:
    x = np.random.default_rng(2).integers(0, 9, (T, B, 4)) / 4
    n = lif(tau=2e-4, r=1.0, v_leak=0.25, v_reset=0.25)
    right = fired(x, decay=0.5, gain=0.5, leak=0.125, reset=0.25, start=0.25, ties=True)
    return Case(graph(ends((4,), (4,), n=n), exporter="spikingjelly 2.0"), x, right)


def as_norse_nests_it() -> Case:
    x = 3 * events(4)
    cell = graph(ends((4,), (4,), lif=lif(tau=np.full(4, 1e-5), r=1.0, v_leak=0.1, v_threshold=0.9)))
    right = fired(x, 0.9, decay=0.9, gain=0.1, leak=0.01, start=0.1)
    return Case(graph(ends((4,), (4,), cell=cell)), x, right, reading=Reading(dialect="norse"))


def as_slayer_holds_it() -> Case:
    x = events(4)
    u = v = hold = np.zeros((B, 4))
    found = []
    for i in x:
        u = 0.5 * u + 0.7 * i
        v = np.where(hold > 0, v, 0.75 * v + u)
        s = (v >= 1) & (hold == 0)
        v, hold = np.where(s, 0.0, v), np.where(s, 1.0, np.maximum(hold - 1, 0))
        found.append(s.astype(float))
    n = node("CubaLIF", tau_syn=2e-3, tau_mem=4e-3, r=4.0, v_leak=0.0, v_threshold=1.0, v_reset=0.0, w_in=2.0)
    made = graph(ends((4,), (4,), w=linear(0.7 * np.eye(4)), n=n), dt=DT)
    return Case(made, x, np.stack(found), reading=Reading(dialect="lava-dl", refractory=2))


CASES: tuple[Callable[[], Case], ...] = (
    numbers_alone, small_types, channels_beside_neurons_of_a_square_map, neurons_in_a_row_for_a_map, axes_of_batch_and_time,
    an_integrator_and_a_leaky_channel, thresholds_below_zero, thresholds_of_channels_alone, groups_and_unlike_axes,
    same_padding_of_even_kernels, a_line_as_long_as_its_channels, maps_in_a_row_with_biases,
    neurons_and_delays_behind_a_flatten, scales_pools_and_delays, windows_that_overlap_and_pad, whole_numbers_for_weights,
    whole_numbers_without_a_sign, a_graph_inside_that_feeds_back, graphs_inside_with_one_name,
    feedback_through_a_convolution_and_a_delay, a_graph_inside_the_loop, an_integrator_whose_threshold_feeds_back,
    integrators_in_the_middle, maps_behind_a_read_out, two_thresholds_of_one_integrator,
    an_input_that_skips_late, biases_of_channels_that_are_late,
    delays_longer_than_the_net_runs, milliseconds, filtered_and_read_out, filtered_with_gains_of_both_signs,
    silent_steps_behind_a_spike, several_spikes_and_a_floor_each, as_sinabs_writes_it, as_snntorch_writes_it,
    as_spikingjelly_writes_it, as_norse_nests_it, as_slayer_holds_it,
)  # fmt: skip
