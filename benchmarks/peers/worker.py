"""A simulator in a process of its own that runs once for every line sent to it; two of them take turns in one measurement."""

from __future__ import annotations

import json
import os
import select
import signal
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import ROOT

RUNNERS = Path(__file__).resolve().parent / "runners"
ANSWER_LIMIT_S = 900


class WorkerError(RuntimeError):
    """A simulator died or did not answer; the text is its last line."""


class Worker:
    """One runner, started; ``load_s`` is its start-up as it says (imports, building and loading the net)."""

    def __init__(self, python: Path, script: str, arguments: list[str], log: Path) -> None:
        self.log = log
        self.errors = log.open("wb")
        # Only ours and Lava's runner import from this repository; the search path is how they find it.
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [str(python), str(RUNNERS / script), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, cwd=ROOT, env=environment,
            start_new_session=True,
        )  # fmt: skip
        self.load_s = float(self._answer()["load_s"])

    def run(self) -> dict[str, Any]:
        """Ask for one run and return its answer."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(b"run\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerError(self._last_words()) from error
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], ANSWER_LIMIT_S)
        line = self.process.stdout.readline() if ready else b""
        if not line:
            self.close()
            raise WorkerError(self._last_words())
        return dict(json.loads(line))

    def _last_words(self) -> str:
        last = [text for text in self.log.read_text(errors="replace").splitlines() if text.strip()]
        return last[-1] if last else f"no answer within {ANSWER_LIMIT_S} s"

    def close(self) -> None:
        """End the process and everything it started."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Speed:
    """Timesteps per second: median over the turns, and the fastest single run (nearest to an idle machine)."""

    steps_per_s: float
    best_steps_per_s: float
    rss_mib: float
    load_s: float
    last: dict[str, Any]


def alternate(first: Worker, second: Worker, turns: int) -> tuple[Speed, Speed]:
    """Let two workers run in turns and return the speed of each."""
    answers: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for _ in range(turns):
        for worker, found in zip((first, second), answers, strict=True):
            found.append(worker.run())
            time.sleep(0.05)  # let the other's threads fall asleep
    return _speed(first, answers[0]), _speed(second, answers[1])


def _speed(worker: Worker, answers: list[dict[str, Any]]) -> Speed:
    return Speed(
        statistics.median(a["steps"] / a["seconds"] for a in answers),
        max(a["steps"] / a["best_s"] for a in answers),
        max(float(a["rss_mib"]) for a in answers),
        worker.load_s,
        answers[-1],
    )
