"""An exploration as one offline HTML page: the front as a plot, the table, the reasons of refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikewright.toolchain.exploration.crew import Lost
from spikewright.toolchain.exploration.point import Measured
from spikewright.toolchain.exploration.text import COLUMNS, cells, reason, shown
from spikewright.toolchain.report.html import svg
from spikewright.toolchain.report.html.parts import esc, figure, table
from spikewright.toolchain.report.html.style import CSS

if TYPE_CHECKING:
    from spikewright.toolchain.exploration.result import Exploration

SERIES = ("on the Pareto front", "with a violation", "spike-driven")
"""Kinds of dots; k has the color class ``c{k}``."""


def to_html(found: Exploration) -> str:
    """Return the page."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{esc(found.name)}, explored</title><style>{CSS}</style></head>\n<body><main>"
        f"<h1>{esc(found.name)}, explored</h1><p>{esc(found.headline())}</p>"
        f'<p class="dim">run on {esc(found.source)}; means a sample; energies are estimates, with a band</p>'
        f"<section><h2>Pareto front</h2>{_plot(found)}</section>"
        f"<section><h2>Configurations</h2>{_table(found)}</section></main></body></html>\n"
    )


def _plot(found: Exploration) -> str:
    if not found.measured:
        return "<p>No configuration could be deployed.</p>"
    across, up = (found.objectives * 2)[:2]
    dots = []
    for i in found.measured:
        point = found.outcomes[i]
        assert isinstance(point, Measured)
        x, y = (found.goals(i) * 2)[:2]
        values = ", ".join(f"{name} {value}" for name, value in found.configurations[i].values)
        tip = f"{i}: {values}: {shown(across, x)}, {shown(up, y)}"
        kind = 0 if i in found.front else 2 if point.spike_driven else 1
        dots.append(svg.Dot(x, y, kind, tip, f"#row{i}", str(i) if kind == 0 else ""))
    drawing = svg.scatter(
        dots,
        title=f"{up} over {across} of every configuration",
        across=lambda value: shown(across, value),
        up=lambda value: shown(up, value),
        names=(across, up),
        line=0,
    )
    caption = f"Smaller is better in both. The front is the lower left edge, in {', '.join(found.objectives)}."
    return svg.legend(SERIES) + figure(drawing, caption)


def _table(found: Exploration) -> str:
    names = list(found.axes)
    rows = []
    for i, (configuration, outcome) in enumerate(zip(found.configurations, found.outcomes, strict=True)):
        values = [esc(value) for _, value in configuration.values]
        measured = [esc(cell) for cell in cells(outcome)]
        if not isinstance(outcome, Measured):
            measured[0] = f'<span class="warn">{"lost" if isinstance(outcome, Lost) else "refused"}</span>'
            measured[-1] = esc(reason(outcome))
        elif not outcome.spike_driven:
            measured[0] = f'<span class="bad" title="{esc("; ".join(outcome.violations))}">violation</span>'
        mark = '<span class="good">*</span>' if i in found.front else ""
        rows.append([f'<span id="row{i}">{i}</span> {mark}', *values, *measured])
    first = 1 + len(names) + 3
    return table(["#", *names, *COLUMNS], rows, numeric=range(first, 1 + len(names) + len(COLUMNS)))
