"""The first screen: five questions, each with an answer in large type and a sentence that can be quoted as it stands.

Is it spike-driven, is it right, how fast, how much energy, what to change next. Sections further down hold the proof of each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from spikewright.toolchain.analysis import Analysis
from spikewright.toolchain.analysis.latency import Bottleneck
from spikewright.toolchain.analysis.numbers import band, count, percent, quantity, several, si
from spikewright.toolchain.report.html.cost import TERM_WORDS
from spikewright.toolchain.report.html.parts import basis, esc
from spikewright.toolchain.report.model import Report

GOOD, BAD, OPEN = "good", "bad", "warn"
MARKS = {GOOD: "✓", BAD: "✗", OPEN: "?"}
"""Signs beside the colors: no answer is told by color alone."""
SILENT_SHARE = 0.5
"""From which share of SOPs without input on the silence of neurons is advised."""
LOST = 0.01
"""From which loss of accuracy on the chip on fine-tuning is advised."""
STATIC_SHARE = 0.5
"""From which share of static energy on a shorter run is advised."""
ADVICE = 3
"""How many changes are named."""


@dataclass(frozen=True)
class Answer:
    """One card.

    Args:
        question: As asked.
        section: The section with the proof.
        short: The answer in a word or a figure.
        tone: ``good``, ``bad``, ``warn`` or "" for a plain figure.
        sentence: What can be quoted.
        basis: How it is known, or "".
    """

    question: str
    section: str
    short: str
    tone: str
    sentence: str
    basis: str = ""


def questions(report: Report) -> str:
    """Return the cards."""
    found = (spike_driven(report), right(report), fast(report), energy(report), change(report))
    return '<div class="questions">' + "".join(map(_card, found)) + "</div>"


def _card(one: Answer) -> str:
    mark = f'<span class="{one.tone}">{MARKS[one.tone]}</span> ' if one.tone else ""
    words = re.sub("`([^`]+)`", r"<code>\1</code>", esc(one.sentence))
    return (
        f'<article class="is-{one.tone or "figure"}"><h2><a href="#{one.section}">{esc(one.question)}</a></h2>'
        f'<p class="num">{mark}{esc(one.short)} {basis(one.basis) if one.basis else ""}</p><p>{words}</p></article>'
    )


def spike_driven(report: Report) -> Answer:
    """Whether all work on the chip is caused by events."""
    title, section = "Is it spike-driven?", "verdict"
    if report.spike_driven is None:
        return Answer(title, section, "not checked", OPEN, "No verdict was asked for: `spikewright check` gives one.")
    broken = [row for row in report.verdict if row.get("violation")]
    if not report.spike_driven:
        first = f" {broken[0].get('name')}: {broken[0]['violation']}." if broken else ""
        return Answer(title, section, "no", BAD, f"{len(broken)} of {len(report.verdict)} blocks break it.{first}")
    classes = Counter(str(row.get("cost_class")) for row in report.verdict)
    kinds = ", ".join(f"{number} of class {name}" for name, number in sorted(classes.items()))
    return Answer(
        title,
        section,
        "yes",
        GOOD,
        f"No dense work on the chip, and no step waits for a later one, in any of {len(report.verdict)} blocks ({kinds})."
        + _audited(report),
    )


def _audited(report: Report) -> str:
    text = ""
    if report.audit is not None:
        events = f"{report.audit['events']:,}"
        text = (
            f" {events} events, walked one by one, cause every operation" if report.audit["ok"] else " The audit FAILED"
        )
    if report.event_driven is not None:
        text += (
            ", and" if text else " Of the run,"
        ) + f" {percent(report.event_driven['total'])} of the SOPs need the input"
    return f"{text}." if text else ""


def right(report: Report) -> Answer:
    """Whether the chip answers as the net does."""
    found = report.accuracy
    best = found.on_chip or found.quantized or found.float
    sentences = [_accuracy(report)] if best else []
    tone = ""
    if report.comparison:
        names = _listed(map(str, report.comparison.get("backends", ())))
        spikes, samples = report.comparison.get("spikes_compared", 0), report.comparison.get("samples", 0)
        tone = GOOD if report.equal else BAD
        sentences.append(
            f"The backends {names} agree bit for bit on {spikes:,} spike values of {several(samples, 'sample')}."
            if report.equal
            else f"The backends {names} do NOT agree: {report.comparison.get('first_mismatch') or 'see below'}."
        )
    if report.drift is not None:
        sentences.append(f"Integers answer as floats on {percent(report.drift.agreement)} of the calibration data.")
    short = quantity(best) if best else "equal" if tone == GOOD else "not equal" if tone == BAD else "not compared"
    return Answer(
        "Is it right?",
        "accuracy" if best else "equality",
        short,
        tone or OPEN,
        " ".join(sentences),
        best.basis if best else "",
    )


def _accuracy(report: Report) -> str:
    found = report.accuracy
    where = "on chip" if found.on_chip else "by the integers"
    float_ = f", {quantity(found.float)} in float" if found.float is not None else ""
    events = " (events simulated from images)" if report.simulated_events else ""
    return (
        f"{quantity(found.on_chip or found.quantized)} {where}{float_}, on {several(found.samples, 'sample')}{events}."
    )


def fast(report: Report) -> Answer:
    """How long a sample takes."""
    if report.analysis is None:
        return _no_run("How fast?", "latency")
    time = report.analysis.latency
    return Answer(
        "How fast?",
        "latency",
        si(time.per_sample.value, "s"),
        "",
        f"A sample takes {si(time.per_sample.value, 's')} on the simulated chip{_in_brackets(band(time.per_sample))}: "
        f"{time.chip_steps} steps, bound by {_bound(time.bottleneck)}.",
        time.per_sample.basis,
    )


def energy(report: Report) -> Answer:
    """How much a sample costs."""
    if report.analysis is None:
        return _no_run("How much energy?", "energy")
    found = report.analysis
    price, sops = found.energy, found.activity.sops
    lines = ", ".join(f"{line.name} {si(line.energy.value, 'J')}" for line in price.lines)
    share = percent(sops.total / sops.dense if sops.dense else None)
    return Answer(
        "How much energy?",
        "energy",
        si(price.total.value, "J"),
        "",
        f"A sample costs {si(price.total.value, 'J')} by the chip's price table{_in_brackets(band(price.total))}: {lines}. "
        f"It takes {count(sops.total / found.activity.samples)} synaptic operations, {share} of dense.",
        price.total.basis,
    )


def _bound(found: Bottleneck) -> str:
    return TERM_WORDS[found.term] + (f" of {found.place}" if found.place else "")


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _no_run(title: str, section: str) -> Answer:
    return Answer(title, section, "not run", OPEN, "No run with counters: `spikewright run DIR --backend hw_sim`.")


def change(report: Report) -> Answer:
    """What would help most, the first thing first."""
    found = list(dict.fromkeys(_advice(report)))[:ADVICE]
    if not found:
        return Answer(
            "What to change next?", "warnings", "nothing urgent", GOOD, "No limit, loss or imbalance stands out."
        )
    short = found[0][0]
    return Answer("What to change next?", found[0][1], short, "", " ".join(text for _, _, text in found))


def _advice(report: Report) -> Iterator[tuple[str, str, str]]:
    """Yield what stands out as (in a word, section, sentence), the gravest first."""
    if report.comparison and not report.equal:
        yield "the mismatch", "equality", "Backends differ: report it, with the bundle."
    for row in report.verdict:
        if row.get("violation"):
            name = row.get("name")
            yield f"block {name}", "verdict", f"{name}: {row.get('help', '')}."
            break
    for one in report.diagnostics:
        if one.severity == "warning":
            yield "what was lost", "warnings", f"{one.where}: {one.what}; {one.help}."
            break
    chip, float_ = report.accuracy.on_chip, report.accuracy.float
    if chip is not None and float_ is not None and float_.value - chip.value > LOST:
        lost = f"{100 * (float_.value - chip.value):.1f} points"
        yield (
            "its weights",
            "accuracy",
            f"The integers lose {lost}: `spikewright finetune` trains with the chip's arithmetic.",
        )
    if report.event_driven is not None and 1 - report.event_driven["total"] > SILENT_SHARE:
        share = percent(1 - report.event_driven["total"])
        yield (
            "its biases",
            "verdict",
            f"{share} of the SOPs come without any input, fired by biases: train with `--silence`.",
        )
    if report.analysis is not None:
        yield from _cheaper(report.analysis)


def _cheaper(found: Analysis) -> Iterator[tuple[str, str, str]]:
    """Yield what bounds time and energy."""
    total, time = found.energy.total.value, found.latency
    static = sum(line.energy.value for line in found.energy.lines if line.name == "static")
    if total and static / total > STATIC_SHARE:
        yield (
            "its time on the chip",
            "latency",
            f"{percent(static / total, 0)} of the energy is static power times latency: fewer steps, or less of what "
            f"bounds them ({_bound(time.bottleneck)}), saves both (`--mapping search`).",
        )
    elif total:
        yield (
            "its bottleneck",
            "latency",
            f"{percent(time.bottleneck.share, 0)} of the time is bound by {_bound(time.bottleneck)}.",
        )
