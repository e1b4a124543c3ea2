"""The checker on TCJA and STAA-style blocks: published forms named, causal ones spike-driven, gated spikes of class B."""

from __future__ import annotations

import numpy as np
import pytest
from checked_nets import block
from joint_nets import joint, joint_net, staa, staa_net

from spikewright.toolchain.spike_driven import check_graph


@pytest.mark.parametrize("dims", ["T", "C"])
def test_causal_tcja_is_spike_driven_and_its_gated_spikes_are_of_class_b(dims: str, rng: np.random.Generator) -> None:
    verdict = check_graph(joint_net(rng, joint(rng, dims), pooled=True), input_kind="binary")  # type: ignore[arg-type]

    found = block(verdict, "tcja")
    assert verdict.spike_driven
    assert (found.family, found.cost_class, found.causal, found.in_step_barrier) == ("tcja", "B", True, False)
    assert block(verdict, "fc1").cost_class == "B"
    assert found.notes[0] == "gates from the spikes it gates, in the same step"


def test_a_binary_gate_keeps_the_synapses_behind_it_of_class_a(rng: np.random.Generator) -> None:
    verdict = check_graph(joint_net(rng, joint(rng, "T", gate="binary")), input_kind="binary")

    assert verdict.spike_driven
    assert (block(verdict, "tcja").cost_class, block(verdict, "fc1").cost_class) == ("C", "A")


@pytest.mark.parametrize(
    ("dims", "scope", "reason"),
    [
        ("T", "window(1)", "its TLA looks 1 step ahead, so step 0 waits for step 1"),
        ("C", "sequence", "its CLA reads all 6 steps, so step 0 waits for step 5"),
        ("TC", "sequence", "its TLA looks 1 step ahead and its CLA reads all 6 steps, so step 0 waits for step 5"),
    ],
)
def test_published_tcja_is_named_with_what_it_waits_for(
    dims: str, scope: str, reason: str, rng: np.random.Generator
) -> None:
    verdict = check_graph(joint_net(rng, joint(rng, dims, "published")), input_kind="binary", payload_bits=8)  # type: ignore[arg-type]

    (found,) = verdict.violations
    assert (found.name, found.family, found.cost_class, found.causal, found.scope) == (
        "tcja",
        "tcja",
        "D",
        False,
        scope,
    )
    assert found.violation == f"TCJA 'tcja' ({dims}, variant 'published') is not causal: {reason}"


def test_a_real_gate_on_spikes_is_a_second_violation_of_the_published_form(rng: np.random.Generator) -> None:
    verdict = check_graph(joint_net(rng, joint(rng, "TC", "published")), input_kind="binary")

    assert [b.name for b in verdict.violations] == ["tcja", "fc1"]
    assert "the unquantized gate of 'tcja'" in str(block(verdict, "fc1").violation)


@pytest.mark.parametrize("form", [("TC", "table"), ("C", "table")])
def test_causal_forms_without_a_lowering_are_violations(form: tuple[str, str], rng: np.random.Generator) -> None:
    gate = joint(rng, form[0], memory=form[1])  # type: ignore[arg-type]
    verdict = check_graph(joint_net(rng, gate), input_kind="binary", payload_bits=8)

    (found,) = verdict.violations
    assert found.name == "tcja"
    assert "is no work of synapses and gate neurons" in str(found.violation)


@pytest.mark.parametrize("variant", ["published", "causal"])
def test_static_gates_mend_every_form_of_tcja(variant: str, rng: np.random.Generator) -> None:
    graph = joint_net(rng, joint(rng, "TC", variant), pooled=True)  # type: ignore[arg-type]

    assert check_graph(graph, input_kind="binary", strategies={"tcja": "static"}).spike_driven


def test_causal_staa_is_spike_driven_and_its_clock_is_named(rng: np.random.Generator) -> None:
    verdict = check_graph(staa_net(rng, staa(rng)), input_kind="binary")

    found = block(verdict, "staa")
    assert verdict.spike_driven
    assert (found.family, found.cost_class) == ("staa", "C")
    assert "6 of 6 neurons of 'staa.clock' fire without any event, by their bias" in found.notes


@pytest.mark.parametrize(
    ("softmax", "reason"),
    [
        (True, "computes dense gates inside the step: its aggregator takes a softmax of all currents"),
        (False, "computes dense gates every step: its aggregator normalises (LN) counts of the step before"),
    ],
)
def test_the_reconstruction_is_named_for_its_step_attention_and_its_aggregator(
    softmax: bool, reason: str, rng: np.random.Generator
) -> None:
    graph = staa_net(rng, staa(rng, "reconstruction", softmax=softmax))
    verdict = check_graph(graph, input_kind="binary", payload_bits=8)

    (found,) = verdict.violations
    title = "STAALIF 'staa' (STAA-style, variant 'reconstruction')"
    assert (found.family, found.cost_class, found.causal, found.in_step_barrier) == ("staa", "D", False, softmax)
    assert found.violation == (
        f"{title} is not causal: its step attention reads all 6 steps, so step 0 waits for step 5; {title} {reason}"
    )
    assert check_graph(graph, input_kind="binary", strategies={"staa": "static"}).spike_driven
