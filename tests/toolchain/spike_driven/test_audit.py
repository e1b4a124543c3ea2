"""The audit of real runs: counted SOPs against the fan-out of the events that caused them."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from checked_nets import HOST, MAP, T, conv, gac, lif, ma, net
from compile_random import compile_random
from example_counts import examples
from hypothesis import given
from random_nets import random_net, seeds

from spikewright.hw_sim import Trace, compile, load_chip, simulate
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.integer import IntInput
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping import map_graph
from spikewright.toolchain.ops import Array
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples
from spikewright.toolchain.spike_driven import audit, check_graph, event_replay
from spikewright.toolchain.spike_driven.event_replay import Walk, Walked, fan_out

audit_module = sys.modules[audit.__module__]


def recorded(graph: Graph, x: Array, gates: Any) -> tuple[Deployment, Trace, dict[str, Any]]:
    made = deploy_graph(graph, Options(gates=gates), Samples(x.astype(np.float32), None, "random"), name="net")
    source = next(op.name for op in made.integer if isinstance(op, IntInput))
    payload = made.encode(x)
    trace = simulate(made.program, {source: payload}, record=True)
    return made, trace, {**trace.spikes, source: payload}


@pytest.fixture
def events(rng: np.random.Generator) -> Array:
    return np.asarray((rng.random((T, 3, 1, 8, 8)) < 0.3).astype(np.float64))


@pytest.fixture
def images(rng: np.random.Generator) -> Array:
    return np.repeat(rng.random((1, 3, 1, 8, 8)), T, axis=0)


def test_the_audit_of_gated_graded_and_binary_messages_agrees_with_the_counters(events: Array, images: Array) -> None:
    made, trace, out = recorded(ma("causal", "TCS"), events, "causal")
    found = audit(made.program, out, trace)
    assert found.ok
    assert min(found.sops.values()) > 0
    assert sum(found.sops.values()) == int(trace.sops.sum())
    assert (found.bias_driven, found.silent_sops) == ((), 0)

    made, trace, out = recorded(gac(), images, "host")
    found = audit(made.program, out, trace)
    assert found.ok
    assert found.sops["graded"] > 0


@examples(30)
@given(seed=seeds)
def test_the_audit_passes_on_random_nets(seed: int) -> None:
    graph, x = random_net(seed)
    integer, payload = compile_random(graph, x)
    program = map_graph(integer, load_chip("loihi2"))
    trace = simulate(program, {"in": payload}, record=True)

    assert audit(program, {**trace.spikes, "in": payload}, trace).text().startswith("audit passed")


def test_the_audit_finds_one_sop_too_many(events: Array) -> None:
    made, trace, out = recorded(ma("causal", "TCS"), events, "causal")
    counters = trace.sops_binary.copy()
    step, core = np.argwhere(counters)[0]
    counters[step, core] += 1

    found = audit(made.program, out, replace(trace, sops_binary=counters))

    assert not found.ok
    assert found.differences == 1
    was = int(counters[step, core])
    assert found.text().splitlines()[0].startswith("audit FAILED: ")
    assert found.text().splitlines()[2] == (
        f"    binary SOPs of core {core} in chip step {step}: events cause {was - 1}, the trace counts {was}"
    )


@pytest.mark.parametrize("block", [1, 3])
def test_a_walk_in_blocks_of_steps_finds_what_a_walk_of_all_finds(events: Array, block: int) -> None:
    made, trace, out = recorded(ma("causal", "TCS"), events, "causal")
    walk = Walk(made.program, trace.steps, trace.chip_steps, trace.cores)
    for first in range(0, trace.steps, block):
        walk.add({name: array[first : first + block] for name, array in out.items()}, first)

    assert audit_module.audit_walked(walk.found, trace, audit_module.silence(made.program, trace.steps)).ok
    assert walk.found.events.keys() == out.keys()


@pytest.mark.parametrize("seed", range(4))
def test_synapses_walked_all_at_once_find_what_events_walked_one_by_one_find(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, x = random_net(seed)
    integer, payload = compile_random(graph, x)
    program = map_graph(integer, load_chip("loihi2"))
    trace = simulate(program, {integer.input.name: payload}, record=True)
    out = {**trace.spikes, integer.input.name: payload}
    found = []
    for few in (1 << 30, -1):
        monkeypatch.setattr(event_replay, "FEW", few)
        walk = Walk(program, trace.steps, trace.chip_steps, trace.cores)
        walk.add(out)
        found.append(walk.found)
        assert audit(program, out, trace).ok

    one, all_at_once = found
    assert one.projections == all_at_once.projections
    assert sum(one.projections.values()) > 0
    for kind, sops in one.sops.items():
        np.testing.assert_array_equal(sops, all_at_once.sops[kind])


def test_an_audit_that_keeps_nothing_is_the_audit_of_a_recorded_run(
    events: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, trace, out = recorded(ma("causal", "TCS"), events, "causal")
    nothing = audit_module.silence(made.program, trace.steps)
    monkeypatch.setattr(audit_module, "BUDGET", 1)

    found, counted = audit_module.walked(compile(made.program), {"in": made.encode(events)})

    assert audit_module.audit_walked(found, counted, nothing) == audit(made.program, out, trace, nothing)


def test_an_event_that_is_missing_from_the_record_lacks_exactly_its_fan_out(events: Array) -> None:
    made, trace, out = recorded(ma("causal", "TCS"), events, "causal")
    t, b, *where = np.argwhere(out["ma"])[0]
    fewer = out["ma"].copy()
    fewer[t, b, *where] = 0
    reached = fan_out(made.program, "ma", int(np.ravel_multi_index(where, MAP)))

    whole = audit(made.program, out, trace)
    lacking = audit(made.program, out | {"ma": fewer}, trace)

    assert not lacking.ok
    assert whole.sops["binary"] - lacking.sops["binary"] == sum(reached.values()) > 0


def test_deleting_one_input_event_lowers_the_counted_sops_by_exactly_its_fan_out(events: Array) -> None:
    made, trace, _ = recorded(ma("causal", "TCS"), events, "causal")
    payload = made.encode(events)
    t, b, *where = np.argwhere(payload)[-1]
    payload[t, b, *where] = 0
    reached = fan_out(made.program, "in", int(np.ravel_multi_index(where, (1, 8, 8))))

    fewer = simulate(made.program, {"in": payload})

    assert {name: trace.projections[name].sops - fewer.projections[name].sops for name in reached} == reached
    assert reached["conv1"] > 0


def test_populations_that_fire_without_input_are_named_and_those_they_drive_are_not(events: Array) -> None:
    graph = net(
        conv("conv1", "in", 4, 1, bias=0.8), lif("lif1", "conv1"), conv("conv2", "lif1", 4, 4), lif("lif2", "conv2")
    )
    made, trace, out = recorded(graph, events, "auto")

    found = audit(made.program, out, trace)

    assert found.ok
    assert found.bias_driven == ("lif1",)
    assert found.silent_sops > 0


def test_the_audit_wants_the_output_of_every_population(events: Array) -> None:
    made, trace, out = recorded(ma("causal", "T"), events, "causal")
    del out["ma"]

    with pytest.raises(InputError, match="recorded output has shape None"):
        audit(made.program, out, trace)


def test_the_synapses_of_the_verdict_are_those_of_the_machine(images: Array) -> None:
    made, trace, _ = recorded(gac(), images, "host")

    verdict = check_graph(made.captured, input_kind="dense", host=HOST, payload_bits=8)

    dense = sum(p.dense_sops for p in trace.projections.values()) / (trace.samples * trace.steps)
    assert sum(b.synapses for b in verdict.blocks) == dense


# ------------------------------------------------------------------------------------------ without input
def biased(events: Array) -> Deployment:
    graph = net(
        conv("conv1", "in", 4, 1, bias=0.8), lif("lif1", "conv1"), conv("conv2", "lif1", 4, 4), lif("lif2", "conv2")
    )
    data = Samples(events.astype(np.float32), None, "random")
    return deploy_graph(graph, Options(gates="auto"), data, name="biased", samples=data)


def arriving(trace: Trace, made: Deployment, target: str) -> int:
    return sum(trace.projections[p.name].sops for p in made.program.projections if p.target == target)


def test_the_event_driven_share_is_what_the_same_run_without_input_leaves(events: Array) -> None:
    made = biased(events)
    found = made.check().event_driven
    payload = made.encode(events)
    source = next(op.name for op in made.integer if isinstance(op, IntInput))
    run, silent = (simulate(made.program, {source: x}) for x in (payload, 0 * payload))

    assert found is not None
    assert found.samples == 3
    assert {layer.layer for layer in found.layers} == {"lif1", "lif2"}
    for layer in found.layers:
        sops = arriving(run, made, layer.layer)
        assert (layer.sops, layer.silent_sops) == (sops, arriving(silent, made, layer.layer))
        assert layer.share == max(0.0, 1 - layer.silent_sops / sops)
    assert (found.sops, found.silent_sops) == (int(run.sops.sum()), int(silent.sops.sum()))
    assert found.share == max(0.0, 1 - silent.sops.sum() / run.sops.sum()) < 1
    assert found.alone == ("lif1",)
    assert next(layer for layer in found.layers if layer.layer == "lif1").share == 1


def test_a_net_whose_neurons_fire_more_without_input_has_no_event_driven_share(events: Array) -> None:
    graph = net(
        conv("conv1", "in", 4, 1, bias=0.8), lif("lif1", "conv1"), conv("conv2", "lif1", 4, 4), lif("lif2", "conv2")
    )
    down = graph.map(lambda op: replace(op, weight=-abs(op.weight)) if op.name == "conv1" else op)  # type: ignore[attr-defined]
    data = Samples(events.astype(np.float32), None, "random")
    found = deploy_graph(down, Options(), data, name="net", samples=data).check().event_driven

    assert found is not None
    assert found.silent_sops > found.sops > 0 or found.layers[1].silent_sops > found.layers[1].sops
    assert min(layer.share for layer in found.layers) == 0.0


def test_too_much_without_input_is_a_violation_of_its_own_kind_and_off_by_default(events: Array) -> None:
    made = biased(events)
    free = made.check()
    assert free.event_driven is not None
    silent = 1 - free.event_driven.share

    strict, exact = made.check(max_silent=silent - 1e-6), made.check(max_silent=silent)

    assert (free.ok, exact.ok, strict.ok) == (True, True, False)
    assert strict.spike_driven
    assert strict.audit is not None
    assert strict.audit.ok
    assert strict.silent_violation is not None
    assert f"violation: {strict.silent_violation}" in strict.text()
    assert "in lif1" in strict.text()
    assert "fire by themselves: 'lif1'" in free.text()
    assert strict.to_dict()["silent_violation"] == strict.silent_violation
    assert strict.to_dict()["event_driven_share"]["total"] == free.event_driven.share
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match=r"0 \.\. 1 is allowed"):
            made.check(max_silent=share)
    with pytest.raises(InputError, match="travels without samples"):
        replace(made, samples=None).check(max_silent=0.5)


def test_a_net_without_biases_is_driven_by_events_alone(events: Array) -> None:
    graph = net(conv("conv1", "in", 4, 1), lif("lif1", "conv1"))
    data = Samples(events.astype(np.float32), None, "random")

    found = deploy_graph(graph, Options(), data, name="net", samples=data).check(max_silent=0.0)

    assert found.ok
    assert found.event_driven is not None
    assert (found.event_driven.share, found.event_driven.alone) == (1.0, ())


@pytest.mark.parametrize("what", ["counter", "spike"])
def test_the_audit_fails_on_what_happens_without_input_and_nothing_explains(
    events: Array, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that counts a SOP too many, or whose neurons fire on their own, though a bias drives others."""
    made = biased(events)
    simulate, walked = audit_module.simulate, audit_module.walked

    def without_synapses(*words: Any, **options: Any) -> Trace:
        trace = simulate(*words, **options)
        silent = {name: replace(count, spikes=0) for name, count in trace.populations.items()}
        return trace if what == "counter" else replace(trace, populations=silent)

    def broken(*words: Any) -> tuple[Walked, Trace]:
        found, trace = walked(*words)
        if what == "spike":
            return found, replace(trace, projections={n: replace(c, sops=0) for n, c in trace.projections.items()})
        counters = trace.sops_binary.copy()
        counters[-1, 0] += 1
        return found, replace(trace, sops_binary=counters)

    monkeypatch.setattr(audit_module, "simulate", without_synapses)
    monkeypatch.setattr(audit_module, "walked", broken)

    check = made.check()

    assert check.audit is not None
    assert not check.audit.ok
    assert not check.ok
    assert check.audit.text().startswith("audit FAILED: ")
    said = "the trace counts" if what == "counter" else "though no event reaches it and no bias drives it"
    assert f"without input: {check.audit.unexplained[0]}" in check.text()
    assert said in check.audit.unexplained[0]
