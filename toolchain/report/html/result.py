"""The first sections of the page: what it is of, accuracy by stage, the checker's verdict, equality of backends, the twin."""

from __future__ import annotations

from typing import Any

from spikewright.toolchain.analysis import Quantity
from spikewright.toolchain.analysis.numbers import count, percent, quantity, ratio
from spikewright.toolchain.diagnostics import WORDS
from spikewright.toolchain.report.html.parts import basis, block_id, details, esc, layer_id, table
from spikewright.toolchain.report.model import Report
from spikewright.toolchain.report.texts import CLASSES
from spikewright.toolchain.report.twins import unlike


def header(report: Report) -> str:
    """Name, target, what it was run on."""
    card = report.card
    about = [str(card.get(key)) for key in ("family", "variant") if card.get(key) not in (None, "", "none")]
    marks = [*about, f"chip {report.chip.name}"]
    marks += [f"data: {report.dataset}"] if report.dataset else []
    marks += ["events simulated from still images"] if report.simulated_events else []
    marks += [f"gates of {block}: {how}" for block, how in sorted(report.strategies.items())]
    marks += [f"{count(report.parameters)} parameters"] if report.parameters else []
    badges = "".join(f'<span class="badge">{esc(mark)}</span>' for mark in marks)
    tone = "warn" if "reconstruction" in report.provenance else "dim"
    origin = f'<p class="small {tone}">provenance: {esc(report.provenance)}</p>' if report.provenance else ""
    return f'<h1>{esc(report.title)}</h1><p class="dim">{esc(report.chip.description)}</p><p>{badges}</p>{origin}'


def diagnostics(report: Report) -> str:
    """What was lost, assumed or noted, by the deployment and in this run."""
    if not report.diagnostics:
        return "<p>Deploying lost nothing beyond its limit, and had to assume nothing about the net.</p>"
    rows = [
        (
            f'<span class="{"bad" if one.severity == "warning" else "dim"}">{esc(WORDS[one.severity])}</span>',
            f"<code>{esc(one.code)}</code>",
            esc(one.where),
            esc(one.what),
            esc(one.help),
        )
        for one in report.diagnostics
    ]
    return table(("", "code", "where", "what", "help"), rows)


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
    layers = set() if report.analysis is None else {layer.name for layer in report.analysis.activity.layers}
    rows = [_block(row, layers) for row in report.verdict]
    head = ("block", "family", "class", "causal", "barrier", "fits", "where", "proof")
    key = " · ".join(f"<b>{name}</b> {esc(text)}" for name, text in CLASSES.items())
    return (
        table(head, rows)
        + f'<p class="small dim">{key}.</p>'
        + _audit(report.audit)
        + _event_driven(report.event_driven)
    )


def _audit(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    tone, word = ("good", "passed") if row["ok"] else ("bad", "failed")
    words = {"gate": "gate deliveries"}
    sops = ", ".join(f"{value:,} {words.get(kind, f'{kind} SOPs')}" for kind, value in row["sops"].items())
    driven = ", ".join(row["bias_driven"])
    faults = "".join(
        f"<br>{esc(line)}" for line in (*row["shown"], *(f"without input: {w}" for w in row["unexplained"]))
    )
    silent = f"Without input: {row['silent_sops']:,} SOPs a sample" + (
        f", fired by the biases of {driven}." if driven else "."
    )
    return (
        f'<p>Dynamic audit: <span class="{tone}">{word}</span>. {row["events"]:,} events, walked one by one, cause '
        f"{esc(sops)}; {row['differences']} counters of the run differ. {esc(silent)}{faults}</p>"
    )


def _event_driven(found: dict[str, Any] | None) -> str:
    """The share of the SOPs that the input caused, in all and where SOPs arrive."""
    if found is None:
        return ""
    tone = "good" if found["silent_sops"] == 0 else "warn"
    alone = ", ".join(found["fire_by_themselves"])
    by_bias = f" Fire by themselves: {alone}." if alone else ""
    rows = [
        (esc(row["layer"]), f"{row['sops']:,}", f"{row['silent_sops']:,}", percent(row["share"]))
        for row in found["layers"]
    ]
    head = ("SOPs of all samples at", "in the run", "in the same run without input", "event-driven share")
    return (
        f'<p>Event-driven share: <span class="{tone}">{percent(found["total"])}</span>; '
        f"{found['sops']:,} SOPs of all samples, {found['silent_sops']:,} in the same run without any input.{esc(by_bias)}</p>"
        + details("by layer", table(head, rows, numeric=(1, 2, 3)))
    )


def _block(row: dict[str, Any], layers: set[str]) -> tuple[str, ...]:
    """Return the cells of a block, which leads to its counters where there are any."""
    proof = esc(row.get("witness", ""))
    if row.get("violation"):
        cost = f" Cost: {count(row.get('macs_per_step', 0))} MACs a step." if row.get("macs_per_step") else ""
        proof = f'<span class="bad">{esc(row["violation"])}.</span>{cost} {proof}<br><b>Mend:</b> {esc(row.get("help", ""))}'
    notes = row.get("notes") or ()
    extra = "".join(
        f'<br><span class="dim">{esc(note)}</span>' for note in ([notes] if isinstance(notes, str) else notes)
    )
    kind, name = esc(row.get("cost_class", "")), str(row.get("name", ""))
    counters = f' href="#{layer_id(name)}" title="to its counters"' if name in layers else ""
    return (
        f'<b><a id="{block_id(name)}"{counters}>{esc(name)}</a></b>',
        esc(row.get("family", "")),
        f'<span class="bad">{kind}</span>' if row.get("violation") else kind,
        _yes(row.get("causal"), good=True),
        _yes(row.get("in_step_barrier"), good=False),
        _yes(row.get("fits"), good=True),
        esc(row.get("where", "")),
        _folded(f'<span class="small">{proof}{extra}</span>', str(row.get("witness", ""))),
    )


LONG = 160
"""Characters of a proof from which on it folds."""


def _folded(cell: str, proof: str) -> str:
    """Return a proof; a long one opens on a click (and in print)."""
    return cell if len(proof) <= LONG else details("proof", cell)


def _yes(value: Any, *, good: bool) -> str:
    if value is None:
        return "–"
    tone = "good" if bool(value) == good else "warn"
    return f'<span class="{tone}">{"yes" if value else "no"}</span>'


def equality(report: Report) -> str:
    """Spike-by-spike comparison of backends, and of the machine with the captured net."""
    return _backends(report) + _captured(report.captured)


def _captured(found: dict[str, Any] | None) -> str:
    """Every layer of a run beside the equation of the net that was captured."""
    if found is None:
        return ""
    faults = "".join(f"<br>{esc(fault)}" for fault in found["faults"])
    tone = "good" if found["ok"] else "bad"
    said = f'<p>Beside the captured net: <span class="{tone}">{esc(found["headline"])}</span>.{faults}</p>'
    rows = [
        (esc(row["op"]), _plain(row["values"]), _plain(row["differ"]), _plain(row["wrong"])) for row in found["layers"]
    ]
    if not rows:
        return said
    head = ("layer", "values", "messages that differ within rounding", "values that rounding does not explain")
    return said + details("layer by layer, beside the captured net", table(head, rows, numeric=(1, 2, 3)))


def _backends(report: Report) -> str:
    found = report.comparison
    if not found:
        return "<p>The backends were not compared in this run: <code>spikewright compare</code> does it.</p>"
    wrong = int(found.get("spike_mismatches", 0)) + int(found.get("membrane_mismatches", 0))
    tone, words = ("good", "equal, bit for bit") if wrong == 0 else ("bad", "not equal")
    rows = [(esc(key.replace("_", " ")), _plain(found[key])) for key in COMPARED if key in found]
    head = f'<p><span class="{tone}">{words}</span>: {esc(", ".join(map(str, found.get("backends", []))))}</p>'
    first = f'<p class="bad">First: {esc(found["first_mismatch"])}</p>' if found.get("first_mismatch") else ""
    return head + first + table(("compared", "value"), rows, numeric=(1,)) + _layers(found.get("layers") or [])


def _layers(layers: list[dict[str, Any]]) -> str:
    if not layers:
        return ""
    names = ("layer", "spikes", "spikes_compared", "spike_mismatches", "membranes_compared", "membrane_mismatches")
    rows = [tuple(_plain(layer.get(name, "")) for name in names) for layer in layers]
    titles = [name.replace("_", " ") for name in names]
    return details("layer by layer", table(titles, rows, numeric=range(1, len(names))))


COMPARED = ("samples", "layers_compared", "spikes_compared", "spike_mismatches", "membrane_mismatches")


def _plain(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else esc(value)


def twin(report: Report) -> str:
    """The same net without attention beside it."""
    other = report.twin
    if other is None:
        return "<p>No twin without attention was given.</p>"
    beside = dict(figures(other))
    rows = [
        (esc(name), quantity(ours), quantity(beside[name]), _difference(ours, beside[name]), basis(ours.basis))
        for name, ours in figures(report)
        if name in beside
    ]
    head = ("per sample", report.name, other.name, "with / without", "basis")
    different = unlike(report, other)
    alike = "" if different else "Both nets were trained, deployed and run in the same way. "
    listed = "".join(f"<li>{esc(text)}</li>" for text in different)
    warned = f'<p class="warn">What may make a difference beside attention:</p><ul>{listed}</ul>' if different else ""
    return table(head, rows, numeric=(1, 2, 3)) + (
        f'{warned}<p class="small dim">{alike}Each was trained once: '
        "a small difference may be no more than the spread between seeds.</p>"
    )


def _difference(ours: Quantity, theirs: Quantity) -> str:
    if not ours.unit:
        return f"{100 * (ours.value - theirs.value):+.1f} points"
    return "" if ours.value == theirs.value == 0 else esc(ratio(ours.value, theirs.value))


def figures(report: Report) -> list[tuple[str, Quantity]]:
    """Return the figures by which two nets are compared, per sample."""
    stages = (("accuracy, float", report.accuracy.float), ("accuracy, on chip", report.accuracy.on_chip))
    found = [(name, figure) for name, figure in stages if figure is not None]
    if report.analysis is None:
        return found
    counts, price = report.analysis.activity, report.analysis.energy
    sops, n = counts.sops, counts.samples
    spikes = sum(layer.spikes for layer in counts.layers if layer.neurons)
    counted = {
        "spikes": spikes / n,
        "SOPs, binary": sops.binary / n,
        "SOPs, graded": sops.graded / n,
        "SOPs, total": sops.total / n,
        "of these, to drive gates": sum(layer.attention_sops for layer in counts.layers) / n,
        "gate multiplies": sum(layer.gate_multiplies for layer in counts.layers) / n,
        "neuron updates": counts.total("neuron_updates") / n,
        "host MACs": float(report.analysis.host_macs),
    }
    return [
        *found,
        ("spike rate", Quantity(counts.spike_rate, "", "simulated")),
        *((name, Quantity(value, "count", "simulated")) for name, value in counted.items()),
        ("latency", report.analysis.latency.per_sample),
        *((f"energy, {line.name}", line.energy) for line in price.lines),
        ("energy, total", price.total),
    ]
