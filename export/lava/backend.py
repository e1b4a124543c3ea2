"""``LavaBackend``: runs an integer graph in Lava, in a child process that is watched and can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np

from export.lava.compat import INSTALL, available
from export.lava.nodes import Plan, save
from export.lava.plan import INPUT_FILE, plan
from hw_sim import Program
from toolchain.backends import IntArray, Progress, Recording, RunResult
from toolchain.errors import BackendError, InputError
from toolchain.int_ops import IntInput, IntOutput
from toolchain.ir import Graph

POLL_S = 0.02
"""How often the parent looks at the child, in seconds."""
GRACE_S = 10.0
"""How long a child that is done may take to stop its processes, in seconds."""
BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from pathlib import Path; from export.lava.child import main; main(Path(sys.argv[1]))"
)


@dataclass(frozen=True)
class LavaBackend:
    """Run integer graphs in lava-nc 0.10.0's fixed-point models, bit for bit what ``toolchain.interpret.run_int`` computes.

    Args:
        stall_s: Seconds without progress after which the child counts as hung and is killed.
    """

    stall_s: float = 120.0
    name: str = "lava"

    def run(
        self,
        graph: Graph,
        program: Program | None,
        x: IntArray,
        *,
        record: bool = False,
        progress: Progress | None = None,
    ) -> RunResult:
        """Run payloads ``x`` (T, B, *shape); ``program`` is not looked at.

        Raises:
            BackendError: Lava is missing, died (with its traceback), hung, or cannot hold a value.
            InputError: ``x`` does not fit the input.
        """
        installed, what = available()
        if not installed:
            raise BackendError("lava-nc is not installed", where="backend 'lava'", help=what)
        payloads = _payloads(graph, x)
        with tempfile.TemporaryDirectory(prefix="spikeforge-lava-") as place:
            folder = Path(place)
            samples, timesteps = payloads.shape[:2]
            net = plan(graph, timesteps, samples, folder, record=record)
            save(net, folder)
            np.save(folder / INPUT_FILE, payloads)
            _open_records(graph, net, folder, (samples, timesteps))
            seconds = _Child(net, folder, samples, timesteps, self.stall_s, progress).watch()
            found = {name: _recording(graph, name, files, folder) for name, files in net.records.items()}
        answer = _answer(graph, found)
        return RunResult(answer, found if record else {}, startup_s=seconds["started"], run_s=seconds["done"])


# ------------------------------------------------------------------------------------------------ data
def _payloads(graph: Graph, x: IntArray) -> np.ndarray:
    """Return payloads as (B, T, n) int32, checked against the input's shape and bits."""
    op = next(op for op in graph if isinstance(op, IntInput))
    x = np.asarray(x)
    where = f"input {op.name!r}"
    if x.ndim < 2 or min(x.shape[:2]) < 1 or prod(x.shape[2:]) != prod(op.shape):
        raise InputError(
            f"payloads of shape {x.shape}; (T, B, {', '.join(map(str, op.shape))}) with T and B of at least 1 is allowed",
            where=where,
            help="give the input the net was deployed for",
        )
    low, high = (-(1 << op.payload_bits) if op.signed else 0), (1 << op.payload_bits) - 1
    if x.dtype.kind not in "iub" or x.min() < low or x.max() > high:
        raise InputError(
            f"payloads of type {x.dtype} from {x.min()} to {x.max()}; integers in {low} .. {high} are allowed",
            where=where,
            help="encode the data with the bundle's own encoder",
        )
    return np.ascontiguousarray(x.reshape((*x.shape[:2], -1)).swapaxes(0, 1), np.int32)


def _open_records(graph: Graph, net: Plan, folder: Path, grid: tuple[int, int]) -> None:
    for name, files in net.records.items():
        op: Any = graph[name]
        for file in files.values():
            np.lib.format.open_memmap(folder / file, "w+", np.int32, (*grid, prod(op.shape)))


def _recording(graph: Graph, name: str, files: Mapping[str, str], folder: Path) -> Recording:
    op: Any = graph[name]
    states = {}
    for state, file in files.items():
        rows = np.load(folder / file).astype(np.int64).swapaxes(0, 1)
        states[state] = rows.reshape((*rows.shape[:2], *op.shape))
    return Recording(**states)


def _answer(graph: Graph, found: Mapping[str, Recording]) -> IntArray:
    output = next(op for op in graph if isinstance(op, IntOutput))
    source = found[output.inputs[0]]
    value = source.v[-1] if output.readout == "membrane" else source.out.sum(axis=0)
    return value.reshape(value.shape[0], -1)


# ----------------------------------------------------------------------------------------------- child
class _Child:
    """One child process from its start to its end; whatever happens, nothing of it stays."""

    def __init__(
        self, net: Plan, folder: Path, samples: int, timesteps: int, stall_s: float, progress: Progress | None
    ) -> None:
        self.net, self.folder, self.samples, self.timesteps = net, folder, samples, timesteps
        self.stall_s, self.progress = stall_s, progress
        self.seconds: dict[str, float] = {}
        self.read = 0

    def watch(self) -> dict[str, float]:
        """Run to the end and return the seconds of start-up and run."""
        command = [sys.executable, "-c", BOOT, str(self.folder), json.dumps([p or os.getcwd() for p in sys.path])]
        with (self.folder / "output.txt").open("wb") as output:
            child = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        try:
            self._follow(child)
        finally:
            _end(child)
            self._unlink_shared_memory()
        return self.seconds

    def _follow(self, child: subprocess.Popen[bytes]) -> None:
        last = monotonic()
        while "done" not in self.seconds:
            ended = child.poll() is not None
            if self._news():
                last = monotonic()
            elif (self.folder / "errors.txt").exists() or ended:
                sleep(POLL_S)  # let the traceback be written to its end
                raise self._death(child)
            elif monotonic() - last > self.stall_s:
                raise self._stall()
            else:
                sleep(POLL_S)
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            return  # its results are complete; it is killed with its group

    def _news(self) -> bool:
        """Read new lines of the child's status and say whether there were any."""
        status = self.folder / "status.jsonl"
        text = status.read_text() if status.exists() else ""
        lines = text[self.read : text.rfind("\n") + 1]
        self.read += len(lines)
        for line in lines.splitlines():
            event = json.loads(line)
            if event["event"] == "steps":
                self._advance(event["steps"])
            else:
                self.seconds[event["event"]] = event["seconds"]
        return bool(lines)

    def _advance(self, steps: int) -> None:
        if self.progress is not None:
            lead = self.net.steps - (self.samples - 1) * self.net.period
            self.progress(min(self.samples, max(0, (steps - lead) // self.net.period + 1)), self.samples)

    def _death(self, child: subprocess.Popen[bytes]) -> BackendError:
        errors = self.folder / "errors.txt"
        text = errors.read_text() if errors.exists() else (self.folder / "output.txt").read_text(errors="replace")
        return BackendError(
            f"a Lava process died (exit code {child.poll()}):\n{text.strip()[-4000:]}",
            where="backend 'lava'",
            help=f"the net runs with --backend hw_sim; Lava is reinstalled with: {INSTALL}",
        )

    def _stall(self) -> BackendError:
        output = (self.folder / "output.txt").read_text(errors="replace").strip()[-2000:]
        return BackendError(
            f"no progress for {self.stall_s:g} s; killed. Its last words: {output or 'none'}",
            where="backend 'lava'",
            help="run fewer samples at a time, or use --backend hw_sim",
        )

    def _unlink_shared_memory(self) -> None:
        names = self.folder / "shm.txt"
        for name in names.read_text().split() if names.exists() else ():
            (Path("/dev/shm") / name).unlink(missing_ok=True)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child's whole group: process models outlive a parent that dies."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()
