r"""MA-SNN attention with its neuron, from the current X = BN(conv(S)) to spikes. Yao et al., TPAMI 45(8):9393-9410, 2023.

``code`` (released code): y = ta(X) X; y = ca(y) y; y = sa(y) y; y = relu(y), each gate pooled over all T; then the neuron.
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

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from spikewright.hw_sim.linear import conv2d
from spikewright.toolchain.attention_block import AttentionOps, Gates
from spikewright.toolchain.blocks.causal import (
    CAUSAL_SHAPES,
    CountGates,
    Observer,
    ignore,
    mlp,
    temporal_score,
    trailing,
)
from spikewright.toolchain.gates import gate_function
from spikewright.toolchain.interpret.states import FloatState, grid
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array, GateTable, Op
from spikewright.toolchain.passes.base import in_place
from spikewright.toolchain.spike_driven.faults import unlowered
from spikewright.toolchain.spike_driven.signals import Fault, Path

if TYPE_CHECKING:
    from spikewright.toolchain.spike_driven.signals import Context, Judgement, Signal

DIMS = ("T", "C", "S", "TC", "TS", "CS", "TCS")
"""Which gates a block has: temporal, channel, spatial."""
NAMES = {"T": "TA", "C": "CA", "S": "SA"}
RETRAIN = "deploy with --gates static, or train variant 'causal'"


@dataclass(frozen=True, eq=False, kw_only=True)
class MALIF(CountGates):
    """Attention and its neuron; equations above.

    ``parameters``, as far as ``dims`` names them: paper and code ta_w0 (h, T), ta_w1 (T, h), ca_w0 (h, C), ca_w1 (C, h),
    sa_kernel (1, 2, k, k); causal ta_w (), ta_b (), ca_w0, ca_w1, ca_b (C,), sa_kernel (1, 1, k, k), sa_b ().
    """

    kind: ClassVar[str] = "ma"
    former: ClassVar[tuple[str, ...]] = ("AttentiveLif",)
    advice: ClassVar[str] = "deploy with --gates static, or train the causal variant and deploy with --gates causal"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"variant": ("paper", "code", "causal"), "dims": DIMS}

    dims: str
    variant: Literal["paper", "code", "causal"]

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
        channels, steps = self.shape[0], self.timesteps
        pooled: dict[str, dict[str, tuple[int | None, ...]]] = {
            "T": {"ta_w0": (None, steps), "ta_w1": (steps, None)},
            "C": {"ca_w0": (None, channels), "ca_w1": (channels, None)},
            "S": {"sa_kernel": (1, 2, None, None)},
        }
        found: dict[str, tuple[int | None, ...]] = {}
        for dim in self.dims:
            found |= CAUSAL_SHAPES[dim](channels) if self.variant == "causal" else pooled[dim]
        return found

    # ------------------------------------------------------------------------------------------ its meaning
    def run(self, x: Array, seen: Observer = ignore) -> tuple[Array, Array]:
        """Return spikes and membranes after reset, (T, B, *shape)."""
        if self.variant == "causal":
            return super().run(x, seen)
        if "T" in self.dims:
            self.need_timesteps(x.shape[0])
            gate = gate_function(self.gate, temporal_score(self.parameters, x))
            for row in gate:
                seen("T", row)
            x = x * trailing(gate, x.ndim)
        return self._code(x, seen) if self.variant == "code" else self._paper(x, seen)

    def _code(self, x: Array, seen: Observer) -> tuple[Array, Array]:
        """Run the released code behind its temporal gate: channel and spatial gates over all T, a rectifier, the neuron."""
        if "C" in self.dims:
            pooled = (0, *range(3, x.ndim))
            gate = self._channel_gate(x.mean(axis=pooled), x.max(axis=pooled))
            seen("C", gate)
            x = x * trailing(gate[None], x.ndim)
        if "S" in self.dims:
            gate = self._spatial_gate(x.mean(axis=(0, 2)), x.max(axis=(0, 2)))
            seen("S", gate)
            x = x * gate[None, :, None]
        state = FloatState(self.neuron, x.shape[1])
        spikes, membranes = [], []
        for current in np.maximum(x, 0):
            spikes.append(state.step([current]))
            membranes.append(state.v)
        return np.stack(spikes), np.stack(membranes)

    def _paper(self, x: Array, seen: Observer) -> tuple[Array, Array]:
        """Apply channel and spatial gates to the membrane, between integration and firing."""
        neuron = self.neuron
        beta, gain, leak = (grid(p, neuron.shape) for p in (neuron.beta, neuron.gain, neuron.leak))
        state = FloatState(neuron, x.shape[1])
        spikes, membranes = [], []
        for current in x:
            u = beta * state.v + gain * current + leak
            axes = tuple(range(2, u.ndim))
            if "C" in self.dims:
                gate = self._channel_gate(u.mean(axis=axes), u.max(axis=axes))
                seen("C", gate)
                u = u * trailing(gate, u.ndim)
            if "S" in self.dims:
                gate = self._spatial_gate(u.mean(axis=1), u.max(axis=1))
                seen("S", gate)
                u = u * gate[:, None]
            spikes.append(state.fire(neuron, u))
            membranes.append(state.v)
        return np.stack(spikes), np.stack(membranes)

    def _channel_gate(self, average: Array, largest: Array) -> Array:
        w0, w1 = self.parameters["ca_w0"], self.parameters["ca_w1"]
        return gate_function(self.gate, mlp(w0, w1, average) + mlp(w0, w1, largest))

    def _spatial_gate(self, average: Array, largest: Array) -> Array:
        kernel = self.parameters["sa_kernel"]
        pad = kernel.shape[-1] // 2
        return gate_function(self.gate, conv2d(np.stack([average, largest], 1), kernel, (1, 1), (pad, pad))[:, 0])

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

    def lower_static(self, graph: Graph, gates: Gates) -> Graph:
        """Put tables on the current; the paper's channel and space gates scale the membrane, averaged over T."""
        neuron = replace(self.neuron, rectify=self.variant == "code")
        tables: list[Op] = []
        for dim in self.dims:
            if self.variant == "paper" and dim != "T":
                constant = np.broadcast_to(grid(gates[dim].mean(axis=0), self.shape), self.shape)
                beta, gain, leak = (grid(p, self.shape) * constant for p in (neuron.beta, neuron.gain, neuron.leak))
                neuron = replace(neuron, beta=beta, gain=gain, leak=leak)
            else:
                tables.append(GateTable(name=f"{self.name}.{dim.lower()}a.table", block=self.block, table=gates[dim]))
        gated = self.gated(neuron, self.inputs, [table.name for table in tables])
        return in_place(graph, self, [*tables, gated])

    # ------------------------------------------------------------------------------- its cost, the checker's rule
    def cost(self, spikes: float | None = None) -> AttentionOps:
        """Count its operations per sample; terms above."""
        if self.variant == "causal":
            return self.count_ops(spikes)
        p, dims, elements = self.parameters, self.dims, self.timesteps * prod(self.shape)
        times = self.timesteps if self.variant == "paper" else 1
        mlps = int(p["ta_w0"].size + p["ta_w1"].size) if "T" in dims else 0
        mlps += times * int(p["ca_w0"].size + p["ca_w1"].size) if "C" in dims else 0
        space = times * int(p["sa_kernel"].size) * prod(self.shape[1:]) if "S" in dims else 0
        return AttentionOps(
            generate=mlps + space, maxpath=mlps, refine=len(dims) * elements, pooling=2 * len(dims) * elements
        )

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
        if not late:
            return None
        (gates, s), last = _named(late), self.timesteps - 1
        return Fault(
            f"MALIF {self.name!r} (MA {self.dims}, variant {self.variant!r}) is not causal: its {gates} pool{s} over all "
            f"{self.timesteps} steps, so step 0 waits for step {last}",
            RETRAIN,
            path,
            f"{gates} of step 0 read{s} the current of step {last}",
        )

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


def _named(dims: str) -> tuple[str, str]:
    """Return ("CA and SA", "") or ("TA", "s"): names of gates, and the ending of their verb."""
    return " and ".join(NAMES[d] for d in dims), "" if len(dims) > 1 else "s"
