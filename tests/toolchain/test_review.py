"""Energy for a reviewer: a ledger that sums to the trace, lists that price what they price, the twin, power at a rate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spikewright as sw
from spikewright.toolchain.analysis import Ledger, Quantity, list_prices, load_prices, price
from spikewright.toolchain.analysis.ledger import COUNTS, ann_twin
from spikewright.toolchain.cli.main import main
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.report import Report
from spikewright.toolchain.report.text import price_table

LIST = """
prices: mine
description: "two prices"
energies:
  accumulate: {low: 1.0, nominal: 2.0, high: 4.0, unit: pJ, basis: measured, source: me}
  axon_byte: {low: 0.0, nominal: 0.5, high: 0.5, unit: pJ, basis: measured, source: me}
sources: {me: "a test"}
"""


@pytest.fixture(scope="module")
def made() -> Deployment:
    return sw.deploy("gac-digits")


@pytest.fixture(scope="module")
def report(made: Deployment) -> Report:
    return made.report(limit=8, backends=(), rate=50.0)


def test_the_ledger_is_the_traces_counts_and_bytes(made: Deployment, report: Report) -> None:
    run = made.run(limit=8).result
    trace = run.trace  # type: ignore[union-attr]
    counts = report.analysis.review.ledger.counts  # type: ignore[union-attr]
    assert set(counts) == set(COUNTS)
    assert counts["accumulate"] == trace.sops_binary.sum() / 8
    assert counts["multiply_accumulate"] == trace.sops_graded.sum() / 8
    assert counts["gate_message"] == trace.sops_gate.sum() / 8
    assert counts["state_byte"] == trace.neuron_updates.sum() / 8 * 12
    assert counts["weight_byte"] + counts["index_byte"] == max(trace.synmem_reads.sum() * 8 / 8, counts["weight_byte"])
    assert counts["host_mac"] == report.analysis.host_macs  # type: ignore[union-attr]


def test_spikes_per_synapse_is_sops_over_synapses(made: Deployment, report: Report) -> None:
    found = report.analysis  # type: ignore[union-attr]
    synapses = sum(p.synapses.entries(made.program.population(p.source).shape, made.program.population(p.target).shape)[0].size
                   for p in made.program.projections)  # fmt: skip
    lags = {p.name: made.program.lag(p) for p in made.program.projections}
    assert max(lags.values()) == 0  # every spike arrives inside its window, so that dense is T times the synapses
    assert found.review.spikes_per_synapse == pytest.approx(found.activity.sops.total / 8 / synapses)


def test_every_list_that_ships_is_sourced_and_says_what_it_leaves_out(report: Report) -> None:
    review = report.analysis.review  # type: ignore[union-attr]
    assert len(list_prices()) >= 5
    for one in review.lists:
        prices = load_prices(one.net.name)
        assert all(p.source in prices.sources and p.unit == "pJ" for p in prices.energies.values())
        assert set(one.net.items) | set(one.net.left_out) == {n for n, c in review.ledger.counts.items() if c}
        assert one.net.total.value == pytest.approx(
            sum(review.ledger.counts[n] * p.nominal for n, p in prices.energies.items()) * 1e-12
        )


def test_at_the_break_even_rate_net_and_twin_cost_the_same(report: Report) -> None:
    review = report.analysis.review  # type: ignore[union-attr]
    for one in review.lists:
        if one.break_even:
            moving = one.net.total.value - one.net.fixed
            assert one.net.fixed + moving * one.break_even / review.spike_rate == pytest.approx(one.twin.total.value)
        else:
            assert one.net.fixed >= one.twin.total.value


def test_a_twin_reads_a_weight_a_mac_and_updates_each_neuron_once() -> None:
    net = Ledger(dict.fromkeys(COUNTS, 0.0) | {
        "accumulate": 100.0, "neuron_update": 80.0, "state_byte": 960.0, "spike": 10.0, "message": 20.0, "hop": 30.0,
        "weight_byte": 100.0, "index_byte": 50.0, "axon_byte": 160.0, "hop_bit": 960.0,
    })  # fmt: skip
    twin = ann_twin(net, macs=1000, neurons=20).counts
    assert (twin["multiply_accumulate"], twin["weight_byte"], twin["index_byte"]) == (1000, 1000, 500)
    assert (twin["neuron_update"], twin["state_byte"]) == (20, 240)
    assert (twin["spike"], twin["message"], twin["hop"]) == (20, 40, 60)


def test_a_list_of_ones_own_prices_and_carries_its_worst_basis(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(LIST)
    priced = price(Ledger({"accumulate": 10.0, "axon_byte": 4.0, "spike": 3.0}), load_prices(tmp_path / "mine.yaml"))
    assert priced.total == Quantity(
        pytest.approx(22e-12), "J", "assumed", pytest.approx(10e-12), pytest.approx(42.48e-12)
    )
    assert priced.items["accumulate"].basis == "simulated"
    assert priced.left_out == ("spike",)


def test_no_energy_of_a_list_has_a_narrower_band_than_silicon_repeats_to(report: Report) -> None:
    for one in report.analysis.review.lists:  # type: ignore[union-attr]
        for figure in (one.net.total, one.twin.total):
            assert figure.low is not None
            assert figure.high is not None
            assert figure.low <= 0.76 * figure.value * (1 + 1e-12)
            assert figure.high >= 1.24 * figure.value * (1 - 1e-12)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("accumulate:", "acumulate:", "did you mean 'accumulate'"),
        ("unit: pJ", "unit: nJ", "expected 'pJ'"),
        ("basis: measured", "basis: sure", "allowed: measured"),
        ("source: me}", "source: you}", "not listed under sources"),
        ("low: 1.0", "low: 3.0", "not in order"),
        ("nominal: 2.0", "nominal: .inf", "finite number"),
        ("nominal: 2.0", "nominal: [2.0]", "finite number"),
        ("prices: mine", "prices: [mine]", "one text"),
        ("description:", "descriptions:", "unknown key"),
        ("  accumulate", "  ? [a]\n  : 1\n  accumulate", "a key that is a list"),
        ("energies:", "energies: {}\nrest:", "unknown key"),
        ("prices: mine", "prices: {{{", "YAML"),
        ("prices: mine", "[" * 3000, "nested too deeply"),
    ],
)
def test_a_bad_list_is_refused_by_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(LIST.replace(old, new, 1))
    with pytest.raises(InputError) as refused:
        load_prices(path)
    assert words in str(refused.value)


def test_power_at_a_rate_is_work_and_static(report: Report) -> None:
    duty, found = report.duty, report.analysis
    assert duty is not None
    assert found is not None
    work = 50 * (found.energy.dynamic.energy.value + found.energy.host.energy.value)
    assert duty.always_on.value == pytest.approx(work + report.chip.static_power.nominal)
    assert duty.gated.value == pytest.approx(50 * found.energy.total.value)
    assert duty.always_on.low < duty.always_on.value < duty.always_on.high  # type: ignore[operator]


def test_a_rate_that_samples_cannot_keep_is_refused(made: Deployment) -> None:
    for rate in (0.0, -1.0, 1e9, float("nan")):
        with pytest.raises(InputError, match="samples a second"):
            made.report(limit=1, backends=(), rate=rate)


def test_every_form_of_the_report_holds_the_review(report: Report) -> None:
    data = json.loads(report.json())["review"]
    assert data["statement"] in report.html()
    assert {row["list"] for row in data["prices"]} == set(list_prices())
    assert all(name in price_table(report) for name in list_prices())
    assert "spikes a synapse" in str(report)
    assert "50 samples a second" in report.html()


def test_pricing_a_report_again_gives_its_own_figures(
    report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report.json(tmp_path / "r.json")
    assert main(["price", str(tmp_path / "r.json"), "--json"]) == 0
    again = {row["list"]: row["net"]["value"] for row in json.loads(capsys.readouterr().out)}
    assert again == {one.net.name: pytest.approx(one.net.total.value) for one in report.analysis.review.lists}  # type: ignore[union-attr]
    (tmp_path / "mine.yaml").write_text(LIST)
    assert main(["price", str(tmp_path / "r.json"), "--with", str(tmp_path / "mine.yaml")]) == 0
    assert "not priced by this list" in capsys.readouterr().out


NEGATIVE = '{"review": {"counts": {"accumulate": {"value": -1}}, "twin": {"counts": {}}, "assumed_counts": []}}'


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"review": 3}', NEGATIVE])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.json").write_text(text)
    assert main(["price", str(tmp_path / "r.json")]) == 2
    assert "spikewright report DIR --json FILE" in capsys.readouterr().err


def test_standings_follow_the_bounds(report: Report) -> None:
    review = report.analysis.review  # type: ignore[union-attr]
    for value, stands in ((0.1, "below"), (0.15, "between"), (1.0, "between"), (1.5, "above")):
        assert replace(review, spikes_per_synapse=value).per_synapse_stands == stands
    assert replace(review, spike_rate=0.05).rate_stands == "below"
    assert np.isclose(review.twin_bits, np.ceil(np.log2(review.timesteps + 1)))
