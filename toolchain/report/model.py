"""Report: everything known about one deployed net, as figures with unit and basis; renderers only read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from spikewright.hw_sim import Chip
from spikewright.toolchain.analysis import Analysis, Quantity, Use
from spikewright.toolchain.deployment import Drift, PassRecord


class Audit(Protocol):
    """What the dynamic audit found: ``toolchain.spike_driven.Audit`` is one."""

    def row(self) -> dict[str, Any]:
        """Return ok, events, sops, differences, shown, bias_driven, silent_sops."""
        ...


class Verdict(Protocol):
    """What the checker says: ``toolchain.spike_driven.Verdict`` is one."""

    @property
    def spike_driven(self) -> bool:
        """The verdict."""
        ...

    def rows(self) -> list[dict[str, Any]]:
        """One row a block: name, family, cost_class, causal, in_step_barrier, fits, witness, macs_per_step, help, ..."""
        ...


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


@dataclass(frozen=True, eq=False)
class Report:
    """One deployed net.

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
        audit: ``Audit.row`` of a run, or None.
        analysis: Counters, latency and energy; None: no run with counters.
        uses: (used, max) by core and resource.
        drift: What quantizing changed.
        passes: What each pass did.
        runs: ``run --json`` of each backend.
        comparison: ``compare --json``, or None.
        twin: The same net without attention, or None.
        versions: Of the packages that made it.
        fingerprints: SHA-256 of program and samples.
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
    analysis: Analysis | None
    uses: tuple[Use, ...]
    drift: Drift | None
    passes: tuple[PassRecord, ...]
    runs: dict[str, dict[str, Any]]
    comparison: dict[str, Any] | None
    twin: Report | None
    versions: dict[str, str]
    fingerprints: dict[str, str] = field(default_factory=dict)

    @property
    def provenance(self) -> str:
        """``reconstruction`` where the model card says that a source was missing; else what it says, or empty."""
        return str(self.card.get("provenance", ""))

    @property
    def title(self) -> str:
        """Name and chip."""
        return f"{self.name} on {self.chip.name}"
