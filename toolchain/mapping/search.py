"""Search mapping: hill climbing over cuts, on all the cores of a chip, measured on calibration payloads.

A plan says which consecutive layers share a stage, how many cores each stage has, and which layers are cut along
channels instead of space. It begins with the vendor's cut where that fits, and a stage for every layer, on twice the
cores again and again while that is faster; then it tries balanced plans of every number of stages on all cores, on half
of them, and so on; then single changes, drawn by a seed: a core goes from the idlest stage to the busiest, a layer to
the stage beside, a layer is cut the other way. A change stays if the run is faster. What was best so far is kept on
ctrl-C, or when another plan would take longer than the time that is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import prod
from typing import ClassVar

import numpy as np

from spikewright.hw_sim import Chip, Program, SpikewrightError, Trace, drc, simulate
from spikewright.hw_sim import compile as load
from spikewright.toolchain.backends import IntArray
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.integer import IntNeuron, neurons_of
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping.assemble import assemble
from spikewright.toolchain.mapping.balanced import Balanced, shares_of, slabs, stages_of, work_of
from spikewright.toolchain.mapping.partition import cores_used
from spikewright.toolchain.mapping.place import place
from spikewright.toolchain.mapping.vendor import Vendor

SAMPLES = 2
"""Calibration samples a plan is timed on."""
SLOWER = 2
"""Times in a row that more cores do not help, after which no more are given."""


@dataclass(frozen=True)
class Plan:
    """A way to cut: layers by stage, cores by stage, layers cut along channels."""

    stages: tuple[tuple[str, ...], ...]
    shares: tuple[int, ...]
    by_channel: frozenset[str] = frozenset()

    @property
    def cores(self) -> int:
        """Cores in use."""
        return sum(self.shares)


@dataclass(frozen=True, eq=False)
class Search:
    """Lower the time of a run, measured on payloads ``x`` (T, B, *shape).

    Args:
        x: Calibration payloads.
        seed: Draws the changes.
        seconds: At most so long, all in all; a plan is not begun that would take longer, as the longest so far did.
        tries: At most so many plans.
        tell: Gets a note where the search ended early: what it found then depends on the machine, not on the seed alone.
    """

    name: ClassVar[str] = "search"
    x: IntArray
    seed: int = 0
    seconds: float = 240.0
    tries: int = 400
    tell: Callable[[Diagnostic], None] | None = None

    def __call__(self, graph: Graph, chip: Chip) -> Program:
        """Return the fastest program found: never slower than balanced, nor than the vendor's cut where it and the time fit."""
        stop = time.monotonic() + self.seconds
        first = Balanced(self.x[:, :SAMPLES])(graph, chip)
        climb = _Climb(graph, chip, self.x[:, :SAMPLES], first, stop, self.tries)
        why = ""
        try:
            if not climb.late:
                climb.compare_vendor()
            climb.begin()
            climb.run(np.random.default_rng(self.seed))
        except KeyboardInterrupt:
            why = "ctrl-C"
        if not why and climb.late:
            why = f"its {self.seconds:g} s"
        if why and self.tell is not None:
            what = f"ended by {why} after {len(climb.seen)} of at most {self.tries} plans; the best of them is kept"
            self.tell(Diagnostic("search-ended", "--mapping search", what, "", "note"))
        return place(climb.best, chip, climb.trace)


@dataclass(eq=False)
class _Climb:
    """The state of one search."""

    graph: Graph
    chip: Chip
    x: IntArray
    best: Program
    stop: float
    tries: int
    plan: Plan | None = None
    trace: Trace = field(init=False)
    seen: set[Plan] = field(default_factory=set)
    longest: float = 0.0  # seconds that a plan took, the first one and the vendor's too

    def __post_init__(self) -> None:
        with self._timed():
            self.trace = self._measure(self.best)
        self.layers = neurons_of(self.graph)
        self.work = {p: work_of(self.best, self.trace, p, self.chip) for p in self.trace.populations}

    @property
    def late(self) -> bool:
        """Whether no time is left for another plan."""
        return time.monotonic() + self.longest >= self.stop

    @property
    def over(self) -> bool:
        """Whether time or tries are used up."""
        return len(self.seen) >= self.tries or self.late

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Count the seconds of a block as those of a plan."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.longest = max(self.longest, time.monotonic() - begun)

    def _measure(self, program: Program) -> Trace:
        return simulate(load(program, self.chip), dict.fromkeys(program.sources, self.x))

    def compare_vendor(self) -> None:
        """Keep the vendor's cut if it fits and is faster."""
        try:
            with self._timed():
                program = Vendor()(self.graph, self.chip)
                trace = self._measure(program)
        except SpikewrightError:
            return  # it does not converge, or does not fit
        if float(trace.latency_ns.sum()) < float(self.trace.latency_ns.sum()):
            self.best, self.trace = program, trace
            self.plan = self._as_cut(program)

    def _as_cut(self, program: Program) -> Plan:
        """Return the plan with a stage a layer, cut as a program cuts it: single changes start from there."""
        core = {p.name: p.core for p in program.populations}
        shares = tuple(max(1, len(np.unique(core[op.name][core[op.name] >= 0]))) for op in self.layers)
        maps = [(op.name, core[op.name].reshape(op.shape[0], -1)) for op in self.layers if len(op.shape) == 3]
        by_channel = frozenset(name for name, cores in maps if bool((cores != cores[:1]).any()))
        return Plan(tuple((op.name,) for op in self.layers), shares, by_channel)

    def begin(self) -> None:
        """Try a stage a layer on ever more cores, then every number of stages: on all cores, on half, and so on."""
        least, slower = cores_used(self.best), 0
        cores = 2 * least
        while cores < self.chip.mesh.cores and slower < SLOWER and not self.over:
            plan = self._balanced(len(self.layers), cores)
            if plan is not None:
                slower = 0 if self.attempt(plan) else slower + 1
            cores *= 2
        cores = self.chip.mesh.cores
        while cores >= least and not self.over:
            for stages in range(1, len(self.layers) + 1):
                plan = self._balanced(stages, cores)
                if plan is not None:
                    self.attempt(plan)
                if self.over:
                    return
            cores //= 2

    def _balanced(self, stages: int, cores: int) -> Plan | None:
        groups = stages_of(self.layers, [self.work[op.name] for op in self.layers], min(stages, cores))
        shares = shares_of(groups, self.work, cores, self.chip.core.max_neurons)
        return None if shares is None else Plan(tuple(tuple(op.name for op in g) for g in groups), tuple(shares))

    def attempt(self, plan: Plan) -> bool:
        """Measure a plan that was not seen before; keep it if it is faster."""
        if plan in self.seen:
            return False
        self.seen.add(plan)
        with self._timed():
            return self._tried(plan)

    def _tried(self, plan: Plan) -> bool:
        named = {op.name: op for op in self.layers}
        groups: list[list[IntNeuron]] = [[named[name] for name in stage] for stage in plan.stages]
        program = assemble(self.graph, self.chip.name, slabs(groups, plan.shares, self.work, plan.by_channel))
        try:
            drc.check(program, self.chip)
        except SpikewrightError:
            return False  # a core would be too full: this plan is none
        trace = self._measure(program)
        if float(trace.latency_ns.sum()) >= float(self.trace.latency_ns.sum()):
            return False
        self.best, self.trace, self.plan = program, trace, plan
        return True

    def run(self, rng: np.random.Generator) -> None:
        """Try single changes of the best plan until time or tries are used up, or every change was seen."""
        while self.plan is not None and not self.over:
            changes = list(self._changes(self.plan))
            rng.shuffle(changes)
            fresh = [change for change in changes if change not in self.seen]
            if not fresh:
                return
            for change in fresh:
                if self.attempt(change) or self.over:
                    break

    def _changes(self, plan: Plan) -> Iterator[Plan]:
        load = [
            sum(self.work[name] for name in stage) / share
            for stage, share in zip(plan.stages, plan.shares, strict=True)
        ]
        busiest = int(np.argmax(load))
        for other in range(len(load)):
            yield from _moved_core(plan, other, busiest)
        if plan.cores < self.chip.mesh.cores:
            yield replace(plan, shares=tuple(s + (k == busiest) for k, s in enumerate(plan.shares)))
        yield from _moved_layers(plan)
        for op in self.layers:
            if len(op.shape) == 3 and prod(op.shape[1:]) > 1:
                yield replace(plan, by_channel=plan.by_channel ^ {op.name})


def _moved_core(plan: Plan, giver: int, taker: int) -> Iterator[Plan]:
    for many in (1, 2, 4, 8):
        if giver != taker and plan.shares[giver] > many:
            shares = list(plan.shares)
            shares[giver] -= many
            shares[taker] += many
            yield replace(plan, shares=tuple(shares))


def _moved_layers(plan: Plan) -> Iterator[Plan]:
    """Yield the plans in which a layer at a border belongs to the stage beside, and those of joined and split stages."""
    for k in range(len(plan.stages) - 1):
        a, b = plan.stages[k], plan.stages[k + 1]
        rest = plan.stages[:k], plan.stages[k + 2 :]
        if len(a) > 1:
            yield replace(plan, stages=(*rest[0], a[:-1], (a[-1], *b), *rest[1]))
        if len(b) > 1:
            yield replace(plan, stages=(*rest[0], (*a, b[0]), b[1:], *rest[1]))
        shares = (*plan.shares[:k], plan.shares[k] + plan.shares[k + 1], *plan.shares[k + 2 :])
        yield replace(plan, stages=(*rest[0], a + b, *rest[1]), shares=shares)
    for k, stage in enumerate(plan.stages):
        half = plan.shares[k] // 2
        for at in range(1, len(stage) if half else 0):
            stages = (*plan.stages[:k], stage[:at], stage[at:], *plan.stages[k + 1 :])
            yield replace(
                plan, stages=stages, shares=(*plan.shares[:k], half, plan.shares[k] - half, *plan.shares[k + 1 :])
            )
