"""Watch a Lava child process from its start to its end; a death or a stall becomes an error, and nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from spikewright.export.lava.child import unlink_shared_memory
from spikewright.export.lava.compat import INSTALL
from spikewright.toolchain.backends import Progress
from spikewright.toolchain.errors import BackendError

POLL_S = 0.02
"""How often the parent looks at the child, in seconds."""
BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from pathlib import Path; from spikewright.export.lava.child import main; main(Path(sys.argv[1]), int(sys.argv[3]))"
)
"""What the child runs: it finds the same packages as its parent, wherever they were imported from, and knows its parent."""


@dataclass(frozen=True)
class Job:
    """The timeline of one net: ``steps`` in all, a sample every ``period``."""

    samples: int
    period: int
    steps: int

    def done(self, steps: int) -> int:
        """Return how many samples have left the net after ``steps``."""
        first = self.steps - (self.samples - 1) * self.period
        return min(self.samples, max(0, (steps - first) // self.period + 1))


class Child:
    """One child process; ``folder`` holds what it shares with its parent (see ``export.lava.child``)."""

    def __init__(self, folder: Path, jobs: Sequence[Job], stall_s: float, progress: Progress | None) -> None:
        self.folder, self.jobs, self.stall_s, self.progress = folder, jobs, stall_s, progress
        self.times: dict[str, float] = {}
        self.read = 0

    def watch(self) -> tuple[float, float]:
        """Run to the end and return the seconds of start-up and of the run.

        Raises:
            BackendError: The child died or stalled.
        """
        paths = json.dumps([p or os.getcwd() for p in sys.path])
        command = [sys.executable, "-c", BOOT, str(self.folder), paths, str(os.getpid())]
        within = {**os.environ, "TMPDIR": str(self.folder)}  # what Lava leaves goes with the folder
        began = monotonic()
        with (self.folder / "output.txt").open("wb") as output:
            child = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, env=within)
        try:
            self._follow(child)
        finally:
            _end(child)
            unlink_shared_memory(self.folder)
        return self.times["started"] - began, self.times["done"] - self.times["started"]

    def _follow(self, child: subprocess.Popen[bytes]) -> None:
        last = monotonic()
        while "done" not in self.times:
            ended = child.poll() is not None
            if self._news():
                last = monotonic()
            elif ended or (self.folder / "errors.txt").exists():
                sleep(POLL_S)  # the traceback may still be on its way
                raise self._death(child)
            elif monotonic() - last > self.stall_s:
                raise self._stall()
            else:
                sleep(POLL_S)

    def _news(self) -> bool:
        """Read new lines of the child's status and say whether there were any."""
        status = self.folder / "status.jsonl"
        text = status.read_text() if status.exists() else ""
        lines = text[self.read : text.rfind("\n") + 1]
        self.read += len(lines)
        for line in lines.splitlines():
            event = json.loads(line)
            if event["event"] != "steps":
                self.times[event["event"]] = event["at"]
            elif self.progress is not None:
                done = sum(job.done(event["steps"]) for job in self.jobs)
                self.progress(done, sum(job.samples for job in self.jobs))
        return bool(lines)

    def _death(self, child: subprocess.Popen[bytes]) -> BackendError:
        errors = self.folder / "errors.txt"
        text = errors.read_text() if errors.exists() else (self.folder / "output.txt").read_text(errors="replace")
        state = "waiting for it" if child.poll() is None else f"exit code {child.poll()}"
        return BackendError(
            f"a Lava process died ({state}):\n{text.strip()[-4000:]}",
            where="backend 'lava'",
            help=f"use --backend hw_sim, or install Lava again: {INSTALL}",
        )

    def _stall(self) -> BackendError:
        output = (self.folder / "output.txt").read_text(errors="replace").strip()[-2000:]
        return BackendError(
            f"no progress for {self.stall_s:g} s, killed; its last words: {output or 'none'}",
            where="backend 'lava'",
            help="run fewer samples at a time, or use --backend hw_sim",
        )


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child's whole group: process models outlive a parent that dies."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
