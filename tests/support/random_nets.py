"""Random small float networks and inputs for them: every structure the compiler claims to lower, in random combination."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from spikewright.toolchain.blocks.ma import MALIF
from spikewright.toolchain.blocks.staa import STAALIF
from spikewright.toolchain.blocks.tcja import TCJA
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
    Add,
    Affine,
    Array,
    Conv,
    Delay,
    Flatten,
    Input,
    Lif,
    MaxPool,
    Op,
    Output,
    Scale,
    SumPool,
)

seeds = st.integers(min_value=0, max_value=2**31)


@dataclass
class NetMaker:
    """Draws ops one behind the other; ``last`` is a spike signal of shape ``shape``."""

    rng: np.random.Generator
    timesteps: int
    ops: list[Op] = field(default_factory=list)
    last: str = "in"
    shape: tuple[int, ...] = (1, 6, 6)
    rarities: bool = True
    """Whether neurons may be of rare kinds."""

    def name(self, kind: str) -> str:
        return f"{kind}{len(self.ops)}"

    def add(self, op: Op) -> str:
        self.ops.append(op)
        return op.name

    def weight(self, *shape: int) -> Array:
        fan_in = np.prod(shape[1:])
        return self.rng.normal(size=shape) / np.sqrt(fan_in) * self.rng.choice([2.0, 4.0])

    def bias(self, n: int) -> Array | None:
        return self.rng.normal(size=n) * 0.2 if self.rng.random() < 0.5 else None

    def lif(
        self, currents: tuple[str, ...], shape: tuple[int, ...], *, name: str | None = None, filtered: bool = False
    ) -> str:
        rng = self.rng
        threshold = rng.uniform(0.2, 1.0, size=shape[:1] if rng.random() < 0.3 else ())
        reset = "subtract" if rng.random() < 0.25 else "value"
        return self.add(
            Lif(
                name=name or self.name("lif"),
                inputs=currents,
                shape=shape,
                beta=np.array(rng.choice([0.0, 0.25, 0.3, 0.5, 0.9, 1.0])),
                alpha=np.array(rng.choice([0.3, 0.8]) if filtered else 0.0),
                gain=np.array(rng.choice([0.5, 1.0])),
                v_threshold=np.asarray(threshold),
                v_reset=np.array(rng.choice([0.0, 0.1, -0.2])) if reset == "value" else np.zeros(()),
                reset=reset,
                comparison=str(rng.choice([">", ">="])),
                **self.rare(shape),
            )
        )

    def rare(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """Return a refractory period, several spikes a step, a floor and a start of v, each for some; draws of their own."""
        rng = self.rng.spawn(1)[0]
        found: dict[str, Any] = {}
        if not self.rarities:
            return found
        if rng.random() < 0.15:
            found["refractory"] = int(rng.integers(2, 5))
        if rng.random() < 0.15:
            found["max_spikes"] = None if rng.random() < 0.6 else int(rng.integers(2, 5))
        for name, low, high in (("v_min", -0.6, 0.1), ("v_start", -1.0, 1.5)):
            if rng.random() < 0.15:
                found[name] = rng.uniform(low, high, shape if rng.random() < 0.3 else ())
        return found

    def counts(self) -> bool:
        """Say whether the last layer sends how often it fired, which no max pool and no joint gate takes."""
        return isinstance(self.ops[-1], Lif) and self.ops[-1].sends == "graded"

    def conv_map(self, source: str) -> tuple[str, tuple[int, ...]]:
        """A convolution of random geometry, perhaps followed by a batch norm."""
        rng = self.rng
        c, h, w = self.shape
        groups = int(rng.choice([g for g in (1, 2) if c % g == 0]))
        co = int(rng.integers(1, 4)) * groups
        kernel = (int(rng.integers(1, min(4, h + 1))), int(rng.integers(1, min(4, w + 1))))
        stride = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
        padding = (int(rng.integers(0, 2)), int(rng.integers(0, 2)))
        conv = self.add(
            Conv(
                name=self.name("conv"),
                inputs=(source,),
                weight=self.weight(co, c // groups, *kernel),
                bias=self.bias(co),
                stride=stride,
                padding=padding,
                groups=groups,
            )
        )
        size = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip((h, w), kernel, stride, padding, strict=True)]
        if rng.random() < 0.4:
            conv = self.add(
                Scale(
                    name=self.name("bn"),
                    inputs=(conv,),
                    scale=rng.uniform(0.5, 1.5, co),
                    shift=rng.normal(size=co) * 0.1,
                )
            )
        return conv, (co, *size)

    def conv_layer(self) -> None:
        current, shape = self.conv_map(self.last)
        if self.rng.random() < 0.4 and min(shape[1:]) >= 2:
            current = self.add(
                SumPool(name=self.name("pool"), inputs=(current,), kernel=(2, 2), stride=(2, 2), scale=0.25)
            )
            shape = (shape[0], (shape[1] - 2) // 2 + 1, (shape[2] - 2) // 2 + 1)
        self.last, self.shape = self.lif((current,), shape), shape

    def attention_layer(self) -> None:
        current, shape = self.conv_map(self.last)
        rng = self.rng
        c, dims = shape[0], str(rng.choice(["T", "C", "S", "TC", "TS", "CS", "TCS"]))
        parameters = {
            "ta_w": np.array(rng.normal() * 20),
            "ta_b": np.array(rng.normal() + 1),
            "ca_w0": rng.normal(size=(2, c)) * 5,
            "ca_w1": rng.normal(size=(c, 2)) * 5,
            "ca_b": rng.normal(size=c) + 1,
            "sa_kernel": rng.normal(size=(1, 1, 3, 3)) * 5,
            "sa_b": np.array(rng.normal() + 1),
        }
        name = self.name("att")
        neuron = Lif(
            name=name, inputs=(current,), shape=shape, beta=np.array(0.3), v_threshold=np.array(0.3), comparison=">="
        )
        self.last, self.shape = (
            self.add(
                MALIF(
                    name=name,
                    inputs=(current,),
                    neuron=neuron,
                    dims=dims,
                    variant="causal",
                    timesteps=self.timesteps,
                    parameters=parameters,
                    gate=str(rng.choice(["hard", "sigmoid", "pow2", "binary"])),
                    gate_delay=int(rng.integers(3, 5)),
                    decay=float(rng.choice([0.0, 1.0])),
                )
            ),
            shape,
        )

    def joint_layer(self) -> None:
        """TCJA: a causal gate on the last spikes, over time or over channels; some right behind a max pool."""
        if not isinstance(self.ops[-1], Lif | MALIF) or self.counts():
            return  # gated already, or counted
        rng, c, shape = self.rng, self.shape[0], self.shape
        dims = str(rng.choice(["T", "C"]))
        k = int(rng.integers(1, 4))
        gated = self.last
        if len(shape) == 3 and min(shape[1:]) >= 2 and rng.random() < 0.5:
            gated = self.add(MaxPool(name=self.name("max"), inputs=(gated,), kernel=(2, 2), stride=(2, 2)))
            shape = (c, (shape[1] - 2) // 2 + 1, (shape[2] - 2) // 2 + 1)
        parameters = {"tla": rng.normal(size=(c, c, k)) * 4} if dims == "T" else {"cla": rng.normal(size=(1, 1, k)) * 8}
        self.last, self.shape = (
            self.add(
                TCJA(
                    name=self.name("tcja"),
                    inputs=(self.last,) if gated == self.last else (self.last, gated),
                    shape=shape,
                    dims=dims,
                    variant="causal",
                    timesteps=self.timesteps,
                    parameters=parameters,
                    gate=str(rng.choice(["hard", "sigmoid", "pow2", "binary"])),
                    gate_delay=int(rng.integers(0, 4)),
                    memory="count",
                    decay=float(rng.choice([0.0, 1.0])),
                )
            ),
            shape,
        )

    def positioned_layer(self) -> None:
        """STAA-style: position encoding, causal gates, an adaptive neuron."""
        current, shape = self.conv_map(self.last)
        rng, c, name = self.rng, shape[0], self.name("staa")
        neuron = Lif(
            name=f"{name}.neuron",
            shape=shape,
            beta=rng.uniform(0.1, 0.9, c),
            gain=rng.uniform(0.5, 1.5, c),
            v_threshold=np.array(0.5),
            comparison=">=",
        )
        parameters = {
            "pe": rng.normal(size=(self.timesteps, c)) * 0.3,
            "ta_w": np.array(rng.normal() * 20),
            "ta_b": np.array(rng.normal() + 1),
            "ca_w0": rng.normal(size=(2, c)) * 5,
            "ca_w1": rng.normal(size=(c, 2)) * 5,
            "ca_b": rng.normal(size=c) + 1,
        }
        made = STAALIF(
            name=name,
            inputs=(current,),
            neuron=neuron,
            variant="causal",
            timesteps=self.timesteps,
            parameters=parameters,
            gate=str(rng.choice(["hard", "sigmoid"])),
            gate_delay=int(rng.integers(3, 5)),
        )
        self.last, self.shape = self.add(made), shape

    def max_pool(self) -> None:
        if min(self.shape[1:]) < 2 or self.counts():
            return
        c, h, w = self.shape
        self.last = self.add(MaxPool(name=self.name("max"), inputs=(self.last,), kernel=(2, 2), stride=(2, 2)))
        self.shape = (c, (h - 2) // 2 + 1, (w - 2) // 2 + 1)

    def average_pool(self) -> None:
        if min(self.shape[1:]) < 2:
            return
        c, h, w = self.shape
        pool = self.add(SumPool(name=self.name("avg"), inputs=(self.last,), kernel=(2, 2), stride=(2, 2), scale=0.25))
        shape = (c, (h - 2) // 2 + 1, (w - 2) // 2 + 1)
        self.last, self.shape = self.lif((pool,), shape), shape

    def residual_block(self) -> None:
        """MS-ResNet: x + conv(lif(conv(lif(x)))) on currents, joined in front of the next neuron."""
        current, shape = self.conv_map(self.last)
        stream = current
        for _ in range(int(self.rng.integers(1, 3))):
            inner = self.lif((stream,), shape)
            branch = self.add(
                Conv(
                    name=self.name("res"),
                    inputs=(inner,),
                    weight=self.weight(shape[0], shape[0], 3, 3),
                    bias=self.bias(shape[0]),
                    padding=(1, 1),
                )
            )
            stream = self.add(Add(name=self.name("add"), inputs=(stream, branch)))
        self.last, self.shape = self.lif((stream,), shape), shape

    def spike_shortcut(self) -> None:
        """SEW-style: a neuron that reads a map and another neuron's spikes."""
        c = self.shape[0]
        conv = self.add(
            Conv(name=self.name("conv"), inputs=(self.last,), weight=self.weight(c, c, 3, 3), padding=(1, 1))
        )
        join = self.add(Add(name=self.name("add"), inputs=(conv, self.last)))
        self.last = self.lif((join,), self.shape)

    def recurrent_layer(self) -> None:
        """A dense layer with a one-step loop through its own synapses; current-based, as CubaLIF."""
        n, inside = int(self.rng.integers(3, 8)), int(np.prod(self.shape))
        feed = self.add(
            Affine(name=self.name("fc"), inputs=(self.last,), weight=self.weight(n, inside), bias=self.bias(n))
        )
        name, back = self.name("rec"), self.name("back")
        self.add(Delay(name=f"{back}.delay", inputs=(name,), steps=1))
        self.add(Affine(name=back, inputs=(f"{back}.delay",), weight=self.weight(n, n)))
        self.lif((feed, back), (n,), name=name, filtered=bool(self.rng.random() < 0.5))
        self.last, self.shape = name, (n,)

    def dense_layer(self) -> None:
        n, inside = int(self.rng.integers(2, 8)), int(np.prod(self.shape))
        flat = self.add(Flatten(name=self.name("flat"), inputs=(self.last,))) if len(self.shape) > 1 else self.last
        weight = self.weight(n, inside)
        feed = self.add(Affine(name=self.name("fc"), inputs=(flat,), weight=weight, bias=self.bias(n)))
        self.last, self.shape = self.lif((feed,), (n,)), (n,)


def random_net(seed: int) -> tuple[Graph, Array]:
    """Return a random float graph and data (T, B, C, H, W) for it: spikes, or event counts (graded)."""
    rng = np.random.default_rng(seed)
    T, B = int(rng.integers(1, 7)), int(rng.integers(1, 4))
    shape = (int(rng.integers(1, 4)), int(rng.integers(4, 8)), int(rng.integers(4, 8)))
    maker = NetMaker(rng, T, [Input(name="in", shape=shape)], "in", shape)
    counts = rng.random() < 0.4
    maker.conv_layer()
    for _ in range(int(rng.integers(0, 3))):
        layer = rng.choice(["conv", "attention", "max", "avg", "residual", "shortcut", "joint", "positioned"])
        if min(maker.shape[1:]) < 1:
            break
        {
            "conv": maker.conv_layer,
            "attention": maker.attention_layer,
            "max": maker.max_pool,
            "avg": maker.average_pool,
            "residual": maker.residual_block,
            "shortcut": maker.spike_shortcut,
            "joint": maker.joint_layer,
            "positioned": maker.positioned_layer,
        }[str(layer)]()
    if rng.random() < 0.5:
        maker.recurrent_layer()
    maker.dense_layer()
    if rng.random() < 0.5:
        n, inside = 3, maker.shape[0]
        maker.last = maker.add(
            Affine(name="head", inputs=(maker.last,), weight=maker.weight(n, inside), bias=maker.bias(n))
        )
    maker.add(Output(name="out", inputs=(maker.last,)))
    x = (
        rng.integers(0, 6, (T, B, *shape)) * (rng.random((T, B, *shape)) < 0.3)
        if counts
        else rng.random((T, B, *shape)) < 0.4
    )
    return Graph(tuple(maker.ops), timesteps=T), x.astype(np.float64)
