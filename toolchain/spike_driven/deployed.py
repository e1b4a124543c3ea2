"""Is a deployment, or a model as trained, spike-driven? The verdict, audited on a run, with the event-driven share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, get_args

from spikewright.hw_sim import Trace, drc
from spikewright.hw_sim.trace import PopulationCount
from spikewright.toolchain import replay
from spikewright.toolchain.analysis.numbers import several
from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.backends import RunResult
from spikewright.toolchain.budget import AUDITED_BYTES, CHECKED_BYTES
from spikewright.toolchain.calibration import looked_at, sample_bytes
from spikewright.toolchain.deployment import Deployment, silent
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.importing import Imported
from spikewright.toolchain.integer import replays_of, source_of, with_timesteps
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
from spikewright.toolchain.spike_driven.oracle import gained_by_step
from spikewright.toolchain.spike_driven.running import NOT_INTEGER, Densities, judge_running
from spikewright.toolchain.spike_driven.signals import InputKind
from spikewright.toolchain.spike_driven.verdict import Block, Stream, Verdict
from spikewright.toolchain.streaming import Payloads, run_parts

AUDITED = 2
"""Samples at most whose events are walked one by one (see ``budget.AUDITED_BYTES``)."""
SILENT = silent("")
SHARED = 100
"""Samples at most whose event-driven share a check states (see ``budget.CHECKED_BYTES``)."""


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
        seen: What was run, in words, where that is less than the samples that travel offer; else "".
    """

    name: str
    verdict: Verdict
    audit: Audit | None = None
    event_driven: EventDriven | None = None
    max_silent: float | None = None
    faithful: Faithful | None = None
    trained: Verdict | None = None
    broken: str = ""
    seen: str = ""

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
        if self.seen:
            parts.append(self.seen)
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
            "seen": self.seen or None,
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
    timed = made.program.steps == made.integer.timesteps  # else no samples fit, and ``faithful`` says so
    if made.samples is None or broken or not timed or not _whole(still):
        said = str(broken[0]) if broken else ""
        return Check(made.name, still, None, None, max_silent, faithful(made), as_trained(made), said)
    nothing = silence_of(made)
    trace = _trace(made, few(made, made.samples, SHARED, CHECKED_BYTES)) if trace is None else trace
    shares = event_driven(made.program, trace, nothing)
    found = audited(made, made.samples, nothing)
    return Check(
        made.name,
        verdict_of(made, trace),
        found.audit,
        shares,
        max_silent,
        found.faithful,
        as_trained(made),
        seen=_seen(made, made.samples, found, shares),
    )


def few(made: Deployment, samples: Samples, most: int, most_bytes: int) -> Samples:
    """Return the first samples, at most so many, and as many as the bytes of all their values allow; one at least."""
    return first(samples, looked_at(made.captured, min(most, len(samples)), most_bytes))


def _seen(made: Deployment, samples: Samples, found: Audited, shares: EventDriven) -> str:
    """Say on what a check looked, where the size of the net set a bound."""
    steps = made.integer.timesteps
    if (
        found.steps == steps
        and found.samples == min(AUDITED, len(samples))
        and shares.samples >= min(SHARED, len(samples))
    ):
        return ""
    begin = "" if found.steps == steps else f", of {steps:,} steps the first {found.steps:,}"
    return (
        f"looked at: layers and events of {several(found.samples, 'sample')}{begin}; "
        f"SOPs of {several(shares.samples, 'sample')}; all values of one take {sample_bytes(made.captured) / 1e6:,.0f} MB"
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


@dataclass(frozen=True)
class Audited:
    """What a recorded run of the first samples showed.

    Args:
        audit: Of its counters.
        faithful: Every layer beside the captured net.
        samples: How many ran, and
        steps: so many of their steps.
    """

    audit: Audit
    faithful: Faithful
    samples: int
    steps: int


def audited(made: Deployment, samples: Samples, nothing: Silence | None = None) -> Audited:
    """Run the first samples on the machine: audit its counters, and compare every layer with the captured net.

    As many as ``AUDITED_BYTES`` allow; where one alone takes more, and nothing in the net needs all steps, its begin.
    """
    chosen = few(made, samples, AUDITED, AUDITED_BYTES)
    begun = _begin(made)
    if begun is not made:
        made, nothing = begun, None
        chosen = replace(chosen, x=chosen.x[: made.integer.timesteps])
    run = _run(made, chosen)
    trace = run.last or run.trace
    assert trace is not None
    found = audit(made.program, trace.spikes, trace, nothing or silence_of(made))
    return Audited(found, faithful(made, chosen.x, run.recordings), len(chosen), made.integer.timesteps)


def _begin(made: Deployment) -> Deployment:
    """Return a deployment of the first steps alone, as many as ``AUDITED_BYTES`` allow; itself, where all fit or count."""
    T, each = made.captured.timesteps, sample_bytes(made.captured)
    whole = any(isinstance(op, AttentionBlock) for op in made.captured) or made.program.stop or replays_of(made.integer)
    whole = whole or gained_by_step(made.integer)
    if each <= AUDITED_BYTES or whole:
        return made
    steps = max(1, AUDITED_BYTES * T // each)
    graphs = {name: replace(getattr(made, name), timesteps=steps) for name in ("captured", "lowered")}
    graphs["integer"] = with_timesteps(made.integer, steps)
    host = None if made.host is None else replace(made.host, graph=replace(made.host.graph, timesteps=steps))
    return replace(made, **graphs, host=host, program=replace(made.program, steps=steps))


def _run(made: Deployment, samples: Samples) -> RunResult:
    return replay.run(made.backend("hw_sim"), made, made.encode(samples.x, compact=True), record=True)


def _trace(made: Deployment, samples: Samples) -> Trace:
    trace = run_parts(made, made.backend("hw_sim"), Payloads(made, made.check_input(samples.x)), False, SILENT).trace
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
