"""A tiny net by hand, its deployment and its bundle: two spiking layers on a 2 x 4 x 4 input, in seconds without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Conv, Flatten, Input, Lif, Output
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples

T = 5


def tiny_graph() -> Graph:
    rng = np.random.default_rng(7)
    ops = (
        Input(name="input", shape=(2, 4, 4)),
        Conv(
            name="conv",
            inputs=("input",),
            weight=rng.normal(size=(3, 2, 3, 3)),
            bias=rng.normal(size=3) / 4,
            padding=(1, 1),
        ),
        Lif(name="lif1", inputs=("conv",), shape=(3, 4, 4), beta=np.array(0.5), v_threshold=np.array(1.0)),
        Flatten(name="flatten", inputs=("lif1",)),
        Affine(name="fc", inputs=("flatten",), weight=rng.normal(size=(4, 48)) / 4, bias=rng.normal(size=4) / 4),
        Lif(name="lif2", inputs=("fc",), shape=(4,), beta=np.array(0.9), v_threshold=np.array(1.0), comparison=">="),
        Output(name="output", inputs=("lif2",)),
    )
    return Graph(ops, timesteps=T)


def tiny_samples(count: int = 12) -> Samples:
    rng = np.random.default_rng(8)
    x = (rng.random((T, count, 2, 4, 4)) < 0.3).astype(np.float32)
    return Samples(x, rng.integers(0, 4, count), "random events", simulated=True)


def tiny_deployment(chip: str = "loihi2") -> Deployment:
    samples = tiny_samples()
    return deploy_graph(tiny_graph(), Options(chip=chip), samples, name="tiny", samples=samples)


def tiny_bundle(folder: Path) -> Path:
    tiny_deployment().save(folder)
    return folder
