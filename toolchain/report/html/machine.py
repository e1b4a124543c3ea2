"""Spikes, neuron updates and traffic by layer and core; utilization of the cores."""

from __future__ import annotations

import numpy as np

from spikewright.hw_sim.noc import coordinates
from spikewright.toolchain.analysis import Activity, Use, fullest
from spikewright.toolchain.analysis.numbers import count, percent
from spikewright.toolchain.report.html.parts import NO_RUN, basis, details, esc, figure, meter, table
from spikewright.toolchain.report.html.svg import Cell, Row, bars, heat
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
        + heat_maps(report)
        + f"<h3>On the network on chip {basis('simulated')}</h3>"
        + _traffic(counts)
        + details("core by core", _by_core(counts), is_open=len(counts.cores) <= MOST_ROWS)
    )


MOST_ROWS = 16
"""Longer tables are folded away."""


MOST_CHIPS = 8
"""Of more chips no map is drawn."""


def heat_maps(report: Report) -> str:
    """The mesh, three times: SOPs, synaptic memory and hops of every core at its router; a square leads to its row below."""
    found, mesh = report.analysis, report.chip.mesh
    if found is None:
        return ""
    cores = {core.core: core for core in found.activity.cores}
    used = max(cores, default=0) // mesh.usable_cores_per_chip + 1
    if used > MOST_CHIPS:
        return f"<p>No map of {used} chips.</p>"
    memory = {use.core: use.share for use in report.uses if use.resource == "synapse_memory_bits"}
    n = found.activity.samples
    maps = (
        ("SOPs", {k: (c.sops.total / n, count(c.sops.total / n)) for k, c in cores.items()}),
        ("synaptic memory", {k: (share, percent(share)) for k, share in memory.items()}),
        ("hops of what it sends", {k: (c.hops / n, count(c.hops / n)) for k, c in cores.items()}),
    )
    drawn = "".join(
        f"<figure>{heat(_squares(report, values, used), title=f'{name} by core')}<figcaption>{name}</figcaption></figure>"
        for name, values in maps
    )
    return f'<h3>The mesh {basis("simulated")}</h3><div class="maps">{drawn}</div>'


def _squares(report: Report, values: dict[int, tuple[float, str]], chips: int) -> list[Cell]:
    mesh, found = report.chip.mesh, report.analysis
    layers = {} if found is None else {core.core: ", ".join(core.layers) for core in found.activity.cores}
    every = np.arange(chips * mesh.usable_cores_per_chip)
    x, y = coordinates(mesh, every)
    side = max(1, round(mesh.cores_per_tile**0.5))
    place = (every % mesh.usable_cores_per_chip) % mesh.cores_per_tile
    top = max((value for value, _ in values.values()), default=0.0) or 1.0
    cells = []
    for core in every.tolist():
        value, words = values.get(core, (0.0, ""))
        tip = f"core {core}: {layers[core]}, {words}" if core in layers else f"core {core}: not in use"
        column, row = int(x[core]) * side + int(place[core]) % side, int(y[core]) * side + int(place[core]) // side
        cells.append(Cell(column, row, value / top, tip, f"#core-{core}" if core in layers else ""))
    return cells


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
        rows.append(
            (f'<a id="core-{c.core}">{c.core}</a>', esc(", ".join(c.layers)), *(count(value / n) for value in figures))
        )
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
        f"{peak.core}, {percent(peak.share)} ({peak.used:,} of {peak.limit:,}).</p><p>{esc(str(report.decided))}.</p>"
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
