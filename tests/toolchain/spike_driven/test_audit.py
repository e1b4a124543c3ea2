"""The audit of real runs: counted SOPs against the fan-out of the events that caused them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from checked_nets import HOST, MAP, T, conv, gac, lif, ma, net
from compile_random import compile_random
from hypothesis import given, settings
from random_nets import random_net, seeds

from spikewright.hw_sim import Trace, load_chip, simulate
from spikewright.toolchain.deployment import Deployment, Options, Samples
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.int_ops import IntInput
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping import map_graph
from spikewright.toolchain.ops import Array
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.spike_driven import audit, check_graph
from spikewright.toolchain.spike_driven.event_replay import fan_out


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


@settings(max_examples=30)
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
