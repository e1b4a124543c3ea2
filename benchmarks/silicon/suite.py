"""One table over all public runs: silicon, ours, the error, whether it lies inside silicon's own repeats, fitted or predicted.

A run whose net is not public is listed with what is missing, not estimated.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.silicon import measured, pair
from benchmarks.silicon.compare import FIT, Comparison
from benchmarks.silicon.compiler import rows_of
from spikewright.hw_sim import Chip, Price

Kind = Literal["predicted", "fitted", "not modelled"]

DAYS, RUNS, TIME = 0.24, 0.057, 0.02
"""Repeats of silicon: dynamic energy of one net over days and in its last three runs (PilotNet LIF, population and sample
standard deviation); step time, twice its largest spread on one board (PilotNet 0.8 %, S4D 0.4 %, NECOTIS 0.15 %)."""
STEP, PLOT = "time a step", "read off a plot"


@dataclass(frozen=True)
class Row:
    """One figure of one run.

    Args:
        run: Which run.
        what: Which figure.
        unit: Of both.
        silicon: As published.
        ours: From the simulator; None where the net is not public.
        repeat: How far silicon is from itself, a fraction.
        kind: ``fitted``: a coefficient was chosen on this row; ``predicted``: none was.
        left_out: The error with the coefficient taken from the other rows, for a fitted row.
        note: What was fitted on it, or what is missing.
    """

    run: str
    what: str
    unit: str
    silicon: float
    ours: float | None
    repeat: float
    kind: Kind
    left_out: float | None = None
    note: str = ""

    @property
    def error(self) -> float | None:
        """A signed fraction of silicon."""
        return None if self.ours is None else self.ours / self.silicon - 1

    @property
    def inside(self) -> bool | None:
        """Whether the error is no larger than silicon's own repeats."""
        return None if self.error is None else abs(self.error) <= self.repeat

    def data(self) -> dict[str, Any]:
        """Return the row as ``--json`` prints it."""
        return asdict(self) | {"error": self.error, "inside_repeat": self.inside}


def rows(folder: Path, chip: Chip, result: Comparison, found: list[pair.Pair]) -> list[Row]:
    """Return all rows; ``result``: the run of PilotNet LIF, ``found``: of the pair."""
    return [
        *_pairs(found),
        *_pilotnet_times(folder, result),
        *_pilotnet_energies(folder, result),
        *_counters(result),
        *_static(folder, chip),
        *_not_modelled(folder),
    ]


def _pairs(found: list[pair.Pair]) -> Iterator[Row]:
    for one, error in zip(found, pair.left_out(found), strict=True):
        note = "step_overhead is the mean of these 18, rounded"
        yield Row(one.name, STEP, "us", one.us, one.ours_us, TIME, "fitted", error, note)


def phase_predictions(result: Comparison) -> list[float]:
    """Return, for the access time fitted on each of the four phases alone, the error of the mean of the other three."""
    silicon = np.array(measured.PHASES_US)
    ours = result.phases_us / result.phases_us[FIT] * silicon[FIT]
    errors = []
    for k in range(silicon.size):
        rest = np.arange(silicon.size) != k
        errors.append(float((ours[rest] * silicon[k] / ours[k]).mean() / silicon[rest].mean() - 1))
    return errors


def _pilotnet_times(folder: Path, result: Comparison) -> Iterator[Row]:
    """Yield the six runs: one access time, fitted on the four runs on one board; left out: on the other three."""
    runs = rows_of(folder / "silicon" / "pilotnet_lif_six_runs.csv")
    board = [float(run["us_per_step"]) for run in runs if run["partition"] != "kp_build"]
    ours = statistics.fmean(board)
    phases = f"phases from a fit on one of them: {max(phase_predictions(result), key=abs):+.1%} at most"
    for run in runs:
        name, us = f"PilotNet LIF {run['date']} {run['partition']}", float(run["us_per_step"])
        if run["partition"] == "kp_build":
            yield Row(name, STEP, "us", us, ours, TIME, "predicted", note="another board, its time marked uncalibrated")
            continue
        rest = (sum(board) - us) / (len(board) - 1)
        yield Row(name, STEP, "us", us, ours, TIME, "fitted", rest / us - 1, f"one access time on four runs; {phases}")
    yield Row("PilotNet LIF, last run, chip file as it is", STEP, "us", us, result.step_us, TIME, "predicted")


def _pilotnet_energies(folder: Path, result: Comparison) -> Iterator[Row]:
    for run in rows_of(folder / "silicon" / "pilotnet_lif_six_runs.csv"):
        last = run["time_marked_uncalibrated"] == "0"
        name = f"PilotNet LIF {run['date']} {run['partition']}"
        energy = float(run["dyn_uj_per_step"])
        yield Row(
            name, "dynamic energy a step", "uJ", energy, result.dynamic_uj[1], RUNS if last else DAYS, "predicted"
        )


def _counters(result: Comparison) -> Iterator[Row]:
    silicon = float(np.nansum(result.sops_silicon)) / measured.STEPS
    ours = float(result.sops.sum()) / measured.STEPS
    yield Row("PilotNet LIF counters", "SOPs a step, all cores", "", silicon, ours, 0.02, "predicted", note=PLOT)
    busiest = measured.CONV3.start + int(np.argmax(result.sops_silicon[measured.CONV3.start : measured.CONV3.stop]))
    silicon, ours = (float(x[busiest]) / measured.STEPS for x in (result.sops_silicon, result.sops))
    yield Row(
        "PilotNet LIF counters",
        f"SOPs a step, core {busiest}",
        "",
        silicon,
        ours,
        0.002,
        "predicted",
        note=PLOT,
    )


def static_days(folder: Path) -> dict[str, list[float]]:
    """Return the published static powers of Loihi 2 chips, W, by board and day; the run called unreliable is left out."""
    days: dict[str, list[float]] = {}
    for row in rows_of(folder / "silicon" / "static_power_spread.csv"):
        if row["chip"].startswith("Loihi 2") and "unreliable" not in row["workload"]:
            days.setdefault(f"{row['partition_or_board']} {row['date']}", []).append(float(row["static_w"]))
    return days


def _static(folder: Path, chip: Chip) -> Iterator[Row]:
    price: Price = chip.static_power
    for day, values in static_days(folder).items():
        silicon = statistics.fmean(values)
        held = price.low <= min(values) <= max(values) <= price.high
        note = f"{len(values)} runs, {'all' if held else 'NOT all'} in {price.low} .. {price.high} W"
        yield Row(f"static power, {day}", "a chip", "W", silicon, price.nominal, 0.8, "fitted", note=note)


def _not_modelled(folder: Path) -> Iterator[Row]:
    for row in rows_of(folder / "silicon" / "s4d_loihi2.csv"):
        note = "weights and integers of its neuron not public"
        yield Row(
            f"S4D {row['version']}",
            STEP,
            "us",
            float(row["us_per_step"]),
            None,
            0.004,
            "not modelled",
            note=note,
        )
    for row in rows_of(folder / "silicon" / "quartz_loihi1.csv"):
        name = f"Quartz {row['net']}, {row['steps_per_layer']} steps a layer"
        share = f"{100 * float(row['x86_share_of_dynamic']):.0f} % of the dynamic power is the x86 host's"
        note = f"Loihi 1; weights without a licence; {share}"
        yield Row(name, STEP, "us", float(row["us_per_step"]), None, 0.02, "not modelled", note=note)
    yield Row(
        "ABR keyword net, scaling", "energy a step and copy", "uJ", 1.67, None, 0.06, "not modelled",
        note="Loihi 1; weights without a licence, spikes a step not published",
    )  # fmt: skip


def summary(found: list[pair.Pair], made: list[Row], chip: Chip) -> dict[str, Any]:
    """Return what ``--json`` prints of the suite."""
    silicon, error, ours = pair.slope(found)
    return {
        "step_overhead": {
            "within_2_percent": sum(abs(one.ours_us / one.us - 1) <= 0.02 for one in found),
            "of": len(found),
            "left_out_error_max": max(pair.left_out(found), key=abs),
            "ns_per_spike": silicon,
            "ns_per_spike_standard_error": error,
            "ns_per_spike_ours": ours,
            "combines": "added",
        },
        "static_interval_w": [chip.static_power.low, chip.static_power.high],
        "runs": [row.data() for row in made],
    }


def text(found: list[pair.Pair], made: list[Row]) -> str:
    """Return the table for people."""
    head = f"{'run':46}{'figure':26}{'silicon':>10}{'ours':>10}{'error':>9}{'repeat':>8}  {'inside':7}{'':10}left out"
    lines = [head]
    for row in made:
        ours = "-" if row.ours is None else f"{row.ours:.4g}"
        off = "-" if row.error is None else f"{row.error:+.1%}"
        inside = {None: "-", True: "yes", False: "no"}[row.inside]
        rest = "" if row.left_out is None else f"{row.left_out:+.2%}"
        figure = f"{row.what}{f', {row.unit}' if row.unit else ''}"
        kind = f"{row.kind}: {row.note}" if row.ours is None else row.kind
        lines.append(
            f"{row.run:46}{figure:26}{row.silicon:>10.4g}{ours:>10}{off:>9}{row.repeat:>8.1%}  {inside:7}{kind:10} {rest}"
        )
    silicon, error, ours_ns = pair.slope(found)
    lines.append(
        f"a spike of the pair takes {silicon:.1f} +- {error:.1f} ns (ours {ours_ns:.1f}): the overhead is added to the work; a "
        "floor under it would show 0. S4D and PilotNet repeat too coarsely to tell."
    )
    return "\n".join(lines)
