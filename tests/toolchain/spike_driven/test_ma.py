"""The checker on membrane attention: every variant and set of gates, and every lowering."""

from __future__ import annotations

import pytest
from checked_nets import block, ma, only_violation

from spikewright.toolchain.spike_driven import check_graph

DIMS = ("T", "C", "S", "TC", "TS", "CS", "TCS")


@pytest.mark.parametrize("dims", DIMS)
def test_causal_ma_is_spike_driven_with_gains_of_class_c_and_counts_of_class_a(dims: str) -> None:
    verdict = check_graph(ma("causal", dims), input_kind="binary")

    found = block(verdict, "ma")
    assert verdict.spike_driven
    assert (found.family, found.cost_class, found.causal, found.in_step_barrier) == ("ma", "C", True, False)
    assert found.gate_multiplies == 256 * len(dims)
    counts = {"T": 256, "C": 256 * 2 + 2 * 4, "S": 22 * 22 * 4}
    assert found.synapses == sum(counts[d] for d in dims)
    assert found.notes[0] == "gates from its own spikes, 3 steps late"


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_a_leaking_channel_gate_would_send_without_an_event_unless_decay_is_1_or_0(decay: float) -> None:
    verdict = check_graph(ma("causal", "C", decay), input_kind="binary")

    assert verdict.spike_driven == (decay in (0.0, 1.0))
    if decay == 0.5:
        found = only_violation(verdict)
        assert found.violation == (
            "Affine 'ma.ca.excite' reads the sum in 'ma.ca.hidden' (it leaks by 0.5, so it changes in every step "
            "without an event), not spikes: 8 dense MACs every step"
        )
        assert found.help == "train and deploy with decay = 1 (or 0)"


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("variant", ["paper", "code"])
def test_published_ma_streams_only_where_no_gate_needs_a_later_step(variant: str, dims: str) -> None:
    found = only_violation(check_graph(ma(variant, dims), input_kind="binary"))

    ahead = variant == "code" or "T" in dims
    inside = variant == "paper" and dims != "T"
    assert (found.name, found.family, found.cost_class) == ("ma", "ma", "D")
    assert (found.causal, found.scope) == ((False, "sequence") if ahead else (True, "state"))
    assert found.in_step_barrier == inside
    assert ("is not causal" in str(found.violation)) == ahead
    assert ("inside the step" in str(found.violation)) == inside
    assert found.help == "deploy with --gates static, or train variant 'causal'"


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("variant", ["paper", "code", "causal"])
def test_static_gates_mend_every_variant(variant: str, dims: str) -> None:
    verdict = check_graph(ma(variant, dims), input_kind="binary", strategies={"ma": "static"})

    folded = variant == "paper" and "T" not in dims
    assert verdict.spike_driven
    assert block(verdict, "ma").cost_class == ("A" if folded else "C")
    assert block(verdict, "ma").causal


def test_what_stands_behind_a_non_causal_block_waits_and_is_not_blamed() -> None:
    verdict = check_graph(ma("code", "T"), input_kind="binary")

    assert [b.name for b in verdict.violations] == ["ma"]
    assert block(verdict, "conv1").witness == "in -> conv1: accumulates weights of binary spikes"
    for name in ("conv2", "lif2", "out"):
        assert block(verdict, name).witness.endswith("; waits for later steps of 'ma'")
        assert block(verdict, name).causal


def test_a_lowering_that_the_variant_refuses_changes_nothing_and_says_why() -> None:
    found = only_violation(check_graph(ma("code", "C"), input_kind="binary", strategies={"ma": "causal"}))

    assert found.notes[0].startswith("cannot be lowered by 'causal': its channel gate pools over all T steps")
