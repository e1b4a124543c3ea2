"""Small plots as inline SVG: bars with a band, columns, timelines, maps, dots over two axes; no script, no outside file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spikewright.toolchain.escaping import esc

WIDE, BAR, TALL = 1000, 16, 90
"""A drawing's own units: across, of a bar or a line of a timeline, of columns; drawings are stretched to the page's width."""
MOST_TICKS = 8
"""Numbers written below a plot."""


@dataclass(frozen=True)
class Row:
    """One bar: parts laid end to end, a text behind it, maybe a band (low, high) drawn as a whisker."""

    label: str
    parts: tuple[float, ...]
    text: str
    band: tuple[float, float] | None = None


def bars(
    rows: Sequence[Row], series: Sequence[str], *, title: str, tip: Callable[[float], str], limit: float | None = None
) -> str:
    """Return a plot of horizontal bars.

    Args:
        rows: From top to bottom.
        series: What the parts of a bar are, for the tips; part k has the color class ``c{k}`` of the style sheet.
        title: For readers who cannot see it.
        tip: Text of a value in a tip.
        limit: Value at full width; None: the largest bar or band.
    """
    top = limit or max((max(sum(r.parts), r.band[1] if r.band else 0.0) for r in rows), default=0.0) or 1.0
    lines = []
    for row in rows:
        x, drawn = 0.0, []
        for k, part in enumerate(row.parts):
            width = WIDE * min(part / top, 1.0)
            if part > 0:
                name = f"{row.label}, {series[k]}: {tip(part)}"
                drawn.append(_rect(x, 0, max(width, 1.0), BAR, f"c{k}", name))
            x += width
        if row.band:
            drawn.append(_whisker(*(WIDE * min(end / top, 1.0) for end in row.band)))
        label, text = f'<span class="lab">{esc(row.label)}</span>', f'<span class="val">{esc(row.text)}</span>'
        lines.append(f'<div class="bar">{label}{_stretched(drawn, BAR)}{text}</div>')
    return _plot(title, lines)


def columns(values: Sequence[tuple[float, str]], *, title: str) -> str:
    """Return a plot of thin columns, one a step, with the step's number below; a text for each tip."""
    top = max((value for value, _ in values), default=0.0) or 1.0
    wide, drawn = WIDE / max(len(values), 1), []
    for index, (value, tip) in enumerate(values):
        tall = TALL * value / top
        drawn.append(_rect((index + 0.1) * wide, TALL - tall, 0.8 * wide, tall, "c0", tip))
    ticks = _ticks([str(k) for k in range(len(values))])
    return _plot(title, [f'<div class="columns">{_stretched(drawn, TALL)}{ticks}</div>'])


def _plot(title: str, lines: Sequence[str]) -> str:
    return f'<div role="img" aria-label="{esc(title)}">{"".join(lines)}</div>'


def _stretched(drawn: Sequence[str], high: float) -> str:
    """Return shapes as wide as there is room; text stands beside them, so that it is never stretched or shrunk."""
    back = f'<rect width="{WIDE}" height="{high}" class="bg"/>'
    return f'<svg viewBox="0 0 {WIDE} {high}" preserveAspectRatio="none">{back}{"".join(drawn)}</svg>'


def _rect(x: float, y: float, wide: float, high: float, color: str, tip: str, shade: float = 1.0) -> str:
    thin = f' fill-opacity="{shade:.2f}"' if shade < 1 else ""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}"'
    return f'<rect {place} class="{color}"{thin}><title>{esc(tip)}</title></rect>'


def _ticks(names: Sequence[str]) -> str:
    """Return the numbers below equally wide columns, some of them, each at the middle of its own."""
    every = max(1, -(-len(names) // MOST_TICKS))
    spans = [
        f'<span style="left:{100 * (k + 0.5) / len(names):.1f}%">{esc(name)}</span>'
        for k, name in enumerate(names)
        if k % every == 0
    ]
    return f'<div class="ticks">{"".join(spans)}</div>'


def _whisker(low: float, high: float) -> str:
    middle = BAR / 2
    ends = "".join(f"M{x:.1f} 2V{BAR - 2}" for x in (low, high))
    return f'<path d="M{low:.1f} {middle:.1f}H{high:.1f}{ends}" class="whisker" vector-effect="non-scaling-stroke"/>'


def legend(series: Sequence[str]) -> str:
    """Return the color key of a plot."""
    keys = "".join(f'<span><i class="k{k}"></i>{esc(name)}</span>' for k, name in enumerate(series))
    return f'<p class="legend">{keys}</p>'


@dataclass(frozen=True)
class Cell:
    """One square of a heat map: its column and row, its share of the largest value (0 .. 1), a tip, and where a click leads."""

    x: int
    y: int
    share: float
    tip: str
    href: str


def heat(cells: Sequence[Cell], *, title: str, size: int = 15) -> str:
    """Return a heat map: the darker a square, the nearer to the largest value; squares without a value are outlines.

    Args:
        cells: Squares; their coordinates start at 0.
        title: For readers who cannot see it.
        size: Of a square, in units of the drawing.
    """
    wide, high = (1 + max((getattr(c, axis) for c in cells), default=0) for axis in ("x", "y"))
    lines = []
    for c in cells:
        place = f'x="{c.x * size + 1}" y="{c.y * size + 1}" width="{size - 2}" height="{size - 2}"'
        fill = f'class="c0" fill-opacity="{0.12 + 0.88 * c.share:.2f}"' if c.share > 0 else 'class="bg"'
        square = f"<rect {place} {fill}><title>{esc(c.tip)}</title></rect>"
        lines.append(f'<a href="{esc(c.href)}">{square}</a>' if c.href else square)
    label, box = esc(title), f"0 0 {wide * size} {high * size}"
    return f'<svg class="heat" viewBox="{box}" role="img" aria-label="{label}">' + "".join(lines) + "</svg>"


@dataclass(frozen=True)
class Strip:
    """One line of a timeline: its label, where a click on that leads, and the value and tip of each column."""

    label: str
    href: str
    cells: Sequence[tuple[float, str]]


def strips(rows: Sequence[Strip], *, title: str, ticks: Sequence[str]) -> str:
    """Return a timeline: a line for each strip, the darker a column, the nearer to the largest value of all.

    Args:
        rows: From top to bottom, of equally many cells.
        title: For readers who cannot see it.
        ticks: The number below each column; some are written.
    """
    top = max((value for row in rows for value, _ in row.cells), default=0.0) or 1.0
    wide, lines = WIDE / max(len(ticks), 1), []
    for row in rows:
        drawn = [
            _rect(k * wide, 0, 0.96 * wide, BAR, "c0", tip, 0.12 + 0.88 * value / top)
            for k, (value, tip) in enumerate(row.cells)
            if value > 0
        ]
        label = f'<a class="lab" href="{esc(row.href)}">{esc(row.label)}</a>'
        lines.append(f'<div class="strip">{label}{_stretched(drawn, BAR)}</div>')
    lines.append(f'<div class="strip"><span></span>{_ticks(ticks)}</div>')
    return _plot(title, lines)


@dataclass(frozen=True)
class Dot:
    """One dot: where it is, its kind (color class ``c{kind}``), a tip, where a click leads, and a text beside it."""

    x: float
    y: float
    kind: int
    tip: str
    href: str = ""
    text: str = ""


PLOT, MARGIN = (920, 360), (90, 16, 16, 44)
"""Width and height of a scatter plot; its margins: left, top, right, bottom."""


def scatter(
    dots: Sequence[Dot],
    *,
    title: str,
    across: Callable[[float], str],
    up: Callable[[float], str],
    names: tuple[str, str],
    line: int | None = None,
) -> str:
    """Return a plot of dots, each axis from the smallest to the largest value.

    Args:
        dots: What is drawn; the first kind on top.
        title: For readers who cannot see it.
        across: Text of a value of x.
        up: Text of a value of y.
        names: Of the two axes.
        line: The kind whose dots are joined by steps, from left to right; None: none.
    """
    (wide, high), (left, top, right, bottom) = PLOT, MARGIN
    ends = [(min(values), max(values)) for values in ([d.x for d in dots], [d.y for d in dots])]

    def place(dot: Dot) -> tuple[float, float]:
        shares = [(v - a) / (b - a) if b > a else 0.5 for v, (a, b) in zip((dot.x, dot.y), ends, strict=True)]
        return left + shares[0] * (wide - left - right), high - bottom - shares[1] * (high - top - bottom)

    base = high - bottom
    lines = [f'<rect x="{left}" y="{top}" width="{wide - left - right}" height="{base - top}" class="bg"/>']
    for (low, far), show, vertical in ((ends[0], across, False), (ends[1], up, True)):
        for k in range(5):
            value = low + (far - low) * k / 4
            x, y = (
                (left - 8, base - (base - top) * k / 4 + 4)
                if vertical
                else (left + (wide - left - right) * k / 4, base + 18)
            )
            kind = "lab" if vertical else "axis"
            lines.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{esc(show(value))}</text>')
    lines.append(f'<text x="{wide / 2:.0f}" y="{high - 6}" class="axis">{esc(names[0])}</text>')
    lines.append(f'<text x="{left + 6}" y="{top + 14}" class="val">{esc(names[1])}</text>')
    joined = sorted(place(d) for d in dots if d.kind == line)
    if len(joined) > 1:
        path = f"M{joined[0][0]:.1f} {joined[0][1]:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in joined[1:])
        lines.append(f'<path d="{path}" class="whisker" fill="none"/>')
    for dot in sorted(dots, key=lambda d: -d.kind):
        x, y = place(dot)
        mark = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="c{dot.kind}"><title>{esc(dot.tip)}</title></circle>'
        lines.append(f'<a href="{esc(dot.href)}">{mark}</a>' if dot.href else mark)
        if dot.text:
            beside = f'x="{x - 8:.1f}" text-anchor="end"' if x > wide - 60 else f'x="{x + 8:.1f}"'
            lines.append(f'<text {beside} y="{y - 6:.1f}" class="val">{esc(dot.text)}</text>')
    label = esc(title)
    return f'<svg viewBox="0 0 {wide} {high}" role="img" aria-label="{label}">' + "".join(lines) + "</svg>"
