"""A backend of your own: the interpreter, one sample at a time; ``compare`` then proves that no sample depends on its batch.

Your package names it as an entry point, and nothing else is needed:

    [project.entry-points."spikewright.backends"]
    one-by-one = "one_by_one:OneByOne"

    spikewright run DIR --backend one-by-one
    spikewright compare DIR --backends hw_sim one-by-one
"""

from __future__ import annotations

import time

import numpy as np

from spikewright.toolchain.backends import IntArray, Progress, Recording, RunResult
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.interpret import run_int


class OneByOne:
    """Runs the integer graph; one that reads the mapped program takes ``deployment.program`` instead."""

    name = "one-by-one"
    counts = False  # it has no counters of events

    def run(
        self, deployment: Deployment, x: IntArray, *, record: bool = False, progress: Progress | None = None
    ) -> RunResult:
        """Run integer payloads (T, B, *shape)."""
        start, parts = time.perf_counter(), []
        for i in range(x.shape[1]):
            parts.append(run_int(deployment.integer, x[:, i : i + 1]))
            if progress is not None:
                progress(i + 1, x.shape[1])
        answer = np.concatenate([part.answer for part in parts])
        recordings = {name: joined([part.recordings[name] for part in parts]) for name in parts[0].recordings}
        return RunResult(answer, recordings if record else {}, run_s=time.perf_counter() - start)


def joined(samples: list[Recording]) -> Recording:
    """Join the recordings of single samples along B."""
    out, v = (np.concatenate([getattr(s, part) for s in samples], axis=1) for part in ("out", "v"))
    currents = [s.u for s in samples if s.u is not None]
    return Recording(out, v, np.concatenate(currents, axis=1) if currents else None)
