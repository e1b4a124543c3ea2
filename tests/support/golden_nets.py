"""Six small nets whose graphs and programs are kept as text: a net a family, a recurrent one, a residual one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from checked_nets import ma
from joint_nets import events, joint, joint_net, staa, staa_net
from random_nets import NetMaker
from report_nets import coded

from spikewright.hw_sim import simulate
from spikewright.hw_sim.compiled.stages import compile as compile_program
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array, Input, Output
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples

SAMPLES = 8


def counted(made: Deployment, count: int = SAMPLES) -> dict[str, Any]:
    """Answers, spikes a layer and SOPs of the first samples on the machine."""
    assert made.samples is not None
    payload = made.encode(made.samples.x[:, :count])
    source = made.program.populations[0].name
    trace = simulate(compile_program(made.program, made.chip), {source: payload}, record=True)
    spikes = {name: int((out != 0).sum()) for name, out in sorted(trace.spikes.items())}
    return {
        "answers": np.asarray(trace.outputs).astype(int).tolist(),
        "spikes": spikes,
        "sops": int(trace.sops.sum()),
    }


def _made(seed: int, *layers: str) -> Graph:
    """Return a net of random layers of the kinds named, behind a convolution."""
    shape = (2, 6, 6)
    maker = NetMaker(np.random.default_rng(seed), 5, [Input(name="in", shape=shape)], "in", shape, rarities=False)
    maker.conv_layer()
    for layer in layers:
        getattr(maker, layer)()
    maker.dense_layer()
    maker.add(Output(name="out", inputs=(maker.last,)))
    return Graph(tuple(maker.ops), timesteps=5)


def _spikes(graph: Graph, seed: int = 3) -> Array:
    rng = np.random.default_rng(seed)
    shape = next(op.shape for op in graph if isinstance(op, Input))
    return (rng.random((graph.timesteps, 4, *shape)) < 0.4).astype(np.float64)


def _still(graph: Graph) -> Array:
    shape = next(op.shape for op in graph if isinstance(op, Input))
    frame = np.random.default_rng(4).random((1, 4, *shape))
    return np.repeat(frame, graph.timesteps, axis=0)


def _joint() -> Graph:
    rng = np.random.default_rng(5)
    return joint_net(rng, joint(rng, "T"), pooled=True)


def _staa() -> Graph:
    rng = np.random.default_rng(6)
    return staa_net(rng, staa(rng))


NETS: dict[str, tuple[Callable[[], Graph], Callable[[Graph], Array]]] = {
    "ma": (lambda: ma("causal", "TCS"), _spikes),
    "gac": (coded, _still),
    "tcja": (_joint, lambda _: events(np.random.default_rng(1), 4)),
    "staa": (_staa, lambda _: events(np.random.default_rng(2), 4)),
    "recurrent": (lambda: _made(11, "recurrent_layer"), _spikes),
    "residual": (lambda: _made(12, "residual_block", "spike_shortcut", "max_pool"), _spikes),
}


def golden_deployment(name: str) -> Deployment:
    """Compile one of the nets as the command line would, on four samples."""
    make, data = NETS[name]
    graph = make()
    samples = Samples(data(graph).astype(np.float32), None, "random", simulated=True)
    options = Options(gates="host" if name == "gac" else "causal")
    return deploy_graph(graph, options, samples, name=name, samples=samples)
