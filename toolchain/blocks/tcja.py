r"""TCJA: a gate per step and channel on spikes S, which leave graded. Zhu et al., "TCJA-SNN", IEEE TNNLS, 2024.

    Z[t, c] = mean_HW S[t, c];   Y = g S'
    P[t, i] = sum_n sum_m tla[i, n, m] Z[t + m - before, n]                     TLA
    Q[t, c] = sum_u sum_m cla[t, u, m] Z[u, c + m - (k - 1) // 2]               CLA
    F = h(P Q)  for dims "TC";   h(P)  for "T";   h(Q)  for "C"

``published``: before = (k - 1) // 2, g = F. ``causal``, ours: before = k - 1, ``cla`` only for u <= t, g[t] =
F[t - gate_delay], g[t < gate_delay] = 1; with ``memory`` "count" one channel kernel over counts n = decay n + Z / T:
Q[t, c] = sum_m cla[0, 0, m] n[t, c + m - (k - 1) // 2].

Lowered, "T", or "C" and "TC" by count: counts per channel, taps over time or channels, gate neurons, relays that send g S::

    count   Z[c] = mean_HW S[c], sent when it changes          (depthwise synapses, one rectifier a channel)
    TLA     P[i] = sum_m tla[:, :, m] Z, k - 1 - m steps late  (one synapse block a tap)
    CLA     Q[c] = sum_m cla[m] n[c + m - (k - 1) // 2]        (n: the count that is kept)
    P Q     one gate neuron: its own sum Q times P, which is sent to it when it changes   (h of two accumulators)
    relay   a memoryless neuron for each S': sends the level of its gate; of a binary gate, a binary spike

A relay starts when its gate is there, so any ``gate_delay`` from 0 on is exact. A constant gate needs no relay where the
neuron in front has no other reader: the neuron sends its level itself.

MACs per sample: TLA T C^2 k; looks k - 1 - (k - 1) // 2 steps ahead as published. CLA T^2 k C (count: T k C); reads all T steps
as published. P Q and g S: T C and T C H W multiplies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from spikewright.toolchain.attention_block import AttentionBlock, AttentionOps, Gates, GateSource, Lowering, Operators
from spikewright.toolchain.blocks.causal import trailing
from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.gates import gate_function
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import (
    Accumulator,
    Affine,
    Array,
    Conv,
    Delay,
    GateNeuron,
    HeldSum,
    Lif,
    Linear,
    MaxPool,
    Op,
    Shape,
)
from spikewright.toolchain.passes.base import in_place, sends_binary
from spikewright.toolchain.shapes import shapes
from spikewright.toolchain.spike_driven.faults import unlowered
from spikewright.toolchain.spike_driven.signals import Fault, Path

if TYPE_CHECKING:
    from spikewright.toolchain.spike_driven.signals import Context, Judgement, Signal


@dataclass(frozen=True, eq=False, kw_only=True)
class TCJA(AttentionBlock):
    """The gate on spikes; equations above.

    Operands: S; a second one, if given, is what is scaled (S pooled), S'. ``parameters``: ``tla`` (C, C, k), ``cla`` (T, T, k),
    or (1, 1, k) for "count".
    """

    kind: ClassVar[str] = "tcja"
    former: ClassVar[tuple[str, ...]] = ("JointGate",)
    spiking: ClassVar[bool] = False
    operands: ClassVar[tuple[int, int]] = (1, 2)
    advice: ClassVar[str] = (
        "train TCJA(variant='causal', dims='T'), or dims='C' or 'TC' with cla_memory='count', or deploy with --gates static"
    )
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "variant": ("published", "causal"),
        "dims": ("T", "C", "TC"),
        "memory": ("table", "count"),
    }

    dims: Literal["T", "C", "TC"]
    variant: Literal["published", "causal"]
    gate_delay: int = 0
    memory: Literal["table", "count"] = "table"
    decay: float = 1.0

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"TCJA ({self.dims}, variant {self.variant!r})"

    def check(self) -> None:
        """Check options and parameters.

        Raises:
            ValueError: Steps, delay or decay are out of range, or a parameter has another shape.
        """
        super().check()
        if self.timesteps < 1 or self.gate_delay < 0 or not 0 <= self.decay <= 1:
            raise ValueError(
                f"TCJA: timesteps {self.timesteps}, gate_delay {self.gate_delay}, decay {self.decay}; "
                "expected timesteps >= 1, gate_delay >= 0, decay in 0 .. 1"
            )

    def expected(self) -> Mapping[str, tuple[int | None, ...]]:
        """Return the shapes of its parameters."""
        steps = 1 if self.variant == "causal" and self.memory == "count" else self.timesteps
        own: dict[str, tuple[int | None, ...]] = {"T": (self.shape[0],) * 2 + (None,), "C": (steps, steps, None)}
        return {name: own[dim] for dim, name in (("T", "tla"), ("C", "cla")) if dim in self.dims}

    def shape_of(self, operands: list[Shape]) -> Shape:
        """Return the shape of what it scales; the spikes that are counted have its channels.

        Both are (C, H, W).

        Raises:
            VerifyError: The two do not have the same channels.
        """
        if operands[-1] != self.shape or operands[0][0] != self.shape[0]:
            found = " and ".join(map(str, operands))
            allowed = f"{self.shape}, {self.shape[0]} channels"
            raise self.misfit(found, allowed, "gate the spikes that are counted, or pool them")
        return self.shape

    # ------------------------------------------------------------------------------------------ its meaning
    def evaluate(self, operands: list[Array]) -> tuple[Array, None]:
        """Return the gated spikes; there is no neuron."""
        scaled = operands[-1]
        return trailing(self.gains(operands[0]), scaled.ndim) * scaled, None

    def gates_on(self, operands: list[Array]) -> dict[str, Array]:
        """Return its gate."""
        return {"TC": trailing(self.gains(operands[0]), operands[0].ndim)}

    def gate_shapes(self) -> dict[str, Shape]:
        """Return the shape of its gate."""
        return {"TC": (self.shape[0], *(1,) * (len(self.shape) - 1))}

    def gains(self, spikes: Array) -> Array:
        """Return the gains g (T, B, C) from spikes (T, B, C, ...)."""
        T = spikes.shape[0]
        self.need_timesteps(T)
        z = spikes.reshape(*spikes.shape[:3], -1).mean(axis=3)
        scores = []
        if "T" in self.dims:
            k = self.parameters["tla"].shape[-1]
            scores.append(_over_time(z, self.parameters["tla"], k - 1 if self.variant == "causal" else (k - 1) // 2))
        if "C" in self.dims:
            scores.append(self._over_channels(z))
        gate = gate_function(self.gate, scores[0] if len(scores) == 1 else scores[0] * scores[1])
        if self.variant == "published" or self.gate_delay == 0:
            return gate
        late = min(self.gate_delay, T)
        return np.concatenate([np.ones_like(gate[:late]), gate[: T - late]])

    def _over_channels(self, z: Array) -> Array:
        cla, T, C = self.parameters["cla"], z.shape[0], z.shape[2]
        if self.variant == "causal" and self.memory == "count":
            counts = [z[0] / T]
            for step in z[1:]:
                counts.append(self.decay * counts[-1] + step / T)
            return np.stack(counts) @ channel_matrix(cla[0, 0], C).T
        past = np.tril(np.ones((T, T))) if self.variant == "causal" else np.ones((T, T))
        score = np.zeros_like(z)
        for t in range(T):
            for u in range(T):
                score[t] += past[t, u] * (z[u] @ channel_matrix(cla[t, u], C).T)
        return score

    def operators(self, make: Operators, operands: list[str]) -> str:
        """Write the gate: both kernels are convolutions, over time and over channels."""
        counted, scaled = (make.every(x, self.shape) for x in (operands[0], operands[-1]))
        z = make.reduce("ReduceMean", counted, *range(3, len(self.shape) + 2))
        scores = [self._time_operators(make, z)] if "T" in self.dims else []
        scores += [self._channel_operators(make, z)] if "C" in self.dims else []
        gate = make.gate(self.gate, scores[0] if len(scores) == 1 else make.node("Mul", *scores))
        T, channels = self.timesteps, self.shape[0]
        late = min(self.gate_delay, T) if self.variant == "causal" else 0
        if late:
            first, last = (make.constant(np.array([at])) for at in (0, T - late))
            before = make.node("Slice", gate, first, last, first)
            gate = make.node("Concat", make.full(1.0, (late,), (channels,)), before, axis=0)
        return make.node("Mul", make.reshape(gate, T, -1, channels, *(1,) * len(self.shape[1:])), scaled)

    def _time_operators(self, make: Operators, z: str) -> str:
        """Write P of Z (T, B, C)."""
        tla, T, channels = self.parameters["tla"], self.timesteps, self.shape[0]
        k = tla.shape[-1]
        before = k - 1 if self.variant == "causal" else (k - 1) // 2
        maps = make.reshape(make.node("Transpose", z, perm=[1, 2, 0]), -1, channels, 1, T)
        pads = (0, before, 0, k - 1 - before)
        score = make.conv(maps, (channels, 1, T), tla[:, :, None], pads=pads, name="parameters/tla")
        return make.node("Transpose", make.reshape(score, -1, channels, T), perm=[2, 0, 1])

    def _channel_operators(self, make: Operators, z: str) -> str:
        """Write Q of Z (T, B, C)."""
        cla, T, channels = self.parameters["cla"], self.timesteps, self.shape[0]
        counts = make.node("Transpose", z, perm=[1, 0, 2])
        past = np.tril(np.ones((T, T)))
        steps = T
        if self.variant == "causal" and self.memory == "count":
            age = np.maximum(np.arange(T)[:, None] - np.arange(T), 0)
            counts = make.node("MatMul", make.constant(past * self.decay**age / T), counts)
            kernel, name, steps = cla, "parameters/cla", 1
        elif self.variant == "causal":
            kernel, name = cla * past[:, :, None], ""
        else:
            kernel, name = cla, "parameters/cla"
        left = (cla.shape[-1] - 1) // 2
        pads = (0, left, 0, cla.shape[-1] - 1 - left)
        maps = make.reshape(counts, -1, steps, 1, channels)
        score = make.conv(maps, (steps, 1, channels), kernel[:, :, None], pads=pads, name=name)
        return make.node("Transpose", make.reshape(score, -1, T, channels), perm=[1, 0, 2])

    # -------------------------------------------------------------------------------------------- lowerings
    def lowerings(self) -> Mapping[str, Lowering]:
        """Return its lowerings."""
        return {"static": self.lower_static, "causal": self.lower_causal, "replay": self.lower_replay}

    @property
    def looks_ahead(self) -> bool:
        """Whether its gates need later steps."""
        return self.variant == "published"

    def refusal(self, strategy: str) -> str:
        """Return why it cannot be lowered by a strategy; "" where it can."""
        if strategy != "causal":
            return super().refusal(strategy)
        if self.variant == "published":
            return " and ".join(self._looks_ahead())
        if "C" in self.dims and self.memory == "table":
            return "its CLA has other weights for every pair of steps: synapses are the same in every step"
        return ""

    def _looks_ahead(self) -> list[str]:
        found = []
        if "T" in self.dims:
            ahead = self._ahead()
            found.append(f"its TLA looks {ahead} step{'' if ahead == 1 else 's'} ahead")
        if "C" in self.dims:
            found.append(f"its CLA reads all {self.timesteps} steps")
        return found

    def _ahead(self) -> int:
        k = self.parameters["tla"].shape[-1]
        return int(k - 1 - (k - 1) // 2)

    @property
    def note(self) -> str:
        """Say where the gates come from."""
        late = f"{self.gate_delay} steps late" if self.gate_delay else "in the same step"
        return f"gates from the spikes it gates, {late}"

    def misread(self, graph: Graph) -> Op | None:
        """Return what it reads that sends no binary spikes, if anything."""
        return next((graph[name] for name in self.inputs if not sends_binary(graph[name])), None)

    def _check_binary(self, graph: Graph) -> None:
        """Refuse to scale or count anything but binary spikes."""
        source = self.misread(graph)
        if source is not None:
            raise GateLoweringError(
                f"TCJA gates {type(source).__name__} {source.name!r}, which does not send binary spikes",
                where=f"block {self.block!r}",
                help="put TCJA right behind a spiking neuron (a max pool between is fine)",
            )

    def behind_pool(self, graph: Graph, pool: MaxPool) -> Graph:
        """Gate the pooled spikes, max(g s) = g max(s) for a gate that is one for the window; the count stays what it was."""
        first = replace(pool, name=f"{pool.name}.spikes", inputs=self.inputs[-1:])
        gated = replace(self, name=pool.name, inputs=(self.inputs[0], first.name), shape=shapes(graph)[pool.name])
        return graph.replace((pool,), (first, gated))

    def gated_from(self, graph: Graph, source: GateSource, before: Sequence[Op] = ()) -> Graph:
        """Put gains per step and channel, (T, C, 1, 1), in the place of the gate."""
        self._check_binary(graph)
        table = source(f"{self.name}.table", "TC")
        neuron = graph[self.inputs[-1]]
        if not table.inputs and isinstance(neuron, Lif) and graph.feeds_only(neuron, self):
            reads = (*neuron.inputs, table.name)
            own = replace(neuron, name=self.name, inputs=reads, gates=neuron.gates + 1, output_gate=True)
            return graph.replace((neuron, self), (table, own))
        return in_place(graph, self, [*before, table, self._relay(table.name, graded=True)])

    def taps(self, graph: Graph) -> list[Op]:
        """Return counts of the spikes of each channel in a step, Z."""
        source = self.inputs[0]
        count = self._count(source, self.shape if len(self.inputs) == 1 else shapes(graph)[source])
        return [count, self.tap(count.name, shape=self._count_shape(count))]

    def lower_causal(self, graph: Graph, gates: Gates) -> Graph:
        """Lower exactly; see the table above."""
        self._check_binary(graph)
        source = self.inputs[0]
        count = self._count(source, self.shape if len(self.inputs) == 1 else shapes(graph)[source])
        counts = self._held(count, *self.dims)
        makes = {"T": self._time_taps, "C": self._channel_taps}
        taps = {held.name: makes[dim](held.name) for dim, held in zip(self.dims, counts, strict=True)}
        names = [tuple(tap.name for tap in found if isinstance(tap, Affine)) for found in taps.values()]
        shape = self.gate_shapes()["TC"]
        factors = [
            HeldSum(name=f"{self.name}.factor", inputs=reads, block=self.block, shape=shape, differences=True)
            for reads in names[:-1]
        ]
        gate = GateNeuron(
            name=f"{self.name}.gate",
            inputs=(*names[-1], *(factor.name for factor in factors)),
            block=self.block,
            shape=shape,
            bias=np.zeros(1),
            decay=0.0,
            function=self.gate,
            differences=True,
            factors=len(factors),
        )
        fresh: list[Op] = [count, *counts, *(tap for found in taps.values() for tap in found), *factors, gate]
        if self.gate_delay:
            late = f"{self.name}.late"
            fresh.append(Delay(name=late, inputs=(gate.name,), block=self.block, steps=self.gate_delay, initial=1.0))
        return in_place(graph, self, [*fresh, self._relay(fresh[-1].name, graded=self.gate != "binary")])

    def _held(self, count: Linear, *dims: str) -> list[Accumulator]:
        """Return the counts that the kernels read: of a step for TLA, of all steps so far for CLA."""
        kept = {"T": 0.0, "C": self.decay}
        return [
            Accumulator(
                name=f"{self.name}.count" + (f".{dim.lower()}" if len(dims) > 1 else ""),
                inputs=(count.name,),
                block=self.block,
                shape=self._count_shape(count),
                decay=kept[dim],
            )
            for dim in dims
        ]

    def _count(self, source: str, shape: Shape) -> Linear:
        """Return the mean over H and W as synapses."""
        name, channels = f"{self.name}.mean", shape[0]
        if len(shape) != 3:
            space = int(np.prod(shape[1:]))
            weight = np.repeat(np.eye(channels), space, axis=1) / space
            return Affine(name=name, inputs=(source,), block=self.block, weight=weight)
        weight = np.full((channels, 1, *shape[1:]), 1 / (shape[1] * shape[2]))
        return Conv(name=name, inputs=(source,), block=self.block, weight=weight, groups=channels)

    def _count_shape(self, count: Linear) -> Shape:
        return (self.shape[0], 1, 1) if isinstance(count, Conv) else (self.shape[0],)

    def _time_taps(self, source: str) -> list[Op]:
        tla, found = self.parameters["tla"], list[Op]()
        k = tla.shape[-1]
        for m in range(k):
            name, read, lag = f"{self.name}.tla{m}", source, k - 1 - m
            if lag:
                read = f"{name}.late"
                found.append(Delay(name=read, inputs=(source,), block=self.block, steps=lag))
            found.append(Affine(name=name, inputs=(read,), block=self.block, weight=tla[:, :, m]))
        return found

    def _channel_taps(self, source: str) -> list[Op]:
        weight = channel_matrix(self.parameters["cla"][0, 0], self.shape[0]) / self.timesteps
        return [Affine(name=f"{self.name}.cla", inputs=(source,), block=self.block, weight=weight)]

    def _relay(self, gate: str, *, graded: bool) -> Lif:
        """Return the neurons that pass spikes on with the level of a gate: as payload, or, of a 0/1 gate, all or nothing."""
        return Lif(
            name=self.name,
            inputs=(self.inputs[-1], gate),
            block=self.block,
            shape=self.shape,
            beta=np.zeros(()),
            v_threshold=np.full((), 0.5),
            gates=1,
            output_gate=graded,
        )

    # ------------------------------------------------------------------------------- its cost, the checker's rule
    def cost(self, spikes: float | None = None) -> AttentionOps:
        """Count its operations per sample; terms above."""
        T, C, elements = self.timesteps, self.shape[0], self.timesteps * prod(self.shape)
        macs = T * int(self.parameters["tla"].size) if "T" in self.dims else 0
        if "C" in self.dims:
            cla = self.parameters["cla"]
            macs += T * int(cla.shape[0] * cla.shape[2]) * C
        counted = elements if spikes is None or self.variant == "published" else spikes
        return AttentionOps(generate=macs, refine=elements + (T * C if self.dims == "TC" else 0), pooling=counted)

    def judge(self, operands: list[Signal], ctx: Context) -> Judgement:
        """Judge it as published, or a causal form that no lowering expresses."""
        published = self.variant == "published"
        scope = "sequence" if "C" in self.dims else f"window({self._ahead()})"
        return unlowered(
            self,
            operands,
            ctx,
            lambda path: [self._waits(path) if published else self._no_events(path)],
            scope=scope if published else "state",
            causal=not published,
        )

    def _waits(self, path: Path) -> Fault:
        first = self.timesteps - 1 if "C" in self.dims else min(self.timesteps - 1, self._ahead())
        title = f"TCJA {self.block!r} ({self.dims}, variant 'published')"
        if first == 0:
            why = "the gate of a step reads the spikes of that step"
            return Fault(f"{title} computes its gate inside the step", self.advice, path, why)
        return Fault(
            f"{title} is not causal: {' and '.join(self._looks_ahead())}, so step 0 waits for step {first}",
            self.advice,
            path,
            f"the gate of step 0 reads the spikes of step {first}",
        )

    def _no_events(self, path: Path) -> Fault:
        reason = self.refusal("causal") or "it gates what is no binary spike"
        return Fault(
            f"TCJA {self.block!r} ({self.dims}, variant 'causal') is no work of synapses and gate neurons: {reason}",
            self.advice,
            path,
            f"{self.macs_per_step:,} dense MACs every step",
        )


def _over_time(z: Array, tla: Array, before: int) -> Array:
    T = z.shape[0]
    score = np.zeros((*z.shape[:2], tla.shape[0]))
    for m in range(tla.shape[-1]):
        first, last = max(0, before - m), min(T, T + before - m)
        score[first:last] += z[first + m - before : last + m - before] @ tla[:, :, m].T
    return score


def channel_matrix(kernel: Array, channels: int) -> Array:
    """Return a 'same' convolution over the channel index as a matrix (C, C)."""
    k, matrix = kernel.size, np.zeros((channels, channels))
    for m in range(k):
        matrix += np.eye(channels, k=m - (k - 1) // 2) * kernel[m]
    return matrix
