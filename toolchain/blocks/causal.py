"""Causal gates, ours, for hardware: counts of a layer's own spikes S, d = ``gate_delay`` steps late, gate its current X.

    n = lambda n + mean_D S / T;   g_D[t + d] = h(score_D(n));   X'[t] = prod_D g_D[t] X[t],   g[t < d] = 1;   then the neuron

``OwnSpikes`` is the base of blocks of this form. ``CountGates`` holds the three gates that papers share, over T, C and S::

    m = lambda m + mean_CHW S / T;    g_T[t + d] = h(ta_w m + ta_b)
    n = lambda n + mean_HW S / T;     g_C[t + d] = h(ca_w1 relu(ca_w0 n) + ca_b)
    a = lambda a + mean_C S / T;      g_S[t + d] = h(sa_kernel * a + sa_b)

Lowered exactly: spike-count synapses, a small MLP of accumulators, gate neurons, delayed gate ports.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from spikewright.hw_sim.linear import conv2d
from spikewright.toolchain.attention_block import AttentionBlock, AttentionOps, Gates, GateSource, Lowering, Operators
from spikewright.toolchain.gates import gate_function
from spikewright.toolchain.interpret.states import FloatState
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Accumulator, Affine, Array, Conv, Delay, GateNeuron, Lif, Op, Shape
from spikewright.toolchain.passes.base import in_place

Observer = Callable[[str, Array], None]
"""Told every gate that is applied: its dimension and its value, for one step, or for all where it is one for all."""


def ignore(dim: str, gate: Array) -> None:
    """Observe nothing."""


def mlp(w0: Array, w1: Array, x: Array) -> Array:
    """Return w1 relu(w0 x) along the last axis."""
    return np.maximum(x @ w0.T, 0) @ w1.T


def temporal_score(parameters: Mapping[str, Array], x: Array) -> Array:
    """Return M(avg) + M(max) over T of currents (T, B, C, ...): (T, B), before h."""
    axes = tuple(range(2, x.ndim))
    w0, w1 = parameters["ta_w0"], parameters["ta_w1"]
    return (mlp(w0, w1, x.mean(axis=axes).T) + mlp(w0, w1, x.max(axis=axes).T)).T


def temporal_operators(make: Operators, parameters: Mapping[str, Array], x: str, rank: int) -> str:
    """Write ``temporal_score`` of a current of ``rank`` axes: (T, B, 1, ...), before h."""
    w0, w1 = (make.constant(parameters[name], f"parameters/{name}") for name in ("ta_w0", "ta_w1"))
    pooled = [make.every(make.reduce(kind, x, *range(2, rank)), ()) for kind in ("ReduceMean", "ReduceMax")]
    rows = [make.mlp(w0, w1, make.node("Transpose", part, perm=[1, 0])) for part in pooled]
    score = make.node("Transpose", make.node("Add", *rows), perm=[1, 0])
    return make.reshape(score, make.timesteps, -1, *(1,) * (rank - 2))


def trailing(gate: Array, rank: int) -> Array:
    """Return a gate with axes of length 1 behind it, up to ``rank``."""
    return gate.reshape(gate.shape + (1,) * (rank - gate.ndim))


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnSpikes(AttentionBlock):
    """A neuron whose current is gated by what it sent ``gate_delay`` steps before; ``decay``: share of a count kept."""

    least_delay: ClassVar[int] = 1

    neuron: Lif = field()
    gate_delay: int = 3
    decay: float = 1.0

    def check(self) -> None:
        """Check options and parameters.

        Raises:
            ValueError: Steps, delay or decay are out of range, or a parameter has another shape.
        """
        super().check()
        if self.timesteps < 1 or self.gate_delay < self.least_delay or not 0 <= self.decay <= 1:
            raise ValueError(
                f"{type(self).__name__}: timesteps {self.timesteps}, gate_delay {self.gate_delay}, decay {self.decay}; "
                f"expected timesteps >= 1, gate_delay >= {self.least_delay}, decay in 0 .. 1"
            )

    @abstractmethod
    def mean(self, dim: str, spikes: Array) -> Array:
        """Return what is counted of one step's spikes (B, *shape)."""

    @abstractmethod
    def score(self, dim: str, count: Array) -> Array:
        """Return the argument of h for a count, (B, *gate shape) or of as many values."""

    @abstractmethod
    def drivers(self, dim: str) -> list[Op]:
        """Return the ops that make a gate from the block's spikes; the last one is its ``GateNeuron``."""

    def currents(self, operands: list[Array]) -> Array:
        """Return the current that is gated."""
        return operands[0]

    def evaluate(self, operands: list[Array]) -> tuple[Array, Array]:
        """Return spikes and membranes after reset."""
        return self.run(self.currents(operands))

    def gates_on(self, operands: list[Array]) -> dict[str, Array]:
        """Return the gates it applies, by dimension."""
        return self.observed(self.currents(operands), self.run)

    def observed(self, x: Array, run: Callable[[Array, Observer], object]) -> dict[str, Array]:
        """Return the gates of a run over currents ``x``."""
        shapes = self.gate_shapes()
        gates: dict[str, list[Array]] = {dim: [] for dim in shapes}
        run(x, lambda dim, gate: gates[dim].append(gate))
        return {dim: np.stack(found).reshape((-1, x.shape[1], *shapes[dim])) for dim, found in gates.items()}

    def run(self, x: Array, seen: Observer = ignore) -> tuple[Array, Array]:
        """Gate currents (T, B, *shape) by its own earlier spikes, and fire."""
        T, B = x.shape[:2]
        self.need_timesteps(T)
        state, shapes = FloatState(self.neuron, B), self.gate_shapes()
        counts: dict[str, Array] = {dim: np.zeros(()) for dim in shapes}
        gates: list[dict[str, Array]] = []
        ones = {dim: np.ones((B, *shape)) for dim, shape in shapes.items()}
        spikes, membranes = [], []
        for t, current in enumerate(x):
            for dim, gate in (gates[t - self.gate_delay] if t >= self.gate_delay else ones).items():
                seen(dim, gate)
                current = current * gate
            s = state.step([current])
            spikes.append(s)
            membranes.append(state.v)
            now = {}
            for dim, shape in shapes.items():
                counts[dim] = self.decay * counts[dim] + self.mean(dim, s) / T
                now[dim] = gate_function(self.gate, self.score(dim, counts[dim])).reshape(B, *shape)
            gates.append(now)
        return np.stack(spikes), np.stack(membranes)

    def lowerings(self) -> Mapping[str, Lowering]:
        """Return its lowerings."""
        return {"static": self.lower_static, "causal": self.lower_causal, "replay": self.lower_replay}

    @property
    def note(self) -> str:
        """Say where the gates come from."""
        return f"gates from its own spikes, {self.gate_delay} steps late"

    def lower_causal(self, graph: Graph, gates: Gates) -> Graph:
        """Lower exactly: what counts spikes behind the neuron, delayed gate ports in front of it."""
        return self.count_and_gate(graph, self.inputs)

    def count_and_gate(self, graph: Graph, sources: tuple[str, ...], before: Sequence[Op] = ()) -> Graph:
        """Put neuron, counts and gates in the place of the block; the current is the sum of ``sources``."""
        drivers = [self.drivers(dim) for dim in self.gate_shapes()]
        delays = [
            Delay(
                name=f"{ops[-1].name}.delay",
                inputs=(ops[-1].name,),
                block=self.block,
                steps=self.gate_delay,
                initial=1.0,
            )
            for ops in drivers
        ]
        neuron = self.gated(self.neuron, sources, [d.name for d in delays])
        return in_place(graph, self, [*before, *delays, neuron, *(op for ops in drivers for op in ops)])

    def gated_from(self, graph: Graph, source: GateSource, before: Sequence[Op] = ()) -> Graph:
        """Put the neuron, with a port for each gate, in the place of the block."""
        return self.with_ports(graph, source, self.inputs, before)

    def with_ports(self, graph: Graph, source: GateSource, drives: tuple[str, ...], before: Sequence[Op] = ()) -> Graph:
        """Put the neuron in the place of the block: its current is the sum of ``drives``, a gate comes to each port."""
        tables = [source(f"{self.name}.{dim.lower()}a.table", dim) for dim in self.gate_shapes()]
        return in_place(
            graph, self, [*before, *tables, self.gated(self.neuron, drives, [table.name for table in tables])]
        )

    def gated(self, neuron: Lif, sources: tuple[str, ...], gates: Sequence[str]) -> Lif:
        """Return the neuron under the block's name, with gate ports."""
        reads = (*sources, *gates)
        return replace(neuron, name=self.name, inputs=reads, block=self.block, shape=self.shape, gates=len(gates))

    def gate_neuron(self, key: str, source: str, dim: str, bias: Array, *, kept: bool = True) -> GateNeuron:
        """Return the neuron that turns a count (``kept`` by it, or in front of it) into the gate over ``dim``."""
        return GateNeuron(
            name=f"{self.name}.{key}.gate",
            inputs=(source,),
            block=self.block,
            shape=self.gate_shapes()[dim],
            bias=np.asarray(bias),
            decay=self.decay if kept else 0.0,
            function=self.gate,
            differences=not kept,
        )


class CountGates(OwnSpikes):
    """The gates over T, C and S as papers share them; equations above."""

    def gate_shapes(self) -> dict[str, Shape]:
        """Return the shapes of the gates over ``gate_dims``."""
        channels, *space = self.neuron.shape
        flat = (1,) * len(space)
        shapes: dict[str, Shape] = {"T": (1, *flat), "C": (channels, *flat), "S": (1, *space)}
        return {dim: shapes[dim] for dim in self.gate_dims}

    @property
    def gate_dims(self) -> str:
        """Which of T, C and S it has."""
        return "TC"

    def mean(self, dim: str, spikes: Array) -> Array:
        """Return the mean of one step's spikes over all but ``dim``: (B,), (B, C) or (B, 1, H, W)."""
        space = tuple(range(2, spikes.ndim))
        match dim:
            case "T":
                return np.asarray(spikes.mean(axis=tuple(range(1, spikes.ndim))))
            case "C":
                return np.asarray(spikes.mean(axis=space)) if space else spikes
            case _:
                return np.asarray(spikes.mean(axis=1, keepdims=True))

    def score(self, dim: str, count: Array) -> Array:
        """Return the argument of h."""
        p = self.parameters
        match dim:
            case "T":
                return np.asarray(p["ta_w"] * count + p["ta_b"])
            case "C":
                return np.asarray(mlp(p["ca_w0"], p["ca_w1"], count) + p["ca_b"])
            case _:
                pad = p["sa_kernel"].shape[-1] // 2
                return np.asarray(conv2d(count, p["sa_kernel"], (1, 1), (pad, pad)) + p["sa_b"])

    def drivers(self, dim: str) -> list[Op]:
        """Return what makes a gate from the block's spikes."""
        return {"T": self._temporal, "C": self._channel, "S": self._spatial}[dim]()

    def _temporal(self) -> list[Op]:
        n = int(np.prod(self.neuron.shape))
        weight = np.full((1, n), float(self.parameters["ta_w"]) / (n * self.timesteps))
        count = Affine(name=f"{self.name}.ta.count", inputs=(self.name,), block=self.block, weight=weight)
        return [count, self.gate_neuron("ta", count.name, "T", np.reshape(self.parameters["ta_b"], (1,)))]

    def _channel(self) -> list[Op]:
        space = int(np.prod(self.neuron.shape[1:]))
        squeeze, excite = self.parameters["ca_w0"], self.parameters["ca_w1"]
        weight = np.repeat(squeeze, space, axis=1) / (space * self.timesteps)
        count = Affine(name=f"{self.name}.ca.count", inputs=(self.name,), block=self.block, weight=weight)
        hidden = Accumulator(
            name=f"{self.name}.ca.hidden",
            inputs=(count.name,),
            block=self.block,
            shape=(squeeze.shape[0],),
            decay=self.decay,
        )
        expand = Affine(name=f"{self.name}.ca.excite", inputs=(hidden.name,), block=self.block, weight=excite)
        return [count, hidden, expand, self.gate_neuron("ca", expand.name, "C", self.parameters["ca_b"], kept=False)]

    def _spatial(self) -> list[Op]:
        channels, kernel = self.neuron.shape[0], self.parameters["sa_kernel"]
        pad = kernel.shape[-1] // 2
        weight = np.repeat(kernel, channels, axis=1) / (channels * self.timesteps)
        count = Conv(
            name=f"{self.name}.sa.count", inputs=(self.name,), block=self.block, weight=weight, padding=(pad, pad)
        )
        return [count, self.gate_neuron("sa", count.name, "S", np.reshape(self.parameters["sa_b"], (1,)))]

    def count_ops(self, spikes: float | None) -> AttentionOps:
        """Count the gates from counts: a step makes TA 1, CA 2 C h_c, SA k^2 H W MACs on one path; squeezes add events."""
        p, dims, elements = self.parameters, self.gate_dims, self.timesteps * int(np.prod(self.shape))
        step = 1 if "T" in dims else 0
        step += int(p["ca_w0"].size + p["ca_w1"].size) if "C" in dims else 0
        step += int(p["sa_kernel"].size * np.prod(self.shape[1:])) if "S" in dims else 0
        counted = elements if spikes is None else spikes
        return AttentionOps(generate=self.timesteps * step, refine=len(dims) * elements, pooling=len(dims) * counted)


CAUSAL_SHAPES: Mapping[str, Callable[[int], Mapping[str, tuple[int | None, ...]]]] = {
    "T": lambda channels: {"ta_w": (), "ta_b": ()},
    "C": lambda channels: {"ca_w0": (None, channels), "ca_w1": (channels, None), "ca_b": (channels,)},
    "S": lambda channels: {"sa_kernel": (1, 1, None, None), "sa_b": ()},
}
"""Shapes of the parameters of each gate."""
