r"""STAA-style attention with its neuron, from a current X to spikes. After Zhang et al., "STAA-SNN", CVPR 2025.

Provenance: a reconstruction; no code was published.

``reconstruction``: position, aggregator, adaptive LIF, step attention over all T; the spikes leave graded::

    X[t] = X[t] + pe[t];   k = softmax_HW(gc_key . X[t]);   c = sum_HW k X[t]  ("softmax")  or  mean_HW S[t - 1]  ("count")
    X[t] = h(gc_value relu(LN(gc_query c))) X[t];   S = neuron(X);   y[t] = h(sa_w1 relu(sa_w0 mean_CHW S))[t] S[t]

``causal``, ours: position, then the gates "TC" of ``blocks.causal``; the spikes are binary.

The position encoding becomes a clock's synapses::

    clock      T neurons, neuron t fires at step t and never again:  v = v + 1;  s = v >= t + 1;  v[s] = -(T + 1)
    position   X[t] = X + pe[t]  =  X + W clock,   W[c, t] = pe[t, c]

The clock is driven by its bias, not by events; reports name it.

MACs per sample: aggregator T (2 C H W (softmax only) + 2 C h_c), inside the step; step attention 2 T h_t, reads all T steps.
Causal: T (1 + 2 C h_c), see ``CountGates.count_ops``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from spikewright.toolchain.attention_block import AttentionOps, Gates, GateSource, Operators
from spikewright.toolchain.blocks.causal import CAUSAL_SHAPES, CountGates, mlp, trailing
from spikewright.toolchain.gates import gate_function
from spikewright.toolchain.interpret.states import FloatState
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Array, Lif, Op
from spikewright.toolchain.passes.base import in_place
from spikewright.toolchain.spike_driven.faults import unlowered
from spikewright.toolchain.spike_driven.signals import Fault, Path

if TYPE_CHECKING:
    from spikewright.toolchain.spike_driven.signals import Context, Judgement, Signal

NORM_EPSILON = 1e-5
"""Epsilon of torch's layer norm."""


@dataclass(frozen=True, eq=False, kw_only=True)
class STAALIF(CountGates):
    """Attention and its neuron; equations above.

    ``parameters``: ``pe`` (T, C) if there is a position encoding; gc_query (h, C), gc_value (C, h), gc_scale (h,) and
    gc_shift (h,) of LN, gc_key (1, C) ("softmax" only), sa_w0 (n, T), sa_w1 (T, n); causal ta_w, ta_b, ca_w0, ca_w1, ca_b.
    """

    kind: ClassVar[str] = "staa"
    former: ClassVar[tuple[str, ...]] = ("StaaLif",)
    advice: ClassVar[str] = "train STAALIF(variant='causal'), or deploy with --gates static"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"variant": ("reconstruction", "causal")}

    variant: Literal["reconstruction", "causal"]

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"STAA-style attention (variant {self.variant!r})"

    @property
    def sends(self) -> Literal["binary", "graded"]:
        """Spikes; in the reconstruction scaled by the step attention."""
        return super().sends if self.variant == "causal" else "graded"

    def expected(self) -> Mapping[str, tuple[int | None, ...]]:
        """Return the shapes of its parameters."""
        channels, steps = self.shape[0], self.timesteps
        found: dict[str, tuple[int | None, ...]] = {"pe": (steps, channels)} if "pe" in self.parameters else {}
        if self.variant == "causal":
            return found | dict(CAUSAL_SHAPES["T"](channels)) | dict(CAUSAL_SHAPES["C"](channels))
        found |= {"gc_key": (1, channels)} if "gc_key" in self.parameters else {}
        found |= {"gc_query": (None, channels), "gc_scale": (None,), "gc_shift": (None,), "gc_value": (channels, None)}
        return found | {"sa_w0": (None, steps), "sa_w1": (steps, None)}

    # ------------------------------------------------------------------------------------------ its meaning
    def currents(self, operands: list[Array]) -> Array:
        """Return the current with its position encoding."""
        x = operands[0]
        self.need_timesteps(x.shape[0])
        if "pe" not in self.parameters:
            return x
        pe = self.parameters["pe"]
        y: Array = x + pe.reshape(pe.shape[0], 1, pe.shape[1], *(1,) * (x.ndim - 3))
        return y

    def evaluate(self, operands: list[Array]) -> tuple[Array, Array]:
        """Return the spikes (graded in the reconstruction) and membranes after reset."""
        x = self.currents(operands)
        if self.variant == "causal":
            return self.run(x)
        spikes, membranes, _ = self._reconstruction(x)
        return trailing(self._step_gains(spikes), x.ndim) * spikes, membranes

    def gates_on(self, operands: list[Array]) -> dict[str, Array]:
        """Return the gates it applies: the reconstruction's aggregator gains ("C") and its step attention ("T")."""
        x = self.currents(operands)
        if self.variant == "causal":
            return self.observed(x, self.run)
        spikes, _, gains = self._reconstruction(x)
        return {"C": trailing(gains, x.ndim), "T": trailing(self._step_gains(spikes), x.ndim)}

    def _step_gains(self, spikes: Array) -> Array:
        """Return the step attention a (T, B) of binary spikes."""
        mean = spikes.reshape(*spikes.shape[:2], -1).mean(axis=2)
        return gate_function(self.gate, mlp(self.parameters["sa_w0"], self.parameters["sa_w1"], mean.T).T)

    def _reconstruction(self, x: Array) -> tuple[Array, Array, Array]:
        """Return binary spikes, membranes and the aggregator's gains (T, B, C)."""
        state = FloatState(self.neuron, x.shape[1])
        s = np.zeros(x.shape[1:])
        spikes, membranes, gains = [], [], []
        for current in x:
            gain = self._aggregate(current, s)
            s = state.step([trailing(gain, current.ndim) * current])
            spikes.append(s)
            membranes.append(state.v)
            gains.append(gain)
        return np.stack(spikes), np.stack(membranes), np.stack(gains)

    def _aggregate(self, current: Array, before: Array) -> Array:
        """Return the aggregator's gains (B, C) from a step's current and the spikes of the step before."""
        p = self.parameters
        maps = current.reshape(*current.shape[:2], -1)
        if "gc_key" in p:
            scores = np.einsum("kc,bcn->bkn", p["gc_key"], maps)
            weight = np.exp(scores - scores.max(axis=2, keepdims=True))
            context = (weight / weight.sum(axis=2, keepdims=True) * maps).sum(axis=2)
        else:
            context = before.reshape(*before.shape[:2], -1).mean(axis=2)
        hidden = context @ p["gc_query"].T
        centred = hidden - hidden.mean(axis=1, keepdims=True)
        normed = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + NORM_EPSILON)
        hidden = np.maximum(normed * p["gc_scale"] + p["gc_shift"], 0)
        return gate_function(self.gate, hidden @ p["gc_value"].T)

    def operators(self, make: Operators, operands: list[str]) -> str:
        """Write the reconstruction."""
        x, p, rank = make.every(operands[0], self.shape), self.parameters, len(self.shape)
        if "pe" in p:
            steps, channels = p["pe"].shape
            where = p["pe"].reshape(steps, 1, channels, *(1,) * (rank - 1))
            x = make.node("Add", x, make.constant(where, "parameters/pe"))
        states = [*make.states(self.neuron), (np.zeros(()), self.shape)]
        spikes = make.steps(states, [(x, self.shape)], partial(self._step_operators, make))[0]
        mean = make.reduce("ReduceMean", spikes, *range(2, rank + 2))
        w0, w1 = (make.constant(p[name], f"parameters/{name}") for name in ("sa_w0", "sa_w1"))
        score = make.node("Transpose", make.mlp(w0, w1, make.node("Transpose", mean, perm=[1, 0])), perm=[1, 0])
        gain = make.gate(self.gate, make.reshape(score, self.timesteps, -1, *(1,) * rank))
        return make.node("Mul", gain, spikes)

    def _step_operators(self, make: Operators, states: list[str], inputs: list[str]) -> tuple[list[str], list[str]]:
        """Write one step of ``_reconstruction``; the last state is what fired in the step before."""
        current, before, p = inputs[0], states[-1], self.parameters
        channels = self.shape[0]
        if "gc_key" in p:
            maps = make.reshape(current, -1, channels, prod(self.shape[1:]))
            scores = make.node("MatMul", make.constant(p["gc_key"], "parameters/gc_key"), maps)
            weight = make.node("Softmax", scores, axis=2)
            context = make.reduce("ReduceSum", make.node("Mul", weight, maps), 2)
        else:
            context = make.reduce("ReduceMean", before, *range(2, len(self.shape) + 1))
        query, scale, shift, value = (
            make.constant(p[name], f"parameters/{name}") for name in ("gc_query", "gc_scale", "gc_shift", "gc_value")
        )
        hidden = make.node("Gemm", context, query, transB=1)
        centred = make.node("Sub", hidden, make.reshape(make.reduce("ReduceMean", hidden, 1), -1, 1))
        spread = make.reshape(make.reduce("ReduceMean", make.node("Mul", centred, centred), 1), -1, 1)
        normed = make.node("Div", centred, make.node("Sqrt", make.node("Add", spread, make.constant(NORM_EPSILON))))
        hidden = make.node("Relu", make.node("Add", make.node("Mul", normed, scale), shift))
        gain = make.gate(self.gate, make.node("Gemm", hidden, value, transB=1))
        gained = make.node("Mul", make.reshape(gain, -1, channels, *(1,) * len(self.shape[1:])), current)
        spikes, after = make.neuron(self.neuron, gained, states[:-1])
        return [*after, spikes], [spikes]

    # -------------------------------------------------------------------------------------------- lowerings
    @property
    def looks_ahead(self) -> bool:
        """Whether its gates need later steps."""
        return self.variant == "reconstruction"

    def refusal(self, strategy: str) -> str:
        """Return why it cannot be lowered by a strategy; "" where it can."""
        if strategy == "causal" and self.variant == "reconstruction":
            reads = "a softmax of the current" if "gc_key" in self.parameters else "a layer norm of its counts"
            return f"its step attention reads all {self.timesteps} steps, and its aggregator is {reads}"
        return super().refusal(strategy)

    def _position(self) -> list[Op]:
        """Return the clock and its synapses; nothing where there is no position encoding."""
        if "pe" not in self.parameters:
            return []
        pe, T = self.parameters["pe"], self.timesteps
        clock = Lif(
            name=f"{self.name}.clock",
            block=self.block,
            shape=(T,),
            beta=np.ones(()),
            leak=np.ones(()),
            v_threshold=np.asarray(np.arange(1.0, T + 1), np.float64),
            v_reset=np.full((), -(T + 1.0)),
            comparison=">=",
        )
        weight = np.repeat(pe.T, int(np.prod(self.shape[1:])), axis=0)
        name = f"{self.name}.position"
        return [clock, Affine(name=name, inputs=(clock.name,), block=self.block, weight=weight)]

    def lower_causal(self, graph: Graph, gates: Gates) -> Graph:
        """Lower exactly: the clock, and gates from counts."""
        before = self._position()
        return self.count_and_gate(graph, (*self.inputs, *(p.name for p in before[1:])), before)

    def gated_from(self, graph: Graph, source: GateSource, before: Sequence[Op] = ()) -> Graph:
        """Put gates on the current; of the reconstruction, the step attention ("T") scales what is sent."""
        position = self._position()
        drives = (*self.inputs, *(p.name for p in position[1:]))
        before = [*before, *position]
        if self.variant == "causal":
            return self.with_ports(graph, source, drives, before)
        tables = [source(f"{self.name}.{key}.table", key) for key in ("C", "T")]
        neuron = replace(self.gated(self.neuron, drives, [t.name for t in tables]), output_gate=True)
        return in_place(graph, self, [*before, *tables, neuron])

    # ------------------------------------------------------------------------------- its cost, the checker's rule
    def cost(self, spikes: float | None = None) -> AttentionOps:
        """Count its operations per sample; terms above."""
        if self.variant == "causal":
            return self.count_ops(spikes)
        p, elements = self.parameters, self.timesteps * prod(self.shape)
        context = 2 * elements if "gc_key" in p else 0
        made = self.timesteps * int(p["gc_query"].size + p["gc_value"].size) + int(p["sa_w0"].size + p["sa_w1"].size)
        return AttentionOps(generate=context + made, refine=2 * elements, pooling=2 * elements)

    def judge(self, operands: list[Signal], ctx: Context) -> Judgement:
        """Name a softmax or a norm inside the step, and a step attention over all T."""
        return unlowered(
            self,
            operands,
            ctx,
            self._faults,
            scope="sequence",
            causal=False,
            barrier="gc_key" in self.parameters,
            gates=2,
            pooled=2,
        )

    def _faults(self, path: Path) -> list[Fault]:
        last, title = self.timesteps - 1, f"STAALIF {self.block!r} (STAA-style, variant {self.variant!r})"
        late = Fault(
            f"{title} is not causal: its step attention reads all {self.timesteps} steps, so step 0 waits for step {last}",
            self.advice,
            path,
            f"the gain of what step 0 sends reads the spikes of step {last}",
        )
        if "gc_key" in self.parameters:
            what = f"{title} computes dense gates inside the step: its aggregator takes a softmax of all currents"
            why = f"the softmax reads {prod(self.shape):,} currents every step, event or not"
        else:
            what = f"{title} computes dense gates every step: its aggregator normalises (LN) counts of the step before"
            why = "a layer norm has no events: every value changes with every other"
        return [late, Fault(what, self.advice, path, why)]
