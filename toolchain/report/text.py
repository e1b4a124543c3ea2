"""The report on one terminal screen."""

from __future__ import annotations

from textwrap import fill
from typing import Any

from spikewright.toolchain.analysis import Analysis, fullest
from spikewright.toolchain.analysis.numbers import band, count, percent, quantity, ratio, several, si, significant
from spikewright.toolchain.analysis.review import RATE_BOUND, RATE_STEPS, SYNAPSE_BOUNDS, Review
from spikewright.toolchain.diagnostics import lines as told
from spikewright.toolchain.report.model import Report
from spikewright.toolchain.report.twins import unlike

WIDE = 12
"""Columns of the names, and"""
SCREEN = 118
"""of the screen."""


def summary_text(report: Report) -> str:
    """Return one readable screen: accuracy, verdict, SOPs, latency, energy, utilization, twin."""
    lines = [report.title, "-" * len(report.title)]
    if report.provenance:
        lines.append(_line("provenance", report.provenance))
    lines.append(_line("accuracy", _accuracy(report)))
    lines.append(_line("verdict", _verdict(report)))
    if report.event_driven is not None:
        lines.append(_line("by events", _by_events(report.event_driven, report.audit)))
    lines += _costs(report.analysis) if report.analysis else [_line("costs", "no run with counters")]
    if report.duty is not None:
        duty = report.duty
        lines.append(
            _line(
                "power",
                f"{si(duty.always_on.value, 'W')} at {duty.rate_hz:g} samples a second ({band(duty.always_on)}), "
                f"{si(duty.gated.value, 'W')} if off between them  [{duty.always_on.basis}]",
            )
        )
    if report.uses:
        peak = max(fullest(report.uses).values(), key=lambda use: use.share)
        fullest_core = f"fullest: core {peak.core}, {_words(peak.resource)} {peak.used:,} of {peak.limit:,}"
        lines.append(_line("cores", f"{report.decided}; {fullest_core}"))
    if report.comparison:
        lines.append(_line("compared", _compared(report)))
    if report.twin is not None and report.twin.analysis and report.analysis:
        lines.append(_line("twin", _twin(report.twin, report.twin.analysis, report.analysis)))
        lines += [_line("twins", text) for text in unlike(report, report.twin)]
    return "\n".join([*lines, *told(report.diagnostics)])


def _line(name: str, text: str) -> str:
    first = f"  {name:<{WIDE}}"
    return fill(text, SCREEN, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False)


def _words(resource: str) -> str:
    return resource.removeprefix("max_").replace("_", " ")


def _accuracy(report: Report) -> str:
    found = report.accuracy
    events = ", events simulated from images" if report.simulated_events else ""
    stages = (("float", found.float), ("quantized", found.quantized), ("on chip", found.on_chip))
    text = ", ".join(f"{name} {quantity(value)}" for name, value in stages if value is not None)
    return f"{text or 'no labels'}  ({several(found.samples, 'sample')} of {report.dataset or 'given data'}{events})"


def _verdict(report: Report) -> str:
    if report.spike_driven is None:
        return "not checked"
    if report.spike_driven:
        return f"spike-driven: no violation in {len(report.verdict)} blocks"
    named = "; ".join(f"{row['name']}: {row['violation']}" for row in report.verdict if row.get("violation"))
    return f"NOT spike-driven: {named}"


def _by_events(found: dict[str, Any], audit: dict[str, Any] | None) -> str:
    alone = ", ".join(found["fire_by_themselves"])
    share = f"{percent(found['total'])} of the SOPs" + (f"; fire by themselves: {alone}" if alone else "")
    return share if audit is None else f"{share}; audit {'passed' if audit['ok'] else 'FAILED'}"


def _costs(found: Analysis) -> list[str]:
    counts, time, price = found.activity, found.latency, found.energy
    sops, n = counts.sops, counts.samples
    share = percent(sops.total / sops.dense if sops.dense else None)
    gains = sum(layer.gate_multiplies for layer in counts.layers) / n
    split = f"binary {count(sops.binary / n)}, graded {count(sops.graded / n)}; {share} of dense"
    lines = " + ".join(f"{line.name} {si(line.energy.value, 'J')}" for line in price.lines)
    return [
        _line("SOPs", f"{count(sops.total / n)} a sample ({split})  [simulated]"),
        _line("beside them", f"gate multiplies {count(gains)}, host MACs {count(found.host_macs)} a sample  [simulated]"),
        _line("spike rate", f"{percent(counts.spike_rate)}  [simulated]"),
        _line("latency", f"{si(time.per_sample.value, 's')} a sample, bound by {time.bottleneck} ({band(time.per_sample)})  "
              f"[{time.per_sample.basis}]"),
        _line("energy", f"{si(price.total.value, 'J')} a sample ({band(price.total)})  [{price.total.basis}]"),
        _line("", f"= {lines}"),
        _line("review", _review(found.review)),
    ]  # fmt: skip


def _review(found: Review) -> str:
    low, high = SYNAPSE_BOUNDS
    return (
        f"{significant(found.spikes_per_synapse)} spikes a synapse and inference, {found.per_synapse_stands} the published "
        f"break-even of {low} to {high}; spike rate {found.rate_stands} {percent(RATE_BOUND)}, published for T = {RATE_STEPS}"
    )


def price_table(report: Report) -> str:
    """Return the net and its artificial twin under every price list, one line each."""
    if report.analysis is None:
        return ""
    found = report.analysis.review
    lines = [
        f"  {'list':24}{'this net':>12}{f'{found.twin_bits}-bit twin':>14}{'break-even rate':>18}  low - high, not priced"
    ]
    for one in found.lists:
        net = one.net.total
        even = "never" if not one.break_even else "any" if one.break_even >= 1 else percent(one.break_even)
        left = f", without {', '.join(one.net.left_out)}" if one.net.left_out else ""
        lines.append(
            f"  {one.net.name:24}{si(net.value, 'J'):>12}{si(one.twin.total.value, 'J'):>14}{even:>18}  "
            f"{band(net) or 'no band'}{left}"
        )
    return "\n".join(lines)


def _compared(report: Report) -> str:
    found = report.comparison or {}
    spikes, membranes = int(found.get("spike_mismatches", 0)), int(found.get("membrane_mismatches", 0))
    names = (" = " if spikes == membranes == 0 else " against ").join(map(str, found.get("backends", [])))
    size = f"{found.get('samples', 0)} samples, {found.get('spikes_compared', 0):,} spike values"
    return f"{names}: {spikes} spike and {membranes} membrane mismatches ({size})"


def _twin(twin: Report, theirs: Analysis, ours: Analysis) -> str:
    n, m = ours.activity.samples, theirs.activity.samples
    sops = ratio(ours.activity.sops.total / n, theirs.activity.sops.total / m)
    joules = ratio(ours.energy.total.value, theirs.energy.total.value)
    beside = f"without attention: {quantity(twin.accuracy.on_chip)} on chip"
    return f"{beside}; with attention {sops} the SOPs and {joules} the energy"
