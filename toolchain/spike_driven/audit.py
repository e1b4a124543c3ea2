"""The dynamic audit: every counted SOP of a run was caused by an event, and what fires without events is named."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Trace, simulate
from spikewright.hw_sim.program import GateLink, GateTable, Lif, Program, Source
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.spike_driven.event_replay import KINDS, Walked, walk

Outputs = dict[str, NDArray[Any]]
SHOWN = 5
"""Differences that are listed; all are counted."""


@dataclass(frozen=True)
class Difference:
    """A counter that the events do not explain.

    Args:
        kind: ``binary``, ``graded`` or ``gate``.
        chip_step: Chip step, and
        core: core of the counter.
        walked: SOPs that the events cause there.
        counted: SOPs that the trace says.
    """

    kind: str
    chip_step: int
    core: int
    walked: int
    counted: int

    def __str__(self) -> str:
        return (
            f"{self.kind} SOPs of core {self.core} in chip step {self.chip_step}: "
            f"events cause {self.walked}, the trace counts {self.counted}"
        )


@dataclass(frozen=True)
class Audit:
    """What the audit found.

    Args:
        ok: Every counter equals the walk, and without input nothing happens but what a bias drives.
        events: Messages walked.
        sops: SOPs that they cause, by kind.
        differences: How many counters differ, and
        shown: the first of them.
        projections: Projections whose total differs.
        bias_driven: Populations with neurons that fire although no event reaches them.
        silent_sops: SOPs per sample with all-zero input; 0 where no population is bias-driven.
    """

    ok: bool
    events: int
    sops: dict[str, int]
    differences: int
    shown: tuple[Difference, ...]
    projections: tuple[str, ...]
    bias_driven: tuple[str, ...]
    silent_sops: int

    def row(self) -> dict[str, Any]:
        """Return the audit as a plain dict, for JSON."""
        plain = {"projections": list(self.projections), "bias_driven": list(self.bias_driven)}
        return asdict(self) | plain | {"shown": [str(d) for d in self.shown]}

    def text(self) -> str:
        """Return the audit in a few lines."""
        counts = ", ".join(f"{n:,} {kind}" for kind, n in self.sops.items())
        lines = [f"audit {'passed' if self.ok else 'FAILED'}: {self.events:,} events cause {counts} SOPs"]
        if self.differences:
            lines += [f"  {self.differences} counters differ, first:", *(f"    {d}" for d in self.shown)]
        if self.projections:
            lines.append(f"  totals differ in projections {', '.join(self.projections)}")
        driven = ", ".join(self.bias_driven)
        silent = f"without input: {self.silent_sops:,} SOPs per sample"
        lines.append(f"  {silent}" + (f"; fire by their bias alone: {driven}" if driven else ""))
        return "\n".join(lines)


def audit(program: Program, spikes: Outputs, trace: Trace) -> Audit:
    """Check a recorded run of ``hw_sim`` against its events.

    Args:
        program: What ran.
        spikes: What every population put out, (T, B, *shape), as ``Trace.spikes`` of ``simulate(..., record=True)``.
        trace: The counters of that run.

    Raises:
        InputError: The output of a population is missing or of another shape.
    """
    _check(program, spikes, trace)
    found = walk(program, spikes, trace.chip_steps, trace.cores)
    wrong = _compare(found, trace)
    totals = tuple(name for name, sops in found.projections.items() if sops != trace.projections[name].sops)
    driven, silent = _silence(program, trace.steps)
    return Audit(
        ok=not wrong and not totals and (silent == 0 or bool(driven)),
        events=sum(found.events.values()),
        sops={kind: int(found.sops[kind].sum()) for kind in KINDS},
        differences=len(wrong),
        shown=tuple(wrong[:SHOWN]),
        projections=totals,
        bias_driven=driven,
        silent_sops=silent,
    )


def _check(program: Program, spikes: Outputs, trace: Trace) -> None:
    for population in program.populations:
        if isinstance(population.soma, GateTable):
            continue
        wanted = (trace.steps, trace.samples, *population.shape)
        found = spikes[population.name].shape if population.name in spikes else None
        if found != wanted:
            raise InputError(
                f"its recorded output has shape {found}; the run has {wanted}",
                where=f"population {population.name!r}",
                help="run hw_sim.simulate(..., record=True) and give the inputs and Trace.spikes of that run",
            )


def _compare(found: Walked, trace: Trace) -> list[Difference]:
    """Return every (kind, chip step, core) whose counter is not what the events cause."""
    counted = {"binary": trace.sops_binary, "graded": trace.sops_graded, "gate": trace.sops_gate}
    wrong = []
    for kind in KINDS:
        for step, core in np.argwhere(found.sops[kind] != counted[kind]):
            walked, said = int(found.sops[kind][step, core]), int(counted[kind][step, core])
            wrong.append(Difference(kind, int(step), int(core), walked, said))
    return wrong


def _silence(program: Program, steps: int) -> tuple[tuple[str, ...], int]:
    """Run one sample of nothing: (populations that fire though every synapse is cut, SOPs with the synapses in place)."""
    nothing = {
        p.name: np.zeros((steps, 1, *p.shape), np.int64) for p in program.populations if isinstance(p.soma, Source)
    }
    gates = tuple(p for p in program.projections if isinstance(p.synapses, GateLink))
    alone = simulate(replace(program, projections=gates), nothing, steps=steps)
    whole = simulate(program, nothing, steps=steps)
    lifs = [p.name for p in program.populations if isinstance(p.soma, Lif)]
    driven = tuple(name for name in lifs if alone.populations[name].spikes)
    return driven, int(whole.sops_binary.sum() + whole.sops_graded.sum())
