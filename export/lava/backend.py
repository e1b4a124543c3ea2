"""``LavaBackend``: runs integer graphs in Lava, in a child process that is watched and can be killed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from spikewright.export.lava.compat import available
from spikewright.export.lava.nodes import Plan, merge, save
from spikewright.export.lava.plan import INPUT_FILE, gate_file, plan
from spikewright.export.lava.watch import Child
from spikewright.export.lava.watch import Job as Length
from spikewright.toolchain.backends import IntArray, Progress, Recording, RunResult
from spikewright.toolchain.errors import BackendError, InputError
from spikewright.toolchain.integer import IntNeuron, answer_of, life, replays_of, source_of
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.replay import Levels

if TYPE_CHECKING:
    from spikewright.toolchain.deployment import Deployment

Job = tuple[Graph, IntArray] | tuple[Graph, IntArray, Levels]
"""A net, its payloads (T, B, *shape), and gate levels that the host sends."""


@dataclass(frozen=True)
class LavaBackend:
    """Run integer graphs in lava-nc 0.10.0's fixed-point models, bit for bit what ``toolchain.interpret.run_int`` computes.

    Args:
        stall_s: Seconds without progress after which the child counts as hung and is killed.

    Raises:
        BackendError: Lava is not installed.
    """

    stall_s: float = 120.0
    name: ClassVar[str] = "lava"
    counts: ClassVar[bool] = False

    def __post_init__(self) -> None:
        installed, what = available()
        if not installed:
            raise BackendError("lava-nc is not installed", where="backend 'lava'", help=what)

    def run(
        self, deployment: Deployment, x: IntArray, *, record: bool = False, progress: Progress | None = None
    ) -> RunResult:
        """Run payloads ``x`` (T, B, *shape) through the deployment's integer graph.

        Raises:
            BackendError: Lava died (with its traceback), hung, or cannot hold a value.
            InputError: ``x`` does not fit the input.
        """
        return self.run_gated(deployment, x, {}, record=record, progress=progress)

    def run_gated(
        self,
        deployment: Deployment,
        x: IntArray,
        gates: Levels,
        *,
        record: bool = False,
        progress: Progress | None = None,
    ) -> RunResult:
        """Run payloads under gate levels from the host; see ``run``."""
        return self.run_many([(deployment.integer, x, gates)], record=record, progress=progress)[0]

    def run_many(
        self, jobs: Sequence[Job], *, record: bool = False, progress: Progress | None = None
    ) -> list[RunResult]:
        """Run several nets side by side in one Lava run; each result has the seconds of the whole run.

        Args:
            jobs: Graph and payloads of each, and gate levels where its gates come from the host.
            record: Whether every neuron is recorded.
            progress: Called with samples done, samples in all.

        Raises:
            BackendError: As ``run``.
            InputError: As ``run``.
        """
        with tempfile.TemporaryDirectory(prefix="spikewright-lava-") as place:
            folder = Path(place)
            plans = [_prepare(*job[:2], _gates(job), folder / str(i), record) for i, job in enumerate(jobs)]
            save(merge(plans), folder)
            sizes = [Length(np.shape(job[1])[1], net.period, net.steps) for job, net in zip(jobs, plans, strict=True)]
            startup_s, run_s = Child(folder, sizes, self.stall_s, progress).watch()
            return [
                _result(job[0], net, folder / str(i), record, startup_s, run_s)
                for i, (job, net) in enumerate(zip(jobs, plans, strict=True))
            ]


def _gates(job: Job) -> Levels:
    return job[2] if len(job) > 2 else {}


def _prepare(graph: Graph, x: IntArray, gates: Levels, folder: Path, record: bool) -> Plan:
    """Write the payloads, gate levels and empty recordings of one net and return its plan."""
    payloads = _payloads(graph, x)
    samples, timesteps = payloads.shape[:2]
    net = plan(graph, timesteps, samples, folder, record=record)
    folder.mkdir()
    np.save(folder / INPUT_FILE, payloads)
    for gate in replays_of(graph):
        levels = gates.get(gate.name, np.full((timesteps, samples, *gate.shape), gate.soma.idle))
        flat = levels.reshape(timesteps, samples, -1).swapaxes(0, 1)
        np.save(folder / gate_file(graph, gate), np.ascontiguousarray(flat, np.int32))
    for name, files in net.records.items():
        op: Any = graph[name]
        for state, file in files.items():
            kind = np.int64 if state == "u" else np.int32  # u wraps once only, so it can leave 24 bits
            np.lib.format.open_memmap(folder / file, "w+", kind, (samples, timesteps, prod(op.shape)))
    return net


def _payloads(graph: Graph, x: IntArray) -> np.ndarray:
    """Return payloads as (B, T, n) int32, checked against the input's shape and bits."""
    op = source_of(graph)
    x = np.asarray(x)
    where = f"input {op.name!r}"
    if x.ndim < 2 or min(x.shape[:2]) < 1 or prod(x.shape[2:]) != prod(op.shape):
        raise InputError(
            f"payloads of shape {x.shape}; (T, B, {', '.join(map(str, op.shape))}) with T and B of at least 1 is allowed",
            where=where,
            help="give the input the net was deployed for",
        )
    refused = op.soma.refused(x) if x.dtype.kind in "iub" else f"payloads of type {x.dtype}; integers are allowed"
    if refused:
        raise InputError(refused, where=where, help="encode the data with the bundle's own encoder")
    return np.ascontiguousarray(x.reshape((*x.shape[:2], -1)).swapaxes(0, 1), np.int32)


def _result(graph: Graph, net: Plan, folder: Path, record: bool, startup_s: float, run_s: float) -> RunResult:
    found = {name: _recording(graph, name, files, folder) for name, files in net.records.items()}
    return RunResult(_answer(graph, found), found if record else {}, startup_s=startup_s, run_s=run_s)


def _recording(graph: Graph, name: str, files: Mapping[str, str], folder: Path) -> Recording:
    op: Any = graph[name]
    states = {}
    for state, file in files.items():
        rows = np.load(folder / file).astype(np.int64).swapaxes(0, 1)
        states[state] = rows.reshape((*rows.shape[:2], *op.shape))
    return Recording(**states)


def _answer(graph: Graph, found: Mapping[str, Recording]) -> IntArray:
    output = answer_of(graph)
    read, source = graph[output.inputs[0]], found[output.inputs[0]]
    assert isinstance(read, IntNeuron)
    last = life(graph, read, len(source.v)) - 1
    value = source.v[last] if output.readout == "membrane" else source.out.sum(axis=0)
    answer: IntArray = value.reshape(value.shape[0], -1)
    return answer
