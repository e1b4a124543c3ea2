"""What a stage is: a named step from context to context. A walk takes them in order, keeps files, and stops where told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from spikewright.hw_sim import Chip, Program
from spikewright.hw_sim.names import did_you_mean
from spikewright.toolchain import stage_files
from spikewright.toolchain.backends import IntArray
from spikewright.toolchain.calibration import Data, Labels, answers
from spikewright.toolchain.deployment import Drift, PassRecord
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.errors import InputError, PassError, ToolchainError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array
from spikewright.toolchain.options import Options
from spikewright.toolchain.passes.base import Check
from spikewright.toolchain.passes.quantize import InputCode
from spikewright.toolchain.passes.split_host import HostPart
from spikewright.toolchain.verify import Level, verify

GOLDEN_SAMPLES = 8
"""Samples at most of the golden input that every pass is checked on (see ``budget.GOLDEN_BYTES``)."""
EXACT = 1e-6
"""Largest change of a float answer that rounding may make; a pass that changes it more is wrong."""

Note = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Context:
    """Everything a stage can need; a stage takes one and returns a new one.

    Args:
        name: Name of the model.
        captured: The float graph as captured or imported.
        graph: The graph on its way: float, and integer from ``quantize`` on.
        options: What was asked for.
        chip: The target.
        gates: The gate lowering that was asked for, and
        strategies: what it is for every attention block.
        code: How the input is coded: the data, and from ``split-host`` on what the host sends.
        y: Class numbers (B,) of the calibration data, or None.
        x: What the graph's input gets of the calibration data, (T, B, *shape); None for a model that is integer already.
        answer: The graph's answer to the first of it, (B, n): the golden check; None where nothing was evaluated.
        host: The encoder in front of the first spike.
        lowered: The float graph that was quantized.
        reference: The float net's answers to all of ``x``, and
        integer_answers: those of the integer graph.
        drift: What quantizing changed.
        program: The mapped program.
        records: What each stage did.
        diagnostics: What was lost, assumed or noted on the way; a stage adds its own.
        prefix: Digest of everything that led here; "" where no walk remembers.
    """

    name: str
    captured: Graph
    graph: Graph
    options: Options
    chip: Chip
    gates: str
    strategies: dict[str, str]
    code: InputCode
    x: Data | None
    answer: Array | None = None
    host: HostPart | None = None
    lowered: Graph | None = None
    reference: Array | None = None
    integer_answers: IntArray | None = None
    drift: Drift | None = None
    program: Program | None = None
    records: tuple[PassRecord, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    y: Labels | None = None
    prefix: str = ""

    @property
    def golden(self) -> Data:
        """The golden input: of the calibration data, the samples that ``answer`` is of; stages in front of ``align`` ask."""
        assert self.answer is not None
        return self.data[:, : len(self.answer)]

    @property
    def data(self) -> Data:
        """Calibration data; only stages in front of ``align`` ask for it, and a model that is integer starts there."""
        assert self.x is not None
        return self.x


@dataclass(frozen=True)
class Stage:
    """A named step from context to context.

    Args:
        name: What the command line, the records and the files of ``keep_stages`` call it; the pass's file, but for a number.
        what: What it does, in a line.
        check: How its answer is compared with the one before.
        run: The step; it verifies its graph, compares and records (see ``passed``).
        needs: What it reads of the context beside the graph.
        level: The rules its graph obeys.
        origin: The package it comes from.
        options: Fields of the options that no stage before it reads: they begin to count here (see ``Memory``).
        blind: The step as far as it goes without data (see ``structure``), None where it ends there; None: ``run`` needs none.
    """

    name: str
    what: str
    check: Check
    run: Callable[[Context], Context]
    needs: tuple[str, ...] = ()
    level: Level = "float"
    origin: str = "spikewright"
    options: tuple[str, ...] = ()
    blind: Callable[[Context], Context | None] | None = None


def passed(context: Context, name: str, graph: Graph, check: Check, level: Level) -> Context:
    """Verify a stage's graph, compare its answer with the one before, and record both.

    Raises:
        PassError: An exact pass changes the answer by more than rounding.
    """
    verify(graph, level=level)
    got, error = context.answer, 0.0
    if graph is not context.graph and context.answer is not None:
        got = answers(graph, context.golden)
        error = float(np.abs(got - context.answer).max(initial=0.0))
    limit = EXACT if level in ("float", "lowered") else 0.0
    if check != "drift" and error > limit:
        raise PassError(
            f"changes the answer by {error:.3g} on the golden input; at most {limit:g} is rounding",
            where=f"pass {name!r}",
            help="this is a fault of the pass: please report it with the model",
        )
    record = PassRecord(name, len(context.graph), len(graph), error, check)
    return replace(context, graph=graph, answer=got, records=(*context.records, record))


def position(name: str, names: list[str], *, where: str, error: type[ToolchainError]) -> int:
    """Return a stage's place, or refuse a name that is none with the one that is meant.

    Raises:
        SpikewrightError: Of the kind given as ``error``: there is no such stage.
    """
    if name in names:
        return names.index(name)
    raise error(
        f"there is no stage {name!r}; there are {', '.join(names)}",
        where=where,
        help=f"{did_you_mean(name, names)}see `spikewright passes`",
    )


class Stopped(Exception):
    """Not an error: a deployment ended at the stage it was told to stop after; what there was then."""

    def __init__(self, stage: str, context: Context) -> None:
        super().__init__(f"{context.name} after {stage}, and no further")
        self.stage = stage
        self.context = context

    def text(self) -> str:
        """Return the program if there is one, else the graph, and the host's."""
        c = self.context
        made = [c.graph if c.program is None else c.program]
        host = [] if c.host is None else ["on the host, in front of it:", c.host.graph]
        return "\n".join(map(str, [f"{self}:", *made, *host]))

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        c = self.context
        passes = [vars(record) for record in c.records]
        return {"name": c.name, "stage": self.stage, "ops": [op.name for op in c.graph], "passes": passes}


class Memory(Protocol):
    """Remembers contexts by what led to them, so that walks which begin alike share their stages."""

    def begin(self, context: Context) -> Context:
        """Return the context with its prefix."""
        ...

    def take(self, stage: Stage, context: Context) -> Context:
        """Return what a stage makes of a context, remembered or run."""
        ...


@dataclass(eq=False)
class Walk:
    """One way through the stages: tells their names, keeps their files, and remembers where to stop.

    Args:
        stages: In order.
        stop_after: The last stage asked for; None: all.
        folder: Where each stage's result is kept as the stage ends; None: nowhere.
        note: Told the name of each stage as it starts.
        memory: Of the stages that earlier walks took; None: every stage is run.

    Raises:
        InputError: ``stop_after`` is no stage; ``folder`` holds something else.
    """

    stages: tuple[Stage, ...]
    stop_after: str | None = None
    folder: Path | None = None
    note: Note = lambda _: None
    stopped: Context | None = None
    memory: Memory | None = None

    def __post_init__(self) -> None:
        """Refuse before any work."""
        names = [stage.name for stage in self.stages]
        last = self.stop_after or names[-1]
        self.last = position(last, names, where="--stop-after", error=InputError)
        if self.folder is not None:
            stage_files.check_folder(self.folder)

    def start(self, context: Context) -> Context:
        """Keep what goes in as stage 0."""
        if self.folder is not None:
            stage_files.open_folder(self.folder)
            stage_files.write(self.folder, "00-captured", (), graph=context.graph, host=None, program=None)
        return context if self.memory is None else self.memory.begin(context)

    def through(self, context: Context, stages: tuple[Stage, ...]) -> Context:
        """Take some of the stages, one after the other."""
        for stage in stages:
            self.note(stage.name)
            after = stage.run(context) if self.memory is None else self.memory.take(stage, context)
            context = self._kept(stage, context, after)
        return context

    def _kept(self, stage: Stage, before: Context, after: Context) -> Context:
        number = self.stages.index(stage)
        if self.folder is not None and number <= self.last:
            stage_files.write(
                self.folder,
                f"{number + 1:02d}-{stage.name}",
                after.records,
                graph=after.graph,
                host=None if after.host is None or after.host is before.host else after.host.graph,
                program=after.program,
            )
        if number == self.last:
            self.stopped = after
        return after

    def end(self, context: Context) -> Context:
        """Pass on what the last stage left.

        Raises:
            Stopped: It was told to stop.
        """
        if self.stop_after is None:
            return context
        raise Stopped(self.stop_after, self.stopped or context)
