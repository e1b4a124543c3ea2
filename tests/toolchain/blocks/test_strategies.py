"""Only lowerings that exist are offered, and every block says of each whether it takes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, get_args

import numpy as np
import pytest
from checked_nets import attention, conv, gac, lif, net, only_violation
from joint_nets import joint, staa

from spikewright.toolchain.blocks import AttentionBlock, AttentionOps
from spikewright.toolchain.errors import GateLoweringError, VerifyError
from spikewright.toolchain.ops import Array, Lif, Op, Shape
from spikewright.toolchain.passes.lower_gates import LowerGates, Strategy, strategies_for
from spikewright.toolchain.shapes import shapes
from spikewright.toolchain.spike_driven import check_graph

OFFERED = [strategy for strategy in get_args(Strategy) if strategy != "auto"]


def blocks() -> list[AttentionBlock]:
    rng = np.random.default_rng(0)
    coding = next(op for op in gac() if isinstance(op, AttentionBlock))
    ma = [*(attention(variant, "TCS") for variant in ("paper", "code", "causal")), attention("paper", "CS")]
    tcja = [joint(rng, dims, variant) for dims in ("T", "C", "TC") for variant in ("published", "causal")]  # type: ignore[arg-type]
    return [coding, *ma, *tcja, staa(rng), staa(rng, "reconstruction")]


@pytest.mark.parametrize("strategy", OFFERED)
def test_every_strategy_that_is_offered_works_for_some_block(strategy: str) -> None:
    assert any(not op.refusal(strategy) for op in blocks())


def test_every_block_has_a_lowering_or_a_reason_for_each_strategy() -> None:
    for op in blocks():
        taken = {strategy for strategy in OFFERED if not op.refusal(strategy)}
        assert taken <= {*op.lowerings(), *(["host"] if op.on_host else [])}
        assert taken >= ({"host"} if op.on_host else {"static"})
        assert op.refusal(op.own_strategy) == ""


def test_what_a_strategy_needs_and_a_block_does_not_have_is_the_reason_of_its_refusal() -> None:
    reasons = {
        ("barrier", attention("code", "CS")): "none of its gates reads the membrane: nothing waits inside a step",
        (
            "barrier",
            attention("paper", "TC"),
        ): "its temporal gate needs all T steps, which no wait inside a step brings",
        ("replay", attention("causal", "TCS")): "none of its gates needs a later step: nothing is to be run again",
        ("replay", attention("paper", "CS")): "none of its gates needs a later step: nothing is to be run again",
    }
    for (strategy, op), reason in reasons.items():
        with pytest.raises(GateLoweringError, match=f"cannot be lowered by '{strategy}': {reason}"):
            strategies_for([op], strategy)


@dataclass(frozen=True, eq=False, kw_only=True)
class Halved(AttentionBlock):
    """The least a block says of itself: its meaning, its gate and its cost."""

    kind: ClassVar[str] = "halved"
    neuron: Lif = field()

    def evaluate(self, operands: list[Array]) -> tuple[Array, Array]:
        """Return nothing of interest."""
        return operands[0] / 2, operands[0]

    def gates_on(self, operands: list[Array]) -> dict[str, Array]:
        """Return its gate."""
        return {"T": np.full(operands[0].shape[:2], 0.5)}

    def gate_shapes(self) -> dict[str, Shape]:
        """Return its shape."""
        return {"T": (1,)}

    def cost(self, spikes: float | None = None) -> AttentionOps:
        """Count a step's MACs."""
        return AttentionOps(generate=7 * self.timesteps)


def halved(reads: str) -> list[Op]:
    block = Halved(name="own", inputs=(reads,), neuron=lif("own", reads), timesteps=8, parameters={})
    return [conv("conv1", "in", 4, 1), block]


def test_a_block_without_a_rule_of_its_own_is_dense_and_one_without_lowerings_says_so() -> None:
    graph = net(*halved("conv1"))

    found = only_violation(check_graph(graph, input_kind="binary"))

    assert (found.name, found.family, found.cost_class, found.macs_per_step) == ("own", "halved", "D", 7)
    assert found.violation == "Halved 'own' computes dense gates every step: 7 MACs"
    with pytest.raises(
        GateLoweringError, match="block 'own': Halved 'own' cannot be lowered by 'static': it has no such"
    ):
        LowerGates()(graph)


def test_a_block_checks_the_shape_of_what_it_reads() -> None:
    with pytest.raises(VerifyError, match=r"Halved reads shape \(1, 8, 8\); it takes \(4, 8, 8\)"):
        shapes(net(*halved("in")))
