"""What an exploration found: a row a configuration, the Pareto front among them, as text, page, JSON and CSV."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from spikewright.toolchain.escaping import csv_table
from spikewright.toolchain.exploration.crew import Lost, Outcome
from spikewright.toolchain.exploration.pareto import front
from spikewright.toolchain.exploration.point import Measured, Refused
from spikewright.toolchain.exploration.space import Axes, Configuration
from spikewright.toolchain.output_files import check_file, write_text
from spikewright.toolchain.results import Result, Row

OBJECTIVES = {
    "drop": "drop",
    "energy": "energy_j",
    "latency": "latency_s",
    "cores": "cores",
    "sops": "sops",
    "host_macs": "host_macs",
}
"""What can be made small, by the name of a figure."""


@dataclass(frozen=True, eq=False, repr=False)
class Exploration(Result):
    """The table.

    Args:
        name: Of the net.
        chip: The target.
        source: What was run.
        axes: What was varied.
        configurations: The grid, in order.
        outcomes: What each came to, in the same order.
        objectives: What the front is about.
        store: The file that holds the results.
    """

    name: str
    chip: str
    source: str
    axes: Axes
    configurations: tuple[Configuration, ...]
    outcomes: tuple[Outcome, ...]
    objectives: tuple[str, ...]
    store: str

    @cached_property
    def front(self) -> tuple[int, ...]:
        """Places of the configurations that no other beats, among those that are spike-driven."""
        able = [i for i, one in enumerate(self.outcomes) if isinstance(one, Measured) and one.spike_driven]
        return tuple(able[k] for k in front([self.goals(i) for i in able]))

    def goals(self, place: int) -> tuple[float, ...]:
        """Return the objectives of a measured configuration; an energy as it is printed: what differs less is no gain.

        Energy is in J, time in s, per sample; loss of accuracy a share of 1.
        """
        point = self.outcomes[place]
        assert isinstance(point, Measured)
        figures = asdict(point) | {"sops": point.sops_binary + point.sops_graded}
        figures["energy_j"] = float(f"{point.energy_j:.1e}")
        return tuple(float(figures[OBJECTIVES[name]]) for name in self.objectives)

    @property
    def measured(self) -> tuple[int, ...]:
        """Places of the configurations that were deployed and run."""
        return tuple(i for i, one in enumerate(self.outcomes) if isinstance(one, Measured))

    def headline(self) -> str:
        """Return how many there are, and how many stand on the front."""
        refused = len(self.outcomes) - len(self.measured)
        more = f", {refused} refused" if refused else ""
        return (
            f"{self.name} on {self.chip}: {len(self.outcomes)} configurations{more}; {len(self.front)} on the Pareto front "
            f"of {', '.join(self.objectives)}"
        )

    def text(self) -> str:
        """Return the table, the front as a plot, and where the results are."""
        from spikewright.toolchain.exploration.text import to_text

        return to_text(self)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data. Energy is in J and time in s, per sample."""
        return {
            "name": self.name,
            "chip": self.chip,
            "samples": self.source,
            "axes": {name: list(values) for name, values in self.axes.items()},
            "objectives": list(self.objectives),
            "front": list(self.front),
            "rows": self.rows(),
        }

    def rows(self) -> list[Row]:
        """Return one row a configuration: its values, what it came to, whether it stands on the front.

        Loss of accuracy is a share of 1, energy in J, time in s, all per sample.
        """
        return [
            {"number": i, **dict(c.values), "on_front": i in self.front, **_figures(self.outcomes[i])}
            for i, c in enumerate(self.configurations)
        ]

    def csv(self, path: str | Path | None = None) -> str:
        """Return the rows as CSV, and write it.

        Raises:
            InputError: The file cannot be written.
        """
        rows = [{k: "; ".join(v) if isinstance(v, tuple) else v for k, v in row.items()} for row in self.rows()]
        return _written(csv_table(rows), path)

    def html(self, path: str | Path | None = None) -> str:
        """Return the table and the front as one HTML page without external parts, and write it.

        Raises:
            InputError: The file cannot be written.
        """
        from spikewright.toolchain.exploration.page import to_html

        return _written(to_html(self), path)


def _figures(outcome: Outcome) -> Row:
    """Return the same keys for every row; those that a refused one lacks are None."""
    point = outcome.as_point() if isinstance(outcome, Lost) else outcome
    empty: Row = dict.fromkeys(Measured.__dataclass_fields__)
    if isinstance(point, Refused):
        return empty | {"refused": f"{point.where}: {point.what}" if point.where else point.what, "help": point.help}
    return asdict(point) | {"refused": None, "help": None}


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        check_file(Path(path))
        write_text(Path(path), text)
    return text
