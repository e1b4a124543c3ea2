"""Answer requests on standard input, one JSON line each; standard library only, for it runs inside every simulator's own venv.

The parent sends one line ``run``; the runner answers ``{"steps", "seconds", "rss_mib", ...}``. The first line a runner
writes, unasked, is ``{"load_s"}``: seconds from the start of its process to being ready, imports and all.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path


def serve(load: Callable[[], Callable[[], dict[str, object]]]) -> None:
    """Load, then run once for every line that arrives; whatever else is printed goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    run = load()
    answers.write(json.dumps({"load_s": process_age_s()}) + "\n")
    for _ in sys.stdin:
        answers.write(json.dumps(run()) + "\n")


def process_age_s() -> float:
    """Return how long ago this process was started (s, to a hundredth)."""
    up = float(Path("/proc/uptime").read_text().split()[0])
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return up - started


def peak_rss_mib() -> float:
    """Return the largest resident memory this process has had, in MiB (of this program, not of the one that started it)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no VmHWM line")
