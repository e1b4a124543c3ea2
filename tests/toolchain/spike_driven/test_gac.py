"""The checker on gated attention coding: on the host, on the chip, and with gates of few levels."""

from __future__ import annotations

import pytest
from checked_nets import HOST, block, gac, only_violation

from spikewright.toolchain.spike_driven import check_graph


def test_gac_on_the_host_with_a_payload_is_spike_driven() -> None:
    verdict = check_graph(gac(), input_kind="dense", host=HOST, payload_bits=8, fits=True)

    assert verdict.spike_driven
    assert {b.name: b.cost_class for b in verdict.blocks if b.where == "host"} == {"stem": "D", "encoder": "D"}
    assert block(verdict, "encoder").family == "gac"
    assert block(verdict, "encoder").macs_per_step == 4 * 4 + 2 * 4 * 4 * 16 * 64
    assert block(verdict, "encoder").notes[0].startswith("once per sample")
    assert block(verdict, "stem").fits is None
    assert [b.name for b in verdict.blocks if b.cost_class == "B"] == ["lif1", "add1", "lif3", "add2", "lif4"]
    assert [b.cost_class for b in verdict.blocks if b.name.startswith("conv")] == ["A", "A", "A"]


def test_the_host_is_found_from_the_strategy_and_from_folded_names() -> None:
    by_strategy = check_graph(gac(), input_kind="dense", strategies={"encoder": "host"}, payload_bits=8)
    by_fold = check_graph(gac(), input_kind="dense", host=frozenset({"encoder"}), payload_bits=8)

    assert by_strategy.spike_driven
    assert by_strategy.rows() == by_fold.rows()


def test_gac_on_events_is_not_causal_even_on_the_host() -> None:
    found = only_violation(check_graph(gac(), input_kind="binary", host=HOST, payload_bits=8))

    assert (found.name, found.causal, found.scope) == ("encoder", False, "sequence")


def test_gac_on_frames_that_change_waits_for_the_last_one() -> None:
    found = only_violation(check_graph(gac(), input_kind="dense", still=False, host=HOST, payload_bits=8))

    assert (found.name, found.causal, found.scope) == ("encoder", False, "sequence")
    assert "not causal on frames that change" in (found.violation or "")


def test_gac_on_the_chip_is_blamed_for_its_dense_gate_and_the_stem_for_the_real_input() -> None:
    verdict = check_graph(gac(), input_kind="dense", payload_bits=8)

    assert [b.name for b in verdict.violations] == ["stem", "encoder"]
    assert "run 'stem' on the host in front of the first spike" in block(verdict, "stem").help
    assert (
        block(verdict, "encoder").help
        == "run the block on the host in front of the first spike (deploy with --gates host)"
    )


@pytest.mark.parametrize(("gate", "cost_class"), [("binary", "A"), ("pow2", "B")])
def test_gates_of_few_levels_need_no_payload_bits(gate: str, cost_class: str) -> None:
    verdict = check_graph(gac(gate=gate), input_kind="dense", host=HOST)

    assert verdict.spike_driven
    assert block(verdict, "lif1").cost_class == cost_class


@pytest.mark.parametrize("late", ["conv1", "lif2"])
def test_host_work_behind_the_first_spike_is_a_violation(late: str) -> None:
    found = only_violation(check_graph(gac(), input_kind="dense", host=HOST | {late}, payload_bits=8))

    assert found.violation == "Conv 'conv1' is host work, but reads 'lif1' behind the first spike"
    assert found.help == "let the host end at 'lif1'"
