"""Small float nets for the ONNX tests: one block of each family and variant, a feedback loop, real-valued inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.blocks.gac import GAC
from spikewright.toolchain.blocks.ma import MALIF, MAAttention, sda_shapes
from spikewright.toolchain.blocks.sdsa import PARTS, SpikeAttention
from spikewright.toolchain.blocks.staa import STAALIF
from spikewright.toolchain.blocks.tcja import TCJA
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
    Accumulator,
    Add,
    Affine,
    Array,
    Conv,
    Delay,
    Flatten,
    Input,
    Lif,
    Op,
    Output,
    Scale,
)

T, C = 5, 4
SHAPE = (C, 4, 6)
NEURON = Lif(
    name="neuron", shape=SHAPE, beta=np.linspace(0.2, 0.9, C), v_threshold=np.array(0.4), leak=np.full(C, 0.05)
)


def weights(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def _mlp(prefix: str, n: int) -> dict[str, Array]:
    return {f"{prefix}_w0": weights(1, 2, n) * 2, f"{prefix}_w1": weights(2, n, 2)}


def _ma(variant: str, dims: str, gate: str = "sigmoid") -> AttentionBlock:
    parameters = {**_mlp("ta", T), **_mlp("ca", C), "sa_kernel": weights(3, 1, 2, 3, 3)}
    kept = {name: value for name, value in parameters.items() if name[0].upper() in dims}
    fields: dict[str, Any] = {"variant": variant, "dims": dims, "gate": gate}
    return MALIF(name="block", neuron=NEURON, timesteps=T, parameters=kept, **fields)


def _ma_alone() -> AttentionBlock:
    parameters = {**_mlp("ta", T), "sa_kernel": weights(3, 1, 2, 3, 3)}
    return MAAttention(name="block", shape=SHAPE, timesteps=T, parameters=parameters, dims="TS", rectifier="none")


def _ma_causal() -> AttentionBlock:
    parameters = {"ca_w0": weights(1, 2, C) * 9, "ca_w1": weights(2, C, 2) * 9, "ca_b": weights(3, C)}
    return MALIF(
        name="block", neuron=NEURON, timesteps=T, parameters=parameters, variant="causal", dims="C", gate_delay=2
    )


def _staa(key: bool, variant: str = "reconstruction") -> AttentionBlock:
    own = {
        "gc_query": weights(1, 2, C),
        "gc_scale": weights(2, 2),
        "gc_shift": weights(3, 2),
        "gc_value": weights(4, C, 2),
        **_mlp("sa", T),
    }
    if variant == "causal":
        own = {"ta_w": np.array(9.0), "ta_b": np.array(0.3), "ca_b": weights(3, C), **_mlp("ca", C)}
    own |= {"gc_key": weights(5, 1, C)} if key else {}
    fields: dict[str, Any] = {"variant": variant}
    return STAALIF(name="block", neuron=NEURON, timesteps=T, parameters={"pe": weights(6, T, C), **own}, **fields)


def _tcja(variant: str, dims: str, memory: str = "table", delay: int = 0) -> AttentionBlock:
    steps = 1 if memory == "count" else T
    parameters = {"tla": weights(1, C, C, 4) * 2, "cla": weights(2, steps, steps, 2) * 2}
    kept = {name: value for name, value in parameters.items() if name[0].upper() in dims}
    fields: dict[str, Any] = {"variant": variant, "dims": dims, "memory": memory, "gate_delay": delay, "decay": 0.5}
    return TCJA(name="block", shape=SHAPE, timesteps=T, parameters=kept, inputs=("first",), **fields)


def _gac(variant: str, gate: str = "sigmoid") -> AttentionBlock:
    parameters = {"conv0": weights(1, C, C, 4, 4) * 0.3, "conv1": weights(2, C, C, 4, 4) * 0.3}
    parameters |= {"ta": weights(3, T)} if variant == "causal" else _mlp("ta", T)
    fields: dict[str, Any] = {"variant": variant, "gate": gate}
    return GAC(name="block", neuron=NEURON, timesteps=T, parameters=parameters, **fields)


def _ma_sda(dims: str) -> AttentionBlock:
    parameters = {name: weights(3, *(n or 3 for n in shape)) for name, shape in sda_shapes(dims, C).items()}
    return MALIF(name="block", neuron=NEURON, timesteps=T, parameters=parameters, dims=dims, variant="sda")


BLOCKS: dict[str, AttentionBlock] = {
    **{f"ma-sda-{dims}": _ma_sda(dims) for dims in ("TC", "TCS")},
    **{f"ma-paper-{dims}": _ma("paper", dims) for dims in ("T", "CS", "TCS")},
    "ma-paper-hard": _ma("paper", "C", "hard"),
    **{f"ma-code-{dims}": _ma("code", dims, "pow2") for dims in ("T", "C", "TCS")},
    "ma-alone": _ma_alone(),
    "ma-causal": _ma_causal(),
    "gac-code": _gac("code"),
    "gac-causal": _gac("causal", "hard"),
    **{f"tcja-published-{dims}": _tcja("published", dims) for dims in ("T", "C", "TC")},
    "tcja-causal-table": _tcja("causal", "TC", "table", 2),
    "tcja-causal-count": _tcja("causal", "TC", "count", 1),
    "tcja-causal-T": _tcja("causal", "T", "table", 1),
    "staa-softmax": _staa(True),
    "staa-count": _staa(False),
    "staa-causal": _staa(False, "causal"),
}
"""One block of each family and variant, by name."""


def block_net(block: AttentionBlock) -> Graph:
    """Conv, the block (behind a first neuron where it gates spikes), a delay and an integrating read-out."""
    ops: list[Op] = [
        Input(name="in", shape=(2, 4, 6)),
        Conv(name="stem", inputs=("in",), weight=weights(7, C, 2, 3, 3), bias=weights(8, C) * 0.1, padding=(1, 1)),
    ]
    if not block.spiking:
        ops.append(Lif(name="first", inputs=("stem",), shape=SHAPE, beta=np.array(0.5), v_threshold=np.array(0.5)))
    source = ("first",) if not block.spiking else ("stem",)
    ops.append(replace(block, inputs=source))
    ops += [
        Flatten(name="flat", inputs=("block",)),
        Delay(name="late", inputs=("flat",), steps=2, initial=0.5),
        Affine(name="head", inputs=("late",), weight=weights(9, 3, 96)),
        Accumulator(name="sum", inputs=("head",), shape=(3,), decay=0.5, rectify=False),
        Output(name="out", inputs=("sum",)),
    ]
    return Graph(tuple(ops), timesteps=T)


def spike_attention_net(variant: Literal["channel", "token", "product"], heads: int = 1) -> Graph:
    """Conv, a neuron that sends query, key and value beside each other, spike-driven attention, a linear read-out."""
    channels = PARTS[variant] * C
    one = {"beta": np.array(0.5), "v_threshold": np.array(0.5)}
    attention = SpikeAttention(
        name="block", inputs=("first",), neuron=Lif(name="neuron", shape=SHAPE, **one), timesteps=T, parameters={},
        variant=variant, heads=heads,
    )  # fmt: skip
    ops = (
        Input(name="in", shape=(2, 4, 6)),
        Conv(name="stem", inputs=("in",), weight=weights(7, channels, 2, 3, 3), padding=(1, 1)),
        Lif(name="first", inputs=("stem",), shape=(channels, *SHAPE[1:]), **one),
        attention,
        Flatten(name="flat", inputs=("block",)),
        Affine(name="head", inputs=("flat",), weight=weights(9, 3, 96)),
        Output(name="out", inputs=("head",)),
    )
    return Graph(ops, timesteps=T)


def _lif(**fields: Any) -> Lif:
    own: dict[str, Any] = {"beta": np.linspace(0.1, 1, 4), "v_threshold": np.array(0.5)}
    return Lif(name="lif", inputs=("fc",), shape=(4,), **(own | fields))


NEURONS: dict[str, Lif] = {
    "filtered": _lif(alpha=np.array(0.5), gain_u=np.array(2.0), gain=np.linspace(0.5, 1, 4), leak=np.full(4, 0.1)),
    "subtract": _lif(reset="subtract", comparison=">=", rectify=True),
    "subtract-more": _lif(reset="subtract", v_subtract=np.linspace(0.5, 1, 4)),
    "refractory": _lif(refractory=3, v_start=np.array(0.4), alpha=np.array(0.5)),
    "counts": _lif(max_spikes=3, reset="subtract", v_min=np.array(-0.5)),
    "counts-any": _lif(max_spikes=None, comparison=">=", v_reset=np.linspace(-1, 0.2, 4), refractory=2),
    "memoryless": _lif(beta=np.zeros(()), v_start=np.array(9.0)),
}
"""A neuron with each field other than usual."""


def neuron_net(neuron: Lif) -> Graph:
    """Events into one layer of neurons."""
    ops: list[Op] = [
        Input(name="in", shape=(6,)),
        Affine(name="fc", inputs=("in",), weight=weights(1, 4, 6)),
        neuron,
        Output(name="out", inputs=("lif",)),
    ]
    return Graph(tuple(ops), timesteps=T)


def dense_net(*, recurrent: bool) -> Graph:
    """A flat real-valued input, one scale and one threshold a neuron; with a loop around the first layer."""
    ops: list[Op] = [
        Input(name="in", shape=(6,)),
        Scale(name="norm", inputs=("in",), scale=np.linspace(0.5, 2, 6), shift=np.linspace(-1, 1, 6)),
        Affine(name="fc", inputs=("norm",), weight=weights(1, 8, 6)),
    ]
    drive: tuple[str, ...] = ("fc",)
    if recurrent:
        ops += [
            Delay(name="before", inputs=("r0",), steps=1),
            Affine(name="back", inputs=("before",), weight=weights(2, 8, 8)),
            Add(name="m0.sum", inputs=("fc", "back")),
        ]
        drive = ("m0.sum",)
    ops += [
        Lif(name="r0", inputs=drive, shape=(8,), beta=np.linspace(0.1, 0.9, 8), v_threshold=np.linspace(0.3, 1, 8)),
        Affine(name="hidden", inputs=("r0",), weight=weights(3, 5, 8)),
        Lif(name="r1", inputs=("hidden",), shape=(5,), beta=np.array(0.5), v_threshold=np.array(0.5)),
        Affine(name="head", inputs=("r1",), weight=weights(4, 3, 5)),
        Output(name="out", inputs=("head",)),
    ]
    return Graph(tuple(ops), timesteps=T)
