"""lava-nc's CPU back end (fixed point) on one fc workload: ``run_lava.py FILE.npz sparse|dense STEPS TRAINS.npz``.

Every run builds its processes anew; the first step starts them and is not timed, the other steps are.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from serve import serve

DECAY_U, DECAY_V = 4095, 512  # Lava adds 1 to du where it decays u: 4095 forgets everything


def load() -> Callable[[], dict[str, object]]:
    """Import Lava, repaired for this interpreter."""
    from spikewright.export.lava import compat

    compat.prepare(Path(tempfile.gettempdir()) / f"lava-errors-{os.getpid()}.txt")
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.dense.process import Dense
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source
    from lava.proc.lif.process import LIF
    from lava.proc.sparse.process import Sparse

    file, kind, steps, trains = sys.argv[1:5]
    data = np.load(file)
    n, last = data["x"].shape[1], int(steps)

    def run() -> dict[str, object]:
        source = Source(data=data["x"][:last].T.astype(int))
        before, sinks = source, []
        for k in range(int(data["layers"])):
            weights = sp.csr_matrix((data[f"weight{k}"], data[f"indices{k}"], data[f"indptr{k}"]), shape=(n, n))
            synapses = Sparse(weights=weights) if kind == "sparse" else Dense(weights=weights.toarray())
            threshold = int(data[f"threshold{k}"])
            neurons = LIF(shape=(n,), vth=threshold, du=DECAY_U, dv=DECAY_V, bias_mant=0)
            sinks.append(Sink(shape=(n,), buffer=last))
            before.s_out.connect(synapses.s_in)
            synapses.a_out.connect(neurons.a_in)
            neurons.s_out.connect(sinks[-1].a_in)
            before = neurons
        config = Loihi2SimCfg(select_tag="fixed_pt")
        source.run(condition=RunSteps(num_steps=1), run_cfg=config)
        begin = time.perf_counter()
        source.run(condition=RunSteps(num_steps=last - 1), run_cfg=config)
        seconds = time.perf_counter() - begin
        np.savez(trains, *[sink.data.get().T.astype(np.int64) for sink in sinks])
        rss = _memory_mib()
        source.stop()
        return {"steps": last - 1, "seconds": seconds, "best_s": seconds, "rss_mib": rss}

    return run


def _memory_mib() -> float:
    """Return the proportional memory of this process and its children, in MiB; pages they share count once."""
    total = 0
    for pid in ["self", *(child.pid for child in multiprocessing.active_children())]:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


if __name__ == "__main__":
    serve(load)
