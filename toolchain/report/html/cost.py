"""The second part of the page: SOPs, activity, traffic, latency, energy, utilization."""

from __future__ import annotations

from toolchain.analysis import Activity, Analysis, Use, fullest
from toolchain.analysis.energy import Item, Line
from toolchain.report.html.parts import basis, details, esc, figure, meter, table
from toolchain.report.html.svg import Row, bars, legend
from toolchain.report.model import Report
from toolchain.report.numbers import band, count, percent, si, significant

NO_RUN = "<p>No run with counters: run the net on <code>hw_sim</code>.</p>"
CLASSES = ("binary (A)", "graded (B)", "gate deliveries")


def sops(report: Report) -> str:
    """SOPs by class and layer."""
    if report.analysis is None:
        return NO_RUN
    counts = report.analysis.activity
    n = counts.samples
    rows, plot = [], []
    for layer in counts.layers:
        s = layer.sops
        if s.total or s.gate or layer.gate_multiplies:
            share = percent(s.total / s.dense if s.dense else None)
            plot.append(
                Row(layer.name, (s.binary / n, s.graded / n, s.gate / n), f"{count(s.total / n)} · {share} of dense")
            )
            cells = (s.binary, s.graded, s.total, s.dense)
            rows.append(
                (
                    esc(layer.name),
                    *(count(v / n) for v in cells),
                    share,
                    count(s.gate / n),
                    count(layer.gate_multiplies / n),
                )
            )
    whole = counts.sops
    gains = sum(layer.gate_multiplies for layer in counts.layers)
    share = percent(whole.total / whole.dense if whole.dense else None)
    sums = (whole.binary, whole.graded, whole.total, whole.dense)
    rows.append(("all", *(count(v / n) for v in sums), share, count(whole.gate / n), count(gains / n)))
    head = ("layer", "binary (A)", "graded (B)", "SOPs", "dense", "of dense", "gate deliveries", "gate multiplies (C)")
    drawn = bars(plot, CLASSES, title="SOPs by class and layer, per sample", tip=count)
    caption = "Synaptic operations per sample, by the layer they arrive at. Gate deliveries end at a gain and are not in the SOPs."
    return (
        legend(CLASSES)
        + figure(drawn, caption)
        + table(head, rows, numeric=range(1, 8), last_is_sum=True)
        + f'<p class="small dim">Means over {n} samples. {basis("simulated")} Zero weights cost no SOP. '
        f"Host (D): {count(report.analysis.host_macs)} MACs a sample.</p>"
    )


def activity(report: Report) -> str:
    """Spike rates, neuron updates, messages and hops."""
    if report.analysis is None:
        return NO_RUN
    counts = report.analysis.activity
    n = counts.samples
    plot = [
        Row(layer.name, (layer.spike_rate,), f"{percent(layer.spike_rate)} · {count(layer.spikes / n)} spikes")
        for layer in counts.layers
        if layer.spike_rate is not None
    ]
    top = max((row.parts[0] for row in plot), default=0.0)
    limit = next(step for step in (0.05, 0.1, 0.2, 0.5, 1.0) if top <= step)
    drawn = bars(plot, ("spike rate",), title="Spike rate by layer", tip=percent, limit=limit)
    rows = [
        (esc(x.name), count(x.neurons), _cores(x.cores), count(x.neuron_updates / n), count(x.spikes / n), percent(x.spike_rate),
         count(x.gate_messages / n), f"{x.wraps} / {x.clips}")
        for x in counts.layers
    ]  # fmt: skip
    head = ("layer", "neurons", "cores", "neuron updates", "spikes", "spike rate", "gate messages", "wraps / clips")
    return (
        figure(drawn, f"Spikes per spiking neuron and timestep (bar: 0 to {100 * limit:.0f} %).")
        + table(head, rows, numeric=(1, 3, 4, 5, 6, 7))
        + f"<h3>On the network on chip {basis('simulated')}</h3>"
        + _traffic(counts)
    )


def _traffic(counts: Activity) -> str:
    n = counts.samples
    rows = (
        ("messages between cores", count(counts.total("messages") / n)),
        ("router-to-router hops", count(counts.total("hops") / n)),
        ("messages from the host", count(counts.host_messages / n)),
        ("synaptic-memory words read", count(counts.total("synmem_reads") / n)),
        ("neuron updates", count(counts.total("neuron_updates") / n)),
    )
    return table(("per sample", "count"), rows, numeric=(1,))


def _cores(cores: tuple[int, ...]) -> str:
    if not cores:
        return '<span class="dim">host</span>'
    if len(cores) > 1 and cores[-1] - cores[0] == len(cores) - 1:
        return f"{cores[0]}–{cores[-1]}"
    return ", ".join(map(str, cores))


TERM_WORDS = {
    "neuron": "neuron updates",
    "synapse": "synaptic operations",
    "memory": "memory reads",
    "link": "heaviest link",
    "host": "host input",
    "barrier": "barrier",
}


def latency(report: Report) -> str:
    """Time of a sample, and what bounds it."""
    if report.analysis is None:
        return NO_RUN
    time = report.analysis.latency
    worst = time.bottleneck
    rows = [
        ("mean over samples", si(time.per_sample.value, "s"), esc(band(time.per_sample)), basis(time.per_sample.basis)),
        ("fastest – slowest sample", f"{si(time.fastest_s, 's')} – {si(time.slowest_s, 's')}", "", basis(time.per_sample.basis)),
        ("mean chip step", si(time.per_step_s, "s"), "", basis(time.per_sample.basis)),
        ("chip steps a sample", f"{time.chip_steps} = T {report.analysis.activity.steps} + depth "
         f"{time.chip_steps - report.analysis.activity.steps}", "", basis("simulated")),
    ]  # fmt: skip
    terms = tuple(time.shares)
    shown = [Row(TERM_WORDS[t], (time.shares[t],), percent(time.shares[t])) for t in terms]
    drawn = bars(shown, ("share of time",), title="Share of time bound by each term", tip=percent, limit=1.0)
    place = f" of {worst.place}" if worst.place else ""
    return (
        f"<p>Bottleneck: <b>{esc(TERM_WORDS[worst.term])}{esc(place)}</b> sets {percent(worst.share, 0)} of the time.</p>"
        + table(("figure", "value", "band", "basis"), rows, numeric=(1, 2))
        + figure(drawn, "A step lasts as long as its slowest term; the bars say which term that was, weighted by time.")
        + _imbalance(report.analysis)
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
        rows.append((line.name, si(figure_.value, "J"), esc(band(figure_)), basis(figure_.basis), words))
    whole = price.total
    rests = (
        f"rests on {len(price.assumed)} assumed price{'s' if len(price.assumed) != 1 else ''}" if price.assumed else ""
    )
    rows.append(("total", si(whole.value, "J"), esc(band(whole)), basis(whole.basis), rests))
    drawn = bars(plot, ("nominal",), title="Energy per sample", tip=lambda v: si(v, "J"))
    return (
        figure(drawn, "Energy per sample; bar: nominal, whisker: every price at its low and at its high end.")
        + table(("line", "nominal", "low – high", "basis", "what it is"), rows, numeric=(1, 2), last_is_sum=True)
        + "".join(details(f"{line.name}: counts and prices", _line(line)) for line in price.lines if line.items)
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


RESOURCE_ORDER = ("neurons", "synapse_memory_bits", "axons_in", "axons_out")


def utilization(report: Report) -> str:
    """(used, max) per core and resource."""
    if not report.uses:
        return "<p>The program uses no cores.</p>"
    worst = fullest(report.uses)
    resources = list(worst)
    by_core: dict[int, dict[str, Use]] = {}
    for use in report.uses:
        by_core.setdefault(use.core, {})[use.resource] = use
    layers = {} if report.analysis is None else {core.core: core.layers for core in report.analysis.activity.cores}
    rows = [
        (str(core), esc(", ".join(layers.get(core, ()))), *(_use(uses.get(name)) for name in resources))
        for core, uses in sorted(by_core.items())
    ]
    rows.append(("max", "", *(f"{worst[name].limit:,}" for name in resources)))
    head = ("core", "layers", *(_resource(name) for name in resources))
    peak = max(worst.values(), key=lambda use: use.share)
    usable = report.chip.mesh.cores
    return (
        f"<p>{len(by_core)} of {usable} cores in use. Fullest: {esc(_resource(peak.resource))} of core {peak.core}, "
        f"{percent(peak.share)} ({peak.used:,} of {peak.limit:,}).</p>" + table(head, rows, last_is_sum=True)
    )


def _use(use: Use | None) -> str:
    return "–" if use is None else meter(use.used, use.limit)


def _resource(name: str) -> str:
    return name.removeprefix("max_").replace("_", " ")
