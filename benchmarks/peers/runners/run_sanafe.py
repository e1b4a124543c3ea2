"""SANA-FE (GPL-3.0) on one workload, in a process and venv of its own: ``run_sanafe.py FILE.npz TIMING THREADS STEPS``.

Its bundled ``loihi.yaml``; sources and layers each on their own cores, 1024 neurons a core. A simulated chip cannot be
rewound, so every run loads a fresh one; only ``sim`` is timed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import sanafe
from serve import peak_rss_mib, serve

NEURONS_PER_CORE = 1024
LIF = {"leak_decay": 0.875, "input_decay": 0.0, "reset": 0.0, "reset_mode": "hard", "force_update": False}
HARDWARE = {
    "soma_hw_name": "loihi_lif",
    "default_synapse_hw_name": "loihi_sparse_synapse",
    "default_dendrite_hw_name": "loihi_dendrites",
}


def network(file: str, arch: object) -> object:
    """Build and map the net of a workload file."""
    data = np.load(file)
    x = data["x"]
    net = sanafe.Network()
    groups = [net.create_neuron_group("in", x.shape[1], model_attributes={})]
    for i, neuron in enumerate(groups[0]):  # every source needs a hardware unit of its own
        neuron.set_attributes(
            soma_hw_name=f"loihi_inputs[{i % NEURONS_PER_CORE}]",
            default_synapse_hw_name="loihi_sparse_synapse",
            dendrite_hw_name="loihi_dendrites",
            model_attributes={"spikes": [bool(s) for s in x[:, i]]},
        )
    for k in range(int(data["layers"])):
        model = {"threshold": float(data[f"threshold{k}"]), **LIF}
        group = net.create_neuron_group(f"l{k}", len(data[f"indptr{k}"]) - 1, model_attributes=model, **HARDWARE)
        targets = np.repeat(np.arange(len(group)), np.diff(data[f"indptr{k}"]))
        order = np.lexsort((targets, data[f"indices{k}"]))
        pairs = list(zip(data[f"indices{k}"][order].tolist(), targets[order].tolist(), strict=True))
        groups[-1].connect_neurons_sparse(group, {"w": data[f"weight{k}"][order].astype(float).tolist()}, pairs)
        groups.append(group)
    first, cores = 0, arch.cores()
    for group in groups:
        for i, neuron in enumerate(group):
            neuron.map_to_core(cores[first + i // NEURONS_PER_CORE])
        first += -(-len(group) // NEURONS_PER_CORE)
    return net


def load() -> Callable[[], dict[str, object]]:
    """Build the net once."""
    file, timing, threads, steps = sys.argv[1:5]
    several = {"processing_threads": int(threads), "scheduler_threads": int(threads) if int(threads) > 1 else 0}
    arch = sanafe.load_loihi()
    net = network(file, arch)
    fresh = []

    def chip() -> object:
        made = sanafe.SpikingChip(arch)
        made.load(net)
        return made

    def run() -> dict[str, object]:
        made = fresh.pop() if fresh else chip()
        begin = time.perf_counter()
        result = made.sim(int(steps), timing_model=timing, **several)
        seconds = time.perf_counter() - begin
        return {
            "steps": int(steps),
            "seconds": seconds,
            "best_s": seconds,
            "rss_mib": peak_rss_mib(),
            "sops": int(result["spikes"]),
            "messages": int(result["packets_sent"]),
            "chip_time_s": float(result["sim_time"]),
        }

    fresh.append(chip())
    return run


if __name__ == "__main__":
    serve(load)
