"""neurobench's SynapticOperations on a conv workload (snntorch neurons): ``run_neurobench.py FILE.npz TRAINS.npz``.

A torch stack: no delay between layers; its threshold is strict, its reset is to zero, its decay is a float 7/8.
torch gets the number of threads with which it is fastest here and now.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import snntorch
import torch
from neurobench.benchmarks import Benchmark
from neurobench.metrics.workload import SynapticOperations
from neurobench.models import SNNTorchModel
from serve import peak_rss_mib, serve
from torch import nn


def network(data: dict[str, np.ndarray]) -> nn.Sequential:
    """Build the conv net."""
    stages: list[nn.Module] = []
    layers = int(data["layers"])
    for k in range(layers):
        if k == layers - 1:
            stages.append(nn.Flatten())
        weight = torch.tensor(data[f"torch{k}"]).float()
        if weight.dim() == 4:
            stage: nn.Module = nn.Conv2d(weight.shape[1], weight.shape[0], 3, int(data[f"stride{k}"]), bias=False)
        else:
            stage = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        with torch.no_grad():
            stage.weight.copy_(weight)
        threshold, last = float(data[f"threshold{k}"]), k == layers - 1
        neuron = snntorch.Leaky(beta=0.875, threshold=threshold, reset_mechanism="zero", init_hidden=True, output=last)
        stages += [stage, neuron]
    return nn.Sequential(*stages).eval()


def load() -> Callable[[], dict[str, object]]:
    """Build the net and its benchmark."""
    warnings.filterwarnings("ignore")
    file, trains = sys.argv[1:3]
    data = dict(np.load(file))
    x = torch.tensor(data["x_shaped"]).float()[None]  # one sample, (T, C, H, W)
    net = network(data)
    spikes: list[list[np.ndarray]] = []
    for module in net:
        if isinstance(module, snntorch.Leaky):
            found: list[np.ndarray] = []
            spikes.append(found)
            module.register_forward_hook(lambda _m, _i, out, found=found: found.append(_first(out).numpy().ravel() > 0))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, torch.zeros(1)), batch_size=1)
    bench = Benchmark(SNNTorchModel(net), loader, [], [], [[], [SynapticOperations]])

    def run() -> dict[str, object]:
        for found in spikes:
            found.clear()
        with torch.no_grad():
            begin = time.perf_counter()
            result = bench.run(quiet=True)["SynapticOperations"]
            seconds = time.perf_counter() - begin
        np.savez(trains, *[np.array(found, np.int64) for found in spikes])
        counted = int(result["Effective_ACs"] + result["Effective_MACs"])
        return {"steps": x.shape[1], "seconds": seconds, "best_s": seconds, "rss_mib": peak_rss_mib(), "sops": counted}

    def seconds_on(threads: int) -> float:
        torch.set_num_threads(threads)
        run()
        return float(run()["seconds"])

    torch.set_num_threads(min(range(1, len(os.sched_getaffinity(0)) + 1), key=seconds_on))
    return run


def _first(out: object) -> torch.Tensor:
    return out[0] if isinstance(out, tuple) else out


if __name__ == "__main__":
    serve(load)
