"""Report: everything known about one deployed net, as figures with unit and basis; renderers only read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spikewright.hw_sim import Chip
from spikewright.hw_sim.names import did_you_mean
from spikewright.toolchain.analysis import Analysis, Quantity, Use
from spikewright.toolchain.analysis.numbers import several
from spikewright.toolchain.analysis.review import DutyCycle
from spikewright.toolchain.compare import Speed
from spikewright.toolchain.deployment import Drift, PassRecord
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.mapping.decided import Decided
from spikewright.toolchain.output_files import check_file, write_text
from spikewright.toolchain.results import Result, Row

KINDS = ("json", "html", "csv")
"""What a report is written as."""


@dataclass(frozen=True)
class Accuracy:
    """Shares of the samples that were right, by stage; None: not run or no labels.

    Args:
        float: The captured net in float64, on these samples.
        quantized: The integer graph (interpreter, or a backend that is equal to it bit for bit).
        on_chip: The program on the simulated machine.
        card: As the model card states it, on its whole test split.
        samples: How many samples the first three are over.
        reference: Backend behind ``quantized``.
    """

    float: Quantity | None
    quantized: Quantity | None
    on_chip: Quantity | None
    card: Quantity | None
    samples: int
    reference: str


@dataclass(frozen=True, eq=False, repr=False)
class Report(Result):
    """One deployed net: ``save`` it, or ``json``, ``html``, ``csv`` it.

    Args:
        name: Of the net.
        card: Its model card, maybe empty.
        chip: The target with limits and prices.
        options: As deployed.
        strategies: Gate lowering by block.
        dataset: Where the samples come from.
        simulated_events: The samples are events made from still images.
        input_kind: ``binary``, ``counts`` or ``graded``.
        parameters: As the model card says; else those of the captured float graph.
        accuracy: By stage.
        spike_driven: The checker's verdict; None: not checked.
        verdict: Its rows.
        audit: ``Audit.to_dict`` of a run, or None.
        captured: ``Faithful.to_dict`` of a run, or None: every layer beside the equation of the captured net.
        event_driven: ``EventDriven.to_dict`` of the run, or None: how much of it its input caused.
        analysis: Counters, latency and energy; None: no run with counters.
        uses: (used, max) by core and resource.
        decided: What decided the number of cores.
        drift: What quantizing changed.
        passes: What each pass did.
        runs: ``run --json`` of each backend.
        comparison: ``compare --json``, or None.
        speeds: Wall times of that comparison; they differ from run to run and are in no file.
        twin: The same net without attention, or None.
        versions: Of the packages that made it.
        fingerprints: SHA-256 of program and samples.
        diagnostics: Of the deployment, and what the run lost.
        duty: Mean power at a rate of samples, where one was asked for.
    """

    name: str
    card: dict[str, Any]
    chip: Chip
    options: dict[str, Any]
    strategies: dict[str, str]
    dataset: str
    simulated_events: bool
    input_kind: str
    parameters: int
    accuracy: Accuracy
    spike_driven: bool | None
    verdict: tuple[dict[str, Any], ...]
    audit: dict[str, Any] | None
    event_driven: dict[str, Any] | None
    captured: dict[str, Any] | None
    analysis: Analysis | None
    uses: tuple[Use, ...]
    decided: Decided
    drift: Drift | None
    passes: tuple[PassRecord, ...]
    runs: dict[str, dict[str, Any]]
    comparison: dict[str, Any] | None
    twin: Report | None
    versions: dict[str, str]
    fingerprints: dict[str, str] = field(default_factory=dict)
    speeds: tuple[Speed, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    duty: DutyCycle | None = None

    @property
    def equal(self) -> bool:
        """Whether backends were compared, and nothing differs."""
        return self.comparison is not None and bool(self.comparison["equal"])

    @property
    def provenance(self) -> str:
        """``reconstruction`` where the model card says that a source was missing; else what it says, or empty."""
        return str(self.card.get("provenance", ""))

    @property
    def title(self) -> str:
        """Name and chip."""
        return f"{self.name} on {self.chip.name}"

    def headline(self) -> str:
        """Return name, chip and samples in one line."""
        return f"{self.title}: {several(self.accuracy.samples, 'sample')} of {self.dataset or 'given data'}"

    def text(self) -> str:
        """Return the report on one terminal screen."""
        from spikewright.toolchain.report.text import summary_text

        return summary_text(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report as plain data.

        Its figures have unit and basis, times in s and energies in J; the form is ``report.schema.json``.
        """
        from spikewright.toolchain.report.data import to_data

        return to_data(self)

    def rows(self) -> list[Row]:
        """Return one row a layer; counts are totals of the run, not means a sample."""
        from spikewright.toolchain.report.data import layer_rows

        return layer_rows(self)

    def json(self, path: str | Path | None = None) -> str:
        """Return the report as JSON, and write it.

        Raises:
            InputError: The file cannot be written.
        """
        from spikewright.toolchain.report.data import to_json

        return _written(to_json(self), path)

    def csv(self, path: str | Path | None = None) -> str:
        """Return the report as CSV, one row a layer, and write it.

        Raises:
            InputError: The file cannot be written.
        """
        from spikewright.toolchain.report.data import to_csv

        return _written(to_csv(self), path)

    def html(self, path: str | Path | None = None) -> str:
        """Return the report as one HTML page without external parts, and write it.

        Raises:
            InputError: The file cannot be written.
        """
        from spikewright.toolchain.report.html import to_html

        return _written(to_html(self), path)

    def overlay(self, path: str | Path | None = None) -> str:
        """Return SOPs, energy and verdict of every node for Model Explorer, as JSON, and write it.

        SOPs and J a sample.

        Raises:
            InputError: The file cannot be written.
        """
        from spikewright.toolchain.report.overlay import to_overlay

        return _written(to_overlay(self), path)

    def save(self, path: str | Path) -> None:
        """Write the report as its ending says: ``.json``, ``.html`` or ``.csv``; whole or not at all.

        Raises:
            InputError: Another ending, or the file cannot be written.
        """
        kind = Path(path).suffix.removeprefix(".")
        if kind not in KINDS:
            raise InputError(
                f"ends in {Path(path).suffix or 'nothing'!r}; .json, .html and .csv are written",
                where=str(path),
                help=f"{did_you_mean(kind, KINDS)}name the file by one of these endings",
            )
        getattr(self, kind)(path)


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        check_file(Path(path))
        write_text(Path(path), text)
    return text
