"""Our float64 oracle on one workload, counted by our counter afterwards: ``run_float.py WORKLOAD DELAY TRAINS.npz``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from serve import peak_rss_mib, serve


def load() -> Callable[[], dict[str, object]]:
    """Make the workload."""
    from benchmarks.workloads import float_trains, workload

    name, delay, file = sys.argv[1:4]
    given = workload(name)
    matrices = given.matrices

    def run() -> dict[str, object]:
        begin = time.perf_counter()
        trains = float_trains(given, int(delay))
        seconds = time.perf_counter() - begin
        np.savez(file, *trains[1:])
        fan_out = [np.diff(matrix.tocsc().indptr) for matrix in matrices]
        sops = sum(int((train @ fan).sum()) for train, fan in zip(trains, fan_out, strict=False))
        return {"steps": len(given.x), "seconds": seconds, "best_s": seconds, "rss_mib": peak_rss_mib(), "sops": sops}

    return run


if __name__ == "__main__":
    serve(load)
