"""The two backends at home: the interpreter (the oracle) and the machine."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import numpy as np

from spikewright.hw_sim import HOSTS, Compiled, Host, Trace, compile, simulate
from spikewright.toolchain.backends import IntArray, Progress, Recording, RunResult, added
from spikewright.toolchain.deployment import CHUNK, Deployment
from spikewright.toolchain.integer import IntNeuron
from spikewright.toolchain.interpret import run_int
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.options import option


class InterpreterBackend:
    """The meaning of the integer ops, in numpy."""

    name: ClassVar[str] = "interpreter"
    counts: ClassVar[bool] = False

    def run(
        self, deployment: Deployment, x: IntArray, *, record: bool = False, progress: Progress | None = None
    ) -> RunResult:
        """Run chunk by chunk."""
        start = time.perf_counter()
        parts = []
        for first in range(0, x.shape[1], CHUNK):
            parts.append(run_int(deployment.integer, x[:, first : first + CHUNK]))
            if progress is not None:
                progress(min(first + CHUNK, x.shape[1]), x.shape[1])
        answer = np.concatenate([p.answer for p in parts])
        recordings = _join([p.recordings for p in parts]) if record else {}
        counts = added([p.saturations for p in parts])
        return RunResult(answer, recordings, run_s=time.perf_counter() - start, saturations=counts)


def _join(parts: list[dict[str, Recording]]) -> dict[str, Recording]:
    joined = {}
    for name in parts[0]:
        found = [p[name] for p in parts]
        currents = [r.u for r in found if r.u is not None]
        joined[name] = Recording(
            np.concatenate([r.out for r in found], axis=1),
            np.concatenate([r.v for r in found], axis=1),
            np.concatenate(currents, axis=1) if currents else None,
        )
    return joined


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
        begin = time.perf_counter()
        known = deployment in self._compiled
        compiled = self.compiled(deployment)
        source = deployment.integer.input.name
        asked: dict[str, Any] = {"timing": self.timing, "host": self.host, "device": self.device}
        if not known:
            simulate(compiled, {source: x[:, :1]}, record=record, **asked)
        start = time.perf_counter()
        trace: Trace = simulate(compiled, {source: x}, record=record, progress=progress, **asked)
        done = time.perf_counter()
        recordings = _recordings(deployment.integer, trace) if record else {}
        return RunResult(trace.outputs, recordings, start - begin, done - start, trace)

    def compiled(self, deployment: Deployment) -> Compiled:
        """Return the compiled program of a deployment, for its own chip."""
        if deployment not in self._compiled:
            self._compiled[deployment] = compile(deployment.program, deployment.chip)
        return self._compiled[deployment]


def _recordings(graph: Graph, trace: Trace) -> dict[str, Recording]:
    found = {}
    for op in graph:
        if op.name in trace.v:
            decays = isinstance(op, IntNeuron) and op.soma.filters
            found[op.name] = Recording(trace.spikes[op.name], trace.v[op.name], trace.u[op.name] if decays else None)
    return found
