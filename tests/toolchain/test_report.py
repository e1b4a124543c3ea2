"""Reports: every section is there, nothing is loaded from outside, equal inputs give equal files."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_nets import attentive, deployed, events

from spikewright.toolchain.analysis import Use
from spikewright.toolchain.analysis.activity import slice_of
from spikewright.toolchain.analysis.numbers import count, ratio, si
from spikewright.toolchain.compare import compare
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.local_backends import HwSimBackend, InterpreterBackend
from spikewright.toolchain.report import (
    Report,
    build_report,
    fingerprint,
    summary_text,
    to_csv,
    to_data,
    to_html,
    to_json,
)
from spikewright.toolchain.report.html import SECTIONS
from spikewright.toolchain.report.html.questions import change, energy, fast, right, spike_driven
from spikewright.toolchain.report.overlay import energy_of
from spikewright.toolchain.spike_driven import check_graph

QUESTIONS = ("Is it spike-driven?", "Is it right?", "How fast?", "How much energy?", "What to change next?")


def made_report(made: Deployment, twin: Report | None = None) -> Report:
    samples = made.samples
    assert samples is not None
    x = made.encode(samples.x.astype(np.float64))
    runs = {b.name: b.run(made, x) for b in (InterpreterBackend(), HwSimBackend())}
    verdict = check_graph(made.captured, input_kind="binary", strategies=made.strategies, payload_bits=8, fits=True)
    equal = compare(made, ["interpreter", "hw_sim"], x)
    return build_report(made, runs, verdict, equal, twin, samples.y)


@pytest.fixture(scope="module")
def report() -> Report:
    """A causal MA net with its twin without attention beside it."""
    twin = made_report(deployed(attentive(attention=False), events(), "plain"))
    card = {"family": "ma", "provenance": "reconstruction", "title": "<b>&"}
    return made_report(deployed(attentive(), events(), "gated", **card), twin)


class Outside(HTMLParser):
    """Collects what a page loads or runs, and checks that tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "iframe", "img", "object", "embed"):
            self.found.append(tag)
        self.found += [
            f"{k}={v}" for k, v in attrs if k in ("src", "href", "srcset", "data") and not (v or "").startswith("#")
        ]
        if tag != "meta" and tag != "br":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_loads_nothing_and_its_tags_close(report: Report) -> None:
    page = to_html(report)
    parser = Outside()
    parser.feed(page)
    assert parser.found == []
    assert parser.open == []
    assert not re.search(r"https?://|url\(|@import", page)


def test_every_section_is_there_and_linked(report: Report) -> None:
    page = to_html(report)
    for name, title, _ in SECTIONS:
        assert f'<section id="{name}"><h2>{title}</h2>' in page
        assert f'href="#{name}"' in page
    assert "What is modelled, what is not" in page
    assert "Glossary" in page


def test_the_page_shows_each_figure_with_its_basis_and_origin(report: Report) -> None:
    page = to_html(report)
    assert all(f">{question}</a></h2>" in page for question in QUESTIONS)
    assert "quantized" in page
    assert "not a chip prediction" in page
    assert "provenance: reconstruction" in page
    assert "events simulated from still images" in page
    assert "gates of att: causal" in page
    assert "Bottleneck:" in page
    assert "with / without" in page
    assert "plain" in page
    for basis in ("measured", "simulated", "assumed"):
        assert f'class="basis {basis}"' in page
    assert page.count("<svg") >= 4


def test_text_from_outside_is_escaped(report: Report) -> None:
    page = to_html(replace(report, name='<script>"x"', dataset="a&b", card={"note": "</section>"}))
    assert "<script>" not in page
    assert "&lt;script&gt;&quot;x&quot;" in page
    assert "a&amp;b" in page
    assert page.count("</section>") == len(SECTIONS)


def test_equal_inputs_give_equal_files(report: Report) -> None:
    twin = made_report(deployed(attentive(attention=False), events(), "plain"))
    card = {"family": "ma", "provenance": "reconstruction", "title": "<b>&"}
    again = made_report(deployed(attentive(), events(), "gated", **card), twin)
    for render in (to_json, to_csv, to_html, summary_text):
        assert render(again) == render(report)


def test_json_is_complete_and_has_no_nan(report: Report) -> None:
    data: dict[str, Any] = json.loads(to_json(report))
    assert data == json.loads(json.dumps(to_data(report), allow_nan=False))
    assert data["spike_driven"] is True
    assert {row["name"] for row in data["blocks"]} >= {"conv", "att", "fc", "last"}
    assert data["sops"]["total"] == sum(row["sops"]["binary"] + row["sops"]["graded"] for row in data["layers"])
    assert data["energy_per_sample"]["total"]["basis"] == "assumed"
    assert data["twin"]["name"] == "plain"
    assert data["comparison"]["spike_mismatches"] == 0
    assert "speed" not in data["comparison"]
    assert set(data["runs"]) == {"interpreter", "hw_sim"}
    assert "run_s" not in data["runs"]["hw_sim"]
    assert all(price["source"] in data["sources"] for price in data["prices"])
    assert len(data["sha256"]["program"]) == 64
    assert "numpy" in data["versions"]
    assert data["provenance"] == "reconstruction"


def test_csv_has_a_row_a_layer_that_sum_to_the_whole(report: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(report))))
    assert report.analysis is not None
    assert [row["layer"] for row in rows] == ["in", "att", "last"]
    assert sum(int(row["sops_total"]) for row in rows) == report.analysis.activity.sops.total


def test_summary_fits_a_screen_and_names_its_bases(report: Report) -> None:
    text = summary_text(report)
    assert len(text.splitlines()) <= 20
    assert max(map(len, text.splitlines())) <= 120
    for word in (
        "accuracy",
        "spike-driven",
        "SOPs",
        "latency",
        "energy",
        "[assumed]",
        "[simulated]",
        "reconstruction",
        "twin",
    ):
        assert word in text


def test_the_audit_and_the_event_driven_share_reach_every_form_of_the_report() -> None:
    made = deployed(attentive(), events(), "gated")
    check, report = made.check(), made.report(backends=())
    assert check.audit is not None
    assert check.event_driven is not None

    data = json.loads(report.json())
    assert data["audit"] == json.loads(json.dumps(check.audit.to_dict()))
    assert data["event_driven_share"] == json.loads(json.dumps(check.event_driven.to_dict()))
    assert data["audit"]["ok"]
    assert "Dynamic audit: " in report.html()
    assert "Event-driven share: " in report.html()
    assert f"{100 * check.event_driven.share:.1f} % of the SOPs" in report.text()
    assert "audit passed" in report.text()


def test_a_failed_audit_and_what_fires_by_itself_are_shown(report: Report) -> None:
    failed = {
        "ok": False, "events": 3, "sops": {"binary": 4}, "differences": 1, "shown": ["one & two"], "projections": [],
        "bias_driven": ["lif1"], "silent_sops": 7, "unexplained": ["'x' sends 2 spikes"],
    }  # fmt: skip
    layers = [{"layer": "lif2", "sops": 4, "silent_sops": 3, "share": 0.25}]
    share = {"total": 0.25, "samples": 1, "sops": 4, "silent_sops": 3, "layers": layers, "fire_by_themselves": ["lif1"]}
    bad = replace(report, audit=failed, event_driven=share)

    assert "one &amp; two" in bad.html()
    assert "without input: &#x27;x&#x27; sends 2 spikes" in bad.html()
    assert "Fire by themselves: lif1" in bad.html()
    assert "25.0 % of the SOPs; fire by themselves: lif1; audit FAILED" in bad.text()


def test_a_violation_is_shown_with_its_proof_and_what_mends_it(report: Report) -> None:
    bad = attentive()
    streaming = tuple(replace(op, variant="code") if op.name == "att" else op for op in bad)
    keep = {"ta_w0": np.ones((1, 4)), "ta_w1": np.ones((4, 1)), "ca_w0": np.ones((2, 4)), "ca_w1": np.ones((4, 2)),
            "sa_kernel": np.ones((1, 2, 3, 3))}  # fmt: skip
    graph = bad.with_ops(replace(op, parameters=keep) if op.name == "att" else op for op in streaming)
    verdict = check_graph(graph, input_kind="binary")
    assert not verdict.spike_driven
    page = to_html(replace(report, spike_driven=False, verdict=tuple(verdict.rows())))
    row = next(row for row in verdict.rows() if row["violation"])
    assert "break it" in page
    assert "<b>Mend:</b>" in page
    assert row["name"] in page
    assert "NOT spike-driven: att" in summary_text(replace(report, spike_driven=False, verdict=tuple(verdict.rows())))


def test_without_run_verdict_twin_and_labels_the_page_says_so(report: Report) -> None:
    made = deployed(attentive(), events(), "bare")
    page = to_html(build_report(made, {}, None))
    for words in ("No run with counters", "The net was not checked", "No twin without attention", "were not compared"):
        assert words in page
    assert "no run with counters" in summary_text(build_report(made, {}, None))
    assert to_csv(build_report(made, {}, None)) == ""
    assert json.loads(to_json(build_report(made, {}, None)))["runs"] == {}


def test_many_cores_are_folded_away_fullest_first(report: Report) -> None:
    uses = tuple(Use(core, "max_neurons", 10 * core, 1000) for core in range(40))
    page = to_html(replace(report, uses=uses))
    assert "40 of 120 cores in use. Fullest: neurons of core 39" in page
    assert "<summary>all cores</summary>" in page
    assert "<h3>Fullest cores</h3>" not in to_html(report)


def test_fingerprint_changes_with_one_weight() -> None:
    one, same, other = (deployed(attentive(seed=seed), events()).program for seed in (0, 0, 1))
    assert fingerprint(one) == fingerprint(same) != fingerprint(other)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 s"), (1.5e-6, "1.50 µs"), (23.6e-12, "23.6 ps"), (999.96e-6, "1.00 ms"), (0.0001234, "123 µs"), (2, "2.00 s")],
)  # fmt: skip
def test_si_numbers(value: float, text: str) -> None:
    assert si(value, "s") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 J"), (1.54e-6, "1.5 µJ"), (23.6e-12, "24 pJ"), (999.96e-6, "1.0 mJ"), (0.0001234, "120 µJ"), (0.214, "210 mJ")],
)  # fmt: skip
def test_no_energy_is_printed_finer_than_silicon_repeats(value: float, text: str) -> None:
    assert si(value, "J") == text
    assert si(value, "W") == text.replace("J", "W")


def test_counts_and_ratios() -> None:
    assert [count(v) for v in (0, 12.34, 1234, 2_500_000)] == ["0", "12.3", "1,234", "2.50 M"]
    assert ratio(1, 0) == "–"
    assert ratio(3, 2) == "1.50 ×"


def test_the_heat_map_has_every_core_at_its_router_and_leads_to_its_row(report: Report) -> None:
    page, used = report.html(), {use.core for use in report.uses}
    maps = page.split('class="heat"')[1:]
    assert len(maps) == 3
    for drawn in maps:
        squares = drawn.split("</svg>")[0]
        assert squares.count("<rect") == report.chip.mesh.usable_cores_per_chip
        assert {int(core) for core in re.findall('href="#core-([0-9]+)"', squares)} == used
    for core in used:
        assert page.count(f'id="core-{core}"') == 1


def test_rows_of_layers_and_cores_lead_to_each_other_and_to_the_verdict(report: Report) -> None:
    page = report.html()
    anchors, links = (re.findall(pattern, page) for pattern in (r'id="([^"]+)"', r'href="#([^"]+)"'))
    assert len(anchors) == len(set(anchors))
    assert report.analysis is not None
    names = [layer.name for layer in report.analysis.activity.layers]
    assert {f"layer-{name}" for name in names} <= set(anchors)
    blocks = [str(row["name"]) for row in report.verdict]
    assert any(f'id="block-{name}" href="#layer-{name}"' in page for name in blocks)
    assert set(links) <= set(anchors)


def test_the_timeline_shows_the_sops_of_every_core_and_step(report: Report) -> None:
    assert report.analysis is not None
    counts = report.analysis.activity
    assert all(sum(core.sops_by_step) == core.sops.total + core.sops.gate for core in counts.cores)
    drawn = report.html().split('id="timeline"')[1].split("</figure>")[0]
    assert drawn.count('class="strip"') == len(counts.cores) + 1
    assert drawn.count("<title>") == sum(sops > 0 for core in counts.cores for sops in core.sops_by_step)
    busiest = max(counts.cores, key=lambda core: max(core.sops_by_step))
    step = int(np.argmax(busiest.sops_by_step))
    assert f"core {busiest.core}: {', '.join(busiest.layers)}, chip step {step}:" in drawn


@pytest.mark.parametrize(
    ("shape", "held", "words"),
    [
        ((2, 3, 4), range(24), "all"),
        ((2, 3, 4), range(12), "C 0"),
        ((2, 3, 4), (1, 2, 5, 6, 13, 14, 17, 18), "H 0–1, W 1–2"),
        ((2, 3, 4), (0, 1, 4), "3 of 24 neurons"),
        ((2, 3, 4), (0, 2), "2 of 24 neurons"),
        ((10,), (4, 5, 6), "n 4–6"),
    ],
)
def test_a_slice_is_named_by_the_axes_it_cuts(shape: tuple[int, ...], held: Sequence[int], words: str) -> None:
    assert slice_of(shape, np.array(held)) == words


def test_an_overlay_has_sops_energy_and_verdict_of_every_node(report: Report, tmp_path: Path) -> None:
    assert report.analysis is not None
    found = json.loads(report.overlay(tmp_path / "overlay.json"))["results"]
    assert json.loads((tmp_path / "overlay.json").read_text()) == {"results": found}
    assert set(found) == {str(row["name"]) for row in report.verdict} | {
        name for layer in report.analysis.activity.layers for name in (layer.name, *layer.populations)
    }
    for layer in report.analysis.activity.layers:
        value = found[layer.name]["value"]
        assert value.startswith(f"{count(layer.sops.total / report.analysis.activity.samples)} SOPs · ")
        assert re.fullmatch("#[0-9a-f]{6}", found[layer.name]["bgColor"])
    fires = next(layer for layer in report.analysis.activity.layers if layer.neurons and layer.sops.binary)
    price = report.chip.costs["synaptic_op"].energy.nominal
    assert energy_of(fires, report.chip) >= fires.sops.binary * price * 1e-12 > 0


def test_the_first_screen_answers_five_questions_that_can_be_quoted(report: Report) -> None:
    assert report.analysis is not None
    answers = [ask(report) for ask in (spike_driven, right, fast, energy, change)]

    assert tuple(one.question for one in answers) == QUESTIONS
    assert all(one.sentence.endswith(".") for one in answers)
    assert (answers[0].short, answers[0].tone) == ("yes", "good")
    assert f"in any of {len(report.verdict)} blocks" in answers[0].sentence
    assert "interpreter and hw_sim agree bit for bit" in answers[1].sentence
    assert answers[2].short == si(report.analysis.latency.per_sample.value, "s")
    assert answers[3].short in answers[3].sentence
    assert answers[3].basis == report.analysis.energy.total.basis
    assert {one.section for one in answers} <= {name for name, _, _ in SECTIONS}
    first, rest = to_html(report).split("<nav>")
    assert all(question in first and f">{question}<" not in rest for question in QUESTIONS)


def test_what_breaks_comes_first_and_no_answer_is_told_by_color_alone(report: Report) -> None:
    row = {**report.verdict[0], "violation": "reads steps to come", "help": "train it causal"}
    broken = replace(report, spike_driven=False, verdict=(row, *report.verdict[1:]))
    unequal = replace(
        report, comparison={**(report.comparison or {}), "equal": False, "first_mismatch": "lif at t = 3"}
    )

    assert spike_driven(broken).short == "no"
    assert "reads steps to come" in spike_driven(broken).sentence
    assert change(broken).short == f"block {row['name']}"
    assert "train it causal" in change(broken).sentence
    assert "do NOT agree: lif at t = 3" in right(unequal).sentence
    assert change(unequal).short == "the mismatch"
    assert '<span class="bad">✗</span> no' in to_html(broken)
    assert '<span class="good">✓</span> yes' in to_html(report)


def test_what_was_not_done_is_said(report: Report) -> None:
    bare = replace(report, spike_driven=None, analysis=None, comparison=None, audit=None, event_driven=None)

    assert spike_driven(bare).short == "not checked"
    assert fast(bare).short == energy(bare).short == "not run"
    assert "agree" not in right(bare).sentence


def test_long_proofs_fold_and_paper_opens_them(report: Report) -> None:
    long = {**report.verdict[0], "witness": "input -> " * 40}
    page = to_html(replace(report, verdict=(long, *report.verdict[1:])))

    assert "<summary>proof</summary>" in page
    assert "<summary>proof</summary>" not in to_html(replace(report, verdict=({**long, "witness": "short"},)))
    assert "details::details-content" in page.split("@media print", 1)[1]


def test_every_layer_stands_beside_the_captured_net() -> None:
    made = deployed(attentive(), events())
    report = made.report()
    found = report.captured

    assert found is not None
    assert found["ok"]
    assert sum(row["values"] for row in found["layers"]) > 0
    assert json.loads(report.json())["captured_net"] == json.loads(json.dumps(found))
    page = report.html()
    assert "runs the captured net" in page
    assert "beside the captured net</summary>" in page
    wrong = {**found, "ok": False, "faults": ["layer 'att' differs"], "headline": "NOT the captured net: 1 fault"}
    broken = replace(report, captured=wrong).html()
    assert '<span class="bad">NOT the captured net: 1 fault</span>.<br>layer &#x27;att&#x27; differs' in broken


TRAIN = "spikewright train"


OLD = (
    "x; started from what `spikewright train {0}` gives, trained on with `--epochs 2 --from {0}`, then with its command"
)


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ({"command": f"{TRAIN} a --silence 1.0 --folds 5"}, {"command": f"{TRAIN} b --seed 2 --silence 1.0"}, ""),
        ({"command": f"{TRAIN} a --from a --rate 1"}, {"command": f"{TRAIN} b --rate 1 --from b"}, ""),
        (
            {"command": f"{TRAIN} a --silence 1.0"},
            {"command": f"{TRAIN} b"},
            "a with `3 epochs --silence 1.0`, plain with `3 epochs`",
        ),
        ({"command": f"{TRAIN} a"}, {}, "no card says how plain was trained"),
        ({"command": "make a"}, {"command": "spikewright 'train"}, "no card says how a and plain were trained"),
        (
            {"command": f"{TRAIN} a", "name": "a", "provenance": OLD.format("a")},
            {"command": f"{TRAIN} b", "name": "b", "provenance": OLD.format("b")},
            "",
        ),
        (
            {"command": f"{TRAIN} a", "name": "a", "provenance": OLD.format("a")},
            {"command": f"{TRAIN} b"},
            "a with `--epochs 2 --from itself; then 3 epochs`, plain with `3 epochs`",
        ),
        (
            {
                "command": f"{TRAIN} a",
                "provenance": f"x; started from what `{TRAIN} a` gives; the term then was a mean",
            },
            {"command": f"{TRAIN} b", "provenance": f"x; started from what `{TRAIN} b` gives"},
            "a with `3 epochs (the term then was a mean)`, plain with `3 epochs`",
        ),
        (
            {
                "command": f"{TRAIN} a",
                "net": "small",
                "timesteps": 6,
                "arguments": {"T": 6, "side": 8, "attention": "ma"},
            },
            {
                "command": f"{TRAIN} b",
                "net": "small",
                "timesteps": 3,
                "arguments": {"T": 3, "side": 8, "attention": "none"},
            },
            "built otherwise: timesteps 6, 3",
        ),
    ],
)
def test_a_twin_that_was_made_otherwise_is_told(
    report: Report, ours: dict[str, Any], theirs: dict[str, Any], said: str
) -> None:
    assert report.twin is not None
    plain = replace(report.twin, card={"epochs": 3} | theirs)
    found = replace(report, name="a", card={"epochs": 3} | ours, twin=plain)

    words = " ".join(summary_text(found).split())
    assert (said in words) if said else ("twins " not in words)
    assert len(to_data(found)["twin_unlike"]) == bool(said)
    assert ("trained, deployed and run in the same way" in to_html(found)) == (not said)


def test_a_twin_on_other_data_or_of_other_options_is_told(report: Report) -> None:
    assert report.twin is not None
    options = report.options | {"mapping": "greedy", "gates": "static"}
    plain = replace(report.twin, card=report.card, options=options, dataset="other")
    found = to_data(replace(report, twin=plain))["twin_unlike"]
    assert [text.partition(":")[0] for text in found[1:]] == ["run on other data", "deployed otherwise"]
    assert "mapping balanced, greedy" in found[2]
