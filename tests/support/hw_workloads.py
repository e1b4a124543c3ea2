"""Two seeded workloads with known SOP counts: 1024-1024-1024 sparse, and 34x34x2 - 16C3 - 32C3 - FC10 with stride."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import ConvSynapses, DenseSynapses, Lif, Population, Program, Projection, Source

ONE = np.ones(1, np.int64)


def lif(threshold: int) -> Lif:
    """v = v * 7/8 + I; spike if v > threshold; reset to 0 (thresholds and currents both shifted left by 6)."""
    return Lif(4096 * ONE, 512 * ONE, 0 * ONE, (threshold << 6) * ONE, 0 * ONE)


def fc(
    density: float = 0.1, n: int = 1024, steps: int = 100, p: float = 0.1, seed: int = 7, even: bool = False
) -> tuple[Program, NDArray[np.int64]]:
    """1024 Bernoulli sources -> 1024 LIF -> 1024 LIF; the second layer reads one step late (lag 1)."""
    r = np.random.default_rng(seed)
    weights = []
    for _ in range(2):
        mask = r.random((n, n)) < density
        w = r.integers(-50, 51, size=(n, n))
        w[w == 0] = 1
        weights.append((w * mask // 2 * 2 if even else w * mask).astype(np.int64))
    x = (r.random((steps, n)) < p).astype(np.int64)
    threshold = round(2.0 * np.sqrt(n * density * p) * 29)
    core = np.arange(n, dtype=np.int32) // 1024
    populations = (
        Population("in", (n,), Source(1), core=np.full(n, -1, np.int32)),
        Population("l1", (n,), lif(threshold), start=1, core=core),
        Population("l2", (n,), lif(threshold), start=1, core=core + 1),
    )
    projections = (
        Projection("in-l1", "in", "l1", DenseSynapses(weights[0].T)),
        Projection("l1-l2", "l1", "l2", DenseSynapses(weights[1].T)),
    )
    return Program(populations, projections, "loihi2", steps, "l2", "spikes"), x[:, None]


def conv(stride: int = 2, steps: int = 100, p: float = 0.05, seed: int = 7) -> tuple[Program, NDArray[np.int64]]:
    """34x34x2 sources -> 16C3 -> 32C3 -> FC10, valid padding; layers 2 and 3 read one step late (lag 1)."""
    r = np.random.default_rng(seed)
    k1, k2 = (_no_zero(r.integers(-40, 61, size=(16, 2, 3, 3))), _no_zero(r.integers(-50, 51, size=(32, 16, 3, 3))))
    h1 = (34 - 3) // stride + 1
    h2 = (h1 - 3) // stride + 1
    wf = _no_zero(r.integers(-50, 51, size=(10, 32 * h2 * h2)))
    x = (r.random((steps, 2, 34, 34)) < p).astype(np.int64)
    shapes = ((2, 34, 34), (16, h1, h1), (32, h2, h2), (10,))
    cores, first = [np.full(2 * 34 * 34, -1, np.int32)], 0
    for shape in shapes[1:]:
        n = int(np.prod(shape))
        cores.append(first + np.arange(n, dtype=np.int32) // 1024)
        first = int(cores[-1].max()) + 1
    somas = (Source(1), lif(90), lif(300), lif(600))
    populations = tuple(
        Population(name, shape, soma, start=int(name != "in"), core=core)
        for name, shape, soma, core in zip(("in", "c1", "c2", "fc"), shapes, somas, cores, strict=True)
    )
    projections = (
        Projection("in-c1", "in", "c1", ConvSynapses(k1, stride=(stride, stride))),
        Projection("c1-c2", "c1", "c2", ConvSynapses(k2, stride=(stride, stride))),
        Projection("c2-fc", "c2", "fc", DenseSynapses(wf)),
    )
    return Program(populations, projections, "loihi2", steps, "fc", "spikes"), x[:, None]


def _no_zero(a: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(a == 0, 1, a)


def all_at_once(program: Program) -> Program:
    """Start every population at chip step 0, so that layer k first hears of the input k steps later (as Lava runs it)."""
    return replace(program, populations=tuple(replace(p, start=0) for p in program.populations))
