"""The two backends at home: the interpreter (the oracle) and the machine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import HOSTS, Compiled, Host, Simulation, Trace, compile, simulate
from spikewright.toolchain.backends import IntArray, Progress, Recording, RunResult, Session, added, joined
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.integer import IntNeuron
from spikewright.toolchain.interpret import IntRun, int_blocks
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.options import option


class InterpreterBackend:
    """The meaning of the integer ops, in numpy."""

    name: ClassVar[str] = "interpreter"
    counts: ClassVar[bool] = False
    sees_all_steps: ClassVar[bool] = True

    def run(
        self, deployment: Deployment, x: IntArray, *, record: bool = False, progress: Progress | None = None
    ) -> RunResult:
        """Run chunk by chunk; gates that a host computes between two runs are computed on the way."""
        start = time.perf_counter()
        answers, parts, saturations = [], [], []
        for chosen, steps, run, recordings in int_blocks(deployment.integer, x, states=record):
            parts.append((chosen, steps, recordings))
            if steps.stop == x.shape[0]:
                answers.append(run.answer)
                saturations.append(run.saturations)
                if progress is not None:
                    progress(chosen.stop, x.shape[1])
        recorded = joined(parts, *x.shape[:2]) if record else {}
        seconds = time.perf_counter() - start
        return RunResult(np.concatenate(answers), recorded, run_s=seconds, saturations=added(saturations))

    @contextmanager
    def open(self, deployment: Deployment, samples: int) -> Iterator[Session]:
        """Begin so many samples; see ``backends.Resumable``."""
        yield _Interpreted(IntRun(deployment.integer, samples, states=True))


@dataclass
class _Interpreted:
    """A session of the interpreter."""

    run: IntRun
    seconds: float = 0.0

    def advance(self, x: IntArray) -> Mapping[str, Recording]:
        start = time.perf_counter()
        found = self.run.advance(x)
        self.seconds += time.perf_counter() - start
        return found

    def finish(self) -> RunResult:
        return RunResult(self.run.answer, run_s=self.seconds, saturations=self.run.saturations)


@dataclass(frozen=True)
class HwSimBackend:
    """The machine: exact dynamics with counters and timing; a deployment is compiled once, in its first run."""

    name: ClassVar[str] = "hw_sim"
    counts: ClassVar[bool] = True
    timing: Literal["analytic", "cycle"] = option(
        "analytic",
        "time of a chip step: its busiest part, or cores and mesh simulated",
        choices=("analytic", "cycle"),
    )
    host: Host = option(
        "lava", "who steps the chip: Lava's runtime, with its overhead in every step, or nobody", choices=HOSTS
    )
    device: Literal["cpu", "cuda"] = option("cpu", "cuda: the same integers on a GPU", choices=("cpu", "cuda"))
    _compiled: WeakKeyDictionary[Deployment, Compiled] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False, compare=False
    )

    def run(
        self, deployment: Deployment, x: IntArray, *, record: bool = False, progress: Progress | None = None
    ) -> RunResult:
        """Simulate the program; in a deployment's first run, compile it and load the kernels by one sample before."""
        return self.run_gated(deployment, x, {}, record=record, progress=progress)

    def run_gated(
        self, deployment: Deployment, x: IntArray, gates: Mapping[str, IntArray], *, record: bool = False,
        progress: Progress | None = None,
    ) -> RunResult:  # fmt: skip
        """Run under gate levels from the host; see ``run``."""
        begin = time.perf_counter()
        known = deployment in self._compiled
        compiled = self.compiled(deployment)
        source = deployment.integer.input.name
        asked: dict[str, Any] = {"timing": self.timing, "host": self.host, "device": self.device}
        if not known:
            first = {source: x, **gates}
            simulate(compiled, {name: block[:, :1] for name, block in first.items()}, record=record, **asked)
        start = time.perf_counter()
        trace: Trace = simulate(compiled, {source: x, **gates}, record=record, progress=progress, **asked)
        done = time.perf_counter()
        recordings = _recordings(deployment.integer, trace.spikes, trace.v, trace.u) if record else {}
        return RunResult(trace.outputs, recordings, start - begin, done - start, trace)

    @contextmanager
    def open(self, deployment: Deployment, samples: int) -> Iterator[Session]:
        """Begin so many samples; see ``backends.Resumable``."""
        begin = time.perf_counter()
        compiled = self.compiled(deployment)
        asked: dict[str, Any] = {"timing": self.timing, "host": self.host, "device": self.device}
        with Simulation(compiled, samples, **asked) as simulation:
            yield _Simulated(deployment, simulation, time.perf_counter() - begin)

    def compiled(self, deployment: Deployment) -> Compiled:
        """Return the compiled program of a deployment, for its own chip."""
        if deployment not in self._compiled:
            self._compiled[deployment] = compile(deployment.program, deployment.chip)
        return self._compiled[deployment]


@dataclass
class _Simulated:
    """A session of the machine."""

    deployment: Deployment
    simulation: Simulation
    startup_s: float
    seconds: float = 0.0

    def advance(self, x: IntArray) -> Mapping[str, Recording]:
        start = time.perf_counter()
        graph = self.deployment.integer
        found = self.simulation.advance({graph.input.name: x})
        self.seconds += time.perf_counter() - start
        return _recordings(graph, found.spikes, found.v, found.u)

    def finish(self) -> RunResult:
        trace = self.simulation.finish()
        return RunResult(trace.outputs, startup_s=self.startup_s, run_s=self.seconds, trace=trace)


Arrays = Mapping[str, NDArray[Any]]


def _recordings(graph: Graph, spikes: Arrays, v: Arrays, u: Arrays) -> dict[str, Recording]:
    found = {}
    for op in graph:
        if op.name in v:
            decays = isinstance(op, IntNeuron) and op.soma.filters
            found[op.name] = Recording(spikes[op.name], v[op.name], u[op.name] if decays else None)
    return found
