"""The first part of the page: headline, accuracy by stage, the checker's verdict, equality of backends, the twin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toolchain.report.html.parts import basis, esc, table, tile
from toolchain.report.model import Report
from toolchain.report.numbers import band, count, percent, quantity, ratio, si
from toolchain.report.texts import CLASSES


def header(report: Report) -> str:
    """Name, target, what it was run on."""
    card = report.card
    about = [str(card.get(key)) for key in ("family", "variant") if card.get(key) not in (None, "", "none")]
    marks = [*about, f"chip {report.chip.name}"]
    marks += [f"data: {report.dataset}"] if report.dataset else []
    marks += ["events simulated from still images"] if report.simulated_events else []
    marks += [f"provenance: {report.provenance}"] if report.provenance else []
    marks += [f"gates of {block}: {how}" for block, how in sorted(report.strategies.items())]
    marks += [f"{count(report.parameters)} parameters"] if report.parameters else []
    badges = "".join(f'<span class="badge">{esc(mark)}</span>' for mark in marks)
    return f'<h1>{esc(report.title)}</h1><p class="dim">{esc(report.chip.description)}</p><p>{badges}</p>'


def headline(report: Report) -> str:
    """The figures that matter most, as tiles."""
    return (
        '<div class="tiles">'
        + "".join([_verdict_tile(report), _accuracy_tile(report), *_cost_tiles(report)])
        + "</div>"
    )


def _verdict_tile(report: Report) -> str:
    if report.spike_driven is None:
        return tile("Spike-driven", "not checked", "")
    violations = sum(bool(row.get("violation")) for row in report.verdict)
    blocks = f"{len(report.verdict)} blocks"
    text = f'<span class="good">no violation in {blocks}</span>'
    if not report.spike_driven:
        text = f'<span class="bad">{violations} of {blocks} break it</span>'
    return tile("Spike-driven", "yes" if report.spike_driven else "no", text)


def _accuracy_tile(report: Report) -> str:
    found = report.accuracy
    best = found.on_chip or found.quantized or found.float
    sub = f"float {esc(quantity(found.float))} · quantized {esc(quantity(found.quantized))}<br>{found.samples} samples"
    name = "Accuracy on chip" if found.on_chip else "Accuracy"
    return tile(name, quantity(best), sub, basis(best.basis) if best else "")


def _cost_tiles(report: Report) -> list[str]:
    if report.analysis is None:
        return [tile("SOPs, latency, energy", "–", "no run with counters")]
    found = report.analysis
    counts, time, price = found.activity, found.latency, found.energy
    sops, n = counts.sops, counts.samples
    return [
        tile(
            "SOPs a sample",
            count(sops.total / n),
            f"{percent(sops.total / sops.dense if sops.dense else None)} of dense · spike rate {percent(counts.spike_rate)}",
            basis("simulated"),
        ),
        tile(
            "Latency a sample",
            si(time.per_sample.value, "s"),
            f"bound by {esc(time.bottleneck)}<br>{esc(band(time.per_sample))}",
            basis(time.per_sample.basis),
        ),
        tile(
            "Energy a sample",
            si(price.total.value, "J"),
            f"dynamic {esc(si(price.dynamic.energy.value, 'J'))}<br>{esc(band(price.total))}",
            basis(price.total.basis),
        ),
    ]


def accuracy(report: Report) -> str:
    """Accuracy by stage, and what quantizing changed."""
    found = report.accuracy
    rows = []
    stages = (
        ("float", found.float, "the captured net in float64, these samples"),
        ("quantized", found.quantized, f"the integer graph, backend {found.reference}"),
        ("on chip", found.on_chip, "the mapped program on the simulated machine"),
        ("model card", found.card, "float, as trained, on its whole test split"),
    )
    for name, figure, what in stages:
        if figure is not None:
            over = "" if name == "model card" else f"{found.samples}"
            rows.append((name, quantity(figure), over, basis(figure.basis), esc(what)))
    if not rows:
        return "<p>No labels were given, so there is no accuracy.</p>"
    text = table(("stage", "accuracy", "samples", "basis", "what it is"), rows, numeric=(1, 2))
    return text + _seeds(report.card.get("accuracy_per_seed"))


def _seeds(per_seed: Any) -> str:
    if not isinstance(per_seed, dict) or len(per_seed) < 2:
        return ""
    values = [float(v) for v in per_seed.values()]
    each = ", ".join(f"{seed}: {percent(float(v))}" for seed, v in per_seed.items())
    return f'<p class="small dim">Float accuracy by training seed: {esc(each)}; mean {percent(sum(values) / len(values))}.</p>'


def verdict(report: Report) -> str:
    """Class, causality, barriers and fit of every block, with the path that proves it."""
    if not report.verdict:
        return "<p>The net was not checked.</p>"
    rows = [_block(row) for row in report.verdict]
    head = ("block", "family", "class", "causal", "barrier", "fits", "where", "proof")
    key = " · ".join(f"<b>{name}</b> {esc(text)}" for name, text in CLASSES.items())
    return table(head, rows) + f'<p class="small dim">{key}.</p>'


def _block(row: dict[str, Any]) -> tuple[str, ...]:
    proof = esc(row.get("witness", ""))
    if row.get("violation"):
        cost = f" Cost: {count(row.get('macs_per_step', 0))} MACs a step." if row.get("macs_per_step") else ""
        proof = f'<span class="bad">{esc(row["violation"])}.</span>{cost} {proof}<br><b>Mend:</b> {esc(row.get("help", ""))}'
    notes = row.get("notes") or ()
    extra = "".join(
        f'<br><span class="dim">{esc(note)}</span>' for note in ([notes] if isinstance(notes, str) else notes)
    )
    kind = esc(row.get("cost_class", ""))
    return (
        f"<b>{esc(row.get('name', ''))}</b>",
        esc(row.get("family", "")),
        f'<span class="bad">{kind}</span>' if row.get("violation") else kind,
        _yes(row.get("causal"), good=True),
        _yes(row.get("in_step_barrier"), good=False),
        _yes(row.get("fits"), good=True),
        esc(row.get("where", "")),
        f'<span class="small">{proof}{extra}</span>',
    )


def _yes(value: Any, *, good: bool) -> str:
    if value is None:
        return "–"
    tone = "good" if bool(value) == good else "warn"
    return f'<span class="{tone}">{"yes" if value else "no"}</span>'


def equality(report: Report) -> str:
    """Spike-by-spike comparison of backends."""
    found = report.comparison
    if not found:
        return "<p>The backends were not compared in this run: <code>spikeforge compare</code> does it.</p>"
    wrong = int(found.get("spike_mismatches", 0)) + int(found.get("membrane_mismatches", 0))
    tone, words = ("good", "equal, bit for bit") if wrong == 0 else ("bad", "not equal")
    rows = [(esc(key.replace("_", " ")), _plain(found[key])) for key in COMPARED if key in found]
    return f'<p><span class="{tone}">{words}</span>: {esc(", ".join(map(str, found.get("backends", []))))}</p>' + table(
        ("compared", "value"), rows, numeric=(1,)
    )


COMPARED = ("samples", "layers_compared", "spikes_compared", "spike_mismatches", "membrane_mismatches")


def _plain(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else esc(value)


Metric = tuple[str, Callable[[Report], float | None], Callable[[float], str], str]


def twin(report: Report) -> str:
    """The same net without attention beside it."""
    other = report.twin
    if other is None:
        return "<p>No twin without attention was given.</p>"
    rows = []
    for name, read, show, how in METRICS:
        ours, theirs = read(report), read(other)
        if ours is not None and theirs is not None:
            rows.append((esc(name), esc(show(ours)), esc(show(theirs)), _difference(name, ours, theirs), how))
    head = ("figure", report.name, other.name, "with / without", "basis")
    return table(head, rows, numeric=(1, 2, 3)) + (
        '<p class="small dim">Both nets were trained, deployed and run in the same way; one training each, so small '
        "differences are within the spread between seeds.</p>"
    )


def _difference(name: str, ours: float, theirs: float) -> str:
    return f"{100 * (ours - theirs):+.1f} points" if name.startswith("accuracy") else esc(ratio(ours, theirs))


def _per_sample(field: str) -> Callable[[Report], float | None]:
    def read(report: Report) -> float | None:
        found = report.analysis
        return None if found is None else float(getattr(found.activity.sops, field)) / found.activity.samples

    return read


def _on_chip(report: Report) -> float | None:
    return None if report.accuracy.on_chip is None else report.accuracy.on_chip.value


def _float(report: Report) -> float | None:
    return None if report.accuracy.float is None else report.accuracy.float.value


def _rate(report: Report) -> float | None:
    return None if report.analysis is None else report.analysis.activity.spike_rate


def _spikes(report: Report) -> float | None:
    found = report.analysis
    return None if found is None else sum(x.spikes for x in found.activity.layers if x.neurons) / found.activity.samples


def _latency(report: Report) -> float | None:
    return None if report.analysis is None else report.analysis.latency.per_sample.value


def _energy(line: str) -> Callable[[Report], float | None]:
    def read(report: Report) -> float | None:
        if report.analysis is None:
            return None
        price = report.analysis.energy
        return price.total.value if line == "total" else getattr(price, line).energy.value

    return read


def _host(report: Report) -> float | None:
    return None if report.analysis is None else float(report.analysis.host_macs)


METRICS: tuple[Metric, ...] = (
    ("accuracy, float", _float, percent, basis("measured")),
    ("accuracy, on chip", _on_chip, percent, basis("simulated")),
    ("spikes a sample", _spikes, count, basis("simulated")),
    ("spike rate", _rate, percent, basis("simulated")),
    ("SOPs a sample, binary", _per_sample("binary"), count, basis("simulated")),
    ("SOPs a sample, graded", _per_sample("graded"), count, basis("simulated")),
    ("SOPs a sample, total", _per_sample("total"), count, basis("simulated")),
    ("host MACs a sample", _host, count, basis("simulated")),
    ("latency a sample", _latency, lambda v: si(v, "s"), "as above"),
    ("dynamic energy a sample", _energy("dynamic"), lambda v: si(v, "J"), "as above"),
    ("static energy a sample", _energy("static"), lambda v: si(v, "J"), "as above"),
    ("host energy a sample", _energy("host"), lambda v: si(v, "J"), "as above"),
    ("energy a sample, total", _energy("total"), lambda v: si(v, "J"), "as above"),
)
