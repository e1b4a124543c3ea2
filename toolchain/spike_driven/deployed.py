"""Is a deployment, or a model as trained, spike-driven? The verdict, audited on a run, with the event-driven share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, get_args

from spikewright.hw_sim import Trace, drc
from spikewright.hw_sim.trace import PopulationCount
from spikewright.toolchain import replay
from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.backends import RunResult
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.importing import Imported
from spikewright.toolchain.integer import source_of
from spikewright.toolchain.integer_deploy import input_code
from spikewright.toolchain.options import GATES, Reading, option, refuse_unfit
from spikewright.toolchain.passes.lower_gates import Strategy, strategies_for
from spikewright.toolchain.passes.split_host import before_first_spike
from spikewright.toolchain.results import Result, Row
from spikewright.toolchain.samples import Samples, first
from spikewright.toolchain.spike_driven.audit import (
    Audit,
    EventDriven,
    Silence,
    audit,
    event_driven,
    silence,
)
from spikewright.toolchain.spike_driven.check import check_graph, check_host
from spikewright.toolchain.spike_driven.faithful import Faithful, faithful
from spikewright.toolchain.spike_driven.lowering import OFF_STREAM
from spikewright.toolchain.spike_driven.running import NOT_INTEGER, Densities, judge_running
from spikewright.toolchain.spike_driven.signals import InputKind
from spikewright.toolchain.spike_driven.verdict import Block, Stream, Verdict

AUDITED = 2
"""Samples whose events are walked one by one."""
SHARED = 100
"""Samples at most whose event-driven share a check states."""


@dataclass(frozen=True, eq=False, repr=False)
class Check(Result):
    """The answer of ``check``.

    Args:
        name: Of the net.
        verdict: Block by block, on what runs; of a model, on the model.
        audit: Of a run; None for a model, or a deployment without samples.
        event_driven: How much of a run its input caused; None likewise.
        max_silent: Share of the SOPs that may come without input; None: any.
        faithful: What stands between the captured net and the chip; None for a model.
        trained: The verdict on the captured net, gates as published; None for a model, whose verdict it is.
        broken: Why a program cannot be run at all; "" where it can.
    """

    name: str
    verdict: Verdict
    audit: Audit | None = None
    event_driven: EventDriven | None = None
    max_silent: float | None = None
    faithful: Faithful | None = None
    trained: Verdict | None = None
    broken: str = ""

    @property
    def spike_driven(self) -> bool:
        """Whether the verdict has no violation."""
        return self.verdict.spike_driven

    @property
    def silent_violation(self) -> str | None:
        """What is wrong where more comes without input than is allowed; else None."""
        found = self.event_driven
        if found is None or self.max_silent is None or 1 - found.share <= self.max_silent:
            return None
        return (
            f"{100 * (1 - found.share):.1f} % of the SOPs come without any input; "
            f"{100 * self.max_silent:g} % are allowed (--max-silent)"
        )

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong: verdict, audit, the net it runs, and what comes without input."""
        parts = (self.audit, self.faithful)
        sound = all(part is None or part.ok for part in parts) and not self.broken
        return self.spike_driven and sound and self.silent_violation is None

    def headline(self) -> str:
        """Return the verdict in one line."""
        return f"{self.name}: {self.verdict.headline()}"

    def text(self) -> str:
        """Return the verdict as a table, the audit and the event-driven share below it."""
        parts = [f"{self.name}: {self.verdict.text()}"]
        if self.trained is not None:
            parts[0] += f"\n\nas trained: {self.trained.headline()}"
        if self.broken:
            parts.append(f"cannot be run: {self.broken}")
        parts += [part.text() for part in (self.faithful, self.audit, self.event_driven) if part is not None]
        if self.silent_violation is not None and self.event_driven is not None:
            alone = ", ".join(self.event_driven.alone)
            parts.append(
                f"violation: {self.silent_violation}\n  help: train with smaller biases or larger thresholds in {alone}"
            )
        return "\n\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return what ``check --json`` prints."""
        return {
            "name": self.name,
            "ok": self.ok,
            **self.verdict.to_dict(),
            "as_trained": None if self.trained is None else self.trained.to_dict(),
            "captured_net": None if self.faithful is None else self.faithful.to_dict(),
            "broken": self.broken or None,
            "audit": None if self.audit is None else self.audit.to_dict(),
            "event_driven_share": None if self.event_driven is None else self.event_driven.to_dict(),
            "silent_violation": self.silent_violation,
        }

    def rows(self) -> list[Row]:
        """Return one row a block. MACs of a violation are per step."""
        return self.verdict.rows()


def check_deployment(made: Deployment, *, max_silent: float | None = None, trace: Trace | None = None) -> Check:
    """Check a deployment; see ``Deployment.check``. ``trace``: counters of a run of its samples, where there was one.

    ``max_silent`` is a share of 1.

    Raises:
        InputError: ``max_silent`` is outside 0 .. 1, or there are no samples to run.
    """
    if max_silent is not None and not 0 <= max_silent <= 1:
        raise InputError(f"{max_silent}; 0 .. 1 is allowed", where="--max-silent", help="give a share, e.g. 0.1")
    if made.samples is None and max_silent is not None:
        raise InputError(
            "travels without samples; what comes without input is told from a run",
            where=made.name,
            help="deploy it with --samples FILE.npz",
        )
    still, broken = verdict_of(made), drc.violations(made.program, made.chip)
    if made.samples is None or broken or not _whole(still):
        said = str(broken[0]) if broken else ""
        return Check(made.name, still, None, None, max_silent, faithful(made), as_trained(made), said)
    nothing, samples = silence_of(made), first(made.samples, AUDITED)
    run = _run(made, samples)
    trace = _trace(made, first(made.samples, SHARED)) if trace is None else trace
    counted = run.last or run.trace
    assert counted is not None
    return Check(
        made.name,
        verdict_of(made, trace),
        audit(made.program, counted.spikes, counted, nothing),
        event_driven(made.program, trace, nothing),
        max_silent,
        faithful(made, samples.x, run.recordings),
        as_trained(made),
    )


def _whole(verdict: Verdict) -> bool:
    """Say whether nothing stands among the integers that no machine computes with."""
    return not any(NOT_INTEGER in (block.violation or "") for block in verdict.blocks)


def verdict_of(made: Deployment, trace: Trace | None = None) -> Verdict:
    """Return the verdict on a deployment: on the program and the integer graph that it was assembled from, and the host's part.

    Args:
        made: The deployment.
        trace: Counters of a run, from which the density of every stream is told.
    """
    attention = [op for op in made.captured if isinstance(op, AttentionBlock)]
    densities = None if trace is None else {name: _density(count) for name, count in trace.populations.items()}
    chip = judge_running(
        made.integer,
        made.program,
        families={op.block: op.kind for op in attention},
        notes={op.block: _note(op, made.strategies.get(op.block)) for op in attention},
        densities=densities,
        fits=not drc.violations(made.program, made.chip),
    )
    blocks = (*_host(made, densities), *chip)
    return Verdict(not any(block.violation for block in blocks), blocks)


def _density(count: PopulationCount) -> float:
    return count.spikes / count.opportunities if count.opportunities else 0.0


def _note(op: AttentionBlock, strategy: str | None) -> tuple[str, ...]:
    """Return what a reader should know of a lowered block."""
    said = {**OFF_STREAM, "static": "gates are constants from calibration; the drift they cause is reported apart"}
    return () if op.on_host or strategy is None else (said.get(strategy, op.note),)


def _host(made: Deployment, densities: Densities | None) -> tuple[Block, ...]:
    """Return the verdict on the host's part, with the density of what it sends."""
    if made.host is None:
        return ()
    source = source_of(made.integer)
    found = check_host(made.host.graph, still=made.host.still, payload_bits=made.options.payload_bits)
    if densities is None or source.name not in densities:
        return found
    sent = (Stream(source.name, source.soma.sends, densities[source.name]),)
    return tuple(replace(block, streams=sent) if source.name in block.ops else block for block in found)


def as_trained(made: Deployment) -> Verdict:
    """Return the verdict on the net as it was captured: nothing lowered, its gates real."""
    kind: InputKind = "dense" if made.host is not None else "binary" if made.input.kind == "binary" else "graded"
    return check_graph(
        made.captured,
        input_kind=kind,
        still=made.host is None or made.host.still,
        host=frozenset() if made.host is None else before_first_spike(made.captured),
    )


def silence_of(made: Deployment) -> Silence:
    """Return what a deployment does on its own chip when no message enters it."""
    return silence(made.program, made.integer.timesteps, made.chip)


def audited(made: Deployment, samples: Samples, nothing: Silence | None = None) -> tuple[Audit, Faithful]:
    """Run the first samples on the machine: audit its counters, and compare every layer with the captured net."""
    few = first(samples, AUDITED)
    run = _run(made, few)
    trace = run.last or run.trace
    assert trace is not None
    found = audit(made.program, trace.spikes, trace, nothing or silence_of(made))
    return found, faithful(made, few.x, run.recordings)


def _run(made: Deployment, samples: Samples) -> RunResult:
    return replay.run(made.backend("hw_sim"), made, made.encode(samples.x, compact=True), record=True)


def _trace(made: Deployment, samples: Samples) -> Trace:
    trace = replay.run(made.backend("hw_sim"), made, made.encode(samples.x, compact=True)).trace
    assert trace is not None
    return trace


@dataclass(frozen=True)
class AsTrained(Reading):
    """How a model that is not deployed is judged."""

    input_kind: InputKind | None = option(
        None, "what it is fed with (default: as its card says, or binary)", choices=get_args(InputKind)
    )
    gates: Strategy | None = option(
        None,
        "judge it as lowered so (default: as trained)",
        choices=tuple(s for s in GATES if s != "auto"),
        applies=("attention",),
    )
    payload_bits: int | None = option(
        None, "judge its gates as integers of N bits (default: as real)", kind=int, metavar="N", applies=("attention",)
    )
    timesteps: int | None = option(None, "steps per sample, where the model does not say", kind=int, metavar="T")
    dt_s: float | None = option(
        None,
        "length of a timestep in s, where the model does not say",
        kind=float,
        flag="--dt",
        metavar="S",
        above=0,
    )


def check_model(imported: Imported, how: AsTrained) -> Check:
    """Judge a model as trained: nothing on the host but what stands in front of the first spike, gates as published.

    Raises:
        ToolchainError: An option is out of range, or the model cannot be judged.
    """
    if how.payload_bits is not None and not 1 <= how.payload_bits <= 16:
        raise InputError(
            f"{how.payload_bits}; 1 .. 16 is allowed", where="--payload-bits", help="leave it out for real gates"
        )
    kind = how.input_kind or _input_kind(imported)
    graph = imported.float_graph(dt_s=how.dt_s, timesteps=how.timesteps, reading=how)
    attention = [op for op in graph if isinstance(op, AttentionBlock)]
    refuse_unfit(how, {"attention": bool(attention)}, imported.name)
    verdict = check_graph(
        graph,
        input_kind=kind,
        host=before_first_spike(graph) if kind == "dense" else frozenset(),
        strategies={} if how.gates is None else strategies_for(attention, how.gates),
        payload_bits=how.payload_bits,
    )
    return Check(imported.name, verdict)


def _input_kind(imported: Imported) -> InputKind:
    if imported.integer is not None:
        return "binary" if input_code(imported.integer).kind == "binary" else "graded"
    return "dense" if imported.card.get("coding") == "direct" else "binary"
