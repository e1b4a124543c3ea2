"""Spikes, neuron updates and traffic by layer and core; utilization of the cores."""

from __future__ import annotations

from spikewright.toolchain.analysis import Activity, Use, fullest
from spikewright.toolchain.analysis.numbers import count, percent
from spikewright.toolchain.report.html.parts import NO_RUN, basis, details, esc, figure, meter, table
from spikewright.toolchain.report.html.svg import Row, bars
from spikewright.toolchain.report.model import Report


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
        (esc(x.name), count(x.neurons), _cores(x.cores), count(x.neuron_updates / n), count(x.spikes / n),
         percent(x.spike_rate), count(x.gate_messages / n), f"{x.wraps} / {x.clips}")
        for x in counts.layers
    ]  # fmt: skip
    head = ("layer", "neurons", "cores", "neuron updates", "spikes", "spike rate", "gate messages", "wraps / clips")
    return (
        figure(drawn, f"Spikes per spiking neuron and timestep (bar: 0 to {100 * limit:.0f} %).")
        + table(head, rows, numeric=(1, 3, 4, 5, 6, 7))
        + f"<h3>On the network on chip {basis('simulated')}</h3>"
        + _traffic(counts)
        + details("core by core", _by_core(counts), is_open=len(counts.cores) <= MOST_ROWS)
    )


MOST_ROWS = 16
"""Longer tables are folded away."""


def _by_core(counts: Activity) -> str:
    n = counts.samples
    rows = []
    for c in counts.cores:
        figures = (
            c.sops.total,
            c.sops.gate,
            c.synmem_reads,
            c.neuron_updates,
            c.spikes,
            c.messages,
            c.messages_in,
            c.hops,
        )
        rows.append((str(c.core), esc(", ".join(c.layers)), *(count(value / n) for value in figures)))
    head = ("core", "layers", "SOPs", "gate deliveries", "memory words", "neuron updates", "spikes", "messages out",
            "messages in", "hops")  # fmt: skip
    return table(head, rows, numeric=range(2, len(head)))


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


def utilization(report: Report) -> str:
    """(used, max) per core and resource; of many cores, the fullest ones first and all of them on a click."""
    if not report.uses:
        return "<p>The program uses no cores.</p>"
    peak = max(report.uses, key=lambda use: use.share)
    fill: dict[int, float] = {}
    for use in report.uses:
        fill[use.core] = max(fill.get(use.core, 0.0), use.share)
    text = (
        f"<p>{len(fill)} of {report.chip.mesh.cores} cores in use. Fullest: {esc(_resource(peak.resource))} of core "
        f"{peak.core}, {percent(peak.share)} ({peak.used:,} of {peak.limit:,}).</p>"
    )
    if len(fill) <= MOST_ROWS:
        return text + _uses(report, sorted(fill))
    first = sorted(fill, key=lambda core: (-fill[core], core))[: MOST_ROWS // 2]
    return text + "<h3>Fullest cores</h3>" + _uses(report, first) + details("all cores", _uses(report, sorted(fill)))


def _uses(report: Report, cores: list[int]) -> str:
    worst = fullest(report.uses)
    layers = {} if report.analysis is None else {core.core: core.layers for core in report.analysis.activity.cores}
    found = {(use.core, use.resource): use for use in report.uses}
    rows = [
        (str(core), esc(", ".join(layers.get(core, ()))), *(_use(found.get((core, name))) for name in worst))
        for core in cores
    ]
    rows.append(("max", "", *(f"{use.limit:,}" for use in worst.values())))
    return table(("core", "layers", *(_resource(name) for name in worst)), rows, last_is_sum=True)


def _use(use: Use | None) -> str:
    return "–" if use is None else meter(use.used, use.limit)


def _resource(name: str) -> str:
    return name.removeprefix("max_").replace("_", " ")
