"""Only lowerings that exist are offered, and every block says of each whether it takes it."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from checked_nets import attention, gac
from joint_nets import joint, staa

from spikewright.toolchain.blocks import AttentionBlock
from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.passes.lower_gates import Strategy, strategies_for

OFFERED = [strategy for strategy in get_args(Strategy) if strategy != "auto"]


def blocks() -> list[AttentionBlock]:
    rng = np.random.default_rng(0)
    coding = next(op for op in gac() if isinstance(op, AttentionBlock))
    ma = [attention(variant, "TCS") for variant in ("paper", "code", "causal")]
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


@pytest.mark.parametrize("strategy", ["barrier", "replay"])
def test_what_is_not_built_is_not_offered_and_refused_by_every_block(strategy: str) -> None:
    assert strategy not in OFFERED
    for op in blocks():
        with pytest.raises(GateLoweringError, match=f"cannot be lowered by '{strategy}'"):
            strategies_for([op], strategy)
