"""brian2-loihi (numpy target) on one fc workload, in a venv of its own: ``run_brian2_loihi.py FILE.npz STEPS TRAINS.npz``.

Every run builds the net anew; the first step generates code and is not timed. The numpy target is its fastest here: the cython
target needs most of a minute to compile and runs slower.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import brian2_loihi as bl
import numpy as np
from brian2 import prefs
from serve import peak_rss_mib, serve

DECAY_V, FORGET = 512, 4096  # of 4096


def load() -> Callable[[], dict[str, object]]:
    """Read the workload."""
    prefs.codegen.target = "numpy"
    file, steps, trains = sys.argv[1:4]
    data = np.load(file)
    n, last = data["x"].shape[1], int(steps)

    def run() -> dict[str, object]:
        net = bl.LoihiNetwork()
        when, which = np.nonzero(data["x"][:last])
        before = bl.LoihiSpikeGeneratorGroup(n, which.tolist(), (when + 1).tolist())
        parts, monitors = [before], []
        for k in range(int(data["layers"])):
            threshold = int(data[f"threshold{k}"])
            group = bl.LoihiNeuronGroup(n, refractory=1, threshold_v_mant=threshold, decay_v=DECAY_V, decay_I=FORGET)
            synapses = bl.LoihiSynapses(before, group, sign_mode=bl.synapse_sign_mode.MIXED)
            targets = np.repeat(np.arange(n), np.diff(data[f"indptr{k}"]))
            kept = data[f"weight{k}"] != 0
            synapses.connect(i=data[f"indices{k}"][kept], j=targets[kept])
            synapses.w = data[f"weight{k}"][kept].astype(int)
            monitors.append(bl.LoihiSpikeMonitor(group))
            parts += [group, synapses, monitors[-1]]
            before = group
        net.add(*parts)
        net.run(1)
        begin = time.perf_counter()
        net.run(last - 1)
        seconds = time.perf_counter() - begin
        np.savez(trains, *[_train(monitor, last, n) for monitor in monitors])
        return {"steps": last - 1, "seconds": seconds, "best_s": seconds, "rss_mib": peak_rss_mib()}

    return run


def _train(monitor: object, steps: int, n: int) -> np.ndarray:
    """Return the spikes of a monitor as (T, n)."""
    train = np.zeros((steps, n), np.int64)
    train[np.asarray(monitor.t).astype(int), np.asarray(monitor.i)] = 1
    return train


if __name__ == "__main__":
    serve(load)
