"""Whether a simulator's counts or spikes are ours, exactly; and the plain file it reads its workload from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.catalogue import Peer
from benchmarks.workloads import STEPS, Workload, count_sops
from spikewright import hw_sim
from spikewright.hw_sim import ConvSynapses, DenseSynapses


def write(given: Workload, file: Path) -> None:
    """Write a workload: ``x`` (T, n), per layer its threshold and its weights as lists by target, and as torch has them."""
    arrays: dict[str, Any] = {"x": given.x.reshape(len(given.x), -1).astype(np.uint8), "layers": len(given.layers)}
    arrays["x_shaped"] = given.x.astype(np.uint8)
    for k, (layer, matrix) in enumerate(zip(given.layers, given.matrices, strict=True)):
        arrays[f"threshold{k}"] = layer.threshold
        arrays |= {f"indptr{k}": matrix.indptr, f"indices{k}": matrix.indices, f"weight{k}": matrix.data}
        if isinstance(layer.synapses, (ConvSynapses, DenseSynapses)):
            arrays[f"torch{k}"] = layer.synapses.weight
        if isinstance(layer.synapses, ConvSynapses):
            arrays[f"stride{k}"] = layer.synapses.stride[0]
    np.savez(file, **arrays)


def compare(peer: Peer, given: Workload, answer: dict[str, Any], trains: Path) -> tuple[bool, str]:
    """Return whether all that must be equal is, and both numbers in words."""
    steps = peer.steps[given.name]
    known = peer.known.get(given.name) if steps == STEPS else None
    if peer.equal == "trains":
        return _trains(given, trains, steps, known)
    if peer.equal == "counter":
        with np.load(trains) as file:
            theirs = [file[key] for key in file.files]
        ours = sum(count_sops(given, [given.x, *theirs]))
    else:
        ours = _sops(given, steps)
    exact = ours == answer["sops"] and (known is None or known == (ours,))
    return exact, f"SOPs in {steps} steps: {ours:,} ours, {answer['sops']:,} theirs"


def _sops(given: Workload, steps: int) -> int:
    trace = hw_sim.simulate(given.program("one_late"), {"in": given.x[:steps, None]}, steps=steps)
    return int(trace.sops.sum())


def _trains(given: Workload, file: Path, steps: int, known: tuple[int, ...] | None) -> tuple[bool, str]:
    trace = hw_sim.simulate(given.program("at_once"), {"in": given.x[:steps, None]}, steps=steps, record=True)
    ours = [trace.spikes[layer.name].reshape(steps, -1) for layer in given.layers]
    with np.load(file) as found:
        theirs = [found[key] for key in found.files]
    same = all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    counts = tuple(int(a.sum()) for a in ours), tuple(int(a.sum()) for a in theirs)
    note = f"spikes per layer: {counts[0]} ours, {counts[1]} theirs; trains {'equal' if same else 'differ'}"
    return same and (known is None or known == counts[0]), note
