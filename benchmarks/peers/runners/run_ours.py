"""hw_sim on one workload, per-core counters and step times included: ``run_ours.py WORKLOAD even|raw TIMING STEPS``."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from serve import peak_rss_mib, serve

AT_LEAST_S = 0.25
"""One turn repeats the run for so long and reports the median."""


def load() -> Callable[[], dict[str, object]]:
    """Compile the workload and run it once, so that the kernels are loaded."""
    from benchmarks.workloads import workload
    from spikewright import hw_sim

    name, weights, timing, steps = sys.argv[1:5]
    given = workload(name, even=weights == "even")
    inputs = {"in": given.x[: int(steps), None]}
    compiled = hw_sim.compile(given.program("one_late"))
    options = {} if timing == "analytic" else {"timing": timing}

    def run() -> dict[str, object]:
        seconds: list[float] = []
        while not seconds or sum(seconds) < AT_LEAST_S:
            begin = time.perf_counter()
            trace = hw_sim.simulate(compiled, inputs, steps=int(steps), **options)
            seconds.append(time.perf_counter() - begin)
        return {
            "steps": int(steps),
            "seconds": statistics.median(seconds),
            "best_s": min(seconds),
            "rss_mib": peak_rss_mib(),
            "sops": int(trace.sops.sum()),
            "messages": int(trace.messages.sum()),
            "chip_time_s": float(trace.latency_s[0]),
        }

    hw_sim.simulate(compiled, inputs, steps=int(steps), **options)
    return run


if __name__ == "__main__":
    serve(load)
