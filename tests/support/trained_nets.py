"""A task that a tiny net learns in seconds: four classes of events, each busiest in another quarter of 2 x 4 x 4 inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tiny import T, tiny_graph

from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Conv, Input
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples


def quarters(count: int, seed: int = 1) -> Samples:
    """Return labelled samples of the task."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count)
    rate = np.full((4, 2, 4, 4), 0.05)
    for k in range(4):
        rate[k, k // 2, :, 2 * (k % 2) : 2 * (k % 2) + 2] = 0.5
    x = (rng.random((T, count, 2, 4, 4)) < rate[y]).astype(np.float32)
    return Samples(x, y, "quarters", simulated=True)


def biased(graph: Graph, bias: float) -> Graph:
    """Return the tiny net with another bias of its first layer."""
    return graph.map(lambda op: replace(op, bias=np.full(3, bias)) if isinstance(op, Conv) else op)


def encoded(graph: Graph) -> Graph:
    """Return the tiny net with real-valued input, so that its first layer runs on the host."""
    return graph.map(lambda op: replace(op, binary=False) if isinstance(op, Input) else op)


def deployed(graph: Graph | None = None, *, real: bool = False) -> Deployment:
    """Return the tiny net, deployed; ``real``: with real-valued input."""
    calibration, samples = quarters(64), quarters(64, seed=2)
    if real:
        calibration, samples = (replace(s, x=s.x * 0.75) for s in (calibration, samples))
    graph = tiny_graph() if graph is None else graph
    return deploy_graph(encoded(graph) if real else graph, Options(), calibration, name="tiny", samples=samples)
