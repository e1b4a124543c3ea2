"""Float nets with TCJA's gate on spikes or a STAA-style layer, for the tests of their lowering and of the checker."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from spikewright.toolchain.blocks.staa import STAALIF
from spikewright.toolchain.blocks.tcja import TCJA
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Array, Conv, Input, Lif, MaxPool, Op, Output

T, C, H = 6, 4, 4
SHAPE = (C, H, H)


def lif(name: str, *reads: str, shape: tuple[int, ...] = SHAPE) -> Lif:
    return Lif(name=name, inputs=reads, shape=shape, beta=np.array(0.5), v_threshold=np.array(0.7), comparison=">=")


def joint(
    rng: np.random.Generator,
    dims: Literal["T", "C", "TC"] = "T",
    variant: Literal["published", "causal"] = "causal",
    *,
    reads: tuple[str, ...] = ("lif1",),
    shape: tuple[int, ...] = SHAPE,
    memory: Literal["table", "count"] = "count",
    **fields: Any,
) -> TCJA:
    steps = 1 if variant == "causal" and memory == "count" else T
    parameters: dict[str, Array] = {}
    if "T" in dims:
        parameters["tla"] = rng.normal(size=(C, C, 3)) * 4
    if "C" in dims:
        parameters["cla"] = rng.normal(size=(steps, steps, 2)) * 8
    options = {"gate": "hard" if variant == "causal" else "sigmoid"} | fields
    return TCJA(
        name="tcja",
        inputs=reads,
        shape=shape,
        dims=dims,
        variant=variant,
        timesteps=T,
        parameters=parameters,
        memory=memory,
        **options,
    )


def joint_net(rng: np.random.Generator, gate: TCJA, *, pooled: bool = False) -> Graph:
    """Events (2, 4, 4) to 3 answers: conv, neuron, TCJA, [max pool], dense, neuron, dense."""
    size = C * H * H // (4 if pooled else 1)
    pool = [MaxPool(name="pool", inputs=("tcja",), kernel=(2, 2), stride=(2, 2))] if pooled else []
    ops: list[Op] = [
        Input(name="in", shape=(2, H, H)),
        Conv(name="conv1", inputs=("in",), weight=rng.normal(size=(C, 2, 3, 3)), padding=(1, 1)),
        lif("lif1", "conv1"),
        gate,
        *pool,
        Affine(
            name="fc1",
            inputs=("pool" if pooled else "tcja",),
            weight=rng.normal(size=(8, size)),
            bias=rng.normal(size=8),
        ),
        lif("lif2", "fc1", shape=(8,)),
        Affine(name="fc2", inputs=("lif2",), weight=rng.normal(size=(3, 8))),
        Output(name="out", inputs=("fc2",)),
    ]
    return Graph(tuple(ops), timesteps=T)


def staa(
    rng: np.random.Generator,
    variant: Literal["reconstruction", "causal"] = "causal",
    *,
    position: bool = True,
    softmax: bool = True,
) -> STAALIF:
    shared = {"pe": rng.normal(size=(T, C)) * 0.3} if position else {}
    causal = {"ta_w": np.array(-20.0), "ta_b": np.array(1.5), "ca_b": np.ones(C)}
    causal |= {"ca_w0": rng.normal(size=(2, C)) * 5, "ca_w1": rng.normal(size=(C, 2)) * 5}
    built = {"gc_query": rng.normal(size=(2, C)), "gc_scale": np.ones(2), "gc_shift": np.ones(2) * 0.1}
    built |= {"gc_value": rng.normal(size=(C, 2)), "sa_w0": rng.normal(size=(3, T)), "sa_w1": rng.normal(size=(T, 3))}
    built |= {"gc_key": rng.normal(size=(1, C))} if softmax else {}
    neuron = Lif(
        name="staa.neuron",
        shape=SHAPE,
        beta=rng.uniform(0.2, 0.8, C),
        gain=rng.uniform(0.5, 1.5, C),
        v_threshold=np.array(0.5),
        comparison=">=",
    )
    return STAALIF(
        name="staa",
        inputs=("conv1",),
        neuron=neuron,
        variant=variant,
        timesteps=T,
        parameters=shared | (causal if variant == "causal" else built),
        gate="hard" if variant == "causal" else "sigmoid",
    )


def staa_net(rng: np.random.Generator, layer: STAALIF) -> Graph:
    """Events (2, 4, 4) to 3 answers: conv, STAA-style layer, dense."""
    return Graph(
        (
            Input(name="in", shape=(2, H, H)),
            Conv(name="conv1", inputs=("in",), weight=rng.normal(size=(C, 2, 3, 3)), padding=(1, 1)),
            layer,
            Affine(name="fc", inputs=("staa",), weight=rng.normal(size=(3, C * H * H))),
            Output(name="out", inputs=("fc",)),
        ),
        timesteps=T,
    )


def events(rng: np.random.Generator, samples: int = 3) -> Array:
    return (rng.random((T, samples, 2, H, H)) < 0.4).astype(np.float64)
