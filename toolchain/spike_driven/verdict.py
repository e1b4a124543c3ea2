"""The verdict: one row a block (class, causality, barriers, fits), with the path that proves it and what mends a violation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from spikewright.toolchain.results import Result
from spikewright.toolchain.spike_driven.signals import CostClass, Judgement, Path

NAMES_IN_A_PATH = 12
"""A longer path is shown by its ends."""
SCOPES = ("step", "state", "window", "sequence")
"""From narrow to wide."""


def arrow(path: tuple[str, ...]) -> str:
    """Return a path as text, ``in -> conv1 -> lif1``, its middle counted where it is long."""
    if len(path) > NAMES_IN_A_PATH:
        head, tail = path[: NAMES_IN_A_PATH // 2 - 1], path[-NAMES_IN_A_PATH // 2 :]
        path = (*head, f"({len(path) - len(head) - len(tail)} more)", *tail)
    return " -> ".join(path)


@dataclass(frozen=True)
class Stream:
    """The messages of one population, as a run counted them.

    Args:
        name: The population.
        kind: ``binary``, ``graded`` or ``gate``.
        density: Messages a neuron and step: 1.00 is one from every neuron in every step.
    """

    name: str
    kind: str
    density: float


@dataclass(frozen=True)
class Block:
    """The verdict on one block, the ops that share a layer's or attention block's name.

    Args:
        name: The block.
        family: The kind of its attention block, or ``vanilla``.
        cost_class: A accumulate, B graded spike, C neuron-local multiply, D dense: the dearest of its ops.
        causal: Whether no op of it needs a later step.
        scope: The widest of its ops: ``step``, ``state``, ``window(k)``, ``sequence``.
        in_step_barrier: Whether neurons wait for each other inside a step.
        fits: Whether it fits the chip; None if not known, or on the host.
        where: ``chip`` or ``host``.
        witness: The path that proves the class, or the violation.
        macs_per_step: Dense multiply-accumulates per step; 0 where events drive it.
        help: The smallest change that mends the violation, else "".
        violation: What is wrong, or None.
        synapses: Synaptic operations per step if every source fired, as captured.
        gate_multiplies: Gains applied per step.
        reductions: Real values pooled per step.
        ops: Names of its ops.
        notes: What else a reader should know.
        streams: What it sends, where a run was counted.
    """

    name: str
    family: str
    cost_class: CostClass
    causal: bool
    scope: str
    in_step_barrier: bool
    fits: bool | None
    where: Literal["chip", "host"]
    witness: str
    macs_per_step: int
    help: str = ""
    violation: str | None = None
    synapses: int = 0
    gate_multiplies: int = 0
    reductions: int = 0
    ops: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    streams: tuple[Stream, ...] = ()

    @property
    def density(self) -> float | None:
        """Messages a neuron and step of its densest stream of spikes or payloads; None where nothing was counted."""
        return max((stream.density for stream in self.streams if stream.kind != "gate"), default=None)

    def row(self) -> dict[str, Any]:
        """Return the block as a plain dict."""
        streams = [asdict(stream) for stream in self.streams]
        return asdict(self) | {"ops": list(self.ops), "notes": list(self.notes), "streams": streams}


@dataclass(frozen=True, repr=False)
class Verdict(Result):
    """Whether a net is spike-driven: no dense op on the chip, nothing non-causal in the streaming part; block by block."""

    spike_driven: bool
    blocks: tuple[Block, ...]

    @property
    def violations(self) -> tuple[Block, ...]:
        """Blocks that break it."""
        return tuple(block for block in self.blocks if block.violation)

    def rows(self) -> list[dict[str, Any]]:
        """Return one plain dict a block, for JSON."""
        return [block.row() for block in self.blocks]

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as plain data."""
        return {"spike_driven": self.spike_driven, "blocks": self.rows()}

    def text(self) -> str:
        """Return the verdict as a table with the violations and notes below it."""
        lines = [self.headline(), "", *self._table()]
        for number, block in enumerate(self.violations, 1):
            lines += ["", f"violation {number}: block {block.name!r}", f"  what: {block.violation}"]
            lines += [f"  path: {block.witness}"]
            lines += [f"  cost: {block.macs_per_step:,} MACs per step"] if block.macs_per_step else []
            lines += [f"  help: {block.help}"]
        notes = [f"  {block.name}: {note}" for block in self.blocks for note in block.notes]
        return "\n".join([*lines, *(["", "notes", *notes] if notes else [])])

    def headline(self) -> str:
        """Return the verdict in one line."""
        classes = Counter(block.cost_class for block in self.blocks if block.where == "chip")
        found = ", ".join(f"{n} {c}" for c, n in sorted(classes.items()))
        host = sum(block.where == "host" for block in self.blocks)
        on_chip = f"{sum(classes.values())} blocks on the chip (class {found or 'none'}), {host} on the host"
        if self.spike_driven:
            return f"spike-driven: {on_chip}"
        n = len(self.violations)
        return f"NOT spike-driven: {n} violation{'s' if n > 1 else ''}; {on_chip}"

    def _table(self) -> list[str]:
        head = (
            "block", "family", "class", "causal", "barrier", "fits", "where", "MACs/step", "synapses", "density", "verdict"
        )  # fmt: skip
        rows = [head, *(_cells(block) for block in self.blocks)]
        if all(block.density is None for block in self.blocks):
            at = head.index("density")
            rows = [(*row[:at], *row[at + 1 :]) for row in rows]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        numbers = [at for at, name in enumerate(rows[0]) if name in ("MACs/step", "synapses", "density")]
        out = []
        for row in rows:
            cells = [
                c.rjust(w) if i in numbers else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
            ]
            out.append("  ".join(cells).rstrip())
        return out


def _cells(block: Block) -> tuple[str, ...]:
    fits = {True: "yes", False: "NO", None: "-"}[block.fits]
    return (
        block.name,
        block.family,
        block.cost_class,
        "yes" if block.causal else "NO",
        "in-step" if block.in_step_barrier else "-",
        fits,
        block.where,
        f"{block.macs_per_step:,}",
        f"{block.synapses:,}",
        "-" if block.density is None else f"{block.density:.2f}",
        "VIOLATION" if block.violation else "ok",
    )


@dataclass(frozen=True, eq=False)
class Judged:
    """A named op with its judgement, the path to it, and the non-causal op it has to wait for, or ""."""

    name: str
    judgement: Judgement
    path: Path
    waits: str = ""


def summed(name: str, rows: Sequence[Judged], where: Literal["chip", "host"], streams: Sequence[Stream] = ()) -> Block:
    """Sum up the ops of a block; the dearest one bears witness."""
    found = [row.judgement for row in rows]
    worst: CostClass = max(j.cost_class for j in found)
    chief = next(row for row in rows if row.judgement.cost_class == worst)
    faults = list({fault.what: fault for j in found for fault in j.faults}.values())
    proofs = [f"{arrow(fault.path)}: {fault.why}" for fault in faults]
    held = f"; waits for later steps of {chief.waits!r}" if chief.waits and chief.waits != chief.name else ""
    return Block(
        name=name,
        family="vanilla",
        cost_class=worst,
        causal=all(j.causal for j in found),
        scope=max((j.scope for j in found), key=lambda scope: SCOPES.index(scope.split("(")[0])),
        in_step_barrier=any(j.barrier for j in found),
        fits=None,
        where=where,
        witness=" | ".join(proofs or [f"{arrow(chief.path)}: {chief.judgement.why}"]) + held,
        macs_per_step=sum(j.macs for j in found),
        help="; ".join(dict.fromkeys(fault.help for fault in faults)),
        violation="; ".join(fault.what for fault in faults) or None,
        synapses=sum(j.synapses for j in found),
        gate_multiplies=sum(j.gate_multiplies for j in found),
        reductions=sum(j.reductions for j in found),
        ops=tuple(row.name for row in rows),
        notes=tuple(note for j in found for note in j.notes),
        streams=tuple(streams),
    )
