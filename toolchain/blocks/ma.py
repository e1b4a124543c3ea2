r"""MA-SNN attention with its neuron, from the current X = BN(conv(S)) to spikes. Yao et al., TPAMI 45(8):9393-9410, 2023.

``code`` (released code): y = ta(X) X; y = ca(y) y; y = sa(y) y; y = relu(y), each gate pooled over all T; then the neuron.
    ``rectifier`` "none" leaves the relu out, as temporal-wise attention (TA-SNN) does. ``MAAttention``: y without a neuron.
``paper``: X' = ta(X) X over all T; U = beta v + gain X'; U = ca(U) U; U = sa(U) U; s = U cmp v_threshold, in the step.
``causal``, ours: gates from the neuron's own earlier spikes; equations in ``blocks.causal``.
``sda``: spike-driven attention, Luo et al., AAAI 2026 (arXiv 2512.02447), step by step; below.

    ta = h(M(avg_CHW X) + M(max_CHW X)),  M(x) = ta_w1 relu(ta_w0 x) over T;   ca: the same over C, of avg and max over HW
    sa = h(sa_kernel * [avg_C X; max_C X])

MACs of the gates per sample, and why a published form does not stream:

    TA  2 paths x 2 T h_t           waits for step T - 1
    CA  2 paths x 2 C h_c           code: once a sample, pools over all T;   paper: T times, pools the membrane inside the step
    SA  2 k^2 H W                   as CA
    causal: T (1 + 2 C h_c + k^2 H W), one path, see ``CountGates.count_ops``
    sda: none; additions

T = 8, C = 16, 8 x 8, h_t = 4, h_c = 2, k = 3:  code 128 + 128 + 1,152 = 1,408;  causal 8 (1 + 64 + 576) = 5,128.

``sda``, over the n dimensions D that there are (what it changes in the released form: ``models.attention.ma``)::

    a_T = max_CHW X > level;   a_C = max_HW X > level;   a_S = max_C X > level
    f_T[t] = sum_k ta_taps[k] a_T[t - k];   f_C = ca_w a_C;   f_S = sa_kernel * a_S;   s_D = f_D > 1/2
    X' = X + 1/n sum_D f_D prod_{E != D} s_E;   then the neuron

Lowered exactly, without a maximum of currents and without a product. A threshold behind a maximum is an OR of thresholds, and
W a times spikes is W times coincidences::

    max_n X_n > level                      memoryless neurons beside the layer's own, then OR
    (W a_D)_i prod_E s_E = sum_j W_ij (a_Dj AND prod_E s_E)      memoryless AND neurons in front of the map W / n
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from spikewright.hw_sim.linear import conv2d
from spikewright.toolchain.attention_block import AttentionBlock, AttentionOps, Gates, GateSource, Lowering, Operators
from spikewright.toolchain.blocks.causal import (
    CAUSAL_SHAPES,
    CountGates,
    Observer,
    ignore,
    temporal_operators,
    temporal_score,
    trailing,
)
from spikewright.toolchain.gates import gate_function
from spikewright.toolchain.interpret.states import FloatState
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
    Add,
    Affine,
    Array,
    Conv,
    Delay,
    GatedRelay,
    GateTable,
    Lif,
    Linear,
    Op,
    PooledGates,
    Scale,
    Shape,
)
from spikewright.toolchain.parameters import grid
from spikewright.toolchain.passes.base import in_place
from spikewright.toolchain.spike_driven.faults import unlowered
from spikewright.toolchain.spike_driven.signals import Fault, Path

if TYPE_CHECKING:
    from spikewright.toolchain.spike_driven.signals import Context, Judgement, Signal

DIMS = ("T", "C", "S", "TC", "TS", "CS", "TCS")
"""Which gates a block has: temporal, channel, spatial."""
NAMES = {"T": "TA", "C": "CA", "S": "SA"}
RECTIFIERS = ("relu", "none")
SHARP = 0.5
"""Between no spike and one; of ``sda``: the threshold of s_D, as released (a clamped sum, rounded)."""
RETRAIN = "deploy with --gates static, or train variant 'causal'"
NO_NEURON = "it sends a gated current, a real value in every step, to a sum or to several readers: no event carries it"
BEFORE_NEURON = "let one neuron, and nothing else, read the attention: then its gates scale the neuron's current"


def pooled_shapes(dims: str, steps: int, channels: int) -> dict[str, tuple[int | None, ...]]:
    """Return the shapes of the weights of gates that pool, as far as ``dims`` names them."""
    pooled: dict[str, dict[str, tuple[int | None, ...]]] = {
        "T": {"ta_w0": (None, steps), "ta_w1": (steps, None)},
        "C": {"ca_w0": (None, channels), "ca_w1": (channels, None)},
        "S": {"sa_kernel": (1, 2, None, None)},
    }
    return {name: shape for dim in dims for name, shape in pooled[dim].items()}


def attended(block: MALIF | MAAttention, x: Array, seen: Observer) -> Array:
    """Return the released code's gated current of currents ``x`` (T, B, *shape), its rectifier included."""
    if "T" in block.dims:
        block.need_timesteps(x.shape[0])
        gate = gate_function(block.gate, temporal_score(block.parameters, x))
        for row in gate:
            seen("T", row)
        x = x * trailing(gate, x.ndim)
    if "C" in block.dims:
        pooled = (0, *range(3, x.ndim))
        gate = pools(block, "C").channel(x.mean(axis=pooled), x.max(axis=pooled))
        seen("C", gate)
        x = x * trailing(gate[None], x.ndim)
    if "S" in block.dims:
        gate = pools(block, "S").space(x.mean(axis=(0, 2)), x.max(axis=(0, 2)))
        seen("S", gate)
        x = x * gate[None, :, None]
    return np.maximum(x, 0) if block.rectifier == "relu" else x


def pools(block: MALIF | MAAttention, dims: str) -> PooledGates:
    """Return CA and SA, as far as ``dims`` names them, as gates of an average and a maximum."""
    channel, p = "C" in dims, block.parameters
    return PooledGates(
        block.gate,
        p["ca_w0"] if channel else None,
        p["ca_w1"] if channel else None,
        p["sa_kernel"] if "S" in dims else None,
    )


def time_operators(block: MALIF | MAAttention, make: Operators, x: str) -> str:
    """Write TA's gate of x (T, B, *shape): (T, B, 1, ...)."""
    return make.gate(block.gate, temporal_operators(make, block.parameters, x, len(block.shape) + 2))


def channel_operators(block: MALIF | MAAttention, make: Operators, x: str, pooled: tuple[int, ...]) -> str:
    """Write CA's gate of x, whose axes ``pooled`` go: (B, C, 1, 1)."""
    w0, w1 = (make.constant(block.parameters[name], f"parameters/{name}") for name in ("ca_w0", "ca_w1"))
    rows = [make.mlp(w0, w1, make.reduce(kind, x, *pooled)) for kind in ("ReduceMean", "ReduceMax")]
    gate = make.gate(block.gate, make.node("Add", *rows))
    return make.reshape(gate, -1, block.shape[0], *(1,) * len(block.shape[1:]))


def spatial_operators(block: MALIF | MAAttention, make: Operators, x: str, pooled: tuple[int, ...]) -> str:
    """Write SA's gate of x, whose axes ``pooled`` go: (B, 1, H, W)."""
    space = block.shape[1:]
    maps = [make.reshape(make.reduce(kind, x, *pooled), -1, 1, *space) for kind in ("ReduceMean", "ReduceMax")]
    both = make.node("Concat", *maps, axis=1)
    return make.gate(block.gate, make.same(both, (2, *space), block.parameters["sa_kernel"], "parameters/sa_kernel"))


def attended_operators(block: MALIF | MAAttention, make: Operators, x: str) -> str:
    """Write ``attended`` of x (T, B, *shape)."""
    if "T" in block.dims:
        x = make.node("Mul", x, time_operators(block, make, x))
    if "C" in block.dims:
        x = make.node("Mul", x, channel_operators(block, make, x, (0, *range(3, len(block.shape) + 2))))
    if "S" in block.dims:
        x = make.node("Mul", x, spatial_operators(block, make, x, (0, 2)))
    return make.node("Relu", x) if block.rectifier == "relu" else x


def pooled_cost(block: MALIF | MAAttention, times: int) -> AttentionOps:
    """Count the operations of pooled gates per sample, CA and SA made ``times`` times."""
    p, dims, elements = block.parameters, block.dims, block.timesteps * prod(block.shape)
    mlps = int(p["ta_w0"].size + p["ta_w1"].size) if "T" in dims else 0
    mlps += times * int(p["ca_w0"].size + p["ca_w1"].size) if "C" in dims else 0
    space = times * int(p["sa_kernel"].size) * prod(block.shape[1:]) if "S" in dims else 0
    return AttentionOps(
        generate=mlps + space, maxpath=mlps, refine=len(dims) * elements, pooling=2 * len(dims) * elements
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class MALIF(CountGates):
    """Attention and its neuron; equations above.

    ``parameters``, as far as ``dims`` names them: paper and code ta_w0 (h, T), ta_w1 (T, h), ca_w0 (h, C), ca_w1 (C, h),
    sa_kernel (1, 2, k, k); causal ta_w (), ta_b (), ca_w0, ca_w1, ca_b (C,), sa_kernel (1, 1, k, k), sa_b (); sda level (),
    ta_taps (n,), ca_w (C, C), sa_kernel (1, 1, k, k).
    """

    kind: ClassVar[str] = "ma"
    former: ClassVar[tuple[str, ...]] = ("AttentiveLif",)
    advice: ClassVar[str] = "deploy with --gates static, or train the causal variant and deploy with --gates causal"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "variant": ("paper", "code", "causal", "sda"),
        "dims": DIMS,
        "rectifier": RECTIFIERS,
    }

    dims: str
    variant: Literal["paper", "code", "causal", "sda"]
    rectifier: Literal["relu", "none"] = "relu"
    """Of variant ``code``: the others have none."""

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"MA attention ({self.dims}, variant {self.variant!r})"

    @property
    def gate_dims(self) -> str:
        """Which of T, C and S it has."""
        return self.dims

    def expected(self) -> Mapping[str, tuple[int | None, ...]]:
        """Return the shapes of its parameters."""
        if self.variant == "sda":
            return sda_shapes(self.dims, self.shape[0])
        if self.variant != "causal":
            return pooled_shapes(self.dims, self.timesteps, self.shape[0])
        return {name: shape for dim in self.dims for name, shape in CAUSAL_SHAPES[dim](self.shape[0]).items()}

    # ------------------------------------------------------------------------------------------ its meaning
    def run(self, x: Array, seen: Observer = ignore) -> tuple[Array, Array]:
        """Return spikes and membranes after reset, (T, B, *shape)."""
        if self.variant == "causal":
            return super().run(x, seen)
        if self.variant == "code":
            return self._fire(attended(self, x, seen))
        if self.variant == "sda":
            return self._fire(enhanced(self, x, seen))
        if "T" in self.dims:
            self.need_timesteps(x.shape[0])
            gate = gate_function(self.gate, temporal_score(self.parameters, x))
            for row in gate:
                seen("T", row)
            x = x * trailing(gate, x.ndim)
        return self._paper(x, seen)

    def _fire(self, x: Array) -> tuple[Array, Array]:
        """Run the neuron on gated currents."""
        state = FloatState(self.neuron, x.shape[1])
        spikes, membranes = [], []
        for current in x:
            spikes.append(state.step([current]))
            membranes.append(state.v)
        return np.stack(spikes), np.stack(membranes)

    def _paper(self, x: Array, seen: Observer) -> tuple[Array, Array]:
        """Apply channel and spatial gates to the membrane, between integration and firing."""
        neuron = self.neuron
        beta, gain, leak = (grid(p, neuron.shape) for p in (neuron.beta, neuron.gain, neuron.leak))
        state, gates = FloatState(neuron, x.shape[1]), pools(self, self.dims)
        spikes, membranes = [], []
        for current in x:
            u = beta * state.v + gain * current + leak
            spikes.append(state.fire(neuron, gates.scaled(u, seen)))
            membranes.append(state.v)
        return np.stack(spikes), np.stack(membranes)

    def operators(self, make: Operators, operands: list[str]) -> str:
        """Write the published variants."""
        x = make.every(operands[0], self.shape)
        if self.variant == "code":
            return make.lif(self.neuron, attended_operators(self, make, x))
        if "T" in self.dims:
            x = make.node("Mul", x, time_operators(self, make, x))
        return make.steps(make.states(self.neuron), [(x, self.shape)], partial(self._paper_step, make))[0]

    def _paper_step(self, make: Operators, states: list[str], inputs: list[str]) -> tuple[list[str], list[str]]:
        """Write one step of ``_paper``."""
        n, space = self.neuron, tuple(range(2, len(self.shape) + 1))
        beta, gain, leak = (
            make.parameter(value, n.shape, f"neuron/{name}")
            for name, value in (("beta", n.beta), ("gain", n.gain), ("leak", n.leak))
        )
        u = make.node("Add", make.node("Mul", states[0], beta), make.node("Mul", inputs[0], gain))
        u = make.node("Add", u, leak)
        if "C" in self.dims:
            u = make.node("Mul", u, channel_operators(self, make, u, space))
        if "S" in self.dims:
            u = make.node("Mul", u, spatial_operators(self, make, u, (1,)))
        spikes, after = make.fire(n, u, states)
        return after, [spikes]

    # -------------------------------------------------------------------------------------------- lowerings
    @property
    def pools_membranes(self) -> bool:
        """Whether a gate reads membranes between integrating and firing."""
        return self.variant == "paper" and bool(set("CS") & set(self.dims))

    @property
    def looks_ahead(self) -> bool:
        """Whether a gate needs later steps."""
        return self.variant == "code" or (self.variant == "paper" and "T" in self.dims)

    def refusal(self, strategy: str) -> str:
        """Return why it cannot be lowered by a strategy; "" where it can."""
        if self.variant == "sda" and strategy == "static":
            return "what it adds to the current follows the spikes of every step: no constant gate scales it"
        if strategy == "barrier" and self.pools_membranes:
            return "its temporal gate needs all T steps, which no wait inside a step brings" if "T" in self.dims else ""
        if strategy != "causal" or self.variant in ("causal", "sda"):
            return super().refusal(strategy)
        return _not_yet(self.dims, self.variant)

    def lowerings(self) -> Mapping[str, Lowering]:
        """Return its lowerings."""
        if self.variant == "sda":
            return {"causal": self.lower_sda}
        return {**super().lowerings(), "barrier": self.lower_barrier}

    @property
    def note(self) -> str:
        """Say where the gates come from."""
        return "gates from spikes of the same step" if self.variant == "sda" else super().note

    def gated_from(self, graph: Graph, source: GateSource, before: Sequence[Op] = ()) -> Graph:
        """Put gates on the current; the paper's channel and space gates on the membrane."""
        neuron = replace(self.neuron, rectify=self.variant == "code" and self.rectifier == "relu")
        tables = [source(f"{self.name}.{dim.lower()}a.table", dim) for dim in self.dims]
        neuron = self.gated(neuron, self.inputs, [table.name for table in tables])
        on_membrane = len(self._on_membrane) if self.variant == "paper" else 0
        return in_place(graph, self, [*before, *tables, replace(neuron, membrane_gates=on_membrane)])

    @property
    def _on_membrane(self) -> str:
        return "".join(dim for dim in self.dims if dim != "T")

    def lower_static(self, graph: Graph, gates: Gates) -> Graph:
        """Put tables in the place of the gates; a constant above 0 on the membrane is one of its decay and its gain."""
        constant = {dim: gates[dim].mean(axis=0, keepdims=True) for dim in self._on_membrane}
        if self.variant != "paper" or not all((gate > 0).all() for gate in constant.values()):
            return super().lower_static(graph, {**gates, **constant} if self.variant == "paper" else gates)
        neuron = self.neuron
        for gate in constant.values():
            gain = np.broadcast_to(grid(gate[0], self.shape), self.shape)
            beta, drive, leak = (grid(p, self.shape) * gain for p in (neuron.beta, neuron.gain, neuron.leak))
            neuron = replace(neuron, beta=beta, gain=drive, leak=leak)
        tables = [
            GateTable(name=f"{self.name}.{dim.lower()}a.table", block=self.block, table=gates[dim])
            for dim in self.dims
            if dim not in constant
        ]
        return in_place(graph, self, [*tables, self.gated(neuron, self.inputs, [table.name for table in tables])])

    def lower_barrier(self, graph: Graph, gates: Gates) -> Graph:
        """Let the neurons pool their membranes inside the step."""
        return in_place(graph, self, [replace(self.gated(self.neuron, self.inputs, []), pooled=pools(self, self.dims))])

    def lower_sda(self, graph: Graph, gates: Gates) -> Graph:
        """Lower exactly: spikes, OR, AND; see the module's equations."""
        return in_place(graph, self, SpikeDriven(self).ops())

    # ------------------------------------------------------------------------------- its cost, the checker's rule
    def cost(self, spikes: float | None = None) -> AttentionOps:
        """Count its operations per sample; terms above."""
        if self.variant == "causal":
            return self.count_ops(spikes)
        if self.variant == "sda":
            n = len(self.dims) * self.timesteps * prod(self.shape)
            return AttentionOps(refine=n, pooling=n)
        return pooled_cost(self, self.timesteps if self.variant == "paper" else 1)

    def judge(self, operands: list[Signal], ctx: Context) -> Judgement:
        """Name gates that need later steps, and dense work inside the step."""
        ahead = self.looks_ahead
        return unlowered(
            self,
            operands,
            ctx,
            lambda path: [fault for fault in (self._over_time(path), self._in_step(path)) if fault is not None],
            scope="sequence" if ahead else "state",
            causal=not ahead,
            barrier=self.pools_membranes,
            gates=len(self.dims),
            pooled=2 * len(self.dims),
        )

    def _over_time(self, path: Path) -> Fault | None:
        """Gates that need all T steps: TA always, every gate of the released code."""
        late = self.dims if self.variant == "code" else "".join(d for d in self.dims if d == "T")
        return waits(self, f"MALIF {self.name!r} (MA {self.dims}, variant {self.variant!r})", late, path)

    def _in_step(self, path: Path) -> Fault | None:
        """CA and SA of the paper: dense work on the membrane between integration and firing."""
        late = "".join(d for d in self.dims if d != "T")
        if self.variant != "paper" or not late:
            return None
        gates, s = _named(late)
        return Fault(
            f"MALIF {self.name!r} (MA {self.dims}, variant {self.variant!r}) computes dense gates inside the step: its "
            f"{gates} pool{s} all membranes before any neuron may fire",
            RETRAIN,
            path,
            f"{gates} read{s} {prod(self.shape):,} membrane values every step, event or not",
        )


# ------------------------------------------------------------------------------------- spike-driven attention
POOLED: Mapping[str, slice] = {"T": slice(2, None), "C": slice(3, None), "S": slice(2, 3)}
"""Axes of a current (T, B, C, ...) that the maximum of each dimension goes over."""


def sda_shapes(dims: str, channels: int) -> dict[str, tuple[int | None, ...]]:
    """Return the shapes of the weights of ``sda``."""
    each: dict[str, tuple[str, tuple[int | None, ...]]] = {
        "T": ("ta_taps", (None,)),
        "C": ("ca_w", (channels, channels)),
        "S": ("sa_kernel", (1, 1, None, None)),
    }
    return {"level": (), **dict(each[dim] for dim in dims)}


def enhanced(block: MALIF, x: Array, seen: Observer) -> Array:
    """Return X' of currents ``x`` (T, B, C, ...); ``seen`` is told s_D."""
    p, found, fired = block.parameters, dict[str, Array](), dict[str, Array]()
    for dim in block.dims:
        axes = tuple(range(x.ndim)[POOLED[dim]])
        a = (x.max(axis=axes, keepdims=True) if axes else x) > p["level"]
        found[dim] = _weighted(dim, p, a.astype(float))
        fired[dim] = (found[dim] > SHARP).astype(float)
        for row in fired[dim]:
            seen(dim, row)
    added = (np.asarray(f * prod(s for other, s in fired.items() if other != dim)) for dim, f in found.items())
    return np.asarray(x + sum(added, np.zeros_like(x)) / len(block.dims))


def _weighted(dim: str, p: Mapping[str, Array], a: Array) -> Array:
    """Return f_D of spikes a_D (T, B, ...)."""
    match dim:
        case "T":
            late = [np.concatenate([np.zeros_like(a[:k]), a[: len(a) - k]]) for k in range(len(p["ta_taps"]))]
            return sum((w * part for w, part in zip(p["ta_taps"], late, strict=True)), np.zeros_like(a))
        case "C":
            return np.moveaxis(np.moveaxis(a, 2, -1) @ p["ca_w"].T, -1, 2)
        case _:
            pad = p["sa_kernel"].shape[-1] // 2
            return conv2d(a.reshape(-1, *a.shape[2:]), p["sa_kernel"], (1, 1), (pad, pad)).reshape(a.shape)


@dataclass(frozen=True)
class SpikeDriven:
    """The neurons and synapses of a block of variant ``sda``."""

    block: MALIF

    @property
    def _space(self) -> Shape:
        return self.block.shape[1:] or (1, 1)

    def ops(self) -> list[Op]:
        """Return all ops; the last one is the block's neuron."""
        block, dims = self.block, self.block.dims
        level = float(block.parameters["level"])
        crossed = self._neurons("crossed", block.inputs, block.shape, level)
        pools = self._pools(crossed.name)
        taps = self._late()
        spikes = {dim: f"{block.name}.any.{dim.lower()}" for dim in dims}
        masks = [op for dim in dims for op in self._mask(dim, spikes[dim], taps)]
        joined, maps = list[Op](), list[str]()
        for dim in dims:
            others = [f"{block.name}.mask.{other.lower()}" for other in dims if other != dim]
            for k, source in enumerate(taps if dim == "T" else [spikes[dim]]):
                key = f"{dim.lower()}{k or ''}"
                ops = self._coincidences(key, dim, source, others)
                joined += [*ops, self._added(key, dim, ops[-1].name, k)]
                maps.append(joined[-1].name)
        delays = [op for op in self._delays() if "T" in dims]
        neuron = replace(block.neuron, name=block.name, inputs=(*block.inputs, *maps), block=block.block)
        return [crossed, *pools, *delays, *masks, *joined, replace(neuron, shape=block.shape)]

    def _pools(self, crossed: str) -> list[Op]:
        """Return OR over what each dimension leaves out; that over all goes by way of the channels."""
        dims, (channels, *_), name = self.block.dims, self.block.shape, f"{self.block.name}.any."
        ops: list[Op] = []
        if "C" in dims or "T" in dims:
            ops += self._or("c", crossed, np.ones((channels, 1, *self._space)), self._shape("C"), groups=channels)
        if "S" in dims:
            ops += self._or("s", crossed, np.ones((1, channels, 1, 1)), self._shape("S"))
        if "T" in dims:
            ops += self._or("t", f"{name}c", np.ones((1, channels, 1, 1)), self._shape("T"))
        return ops

    def _or(self, key: str, reads: str, weight: Array, shape: Shape, groups: int = 1) -> list[Op]:
        count = self._map(f"count.{key}", reads, weight, groups=groups)
        return [count, self._neurons(f"any.{key}", (count.name,), shape, SHARP)]

    def _delays(self) -> list[Op]:
        steps = range(1, len(self.block.parameters["ta_taps"])) if "T" in self.block.dims else ()
        name, block = f"{self.block.name}.any.t", self.block.block
        return [Delay(name=f"{name}{k}", inputs=(name,), block=block, steps=k) for k in steps]

    def _late(self) -> list[str]:
        return [f"{self.block.name}.any.t", *(op.name for op in self._delays())]

    def _mask(self, dim: str, spikes: str, taps: list[str]) -> list[Op]:
        """Return the neurons of s_D, where another dimension reads them."""
        if len(self.block.dims) == 1:
            return []
        key = dim.lower()
        maps = [
            self._inner(f"weighed.{key}{k or ''}", dim, s, k) for k, s in enumerate(taps if dim == "T" else [spikes])
        ]
        return [*maps, self._neurons(f"mask.{key}", tuple(op.name for op in maps), self._shape(dim), SHARP)]

    def _inner(self, key: str, dim: str, reads: str, tap: int) -> Op:
        """Return W_D of spikes of the dimension's own shape."""
        p = self.block.parameters
        match dim:
            case "T":
                return self._map(key, reads, np.full((1, 1, 1, 1), p["ta_taps"][tap]))
            case "C":
                return self._map(key, reads, p["ca_w"][:, :, None, None])
            case _:
                return self._map(key, reads, p["sa_kernel"], padding=self._pad)

    def _coincidences(self, key: str, dim: str, source: str, others: list[str]) -> list[Op]:
        """Return neurons of the layer's shape that fire where a spike of a dimension meets the masks of the others."""
        reads = {source: dim} | {name: name[-1].upper() for name in others}
        spread = [self._spread(f"{key}.{n}", name, of) for n, (name, of) in enumerate(reads.items())]
        names = tuple(op.name for op in spread)
        return [*spread, self._neurons(f"{key}.meet", names, self.block.shape, len(names) - SHARP)]

    def _spread(self, key: str, reads: str, dim: str) -> Op:
        """Return synapses from a spike of a dimension to all neurons that it stands for."""
        channels, (height, width) = self.block.shape[0], self._space
        wide = (height - 1, width - 1)
        match dim:
            case "T":
                return self._map(key, reads, np.ones((channels, 1, *self._space)), padding=wide)
            case "C":
                return self._map(key, reads, np.ones((channels, 1, *self._space)), padding=wide, groups=channels)
            case _:
                return self._map(key, reads, np.ones((channels, 1, 1, 1)))

    def _added(self, key: str, dim: str, reads: str, tap: int) -> Op:
        """Return the map W_D / n from coincidences to the layer's neurons."""
        p, channels, n = self.block.parameters, self.block.shape[0], len(self.block.dims)
        match dim:
            case "T":
                weight = np.full((channels, 1, 1, 1), p["ta_taps"][tap] / n)
                return self._map(f"{key}.added", reads, weight, groups=channels)
            case "C":
                return self._map(f"{key}.added", reads, p["ca_w"][:, :, None, None] / n)
            case _:
                kernel = np.repeat(p["sa_kernel"], channels, axis=0) / n
                return self._map(f"{key}.added", reads, kernel, padding=self._pad, groups=channels)

    @property
    def _pad(self) -> tuple[int, int]:
        side = self.block.parameters["sa_kernel"].shape[-1] // 2
        return (side, side)

    def _shape(self, dim: str) -> Shape:
        return self.block.gate_shapes()[dim] if dim in self.block.dims else (self.block.shape[0], *self._ones)

    @property
    def _ones(self) -> Shape:
        return (1,) * (len(self.block.shape) - 1)

    def _map(
        self, key: str, reads: str, weight: Array, *, padding: tuple[int, int] = (0, 0), groups: int = 1
    ) -> Linear:
        """Return a convolution; of features without space, the matrix that it is at one place."""
        name, block = f"{self.block.name}.{key}", self.block.block
        if len(self.block.shape) > 1:
            return Conv(name=name, inputs=(reads,), block=block, weight=weight, padding=padding, groups=groups)
        flat = weight[:, :, 0, 0] if groups == 1 else np.diag(weight[:, 0, 0, 0])
        return Affine(name=name, inputs=(reads,), block=block, weight=flat)

    def _neurons(self, key: str, reads: tuple[str, ...], shape: Shape, threshold: float) -> Lif:
        """Return neurons without memory."""
        return Lif(
            name=f"{self.block.name}.{key}",
            inputs=reads,
            block=self.block.block,
            shape=shape,
            beta=np.zeros(()),
            v_threshold=np.full((), threshold),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class MAAttention(AttentionBlock):
    """The released code's attention alone, from current to gated current: ``code`` above without the neuron.

    Lowered to neurons of its own that send y, at least 0, as payloads (``GatedRelay``); without the rectifier y = y+ - y-.
    ``parameters`` as MALIF's of variant ``code``.
    """

    kind: ClassVar[str] = "ma-attention"
    spiking: ClassVar[bool] = False
    gates_currents: ClassVar[bool] = True
    advice: ClassVar[str] = "deploy with --gates static (or replay)"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dims": DIMS, "rectifier": RECTIFIERS}

    dims: str
    rectifier: Literal["relu", "none"] = "relu"

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"MA attention without a neuron ({self.dims})"

    def expected(self) -> Mapping[str, tuple[int | None, ...]]:
        """Return the shapes of its parameters."""
        return pooled_shapes(self.dims, self.timesteps, self.shape[0])

    def evaluate(self, operands: list[Array]) -> tuple[Array, None]:
        """Return the gated current."""
        return attended(self, operands[0], ignore), None

    def operators(self, make: Operators, operands: list[str]) -> str:
        """Write the gated current."""
        return attended_operators(self, make, make.every(operands[0], self.shape))

    def gates_on(self, operands: list[Array]) -> dict[str, Array]:
        """Return the gates it applies, by dimension."""
        shapes, found = self.gate_shapes(), dict[str, list[Array]]()
        attended(self, operands[0], lambda dim, gate: found.setdefault(dim, []).append(gate))
        batch = operands[0].shape[1]
        return {dim: np.stack(rows).reshape((-1, batch, *shapes[dim])) for dim, rows in found.items()}

    def gate_shapes(self) -> dict[str, Shape]:
        """Return the shapes of its gates."""
        channels, *space = self.shape
        flat = (1,) * len(space)
        shapes: dict[str, Shape] = {"T": (1, *flat), "C": (channels, *flat), "S": (1, *space)}
        return {dim: shapes[dim] for dim in self.dims}

    @property
    def looks_ahead(self) -> bool:
        """Its gates need all T steps."""
        return True

    def refusal(self, strategy: str) -> str:
        """Return why it cannot be lowered by a strategy; "" where it can."""
        return _not_yet(self.dims, "code") if strategy == "causal" else super().refusal(strategy)

    def lowerings(self) -> Mapping[str, Lowering]:
        """Return its lowerings: relays of its own, with gate ports."""
        return {"static": self.lower_static, "replay": self.lower_replay}

    def gated_from(self, graph: Graph, source: GateSource, before: Sequence[Op] = ()) -> Graph:
        """Put rectified relays with gates in its place; without a rectifier two, of which one has its signs turned."""
        tables = [source(f"{self.name}.{dim.lower()}a.table", dim) for dim in self.dims]
        ports = tuple(table.name for table in tables)

        def relay(name: str, reads: tuple[str, ...]) -> GatedRelay:
            return GatedRelay(name=name, inputs=(*reads, *ports), block=self.block, shape=self.shape, gates=len(ports))

        if self.rectifier == "relu":
            return in_place(graph, self, [*before, *tables, relay(self.name, self.inputs)])
        minus, above, below = (f"{self.name}.{word}" for word in ("minus", "above", "below"))
        turned = Scale(name=minus, inputs=self.inputs, block=self.block, scale=np.full((), -1.0))
        parts = [turned, relay(above, self.inputs), relay(below, (minus,))]
        back = Scale(name=f"{below}.minus", inputs=(below,), block=self.block, scale=np.full((), -1.0))
        total = Add(name=self.name, inputs=(above, back.name), block=self.block)
        return in_place(graph, self, [*before, *tables, *parts, back, total])

    def cost(self, spikes: float | None = None) -> AttentionOps:
        """Count its operations per sample; terms above."""
        return pooled_cost(self, 1)

    def judge(self, operands: list[Signal], ctx: Context) -> Judgement:
        """Name gates that need later steps, and what it sends."""
        return unlowered(
            self,
            operands,
            ctx,
            lambda path: [
                *filter(None, [waits(self, f"MAAttention {self.name!r} (MA {self.dims})", self.dims, path)]),
                Fault(
                    f"MAAttention {self.name!r} has no neuron: {NO_NEURON}", BEFORE_NEURON, path, "it sends real values"
                ),
            ],
            scope="sequence",
            causal=False,
            gates=len(self.dims),
            pooled=2 * len(self.dims),
        )


def waits(block: MALIF | MAAttention, title: str, late: str, path: Path) -> Fault | None:
    """Return the fault of gates that pool over all T steps, if there are any."""
    if not late:
        return None
    (gates, s), last = _named(late), block.timesteps - 1
    return Fault(
        f"{title} is not causal: its {gates} pool{s} over all {block.timesteps} steps, so step 0 waits for step {last}",
        RETRAIN if block.spiking else BEFORE_NEURON,
        path,
        f"{gates} of step 0 read{s} the current of step {last}",
    )


def _not_yet(dims: str, variant: str) -> str:
    """Return why published gates do not come from earlier events."""
    words = {"T": "temporal", "C": "channel", "S": "spatial"}
    others = [words[dim] for dim in dims if dim != "T"]
    gates, s = f"its {' and '.join(others)} gate{'s' if len(others) > 1 else ''}", "" if len(others) > 1 else "s"
    late = ["its temporal gate needs all T steps"] if "T" in dims else []
    if others and variant == "code":
        late.append(f"{gates} pool{s} over all T steps, of which most have not arrived")
    elif others:
        late.append(f"{gates} read{s} the membrane inside the step, before any neuron may fire")
    return ", and ".join(late)


def _named(dims: str) -> tuple[str, str]:
    """Return ("CA and SA", "") or ("TA", "s"): names of gates, and the ending of their verb."""
    return " and ".join(NAMES[d] for d in dims), "" if len(dims) > 1 else "s"
