"""Two small deployments for the tests of analyses and reports: causal MA attention on events, and GAC on still images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.blocks.gac import GAC
from spikewright.toolchain.blocks.ma import MALIF
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Conv, Input, Lif, Op, Output
from spikewright.toolchain.options import Options
from spikewright.toolchain.passes.lower_gates import Strategy
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples

STEPS, SIDE, CLASSES = 4, 4, 3
Float = NDArray[np.float64]


def lif(shape: tuple[int, ...], name: str = "", inputs: tuple[str, ...] = ()) -> Lif:
    """Return an N1-like neuron."""
    return Lif(name=name or "neuron", inputs=inputs, shape=shape, beta=np.array(0.3), v_threshold=np.array(0.3))


def graph(*ops: Op) -> Graph:
    """Return a graph of T = STEPS."""
    return Graph(ops, STEPS)


def attentive(*, attention: bool = True, seed: int = 0) -> Graph:
    """Return events (1, 4, 4) - conv 4 - causal MA (T, C, S) or a plain LIF - dense - LIF."""
    r = np.random.default_rng(seed)
    shape = (4, SIDE, SIDE)
    plain = lif(shape, "att", ("conv",))
    parameters = {
        "ta_w": np.array(-9.0),
        "ta_b": np.array(1.5),
        "ca_w0": np.abs(r.normal(size=(2, 4))),
        "ca_w1": -9 * np.abs(r.normal(size=(4, 2))),
        "ca_b": np.full(4, 1.5),
        "sa_kernel": r.normal(size=(1, 1, 3, 3)),
        "sa_b": np.array(1.5),
    }
    gated = MALIF(
        name="att", inputs=("conv",), neuron=plain, dims="TCS", variant="causal", timesteps=STEPS, parameters=parameters,
        gate="hard",
    )  # fmt: skip
    return graph(
        Input(name="in", shape=(1, SIDE, SIDE)),
        Conv(name="conv", inputs=("in",), weight=r.normal(size=(4, 1, 3, 3)), padding=(1, 1)),
        gated if attention else plain,
        Affine(name="fc", inputs=("att",), weight=r.normal(size=(CLASSES, 4 * SIDE * SIDE)) / 4),
        lif((CLASSES,), "last", ("fc",)),
        Output(name="out", inputs=("last",)),
    )


def coded(seed: int = 0) -> Graph:
    """Return images (1, 4, 4) - conv 2 - GAC - dense - LIF."""
    r = np.random.default_rng(seed)
    shape = (2, SIDE, SIDE)
    parameters = {
        "ta_w0": r.normal(size=(2, STEPS)),
        "ta_w1": r.normal(size=(STEPS, 2)),
        "conv0": r.normal(size=(2, 2, 4, 4)) / 4,
        "conv1": r.normal(size=(2, 2, 4, 4)) / 4,
    }
    return graph(
        Input(name="in", shape=(1, SIDE, SIDE)),
        Conv(name="stem", inputs=("in",), weight=r.normal(size=(2, 1, 3, 3)), padding=(1, 1)),
        GAC(name="gac", inputs=("stem",), neuron=lif(shape), timesteps=STEPS, parameters=parameters),
        Affine(name="fc", inputs=("gac",), weight=r.normal(size=(CLASSES, 2 * SIDE * SIDE)) / 2),
        lif((CLASSES,), "last", ("fc",)),
        Output(name="out", inputs=("last",)),
    )


def events(samples: int = 6, seed: int = 1) -> Samples:
    """Return random binary events with random labels."""
    r = np.random.default_rng(seed)
    x = (r.random((STEPS, samples, 1, SIDE, SIDE)) < 0.4).astype(np.float32)
    return Samples(x, r.integers(0, CLASSES, samples), "made-up", simulated=True)


def images(samples: int = 6, seed: int = 1) -> Samples:
    """Return random still images, repeated T times."""
    r = np.random.default_rng(seed)
    still = r.random((1, samples, 1, SIDE, SIDE)).astype(np.float32)
    return Samples(np.repeat(still, STEPS, axis=0), r.integers(0, CLASSES, samples), "made-up")


def deployed(net: Graph, samples: Samples, name: str = "net", **card: str) -> Deployment:
    """Compile a net for loihi2, with causal gates, or gates from the host where a block stands in front of the first spike."""
    gates: Strategy = "host" if any(isinstance(op, GAC) for op in net) else "causal"
    return deploy_graph(net, Options(gates=gates), samples, name=name, card=card, samples=samples)
