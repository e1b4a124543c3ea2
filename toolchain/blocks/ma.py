r"""MA-SNN attention with its neuron, from the current X = BN(conv(S)) to spikes. Yao et al., TPAMI 45(8):9393-9410, 2023.

``code`` (released code): y = ta(X) X; y = ca(y) y; y = sa(y) y; y = relu(y), each gate pooled over all T; then the neuron.
    ``rectifier`` "none" leaves the relu out, as temporal-wise attention (TA-SNN) does. ``MAAttention``: y without a neuron.
``paper``: X' = ta(X) X over all T; U = beta v + gain X'; U = ca(U) U; U = sa(U) U; s = U cmp v_threshold, in the step.
``causal``, ours: gates from the neuron's own earlier spikes; equations in ``blocks.causal``.

    ta = h(M(avg_CHW X) + M(max_CHW X)),  M(x) = ta_w1 relu(ta_w0 x) over T;   ca: the same over C, of avg and max over HW
    sa = h(sa_kernel * [avg_C X; max_C X])

MACs of the gates per sample, and why a published form does not stream:

    TA  2 paths x 2 T h_t           waits for step T - 1
    CA  2 paths x 2 C h_c           code: once a sample, pools over all T;   paper: T times, pools the membrane inside the step
    SA  2 k^2 H W                   as CA
    causal: T (1 + 2 C h_c + k^2 H W), one path, see ``CountGates.count_ops``

T = 8, C = 16, 8 x 8, h_t = 4, h_c = 2, k = 3:  code 128 + 128 + 1,152 = 1,408;  causal 8 (1 + 64 + 576) = 5,128.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

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
from spikewright.toolchain.ops import Array, GateTable, Op, PooledGates, Shape
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
    sa_kernel (1, 2, k, k); causal ta_w (), ta_b (), ca_w0, ca_w1, ca_b (C,), sa_kernel (1, 1, k, k), sa_b ().
    """

    kind: ClassVar[str] = "ma"
    former: ClassVar[tuple[str, ...]] = ("AttentiveLif",)
    advice: ClassVar[str] = "deploy with --gates static, or train the causal variant and deploy with --gates causal"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "variant": ("paper", "code", "causal"),
        "dims": DIMS,
        "rectifier": RECTIFIERS,
    }

    dims: str
    variant: Literal["paper", "code", "causal"]
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
        if strategy == "barrier" and self.pools_membranes:
            return "its temporal gate needs all T steps, which no wait inside a step brings" if "T" in self.dims else ""
        if strategy != "causal" or self.variant == "causal":
            return super().refusal(strategy)
        words = {"T": "temporal", "C": "channel", "S": "spatial"}
        others = [words[dim] for dim in self.dims if dim != "T"]
        gates, s = f"its {' and '.join(others)} gate{'s' if len(others) > 1 else ''}", "" if len(others) > 1 else "s"
        late = ["its temporal gate needs all T steps"] if "T" in self.dims else []
        if others and self.variant == "code":
            late.append(f"{gates} pool{s} over all T steps, of which most have not arrived")
        elif others:
            late.append(f"{gates} read{s} the membrane inside the step, before any neuron may fire")
        return ", and ".join(late)

    def lowerings(self) -> Mapping[str, Lowering]:
        """Return its lowerings."""
        return {**super().lowerings(), "barrier": self.lower_barrier}

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

    # ------------------------------------------------------------------------------- its cost, the checker's rule
    def cost(self, spikes: float | None = None) -> AttentionOps:
        """Count its operations per sample; terms above."""
        if self.variant == "causal":
            return self.count_ops(spikes)
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


@dataclass(frozen=True, eq=False, kw_only=True)
class MAAttention(AttentionBlock):
    """The released code's attention alone, from current to gated current: ``code`` above without the neuron.

    ``parameters`` as MALIF's of variant ``code``.
    """

    kind: ClassVar[str] = "ma-attention"
    spiking: ClassVar[bool] = False
    advice: ClassVar[str] = BEFORE_NEURON
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

    def refusal(self, strategy: str) -> str:
        """Return why no strategy lowers it."""
        return NO_NEURON

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


def _named(dims: str) -> tuple[str, str]:
    """Return ("CA and SA", "") or ("TA", "s"): names of gates, and the ending of their verb."""
    return " and ".join(NAMES[d] for d in dims), "" if len(dims) > 1 else "s"
