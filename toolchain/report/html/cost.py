"""The second part of the page: SOPs, latency and energy."""

from __future__ import annotations

from spikewright.toolchain.analysis import Analysis, Latency, Sops
from spikewright.toolchain.analysis.energy import Item, Line
from spikewright.toolchain.analysis.numbers import band, count, percent, si, significant
from spikewright.toolchain.report.html.parts import NO_RUN, basis, details, esc, figure, table
from spikewright.toolchain.report.html.svg import Row, bars, columns, legend
from spikewright.toolchain.report.model import Report

CLASSES = ("binary (A)", "graded (B)", "gate deliveries")


def sops(report: Report) -> str:
    """SOPs by class and layer."""
    if report.analysis is None:
        return NO_RUN
    counts = report.analysis.activity
    n = counts.samples
    busy = [x for x in counts.layers if x.sops.total or x.sops.gate or x.gate_multiplies]
    plot = [
        Row(
            layer.name,
            (layer.sops.binary / n, layer.sops.graded / n, layer.sops.gate / n),
            f"{count(layer.sops.total / n)} · {_of_dense(layer.sops)} of dense",
        )
        for layer in busy
    ]
    rows = [_sops_row(layer.name, layer.sops, layer.attention_sops, layer.gate_multiplies, n) for layer in busy]
    attention = sum(layer.attention_sops for layer in busy)
    rows.append(_sops_row("all", counts.sops, attention, sum(layer.gate_multiplies for layer in busy), n))
    head = ("layer", "binary (A)", "graded (B)", "SOPs", "of these to drive gates", "dense", "of dense", "gate deliveries",
            "gate multiplies (C)")  # fmt: skip
    caption = (
        "Synaptic operations per sample, by the layer they arrive at. Gate deliveries end at a gain, not at a weight, and are "
        "not in the SOPs."
    )
    return (
        legend(CLASSES)
        + figure(bars(plot, CLASSES, title="SOPs by class and layer, per sample", tip=count), caption)
        + table(head, rows, numeric=range(1, len(head)), last_is_sum=True)
        + f'<p class="small dim">Means over {n} samples. {basis("simulated")} Zero weights cost no SOP. '
        f"Host (D): {count(report.analysis.host_macs)} MACs a sample.</p>"
    )


def _sops_row(name: str, s: Sops, attention: int, gains: int, n: int) -> tuple[str, ...]:
    first = (s.binary, s.graded, s.total, attention, s.dense)
    return (esc(name), *(count(v / n) for v in first), _of_dense(s), count(s.gate / n), count(gains / n))


def _of_dense(s: Sops) -> str:
    return percent(s.total / s.dense if s.dense else None)


TERM_WORDS = {
    "neuron": "neuron updates",
    "synapse": "synaptic operations",
    "memory": "memory reads",
    "link": "heaviest link",
    "host": "host input",
    "barrier": "barrier",
    "overhead": "Lava overhead",
}


def _chip_steps(chip_steps: int, steps: int) -> str:
    return (
        f"{chip_steps} = T, where all layers stop"
        if chip_steps == steps
        else f"{chip_steps} = T {steps} + depth {chip_steps - steps}"
    )


def latency(report: Report) -> str:
    """Time of a sample, and what bounds it."""
    if report.analysis is None:
        return NO_RUN
    time = report.analysis.latency
    worst = time.bottleneck
    spread = f"{si(time.fastest_s, 's')} – {si(time.slowest_s, 's')}"
    rows = [
        ("mean over samples", si(time.per_sample.value, "s"), esc(band(time.per_sample)), basis(time.per_sample.basis)),
        ("fastest – slowest sample", spread, "", basis(time.per_sample.basis)),
        ("mean chip step", si(time.per_step_s, "s"), "", basis(time.per_sample.basis)),
        ("chip steps a sample", _chip_steps(time.chip_steps, report.analysis.activity.steps), "", basis("simulated")),
    ]  # fmt: skip
    terms = tuple(time.shares)
    shown = [Row(TERM_WORDS[t], (time.shares[t],), percent(time.shares[t])) for t in terms]
    drawn = bars(shown, ("share of time",), title="Share of time bound by each term", tip=percent, limit=1.0)
    place = f" of {worst.place}" if worst.place else ""
    return (
        f"<p>Bottleneck: <b>{esc(TERM_WORDS[worst.term])}{esc(place)}</b> sets {percent(worst.share, 0)} of the time.</p>"
        + table(("figure", "value", "band", "basis"), rows, numeric=(1, 2))
        + figure(
            drawn,
            "A step lasts as long as its slowest term, plus what its host adds; the bars: which was longest, weighted by time.",
        )
        + _steps(time)
        + _imbalance(report.analysis)
    )


MOST_COLUMNS = 200


def _steps(time: Latency) -> str:
    if not 1 < len(time.steps) <= MOST_COLUMNS:
        return ""
    shown = [(s, f"chip step {k}: {si(s, 's')}, {TERM_WORDS[term]}") for k, (s, term) in enumerate(time.steps)]
    top = max(s for s, _ in time.steps)
    return figure(
        columns(shown, title="Time of each chip step"), f"Mean time of each chip step; the tallest is {si(top, 's')}."
    )


def _imbalance(found: Analysis) -> str:
    cores = found.activity.cores
    if len(cores) < 2:
        return ""
    loads = [core.sops.total + core.sops.gate for core in cores]
    mean = sum(loads) / len(loads)
    busiest = max(cores, key=lambda core: core.sops.total + core.sops.gate)
    if not mean:
        return ""
    return (
        f'<p class="small dim">Load balance: core {busiest.core} ({esc(", ".join(busiest.layers))}) takes '
        f"{significant(max(loads) / mean)} times the mean SOPs of a core.</p>"
    )


LINE_WORDS = {
    "dynamic": "paid per event on the neurocores and the NoC",
    "static": "paid per second while the chip is on",
    "host": "input messages, and the encoder in front of the first spike",
}


def energy(report: Report) -> str:
    """Dynamic, static and host energy with basis and band; what each rests on."""
    if report.analysis is None:
        return NO_RUN
    price = report.analysis.energy
    plot, rows = [], []
    for line in price.lines:
        figure_ = line.energy
        ends = (figure_.low or 0.0, figure_.high or 0.0)
        plot.append(Row(line.name, (figure_.value,), si(figure_.value, "J"), ends))
        words = esc(LINE_WORDS[line.name])
        if line.name == "static":
            words += f"; {len(report.analysis.activity.cores)} of {report.chip.mesh.cores} cores are in use"
        rows.append((line.name, si(figure_.value, "J"), esc(band(figure_)), basis(figure_.basis), words))
    whole = price.total
    rests = (
        f"rests on {len(price.assumed)} assumed price{'s' if len(price.assumed) != 1 else ''}" if price.assumed else ""
    )
    rows.append(("total", si(whole.value, "J"), esc(band(whole)), basis(whole.basis), rests))
    drawn = bars(plot, ("nominal",), title="Energy per sample", tip=lambda v: si(v, "J"))
    return (
        figure(
            drawn,
            "Energy per sample; bar: nominal, whisker: every price at its low and high end, 24 % at least.",
        )
        + table(("line", "nominal", "low – high", "basis", "what it is"), rows, numeric=(1, 2), last_is_sum=True)
        + "".join(
            details(f"{line.name}: counts and prices", _line(line), is_open=line.name == "dynamic")
            for line in price.lines
            if line.items
        )
        + '<p class="small dim">The basis of a sum is the worst basis in it. Energy is priced from the counts after the run: '
        "another price table gives another energy from the same trace.</p>"
    )


def _line(line: Line) -> str:
    ordered = sorted(line.items, key=lambda item: -item.energy.value)
    head = ("event", "per sample", "price", "energy", "low – high", "basis", "source")
    return table(head, [_item(item) for item in ordered], numeric=(1, 2, 3, 4))


def _item(item: Item) -> tuple[str, ...]:
    p = item.price
    amount = si(item.count, "s") if p.unit == "W" else count(item.count)
    price = f"{p.nominal:g} {p.unit}"
    event = esc(item.event.replace("_", " "))
    return event, amount, price, si(item.energy.value, "J"), esc(band(item.energy)), basis(p.basis), esc(p.source)
