"""The verdict: one row a block (class, causality, barriers, fits), with the path that proves it and what mends a violation."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

from spikewright.toolchain.results import Result
from spikewright.toolchain.spike_driven.signals import CostClass

NAMES_IN_A_PATH = 12
"""A longer path is shown by its ends."""


def arrow(path: tuple[str, ...]) -> str:
    """Return a path as text, ``in -> conv1 -> lif1``, its middle counted where it is long."""
    if len(path) > NAMES_IN_A_PATH:
        head, tail = path[: NAMES_IN_A_PATH // 2 - 1], path[-NAMES_IN_A_PATH // 2 :]
        path = (*head, f"({len(path) - len(head) - len(tail)} more)", *tail)
    return " -> ".join(path)


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

    def row(self) -> dict[str, Any]:
        """Return the block as a plain dict."""
        return asdict(self) | {"ops": list(self.ops), "notes": list(self.notes)}


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
            lines += [f"  path: {block.witness}", f"  cost: {block.macs_per_step:,} MACs per step"]
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
        head = ("block", "family", "class", "causal", "barrier", "fits", "where", "MACs/step", "synapses", "verdict")
        rows = [head, *(_cells(block) for block in self.blocks)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        numbers = (head.index("MACs/step"), head.index("synapses"))
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
        "VIOLATION" if block.violation else "ok",
    )
