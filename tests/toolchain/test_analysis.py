"""Analyses: parts sum to the whole, sums carry their worst basis and band, host work is counted once where it is done once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_nets import SIDE, STEPS, attentive, coded, deployed, events, images

from spikewright.hw_sim import load_trace
from spikewright.hw_sim.costs import BASES
from spikewright.toolchain.analysis import Analysis, Quantity, accuracy, analyze, run_summary, total, utilization
from spikewright.toolchain.backends import RunResult
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.local_backends import HwSimBackend, InterpreterBackend
from spikewright.toolchain.spike_driven.deployed import verdict_of

RUN_KEYS = {
    "backend", "samples", "accuracy", "sops", "gate_multiplies", "host_macs", "latency_s", "bottleneck", "energy_j",
    "spike_rate",
}  # fmt: skip


@pytest.fixture(scope="module")
def gated() -> tuple[Deployment, RunResult]:
    """A causal MA net and its run."""
    made = deployed(attentive(), events())
    return made, run(made)


@pytest.fixture(scope="module")
def on_host() -> tuple[Deployment, RunResult]:
    """A GAC net with its encoder on the host, and its run."""
    made = deployed(coded(), images())
    return made, run(made)


def run(made: Deployment) -> RunResult:
    assert made.samples is not None
    return HwSimBackend().run(made, made.encode(made.samples.x.astype(np.float64)))


def analyzed(pair: tuple[Deployment, RunResult]) -> Analysis:
    made, result = pair
    assert result.trace is not None
    return analyze(made, result.trace)


@pytest.mark.parametrize("which", ["gated", "on_host"])
def test_layers_and_cores_sum_to_the_counters_of_the_trace(which: str, request: pytest.FixtureRequest) -> None:
    pair = request.getfixturevalue(which)
    found, trace = analyzed(pair).activity, pair[1].trace
    for kind, counter in (("binary", trace.sops_binary), ("graded", trace.sops_graded), ("gate", trace.sops_gate)):
        assert sum(getattr(layer.sops, kind) for layer in found.layers) == counter.sum()
        assert sum(getattr(core.sops, kind) for core in found.cores) == counter.sum()
    for field, counter in (("neuron_updates", trace.neuron_updates), ("gate_multiplies", trace.gate_multiplies)):
        assert sum(getattr(layer, field) for layer in found.layers) == counter.sum() == found.total(field)
    assert found.total("messages") == trace.messages.sum()
    assert found.total("hops") == trace.hops_east_west.sum() + trace.hops_north_south.sum()
    assert 0 < found.sops.total <= found.sops.dense


def test_classes_land_where_they_belong(
    gated: tuple[Deployment, RunResult], on_host: tuple[Deployment, RunResult]
) -> None:
    ma, gac = analyzed(gated).activity, analyzed(on_host).activity
    att = next(layer for layer in ma.layers if layer.name == "att")
    assert att.sops.gate > 0
    assert 0 < att.attention_sops < att.sops.total
    neurons, gates = 4 * SIDE * SIDE, 3
    assert att.gate_multiplies == gates * neurons * STEPS * ma.samples
    assert gac.sops.graded > 0
    assert gac.sops.binary == 0
    assert sum(layer.gate_multiplies for layer in gac.layers) == 0


def test_spike_rate_leaves_gates_and_input_out(gated: tuple[Deployment, RunResult]) -> None:
    trace = gated[1].trace
    assert trace is not None
    spiking = [trace.populations[name] for name in ("att", "last")]
    assert analyzed(gated).activity.spike_rate == pytest.approx(
        sum(p.spikes for p in spiking) / sum(p.neurons * STEPS * trace.samples for p in spiking)
    )


@pytest.mark.parametrize("which", ["gated", "on_host"])
def test_energy_is_three_lines_of_items_that_sum_to_the_whole(which: str, request: pytest.FixtureRequest) -> None:
    pair = request.getfixturevalue(which)
    made, trace = pair[0], pair[1].trace
    price = analyzed(pair).energy
    assert price.total.value == pytest.approx(sum(line.energy.value for line in price.lines))
    for line in price.lines:
        assert line.energy.value == pytest.approx(sum(item.energy.value for item in line.items))
        low, high = line.energy.low, line.energy.high
        assert low is not None
        assert high is not None
        assert low <= line.energy.value <= high
    binary = trace.sops_binary.sum() / trace.samples * made.chip.costs["synaptic_op"].energy.nominal * 1e-12
    assert sum(i.energy.value for i in price.dynamic.items if i.event == "synaptic_op") == pytest.approx(binary)
    static = made.chip.static_power.nominal * trace.latency_s.mean()
    assert price.static.energy.value == pytest.approx(static)


def test_a_sum_carries_the_worst_basis_of_its_parts() -> None:
    figures = [Quantity(1.0, "J", basis, 0.5, 2.0) for basis in ("simulated", "assumed", "secondary")]
    whole = total(figures, "J")
    assert (whole.value, whole.low, whole.high, whole.basis) == (3.0, 1.5, 6.0, "assumed")
    assert total(figures[:1], "J").basis == "simulated"


def test_energy_has_the_worst_basis_of_the_prices_it_used(on_host: tuple[Deployment, RunResult]) -> None:
    made, result = on_host
    assert result.trace is not None
    assert analyze(made, result.trace).energy.dynamic.energy.basis == "assumed"  # graded SOPs have no published price
    known = {
        event: replace(
            cost, energy=replace(cost.energy, basis="secondary"), latency=replace(cost.latency, basis="secondary")
        )
        for event, cost in made.chip.costs.items()
    }
    better = replace(made, chip=replace(made.chip, costs=known))
    price = analyze(better, result.trace).energy
    assert price.dynamic.energy.basis == price.static.energy.basis == "secondary"
    assert price.total.basis == price.host.energy.basis == "assumed"  # host MACs stay assumed


def test_no_event_means_no_item_and_no_basis_of_its_price(gated: tuple[Deployment, RunResult]) -> None:
    made = deployed(attentive(attention=False), events())
    events_priced = {item.event for item in analyzed((made, run(made))).energy.dynamic.items}
    assert "gate_synaptic_op" not in events_priced
    assert "gate_multiply" not in events_priced
    assert "gate_multiply" in {item.event for item in analyzed(gated).energy.dynamic.items}


def test_everything_follows_from_a_saved_trace(gated: tuple[Deployment, RunResult], tmp_path: Path) -> None:
    made, result = gated
    assert result.trace is not None
    result.trace.save(tmp_path / "trace.npz")
    assert analyze(made, load_trace(tmp_path / "trace.npz")) == analyze(made, result.trace)


def test_latency_names_its_bottleneck_and_holds_its_band(gated: tuple[Deployment, RunResult]) -> None:
    time = analyzed(gated).latency
    assert time.per_sample.low is not None
    assert time.per_sample.high is not None
    assert time.per_sample.low <= time.per_sample.value <= time.per_sample.high
    assert sum(time.shares.values()) == pytest.approx(1)
    assert sum(seconds for seconds, _ in time.steps) == pytest.approx(time.per_sample.value)
    assert time.shares[time.bottleneck.term] >= time.bottleneck.share
    assert time.bottleneck.term in str(time.bottleneck)


def test_a_slower_price_moves_bottleneck_and_energy(gated: tuple[Deployment, RunResult]) -> None:
    made, _ = gated
    assert made.samples is not None
    slow = analyzed(gated)
    costs = dict(made.chip.costs)
    dear = replace(costs["synaptic_op"].energy, nominal=1e6, high=1e6)
    costs["synaptic_op"] = replace(costs["synaptic_op"], energy=dear)
    changed = analyze(replace(made, chip=replace(made.chip, costs=costs)), gated[1].trace)  # type: ignore[arg-type]
    assert changed.energy.dynamic.energy.value > slow.energy.dynamic.energy.value
    assert changed.latency == slow.latency


def test_the_host_computes_a_still_image_once_and_a_moving_one_every_step() -> None:
    conv, filters, gate = 2 * 9 * SIDE**2, 2 * (2 * 2 * 16) * SIDE**2, 2 * 2 * SIDE**2
    whole = (
        2 * (2 * STEPS + STEPS * 2) + STEPS * gate
    )  # the gate's time path, and its products with every step's spikes
    frame = conv + filters
    made = deployed(coded(), images())
    assert analyzed((made, run(made))).host_macs == frame + whole
    still = images()
    moving = replace(still, x=still.x * np.linspace(0.5, 1, STEPS, dtype=np.float32)[:, None, None, None, None])
    assert analyzed((replace(made, samples=moving), run(made))).host_macs == STEPS * frame + whole
    assert analyzed((replace(made, samples=None), run(made))).host_macs == frame + whole
    assert verdict_of(made).spike_driven
    assert [b.name for b in verdict_of(deployed(coded(), moving)).violations] == ["gac"]


def test_literature_convention_prices_each_class_and_says_what_it_is(on_host: tuple[Deployment, RunResult]) -> None:
    found = analyzed(on_host)
    counts = found.activity
    graded = counts.sops.graded / counts.samples
    assert found.literature.snn_j == pytest.approx((graded + found.host_macs) * 4.6e-12)
    assert found.literature.ann_macs == 2 * 9 * SIDE**2 + 3 * 2 * SIDE**2
    assert "not a chip prediction" in found.literature.label


def test_utilization_gives_used_and_max_of_every_core(gated: tuple[Deployment, RunResult]) -> None:
    made, _ = gated
    uses = utilization(made.program, made.chip)
    neurons = [use for use in uses if use.resource == "max_neurons"]
    held = np.concatenate([p.core for p in made.program.populations])
    assert {use.core: use.used for use in neurons} == {
        int(c): int((held == c).sum()) for c in np.unique(held[held >= 0])
    }
    assert {use.limit for use in neurons} == {made.chip.core.max_neurons}


def test_run_summary_has_the_stable_keys_per_sample(gated: tuple[Deployment, RunResult]) -> None:
    made, result = gated
    assert made.samples is not None
    assert result.trace is not None
    data = run_summary(made, result, made.samples.y, backend="hw_sim")
    assert set(data) >= RUN_KEYS
    assert set(data["sops"]) >= {"binary", "graded", "total", "dense"}
    assert set(data["energy_j"]) >= {"dynamic", "static", "host", "total", "basis"}
    assert data["energy_j"]["basis"] in BASES
    assert data["sops"]["total"] == pytest.approx((result.trace.sops_binary + result.trace.sops_graded).sum() / 6)
    assert data["sops"]["total"] == pytest.approx(data["sops"]["binary"] + data["sops"]["graded"])
    joules = data["energy_j"]
    assert joules["total"] == pytest.approx(joules["dynamic"] + joules["static"] + joules["host"])
    assert data["accuracy"] == accuracy(result.answer, made.samples.y)


def test_a_backend_without_counters_says_why_they_are_null(gated: tuple[Deployment, RunResult]) -> None:
    made, with_trace = gated
    assert made.samples is not None
    x = made.encode(made.samples.x.astype(np.float64))
    bare = InterpreterBackend().run(made, x, record=True)
    data = run_summary(made, bare, made.samples.y, backend="interpreter")
    assert set(data) >= RUN_KEYS
    assert data["sops"] is None
    assert "hw_sim" in data["reason"]
    counted = run_summary(made, bare, made.samples.y, trace=with_trace.trace)
    assert counted["sops"]["total"] > 0
    assert "reason" not in counted
    assert data["spike_rate"] == pytest.approx(counted["spike_rate"])


def test_accuracy_needs_labels() -> None:
    answer = np.array([[1, 3], [5, 2]])
    assert accuracy(answer, np.array([1, 1])) == 0.5
    assert accuracy(answer, None) is None
    assert accuracy(answer, np.array([1])) is None
