"""An exploration as text: the table, reasons of refusals below it, and the front as a plot of characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spikewright.toolchain.analysis.numbers import band, count, si
from spikewright.toolchain.exploration.crew import Lost, Outcome
from spikewright.toolchain.exploration.point import Measured, Refused

if TYPE_CHECKING:
    from spikewright.toolchain.exploration.result import Exploration

WIDTH, HEIGHT = 64, 14
"""Characters of the plot."""
COLUMNS = (
    "verdict",
    "causal",
    "barrier",
    "cores",
    "latency",
    "SOPs A",
    "SOPs B",
    "mult. C",
    "host MACs D",
    "energy",
    "band",
    "drop",
    "losses",
)
"""Of a measured configuration, behind its axes."""
UNITS = {"drop": "", "energy": "J", "latency": "s", "cores": "", "sops": "", "host_macs": ""}


def cells(outcome: Outcome) -> tuple[str, ...]:
    """Return the cells of ``COLUMNS``."""
    if not isinstance(outcome, Measured):
        return ("refused" if isinstance(outcome, Refused) else "lost", *("–",) * (len(COLUMNS) - 1))
    return (
        "spike-driven" if outcome.spike_driven else "VIOLATION",
        "yes" if outcome.causal else "NO",
        "in-step" if outcome.barrier else "–",
        str(outcome.cores),
        si(outcome.latency_s, "s"),
        count(outcome.sops_binary),
        count(outcome.sops_graded),
        count(outcome.gate_multiplies),
        count(outcome.host_macs),
        si(outcome.energy_j, "J"),
        band(outcome.energy),
        points(outcome.drop),
        str(len(outcome.warnings)) if outcome.warnings else "–",
    )


def points(share: float) -> str:
    """Return a loss of accuracy, given as a share of 1, in points: 0.012 is 1.2 points."""
    return f"{100 * share:.1f} pt"


def shown(name: str, value: float) -> str:
    """Return a value of an objective. Energy is given in J, time in s."""
    return points(value) if name == "drop" else si(value, UNITS[name]) if UNITS[name] else count(value)


def to_text(found: Exploration) -> str:
    """Return table, reasons, plot."""
    varied = [name for name, values in found.axes.items() if len(values) > 1]
    fixed = [f"{name} {values[0]}" for name, values in found.axes.items() if len(values) == 1]
    lines = [found.headline()]
    lines += [f"  all: {', '.join(fixed)}"] if fixed else []
    lines += [f"  run on {found.source}; means a sample; energy is an estimate", ""]
    reasons = list(dict.fromkeys(reason(one) for one in found.outcomes if not isinstance(one, Measured)))
    rows: list[tuple[str, ...]] = [("", "#", *varied, *COLUMNS)]
    for number, (configuration, outcome) in enumerate(zip(found.configurations, found.outcomes, strict=True)):
        values = dict(configuration.values)
        mark = "*" if number in found.front else ""
        row = (mark, str(number), *(str(values[name]) for name in varied), *cells(outcome))
        if not isinstance(outcome, Measured):
            row = (*row[:-1], f"({reasons.index(reason(outcome)) + 1})")
        rows.append(row)
    lines += _aligned(rows, numeric=len(COLUMNS) - 3)
    lines += [""] + [f"({n}) {text}" for n, text in enumerate(reasons, 1)] if reasons else []
    lines += ["", *plot(found)] if found.front else []
    return "\n".join([*lines, "", f"* on the Pareto front, among what is spike-driven    results: {found.store}"])


def reason(outcome: Outcome) -> str:
    """Return why a row has no figures."""
    point = outcome.as_point() if isinstance(outcome, Lost) else outcome
    assert isinstance(point, Refused)
    return f"{point.where}: {point.what}" if point.where else point.what


def _aligned(rows: Sequence[Sequence[str]], numeric: int) -> list[str]:
    """Return rows as lines, the last so many columns flush right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    first = len(widths) - numeric
    return [
        "  ".join(c.rjust(w) if i >= first else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        .rstrip()
        for row in rows
    ]  # fmt: skip


def plot(found: Exploration) -> list[str]:
    """Return the first two objectives as a plot of characters: ``*`` on the front, ``·`` spike-driven, ``x`` a violation."""
    across, up = (found.objectives * 2)[:2]
    places = {i: (found.goals(i) * 2)[:2] for i in found.measured}
    (left, right), (low, high) = (
        (min(values), max(values)) for values in zip(*places.values(), strict=True)
    )  # fmt: skip
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    rank = {"x": 0, "·": 1, "*": 2, " ": -1}
    for i, (x, y) in places.items():
        point = found.outcomes[i]
        mark = "*" if i in found.front else "·" if isinstance(point, Measured) and point.spike_driven else "x"
        column, row = round(_share(x, left, right) * (WIDTH - 1)), round((1 - _share(y, low, high)) * (HEIGHT - 1))
        if rank[mark] > rank[grid[row][column]]:
            grid[row][column] = mark
    lines = [f"{up}, {shown(up, low)} to {shown(up, high)}"]
    lines += ["  |" + "".join(row).rstrip() for row in grid]
    return [*lines, "  +" + "-" * WIDTH, f"   {across}, {shown(across, left)} to {shown(across, right)}"]


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.0
