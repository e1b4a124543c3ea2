"""The third part of the page: the papers' convention, passes, prices, what is modelled, glossary, how to repeat it."""

from __future__ import annotations

import json
from typing import Any

from spikewright.hw_sim import Price
from spikewright.toolchain.analysis.energy import HOST_MAC, HOST_SOURCES
from spikewright.toolchain.analysis.numbers import count, percent, ratio, si
from spikewright.toolchain.report.html.parts import basis, details, esc, items, table
from spikewright.toolchain.report.model import Report
from spikewright.toolchain.report.texts import BASES, GLOSSARY, MODELLED, NOT_MODELLED


def literature(report: Report) -> str:
    """The 4.6 / 0.9 pJ convention, called what it is."""
    if report.analysis is None:
        return "<p>No run with counters.</p>"
    found = report.analysis.literature
    rows = (
        ("spiking net, binary SOPs only (what most papers count)", si(found.snn_accumulates_only_j, "J"),
         ratio(found.ann_j, found.snn_accumulates_only_j)),
        ("spiking net, graded SOPs, gains and host MACs too", si(found.snn_j, "J"), ratio(found.ann_j, found.snn_j)),
        (f"dense net of the same shape, one frame ({count(found.ann_macs)} MACs)", si(found.ann_j, "J"), "1.00 ×"),
    )  # fmt: skip
    return (
        f'<div class="note"><b>{esc(found.label)}.</b> 4.6 pJ a multiply-accumulate, 0.9 pJ an accumulate, 3.7 pJ a multiply. '
        "It leaves out memory, routing, neuron updates and leakage, which dominate on real chips. It is here because papers "
        "compare by it; no energy above uses it, but for the arithmetic of the host's MACs.</div>"
        + table(("per sample", "energy by convention", "dense net / this"), rows, numeric=(1, 2))
    )


def drift(report: Report) -> str:
    """What each pass did, and what quantizing changed."""
    rows = [
        (f"<code>{esc(p.name)}</code>", f"{p.ops_before} → {p.ops_after}", f"{p.answer_error:.2g}", esc(p.check))
        for p in report.passes
    ]
    text = table(("pass", "ops", "change of the answer", "checked as"), rows, numeric=(1, 2)) if rows else ""
    if report.drift is None:
        return text or "<p>No passes are recorded.</p>"
    d = report.drift
    cells = [(esc(name), percent(share, 2)) for name, share in d.spike_mismatch.items()]
    return (
        text
        + f"<h3>Drift of quantizing {basis('simulated')}</h3>"
        + f"<p>On calibration data the integer net gives the same class as the float net for <b>{percent(d.agreement)}</b> of "
        f"the samples; its answer differs by {d.answer_error:.3g} on average.</p>"
        + table(("neuron layer", "spikes that differ from float"), cells, numeric=(1,))
    )


def prices(report: Report) -> str:
    """Every coefficient with band, basis and source."""
    rows = [("static power", *_price(report.chip.static_power), *[""] * 3)]
    for event, cost in report.chip.costs.items():
        rows.append((esc(event.replace("_", " ")), *_price(cost.energy), *_price(cost.latency)))
    rows.append(("host MAC", *_price(HOST_MAC), *[""] * 3))
    head = ("event", "energy or power", "basis", "source", "latency", "basis", "source")
    notes = [f"{event.replace('_', ' ')}: {p.note}" for event, p in _all_prices(report) if p.note]
    sources = report.chip.sources | HOST_SOURCES
    return (
        '<p class="small dim">Nominal, with low – high in brackets.</p>'
        + table(head, rows)
        + details("notes on single prices", items(notes))
        + "<h3>Sources</h3><dl>"
        + "".join(f"<dt>{esc(key)}</dt><dd>{esc(text)}</dd>" for key, text in sorted(sources.items()))
        + "</dl>"
    )


def _all_prices(report: Report) -> list[tuple[str, Price]]:
    found = [("static power", report.chip.static_power)]
    for event, cost in report.chip.costs.items():
        found += [(f"{event}, energy", cost.energy), (f"{event}, latency", cost.latency)]
    return [*found, ("host MAC", HOST_MAC)]


def _price(price: Price) -> tuple[str, str, str]:
    spread = f' <span class="dim">({price.low:g} – {price.high:g})</span>' if price.low != price.high else ""
    return f"{price.nominal:g} {esc(price.unit)}{spread}", basis(price.basis), esc(price.source)


def modelled(report: Report) -> str:
    """What is modelled, what is not."""
    data = "The input events of this report are made from still images: simulated, not recorded by a sensor."
    extra = (data,) if report.simulated_events else ()
    words = "".join(f"<dt>{basis(name)}</dt><dd>{esc(text)}</dd>" for name, text in BASES.items())
    return (
        f"<h3>Modelled</h3>{items(MODELLED)}<h3>Not modelled</h3>{items((*NOT_MODELLED, *extra))}"
        f"<h3>How a figure is known (its basis)</h3><dl>{words}</dl>"
    )


def glossary(report: Report) -> str:
    """The words of this report."""
    return "<dl>" + "".join(f"<dt>{esc(word)}</dt><dd>{esc(text)}</dd>" for word, text in GLOSSARY) + "</dl>"


def repeat(report: Report) -> str:
    """Options, versions, hashes, model card."""
    rows = [(esc(k), f"<code>{esc(_text(v))}</code>") for k, v in sorted(report.options.items())]
    about = [(esc(k), f"<code>{esc(_text(v))}</code>") for k, v in report.card.items()]
    versions = [(esc(k), f"<code>{esc(v)}</code>") for k, v in sorted(report.versions.items())]
    hashes = [(esc(k), f"<code>{esc(v)}</code>") for k, v in sorted(report.fingerprints.items())]
    return (
        "<h3>Deployed with</h3>" + table(("option", "value"), rows)
        + ("<h3>Model card</h3>" + table(("entry", "value"), about) if about else "")
        + "<h3>Versions and hashes</h3>" + table(("package", "version"), versions)
        + (table(("SHA-256 of", "value"), hashes) if hashes else "")
    )  # fmt: skip


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case None:
            return "not given"
        case float():
            return f"{value:.6g}"
        case _:
            return json.dumps(value, sort_keys=True)
