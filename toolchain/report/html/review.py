"""The part of the page for a reviewer: sparsity against bounds, artificial twin, bytes moved, price lists, power at a rate."""

from __future__ import annotations

from spikewright.toolchain.analysis.ledger import COUNTS
from spikewright.toolchain.analysis.numbers import band, count, percent, si, significant
from spikewright.toolchain.analysis.review import (
    RATE_BOUND,
    RATE_SOURCE,
    RATE_STEPS,
    STATEMENT,
    SYNAPSE_BOUNDS,
    SYNAPSE_SOURCE,
    Review,
)
from spikewright.toolchain.report.html.parts import NO_RUN, basis, details, esc, table
from spikewright.toolchain.report.model import Report

STANDS = {
    "below": "below: a spiking net can be ahead",
    "between": "between: ahead of simple, behind optimized hardware of artificial nets",
    "above": "above: an artificial net is ahead",
}


def review(report: Report) -> str:
    """What a reviewer asks."""
    if report.analysis is None:
        return NO_RUN
    found = report.analysis.review
    return (
        f'<div class="note">{esc(STATEMENT)}</div>'
        + _bounds(found)
        + "<h3>Under published price lists, beside a quantized artificial twin</h3>"
        + _lists(found)
        + _power(report)
        + details("what one sample did: counts behind every list", _counts(found))
        + _method(found)
    )


def _bounds(found: Review) -> str:
    low, high = SYNAPSE_BOUNDS
    steps = "" if found.timesteps == RATE_STEPS else f"; this net has T = {found.timesteps}"
    rows = [
        ("spikes per synapse and inference", significant(found.spikes_per_synapse), f"{low} – {high}",
         STANDS[found.per_synapse_stands], basis("simulated"), esc(SYNAPSE_SOURCE)),
        ("spike rate", percent(found.spike_rate, 2), f"{percent(RATE_BOUND)} at T = {RATE_STEPS}{steps}",
         STANDS[found.rate_stands], basis("simulated"), esc(RATE_SOURCE)),
    ]  # fmt: skip
    return table(
        ("figure", "this net", "published bound", "stands", "basis", "source of the bound"), rows, numeric=(1,)
    )


def _lists(found: Review) -> str:
    rows = []
    for one in found.lists:
        net, twin = one.net.total, one.twin.total
        even = "never" if not one.break_even else "any" if one.break_even >= 1 else percent(one.break_even)
        left = ", ".join(name.replace("_", " ") for name in one.net.left_out) or "–"
        rows.append(
            (f"<code>{esc(one.net.name)}</code>", si(net.value, "J"), esc(band(net)), si(twin.value, "J"), even,
             basis(net.basis), esc(left))
        )  # fmt: skip
    head = (
        "list",
        "this net",
        "low – high",
        f"twin, {found.twin_bits} bits",
        "break-even spike rate",
        "basis",
        "not priced by it",
    )
    return (
        table(head, rows, numeric=(1, 2, 3, 4))
        + '<p class="small dim">The twin: an artificial net of the same layers, activations of ⌈log2(T+1)⌉ bits, one frame, '
        "every activation sent, on the same memories without reuse. Break-even: the spike rate at which both cost the same "
        "under that list. The chip's own table is in the section on energy.</p>"
    )


def _power(report: Report) -> str:
    if report.duty is None:
        return ""
    rows = [
        (name, si(power.value, "W"), esc(band(power)), basis(power.basis))
        for name, power in (("chip always on", report.duty.always_on), ("chip off between samples", report.duty.gated))
    ]
    return f"<h3>Mean power at {report.duty.rate_hz:g} samples a second</h3>" + table(
        ("", "power", "low – high", "basis"), rows, numeric=(1, 2)
    )


def _counts(found: Review) -> str:
    rows = []
    for name, value in found.ledger.counts.items():
        how = basis("assumed" if name in found.ledger.assumed else "simulated")
        twin = count(found.twin.counts.get(name, 0.0))
        rows.append((esc(name.replace("_", " ")), count(value), twin, how, esc(COUNTS[name])))
    return table(("count", "this net", "twin", "basis", "what one is"), rows, numeric=(1, 2))


def _method(found: Review) -> str:
    attention = ", ".join(f"{count(value)} {kind}" for kind, value in found.attention.items())
    widths = ", ".join(f"{name} {bits} bits" for name, bits in found.widths.items())
    return (
        f"<p>SOPs of attention a sample: {esc(attention)}. Widths: {esc(widths)}. Batch {found.batch}, {found.samples} samples"
        f", seed {found.seed}.</p>"
    )
