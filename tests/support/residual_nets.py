"""Residual streams of membranes, drawn: a stem, blocks on its membranes, a strided shortcut."""

from __future__ import annotations

import numpy as np

from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Add, Array, Conv, Input, Lif, Op, Output


def conv(rng: np.random.Generator, name: str, source: str, out: int, into: int, k: int, *, stride: int = 1) -> Conv:
    """Return a convolution that keeps the map, or halves it."""
    scale = 1.5 / np.sqrt(into * k * k)
    weight, bias = scale * rng.normal(size=(out, into, k, k)), 0.2 * rng.normal(size=out)
    step, pad = (stride, stride), (k // 2, k // 2)
    return Conv(name=name, inputs=(source,), weight=weight, bias=bias, stride=step, padding=pad)


def lif(name: str, source: str, shape: tuple[int, ...]) -> Lif:
    return Lif(name=name, inputs=(source,), shape=shape, beta=np.array(0.5), v_threshold=np.array(0.6))


def stream(seed: int, blocks: int = 2, channels: int = 4) -> tuple[Graph, Array]:
    """Return a stem and residual blocks on its membranes, one of them with a strided shortcut, and spikes (T, B, 2, 6, 6)."""
    rng = np.random.default_rng(seed)
    c, side = channels, 6
    ops: list[Op] = [Input(name="in", shape=(2, side, side)), conv(rng, "stem", "in", c, 2, 3)]
    ops += [lif("stem.lif", "stem", (c, side, side)), conv(rng, "first", "stem.lif", c, c, 3)]
    last = "first"
    for k in range(blocks):
        stride = 2 if k == 1 else 1
        ops += [
            lif(f"{k}.lif", last, (c, side, side)),
            conv(rng, f"{k}.conv", f"{k}.lif", c, c, 3, stride=stride),
        ]
        if stride == 2:
            ops.append(conv(rng, f"{k}.short", last, c, c, 1, stride=2))
            last, side = f"{k}.short", side // 2
        ops.append(Add(name=f"{k}.sum", inputs=(last, f"{k}.conv")))
        last = f"{k}.sum"
    ops += [lif("end", last, (c, side, side)), Output(name="out", inputs=("end",))]
    return Graph(tuple(ops), timesteps=4), (rng.random((4, 3, 2, 6, 6)) < 0.4).astype(np.float64)
