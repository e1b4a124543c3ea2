"""The two backends at home: the interpreter (the oracle) and the machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from spikewright.hw_sim import Compiled, Program, Trace, compile, simulate
from spikewright.hw_sim.chip import load_chip
from spikewright.toolchain.backends import IntArray, Progress, Recording, RunResult
from spikewright.toolchain.deployment import CHUNK
from spikewright.toolchain.errors import BackendError
from spikewright.toolchain.integer import IntInput, IntNeuron
from spikewright.toolchain.interpret import run_int
from spikewright.toolchain.ir import Graph


class InterpreterBackend:
    """The meaning of the integer ops, in numpy."""

    name: ClassVar[str] = "interpreter"

    def run(
        self,
        graph: Graph,
        program: Program | None,
        x: IntArray,
        *,
        record: bool = False,
        progress: Progress | None = None,
    ) -> RunResult:
        """Run chunk by chunk."""
        start = time.perf_counter()
        parts = []
        for first in range(0, x.shape[1], CHUNK):
            parts.append(run_int(graph, x[:, first : first + CHUNK]))
            if progress is not None:
                progress(min(first + CHUNK, x.shape[1]), x.shape[1])
        answer = np.concatenate([p.answer for p in parts])
        recordings = _join([p.recordings for p in parts]) if record else {}
        return RunResult(answer, recordings, run_s=time.perf_counter() - start)


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
    """The machine: exact dynamics with counters and timing.

    Args:
        timing: How the time of a chip step is found; see ``hw_sim.simulate``.
        device: Where drives and LIF scans run; see ``hw_sim.simulate``.
    """

    name: ClassVar[str] = "hw_sim"
    timing: Literal["analytic", "cycle"] = "analytic"
    device: Literal["cpu", "cuda"] = "cpu"

    def run(
        self,
        graph: Graph,
        program: Program | None,
        x: IntArray,
        *,
        record: bool = False,
        progress: Progress | None = None,
    ) -> RunResult:
        """Compile and load the kernels by one sample (both counted as start-up), then simulate the program."""
        if program is None:
            raise BackendError("needs a mapped program", where="backend 'hw_sim'", help="deploy the model first")
        begin = time.perf_counter()
        compiled: Compiled = compile(program, load_chip(program.chip))
        source = next(op.name for op in graph if isinstance(op, IntInput))
        simulate(compiled, {source: x[:, :1]}, record=record, timing=self.timing, device=self.device)
        start = time.perf_counter()
        trace: Trace = simulate(
            compiled, {source: x}, record=record, timing=self.timing, device=self.device, progress=progress
        )
        done = time.perf_counter()
        recordings = _recordings(graph, trace) if record else {}
        return RunResult(trace.outputs, recordings, start - begin, done - start, trace)


def _recordings(graph: Graph, trace: Trace) -> dict[str, Recording]:
    found = {}
    for op in graph:
        if op.name in trace.v:
            decays = isinstance(op, IntNeuron) and op.soma.filters
            found[op.name] = Recording(trace.spikes[op.name], trace.v[op.name], trace.u[op.name] if decays else None)
    return found
