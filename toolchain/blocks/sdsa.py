r"""Spike-driven self-attention, on binary spikes S = [q; k; v] (channels beside each other), tokens n = (h, w), step by step.

``channel``: SDSA-1 of the Spike-driven Transformer. Yao et al., NeurIPS 2023, arXiv 2307.01694, section 3.2::

    g[c] = neuron(sum_n k[c, n] AND v[c, n]);    y[c, n] = q[c, n] AND g[c]

``token``: Q-K token attention of QKFormer, on S = [q; k]. Zhou et al., NeurIPS 2024, arXiv 2403.16552, section 3.2::

    a[n] = neuron(sum_c q[c, n]);                y[c, n] = k[c, n] AND a[n]

``product``: spiking self-attention (SSA), also the form of SDSA-3: y = neuron(q (k^T v)), head by head; not lowered: of binary
spikes, k^T v is a coincidence of every pair of channels at every token, and q (k^T v) multiplies sums.

Lowered exactly, every step's gate in the same step::

    AND    a memoryless neuron that reads two spikes with weight 1: v = x + y;  s = v > 3/2
    sums   synapses of weight 1 from each token of a channel (channel), or from each channel of a token (token)
    spread synapses of weight 1 from each gate to what it gates

Operations per sample: the sums add T C N (as many as spikes, where they are counted), the gates mask T C N; no MACs.
``product``: 2 T N C^2 / heads MACs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from spikewright.toolchain.attention_block import AttentionBlock, AttentionOps, Gates, Lowering, Operators
from spikewright.toolchain.interpret.states import FloatState
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array, Conv, Lif, Op, Shape
from spikewright.toolchain.passes.base import in_place, sends_binary
from spikewright.toolchain.spike_driven.faults import unlowered
from spikewright.toolchain.spike_driven.signals import Fault

if TYPE_CHECKING:
    from spikewright.toolchain.spike_driven.signals import Context, Judgement, Signal

PARTS = {"channel": 3, "token": 2, "product": 3}
"""How many spike maps lie beside each other in S."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SpikeAttention(AttentionBlock):
    """The attention and its neuron; equations above. No parameters; reads (3 C, H, W), ``token`` (2 C, H, W)."""

    kind: ClassVar[str] = "spike-attention"
    advice: ClassVar[str] = "use variant 'channel' or 'token', whose gates are counts of spikes"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"variant": tuple(PARTS)}

    neuron: Lif = field()
    variant: Literal["channel", "token", "product"] = "channel"
    heads: int = 1

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"spike-driven self-attention (variant {self.variant!r})"

    def expected(self) -> Mapping[str, tuple[int | None, ...]]:
        """Return no parameters."""
        return {}

    def check(self) -> None:
        """Check options.

        Raises:
            ValueError: The shape is not (C, H, W), or the heads do not divide C.
        """
        super().check()
        if len(self.shape) != 3 or self.heads < 1 or self.shape[0] % self.heads:
            raise ValueError(
                f"SpikeAttention: shape {self.shape}, heads {self.heads}; expected (C, H, W), heads that divide C"
            )

    @property
    def reads(self) -> Shape:
        """Shape (3 C, H, W) or (2 C, H, W)."""
        return (PARTS[self.variant] * self.shape[0], *self.shape[1:])

    # ------------------------------------------------------------------------------------------ its meaning
    def parts(self, spikes: Array) -> list[Array]:
        """Return q, k and v (``token``: q, k) of spikes (T, B, parts C, H, W)."""
        return np.split(spikes, PARTS[self.variant], axis=2)

    def evaluate(self, operands: list[Array]) -> tuple[Array, None]:
        """Return the spikes; the neurons that it reads a membrane of are the gates', or those behind the product."""
        q, k, *_ = parts = self.parts(operands[0])
        if self.variant == "product":
            return self._fired(self._product(*parts), self.shape), None
        return (k if self.variant == "token" else q) * self._gate(parts), None

    def gates_on(self, operands: list[Array]) -> dict[str, Array]:
        """Return its gate."""
        if self.variant == "product":
            return {}
        return dict.fromkeys(self.gate_shapes(), self._gate(self.parts(operands[0])))

    def gate_shapes(self) -> dict[str, Shape]:
        """Return the shape of its gate, one a channel or one a token."""
        channels, *tokens = self.shape
        shapes: dict[str, dict[str, Shape]] = {"channel": {"C": (channels, 1, 1)}, "token": {"S": (1, *tokens)}}
        return shapes.get(self.variant, {})

    def _gate(self, parts: list[Array]) -> Array:
        if self.variant == "token":
            return self._fired(parts[0].sum(axis=2, keepdims=True), self.gate_shapes()["S"])
        return self._fired((parts[1] * parts[2]).sum(axis=(3, 4), keepdims=True), self.gate_shapes()["C"])

    def _fired(self, currents: Array, shape: Shape) -> Array:
        state = FloatState(replace(self.neuron, shape=shape), currents.shape[1])
        return np.stack([state.step([current]) for current in currents])

    def _product(self, q: Array, k: Array, v: Array) -> Array:
        """Return q (k^T v), head by head."""
        T, B, C, H, W = q.shape
        rows = [part.reshape(T, B, self.heads, C // self.heads, H * W) for part in (q, k, v)]
        pairs = np.einsum("tbhin,tbhjn->tbhij", rows[1], rows[2])
        return np.asarray(np.einsum("tbhin,tbhij->tbhjn", rows[0], pairs).reshape(q.shape))

    # -------------------------------------------------------------------------------------------- lowerings
    def lowerings(self) -> Mapping[str, Lowering]:
        """Return its lowering."""
        return {} if self.variant == "product" else {"causal": self.lower_causal}

    def refusal(self, strategy: str) -> str:
        """Return why it cannot be lowered by a strategy; "" where it can."""
        if strategy != "host" and self.variant == "product":
            return self._pairs()
        return super().refusal(strategy)

    def _pairs(self) -> str:
        channels, tokens = self.shape[0], prod(self.shape[1:])
        count = tokens * channels * channels // self.heads
        return (
            f"k^T v needs {count:,} coincidence neurons, one for each pair of channels of a head at each token, and "
            "q (k^T v) multiplies sums"
        )

    @property
    def own_strategy(self) -> str:
        """Its exact lowering: what it counts changes in every step, so no constant takes its place."""
        return "causal"

    @property
    def note(self) -> str:
        """Say where the gates come from."""
        return "gates from the spikes of the same step, which are counted"

    def misread(self, graph: Graph) -> Op | None:
        """Return what it reads that sends no binary spikes, if anything: AND is of two spikes."""
        return next((graph[name] for name in self.inputs if not sends_binary(graph[name])), None)

    def lower_causal(self, graph: Graph, gates: Gates) -> Graph:
        """Lower exactly; see the table above."""
        channels, *tokens = self.shape
        if self.variant == "token":
            count = self._map("count", self.inputs, self._picked(0).sum(axis=0, keepdims=True))
            fresh: list[Op] = [count]
            spread = self._map("spread", (f"{self.name}.gate",), np.ones((channels, 1, 1, 1)))
            gated = 1
        else:
            pairs = self._map("pairs", self.inputs, self._picked(1) + self._picked(2))
            both = self._and("both", (pairs.name,))
            whole = np.ones((channels, 1, *tokens))
            count = self._map("count", (both.name,), whole, groups=channels)
            fresh = [pairs, both, count]
            wide = (tokens[0] - 1, tokens[1] - 1)
            spread = self._map("spread", (f"{self.name}.gate",), whole, padding=wide, groups=channels)
            gated = 0
        (shape,) = self.gate_shapes().values()
        gate = replace(self.neuron, name=f"{self.name}.gate", inputs=(count.name,), block=self.block, shape=shape)
        taken = self._map("taken", self.inputs, self._picked(gated))
        out = replace(self._and("out", (taken.name, spread.name)), name=self.name)
        return in_place(graph, self, [*fresh, gate, spread, taken, out])

    def _picked(self, part: int) -> Array:
        """Return 1 x 1 synapses that pick one of q, k and v, (C, parts C, 1, 1)."""
        channels = self.shape[0]
        weight = np.zeros((channels, PARTS[self.variant] * channels, 1, 1))
        weight[:, part * channels : (part + 1) * channels, 0, 0] = np.eye(channels)
        return weight

    def _map(
        self, key: str, reads: tuple[str, ...], weight: Array, *, padding: tuple[int, int] = (0, 0), groups: int = 1
    ) -> Conv:
        name = f"{self.name}.{key}"
        return Conv(name=name, inputs=reads, block=self.block, weight=weight, padding=padding, groups=groups)

    def _and(self, key: str, reads: tuple[str, ...]) -> Lif:
        """Return memoryless neurons that fire where two spikes meet."""
        return Lif(
            name=f"{self.name}.{key}",
            inputs=reads,
            block=self.block,
            shape=self.shape,
            beta=np.zeros(()),
            v_threshold=np.full((), 1.5),
        )

    def operators(self, make: Operators, operands: list[str]) -> str:
        """Write the product and its neuron."""
        T, (channels, *tokens) = make.timesteps, self.shape
        x = make.every(operands[0], (3 * channels, *tokens))
        split = make.reshape(x, T, -1, 3, self.heads, channels // self.heads, prod(tokens))
        q, k, v = (make.node("Gather", split, make.constant(np.array(part)), axis=2) for part in range(3))
        pairs = make.node("MatMul", k, make.node("Transpose", v, perm=[0, 1, 2, 4, 3]))
        found = make.node("MatMul", make.node("Transpose", pairs, perm=[0, 1, 2, 4, 3]), q)
        return make.lif(self.neuron, make.reshape(found, T, -1, *self.shape))

    # ------------------------------------------------------------------------------- its cost, the checker's rule
    def cost(self, spikes: float | None = None) -> AttentionOps:
        """Count its operations per sample; terms above."""
        elements = self.timesteps * prod(self.shape)
        if self.variant == "product":
            return AttentionOps(generate=2 * elements * self.shape[0] / self.heads)
        return AttentionOps(refine=elements, pooling=elements if spikes is None else spikes)

    def judge(self, operands: list[Signal], ctx: Context) -> Judgement:
        """Name the product of sums, or values that are no spikes."""
        why = self._pairs() if self.variant == "product" else "AND is of two spikes; it reads other values"
        what = f"SpikeAttention {self.name!r} (variant {self.variant!r}) is no work of events: {why}"
        return unlowered(
            self,
            operands,
            ctx,
            lambda path: [Fault(what, self.advice, path, f"{self.macs_per_step:,} dense MACs every step")],
            scope="step",
            barrier=True,
        )
