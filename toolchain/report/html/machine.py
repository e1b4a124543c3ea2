"""Spikes, neuron updates and traffic by layer and core; utilization of the cores."""

from __future__ import annotations

import numpy as np

from spikewright.hw_sim.noc import coordinates
from spikewright.toolchain.analysis import Activity, Use, fullest
from spikewright.toolchain.analysis.numbers import count, percent
from spikewright.toolchain.report.html.parts import (
    NO_RUN,
    basis,
    block_id,
    details,
    esc,
    figure,
    layer_id,
    meter,
    table,
)
from spikewright.toolchain.report.html.svg import Cell, Row, Strip, bars, heat, strips
from spikewright.toolchain.report.model import Report


def activity(report: Report) -> str:
    """Spike rates, neuron updates, messages and hops."""
    if report.analysis is None:
        return NO_RUN
    counts, blocks = report.analysis.activity, {str(row.get("name", "")) for row in report.verdict}
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
        (_layer_row(x.name, blocks), count(x.neurons), _cores(x.cores), count(x.neuron_updates / n), count(x.spikes / n),
         percent(x.spike_rate), count(x.gate_messages / n), f"{x.wraps} / {x.clips}")
        for x in counts.layers
    ]  # fmt: skip
    head = ("layer", "neurons", "cores", "neuron updates", "spikes", "spike rate", "gate messages", "wraps / clips")
    return (
        figure(drawn, f"Spikes per spiking neuron and timestep (bar: 0 to {100 * limit:.0f} %).")
        + table(head, rows, numeric=(1, 3, 4, 5, 6, 7))
        + heat_maps(report)
        + timeline(report)
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
    return f'<h3 id="mesh">The mesh {basis("simulated")}</h3><div class="maps">{drawn}</div>'


MOST_STRIPS, MOST_COLUMNS = 32, 96
"""Cores and columns that a timeline shows: of more cores the busiest, of more chip steps several in a column."""


def timeline(report: Report) -> str:
    """SOPs of every core in every chip step of one (mean) sample, by the first layer on it; a label leads to the core's row."""
    found = report.analysis
    if found is None or not any(core.sops_by_step for core in found.activity.cores):
        return ""
    counts = found.activity
    every = -(-counts.chip_steps // MOST_COLUMNS)
    busiest = sorted(counts.cores, key=lambda core: -core.sops.total - core.sops.gate)[:MOST_STRIPS]
    starts = range(0, counts.chip_steps, every)
    ticks = [str(k) for k in starts]
    rows = []
    for core in sorted(busiest, key=lambda core: core.core):
        name, cells = f"core {core.core}: {', '.join(core.layers)}", []
        for k in starts:
            sops = sum(core.sops_by_step[k : k + every]) / counts.samples
            step = f"chip step {k}" if every == 1 else f"chip steps {k} to {min(k + every, counts.chip_steps) - 1}"
            cells.append((sops, f"{name}, {step}: {count(sops)} SOPs"))
        short = core.layers[0] + (f" + {len(core.layers) - 1}" if len(core.layers) > 1 else "")
        rows.append(Strip(f"core {core.core}: {short}", f"#core-{core.core}", cells))
    left = len(counts.cores) - len(rows)
    more = f" The {len(rows)} busiest cores; {left} more are not drawn." if left else ""
    drawn = strips(rows, title="SOPs of each core by chip step", ticks=ticks)
    caption = f"SOPs of each core in each chip step, mean of {counts.samples} samples; dark: many.{more}"
    return f'<h3 id="timeline">A sample, step by step {basis("simulated")}</h3>' + figure(drawn, caption)


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
        here = f'<a id="core-{c.core}" href="#mesh" title="back to the mesh">{c.core}</a>'
        held = (f"{_layer_links((name,))} {esc(part)}" for name, part in zip(c.layers, c.slices, strict=True))
        rows.append((here, "<br>".join(held), *(count(value / n) for value in figures)))
    head = ("core", "layers and slices", "SOPs", "gate deliveries", "memory words", "neuron updates", "spikes", "messages out",
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
        return f"{_core_link(cores[0])}–{_core_link(cores[-1])}"
    return ", ".join(map(_core_link, cores))


def _core_link(core: int) -> str:
    return f'<a href="#core-{core}">{core}</a>'


def _layer_links(names: tuple[str, ...]) -> str:
    return ", ".join(f'<a href="#{layer_id(name)}">{esc(name)}</a>' for name in names)


def _layer_row(name: str, blocks: set[str]) -> str:
    """Return the name of a layer at its own row, which leads to what the checker says of it, where it says something."""
    verdict = f' href="#{block_id(name)}" title="to its verdict"' if name in blocks else ""
    return f'<a id="{layer_id(name)}"{verdict}>{esc(name)}</a>'


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
        (_core_link(core), _layer_links(layers.get(core, ())), *(_use(found.get((core, name))) for name in worst))
        for core in cores
    ]
    rows.append(("max", "", *(f"{use.limit:,}" for use in worst.values())))
    return table(("core", "layers", *(_resource(name) for name in worst)), rows, last_is_sum=True)


def _use(use: Use | None) -> str:
    return "–" if use is None else meter(use.used, use.limit)


def _resource(name: str) -> str:
    return name.removeprefix("max_").replace("_", " ")
