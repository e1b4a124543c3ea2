"""The dynamic audit: every counted SOP of a run was caused by an event, and what fires without events is named.

event-driven share = max(0, 1 - SOPs of the same run when no message enters the chip / SOPs of the run)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import (
    Chip,
    Compiled,
    Gate,
    GateLink,
    GateTable,
    Population,
    Program,
    Simulation,
    Source,
    Trace,
    compile,
    simulate,
)
from spikewright.toolchain.budget import BUDGET, RECORDED_BYTES, slices
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.results import Result, Row
from spikewright.toolchain.spike_driven.event_replay import KINDS, Walk, Walked

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


@dataclass(frozen=True, repr=False)
class Audit(Result):
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
        unexplained: What happens without input and is caused neither by a bias nor by an event.
    """

    ok: bool
    events: int
    sops: dict[str, int]
    differences: int
    shown: tuple[Difference, ...]
    projections: tuple[str, ...]
    bias_driven: tuple[str, ...]
    silent_sops: int
    unexplained: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the audit as a plain dict, for JSON."""
        lists = {name: list(getattr(self, name)) for name in ("projections", "bias_driven", "unexplained")}
        return asdict(self) | lists | {"shown": [str(d) for d in self.shown]}

    def rows(self) -> list[Row]:
        """Return the first counters that differ, one a row."""
        return [asdict(d) for d in self.shown]

    def headline(self) -> str:
        """Return the outcome in one line."""
        counts = ", ".join(f"{n:,} {kind}" for kind, n in self.sops.items())
        return f"audit {'passed' if self.ok else 'FAILED'}: {self.events:,} events cause {counts} SOPs"

    def text(self) -> str:
        """Return the audit in a few lines."""
        lines = [self.headline()]
        if self.differences:
            lines += [f"  {self.differences} counters differ, first:", *(f"    {d}" for d in self.shown)]
        if self.projections:
            lines.append(f"  totals differ in projections {', '.join(self.projections)}")
        lines += [f"  without input: {what}" for what in self.unexplained]
        driven = ", ".join(map(repr, self.bias_driven))
        silent = f"without input: {self.silent_sops:,} SOPs per sample"
        lines.append(f"  {silent}" + (f"; fire by their bias alone: {driven}" if driven else ""))
        return "\n".join(lines)


@dataclass(frozen=True)
class Silence:
    """One sample of nothing on the machine.

    Args:
        trace: Of the program as it is.
        driven: Populations that fire though every synapse is cut: by their bias.
        unexplained: What happens and is caused neither by a bias nor by an event, in words.
    """

    trace: Trace
    driven: tuple[str, ...]
    unexplained: tuple[str, ...]

    @property
    def sops(self) -> int:
        """SOPs of the sample."""
        return int(self.trace.sops_binary.sum() + self.trace.sops_graded.sum())


def silence(program: Program, steps: int, chip: Chip | None = None) -> Silence:
    """Run one sample of nothing, and say what happens all the same; ``chip``: None for the one the program names."""
    nothing = {
        p.name: np.broadcast_to(np.int8(0), (steps, 1, *p.shape))
        for p in program.populations
        if isinstance(p.soma, Source)
    }
    gates = tuple(p for p in program.projections if isinstance(p.synapses, GateLink))
    alone = simulate(compile(replace(program, projections=gates), chip), nothing, steps=steps)
    found, whole = walked(compile(program, chip), nothing)
    driven = tuple(p.name for p in program.populations if _fires(p) and alone.populations[p.name].spikes)
    faults = [str(d) for d in _compare(found, whole)[:SHOWN]]
    for p in program.populations:
        reached = sum(whole.projections[q.name].sops for q in program.projections if q.target == p.name)
        spikes = whole.populations[p.name].spikes
        if _fires(p) and spikes and not reached and p.name not in driven:
            faults.append(f"{p.name!r} sends {spikes:,} spikes, though no event reaches it and no bias drives it")
    return Silence(whole, driven, tuple(faults))


def walked(compiled: Compiled, inputs: Outputs) -> tuple[Walked, Trace]:
    """Run payloads (T, B, *shape) on the machine and walk what it sends, in blocks of steps: nothing is kept of a block.

    Returns:
        What the events cause, and what the machine counts.
    """
    program, (steps, samples) = compiled.program, next(iter(inputs.values())).shape[:2]
    row = RECORDED_BYTES * samples * sum(p.size for p in program.populations)
    with Simulation(compiled, samples, steps=steps) as simulation:
        walk = Walk(program, steps, simulation.tally.chip_steps, compiled.cores)
        for block in slices(steps, max(1, BUDGET // row)):
            part = {name: x[block] for name, x in inputs.items()}
            walk.add({**part, **simulation.advance(part).spikes}, block.start)
        return walk.found, simulation.finish()


def _fires(population: Population) -> bool:
    return not population.soma.on_host and not isinstance(population.soma, Gate)


@dataclass(frozen=True)
class ArrivingSops:
    """SOPs that arrive at one population, in a run and in the same run without input."""

    layer: str
    sops: int
    silent_sops: int

    @property
    def share(self) -> float:
        """The event-driven share."""
        return _share(self.sops, self.silent_sops)


def _share(sops: int, silent: int) -> float:
    if not sops:
        return 0.0 if silent else 1.0
    return max(0.0, 1 - silent / sops)


@dataclass(frozen=True, repr=False)
class EventDriven(Result):
    """How much of a run its input caused.

    Args:
        samples: Samples of the run.
        layers: Populations at which SOPs arrive.
        alone: Populations that fire by themselves.
    """

    samples: int
    layers: tuple[ArrivingSops, ...]
    alone: tuple[str, ...]

    @property
    def sops(self) -> int:
        """SOPs of the run."""
        return sum(layer.sops for layer in self.layers)

    @property
    def silent_sops(self) -> int:
        """SOPs of the same run without input."""
        return sum(layer.silent_sops for layer in self.layers)

    @property
    def share(self) -> float:
        """The event-driven share of all SOPs."""
        return _share(self.sops, self.silent_sops)

    def to_dict(self) -> dict[str, Any]:
        """Return the shares, in all and per layer."""
        return {
            "total": self.share,
            "samples": self.samples,
            "sops": self.sops,
            "silent_sops": self.silent_sops,
            "layers": self.rows(),
            "fire_by_themselves": list(self.alone),
        }

    def rows(self) -> list[Row]:
        """Return one row a population."""
        return [asdict(layer) | {"share": layer.share} for layer in self.layers]

    def headline(self) -> str:
        """Return the whole in one line."""
        return (
            f"event-driven share {100 * self.share:.1f} %: {self.sops:,} SOPs ({self.samples} samples), "
            f"{self.silent_sops:,} in the same run without any input"
        )

    def text(self) -> str:
        """Return the share in all, of each layer where it is not the whole, and what fires by itself."""
        lines = [self.headline()]
        lines += [
            f"  at {layer.layer!r}: {100 * layer.share:.1f} %: {layer.sops:,} SOPs, {layer.silent_sops:,} without input"
            for layer in self.layers
            if layer.silent_sops
        ]
        if self.alone:
            lines.append(f"  fire by themselves: {', '.join(map(repr, self.alone))}")
        return "\n".join(lines)


def event_driven(program: Program, trace: Trace, nothing: Silence) -> EventDriven:
    """Return the event-driven share of a run; without input, every sample does what the one of ``nothing`` does."""

    def arriving(run: Trace, target: str) -> int:
        counts = [run.projections[p.name] for p in program.projections if p.target == target]
        return sum(count.sops for count in counts if count.kind != "gate")

    reached = dict.fromkeys(p.target for p in program.projections if not isinstance(p.synapses, GateLink))
    layers = tuple(
        ArrivingSops(name, arriving(trace, name), arriving(nothing.trace, name) * trace.samples) for name in reached
    )
    return EventDriven(trace.samples, layers, nothing.driven)


def audit(program: Program, spikes: Outputs, trace: Trace, nothing: Silence | None = None) -> Audit:
    """Check a recorded run of ``hw_sim`` against its events.

    Args:
        program: What ran.
        spikes: What every population put out, (T, B, *shape), as ``Trace.spikes`` of ``simulate(..., record=True)``.
        trace: The counters of that run.
        nothing: What ``silence`` found; None: found here, on the chip that the program names.

    Raises:
        InputError: The output of a population is missing or of another shape.
    """
    _check(program, spikes, trace)
    found = Walk(program, trace.steps, trace.chip_steps, trace.cores)
    found.add(spikes)
    return audit_walked(found.found, trace, nothing or silence(program, trace.steps))


def audit_walked(found: Walked, trace: Trace, nothing: Silence) -> Audit:
    """Compare what the events of a run cause with what the machine counted; see ``audit``."""
    wrong = _compare(found, trace)
    totals = tuple(name for name, sops in found.projections.items() if sops != trace.projections[name].sops)
    return Audit(
        ok=not wrong and not totals and not nothing.unexplained,
        events=sum(found.events.values()),
        sops={kind: int(found.sops[kind].sum()) for kind in KINDS},
        differences=len(wrong),
        shown=tuple(wrong[:SHOWN]),
        projections=totals,
        bias_driven=nothing.driven,
        silent_sops=nothing.sops,
        unexplained=nothing.unexplained,
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
