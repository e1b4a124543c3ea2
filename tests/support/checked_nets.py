"""Float nets for the tests of the checker: layers, MA and GAC nets, and a look into a verdict."""

from __future__ import annotations

from typing import Any

import numpy as np

from spikewright.toolchain.blocks.gac import GAC
from spikewright.toolchain.blocks.ma import MALIF
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Add, Affine, Array, Conv, Input, Lif, Op, Output
from spikewright.toolchain.spike_driven import Block, Verdict

T = 8
MAP = (4, 8, 8)


def lif(name: str, reads: str | tuple[str, ...], shape: tuple[int, ...] = MAP, **fields: Any) -> Lif:
    inputs = (reads,) if isinstance(reads, str) else reads
    return Lif(name=name, inputs=inputs, shape=shape, beta=np.full((), 0.5), v_threshold=np.ones(()), **fields)


def conv(name: str, reads: str, out: int, inside: int, kernel: int = 3, stride: int = 1, bias: float = 0.0) -> Conv:
    weight = np.random.default_rng(len(name)).choice([-1.0, 1.0], size=(out, inside, kernel, kernel)) / kernel
    pad = kernel // 2
    return Conv(
        name=name,
        inputs=(reads,),
        weight=weight,
        bias=np.full(out, bias) if bias else None,
        padding=(pad, pad),
        stride=(stride, stride),
    )


def net(*ops: Op) -> Graph:
    """Return a net from binary events (1, 8, 8) whose last op is its answer."""
    return Graph((Input(name="in", shape=(1, 8, 8)), *ops, Output(name="out", inputs=(ops[-1].name,))), T)


def attention(variant: str, dims: str, decay: float = 1.0) -> MALIF:
    k = {"paper": 7, "code": 3, "causal": 3}[variant]
    parameters: dict[str, Array] = {
        "ta_w0": np.ones((2, T)),
        "ta_w1": np.ones((T, 2)),
        "ca_w0": np.ones((2, 4)) * 0.3,
        "ca_w1": np.ones((4, 2)),
        "sa_kernel": np.ones((1, 1 if variant == "causal" else 2, k, k)),
        "ta_w": np.ones(()),
        "ta_b": np.ones(()),
        "ca_b": np.ones(4),
        "sa_b": np.ones(()),
    }
    return MALIF(
        name="ma",
        inputs=("conv1",),
        neuron=lif("ma", "conv1"),
        dims=dims,
        variant=variant,  # type: ignore[arg-type]
        timesteps=T,
        parameters=parameters,
        gate="hard" if variant == "causal" else "sigmoid",
        decay=decay,
    )


def ma(variant: str, dims: str, decay: float = 1.0) -> Graph:
    return net(
        conv("conv1", "in", 4, 1), attention(variant, dims, decay), conv("conv2", "ma", 4, 4), lif("lif2", "conv2")
    )


def gac(*behind: Op, gate: str = "sigmoid") -> Graph:
    parameters = {
        "ta_w0": np.ones((4, T)),
        "ta_w1": np.ones((T, 4)),
        "conv0": np.full((4, 4, 4, 4), 0.01),
        "conv1": np.full((4, 4, 4, 4), 0.01),
    }
    encoder = GAC(
        name="encoder",
        inputs=("stem",),
        neuron=lif("encoder", "stem"),
        timesteps=T,
        parameters=parameters,
        gate=gate,  # type: ignore[arg-type]
    )
    blocks = (
        lif("lif1", "encoder"),
        conv("conv1", "lif1", 4, 4),
        lif("lif2", "conv1"),
        conv("conv2", "lif2", 4, 4),
        Add(name="add1", inputs=("conv2", "encoder")),
        lif("lif3", "add1"),
        conv("conv3", "lif3", 4, 4),
        Add(name="add2", inputs=("conv3", "add1")),
        lif("lif4", "add2"),
        Affine(name="fc", inputs=("lif4",), weight=np.ones((3, 256)), bias=np.ones(3)),
    )
    return net(conv("stem", "in", 4, 1), encoder, *(behind or blocks))


HOST = frozenset({"in", "stem", "encoder", "host.out"})


def block(verdict: Verdict, name: str) -> Block:
    return next(b for b in verdict.blocks if b.name == name)


def only_violation(verdict: Verdict) -> Block:
    assert not verdict.spike_driven
    (found,) = verdict.violations
    return found
