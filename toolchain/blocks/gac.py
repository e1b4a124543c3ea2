r"""Gated attention coding, from the stem's current I to graded spikes O. Qiu et al., AAAI 38(1):601-610, 2024 (released code).

    S = neuron(I);  A_t = M(avg_CHW I)_t + M(max_CHW I)_t,  M(x) = ta_w1 relu(ta_w0 x)  over T, no sigmoid
    F_t = conv1(relu(conv0(I_t)))   k x k, 'same' (k = 4: 1 left and top, 2 right and bottom), no bias
    O = h(A_t F_t) * S

``code``: as above; on a still image A_t is two pooled scalars, on events it looks at all T.
``causal``, ours: A_t = ta[t], one learned number a step; nothing looks ahead.

Both are dense in every frame, so they run on a host in front of the first spike, once for a still image.
MACs per sample: F 2 C^2 k^2 H W a frame (once for a still image), A 2 paths x 2 T h_t (code; causal: 0); A_t F_t and h S:
2 T C H W multiplies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from spikewright.hw_sim.linear import conv2d
from spikewright.toolchain.attention_block import AttentionBlock, AttentionOps, Operators
from spikewright.toolchain.blocks.causal import temporal_operators, temporal_score, trailing
from spikewright.toolchain.gates import gate_function
from spikewright.toolchain.interpret.states import FloatState
from spikewright.toolchain.ops import Array, Lif, Shape
from spikewright.toolchain.spike_driven.faults import unlowered
from spikewright.toolchain.spike_driven.signals import Fault

if TYPE_CHECKING:
    from spikewright.toolchain.spike_driven.signals import Context, Judgement, Signal


@dataclass(frozen=True, eq=False, kw_only=True)
class GAC(AttentionBlock):
    """The encoder; equations above.

    ``parameters``: conv0, conv1 (C, C, k, k); code ta_w0 (h, T), ta_w1 (T, h); causal ta (T,).
    """

    kind: ClassVar[str] = "gac"
    former: ClassVar[tuple[str, ...]] = ("GatedCoding",)
    on_host: ClassVar[bool] = True
    advice: ClassVar[str] = (
        "feed still images (real values) and put it in front of the first spike: the host computes its gates"
    )
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"variant": ("code", "causal")}

    neuron: Lif = field()
    variant: Literal["code", "causal"] = "code"

    @property
    def title(self) -> str:
        """What messages call it."""
        return "gated attention coding"

    @property
    def sends(self) -> Literal["binary", "graded"]:
        """Spikes scaled by a gate."""
        return "graded"

    def expected(self) -> Mapping[str, tuple[int | None, ...]]:
        """Return the shapes of its parameters.

        The current is (T, C, H, W).

        Raises:
            ValueError: The shape is not (C, H, W).
        """
        if len(self.shape) != 3:
            raise ValueError(f"GAC: shape {self.shape}; expected (C, H, W)")
        c, t = self.shape[0], self.timesteps
        maps: dict[str, tuple[int | None, ...]] = {"conv0": (c, c, None, None), "conv1": (c, c, None, None)}
        return maps | ({"ta": (t,)} if self.variant == "causal" else {"ta_w0": (None, t), "ta_w1": (t, None)})

    # ------------------------------------------------------------------------------------------ its meaning
    def evaluate(self, operands: list[Array]) -> tuple[Array, Array]:
        """Return graded spikes and membranes."""
        x = operands[0]
        self.need_timesteps(x.shape[0])
        state, scores = FloatState(self.neuron, x.shape[1]), self._scores(x)
        out, membranes = [], []
        for t, current in enumerate(x):
            out.append(self._gate(scores[t], current) * state.step([current]))
            membranes.append(state.v)
        return np.stack(out), np.stack(membranes)

    def gates_on(self, operands: list[Array]) -> dict[str, Array]:
        """Return its gate, one a value."""
        scores = self._scores(operands[0])
        return {"TCS": np.stack([self._gate(score, x) for score, x in zip(scores, operands[0], strict=True)])}

    def gate_shapes(self) -> dict[str, Shape]:
        """Return the shape of its gate."""
        return {"TCS": self.shape}

    def _scores(self, x: Array) -> Array:
        """Return A (T, B)."""
        if self.variant == "causal":
            return np.repeat(self.parameters["ta"][:, None], x.shape[1], axis=1)
        return temporal_score(self.parameters, x)

    def _gate(self, score: Array, current: Array) -> Array:
        features = same_conv(np.maximum(same_conv(current, self.parameters["conv0"]), 0), self.parameters["conv1"])
        return gate_function(self.gate, trailing(score, features.ndim) * features)

    def operators(self, make: Operators, operands: list[str]) -> str:
        """Write spikes times h(A F); of a still image, F and what A pools are computed once."""
        x = operands[0]
        spikes = make.lif(self.neuron, x)
        features = make.same(make.frames(x, self.shape), self.shape, self.parameters["conv0"], "parameters/conv0")
        features = make.same(make.node("Relu", features), self.shape, self.parameters["conv1"], "parameters/conv1")
        if self.variant == "causal":
            score = make.constant(self.parameters["ta"].reshape(-1, 1, 1, 1, 1), "parameters/ta")
        else:
            score = temporal_operators(make, self.parameters, x, 5)
        gain = make.gate(self.gate, make.node("Mul", score, make.sequence(features, self.shape, like=x)))
        return make.node("Mul", gain, spikes)

    # ------------------------------------------------------------------------------- its cost, the checker's rule
    def cost(self, spikes: float | None = None) -> AttentionOps:
        """Count its operations per sample; terms above."""
        p, pixels = self.parameters, prod(self.shape[1:])
        return AttentionOps(
            refine=2 * self.timesteps * prod(self.shape),
            pooling=2 * prod(self.shape) if self.variant == "code" else 0,
            sca=int(p["conv0"].size + p["conv1"].size) * pixels,
            sca_time=2 * int(p["ta_w0"].size + p["ta_w1"].size) if self.variant == "code" else 0,
        )

    def judge(self, operands: list[Signal], ctx: Context) -> Judgement:
        """Judge it as host work, once per still image; on the chip its gate is dense, and on events the code form waits."""
        still = ctx.input_kind == "dense" and ctx.still
        ahead = not still and self.variant == "code"
        note = "once per sample: a still image gives every step the same current, so A_t is two pooled scalars"
        found = (self._events(ctx) if ahead else None, self._on_chip(ctx))
        return unlowered(
            self,
            operands,
            ctx,
            lambda path: [Fault(what, help, path, why) for what, help, why in filter(None, found)],
            scope="sequence" if ahead else "step",
            causal=not ahead,
            pooled=2 if self.variant == "code" else 0,
            why="runs in front of the first spike, once per " + ("still image" if still else "frame"),
            notes=(note,) if still and self.variant == "code" else (),
        )

    def _events(self, ctx: Context) -> tuple[str, str, str]:
        fed = "frames that change" if ctx.input_kind == "dense" else "events"
        return (
            f"GAC {self.name!r} is not causal on {fed}: its TA pools over all {self.timesteps} steps, "
            f"so step 0 waits for step {self.timesteps - 1}",
            "feed still images (direct coding), or train variant 'causal': constants per step in the place of TA",
            f"TA of step 0 reads the current of step {self.timesteps - 1}",
        )

    def _on_chip(self, ctx: Context) -> tuple[str, str, str] | None:
        if self.name in ctx.hosts:
            return None
        return (
            f"GAC {self.name!r} computes its gate on the chip: {self.macs_per_step:,} dense MACs every step",
            "run the block on the host in front of the first spike (deploy with --gates host)",
            "two convolutions and global pools of real currents, event or not",
        )


def same_conv(x: Array, kernel: Array) -> Array:
    """Convolve with 'same' padding; an even kernel pads less on the left and top (k = 4: 1 and 2), as torch does."""
    total = kernel.shape[-1] - 1
    left, right = total // 2, total - total // 2
    padded = np.pad(x, ((0, 0), (0, 0), (left, right), (left, right)))
    return conv2d(padded, kernel, (1, 1), (0, 0))
