"""Place: renumber cores so that those which talk much sit close: fewer messages times hops, the work unchanged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Chip, Program, Trace
from spikewright.hw_sim.noc import coordinates
from spikewright.toolchain.mapping.partition import cores_used

Traffic = NDArray[np.float64]


def traffic(program: Program, trace: Trace) -> Traffic:
    """Return an estimate of the messages between every pair of cores, both ways: spikes of a run, to every core they reach."""
    cores = cores_used(program)
    sent = np.zeros((cores, cores))
    for projection in program.projections:
        source, target = program.population(projection.source), program.population(projection.target)
        if int(source.core.max(initial=-1)) < 0 or int(target.core.max(initial=-1)) < 0:
            continue
        spikes = trace.populations[source.name].spikes
        from_core, share = np.unique(source.core, return_counts=True)
        to_core = np.unique(target.core)
        gap = np.abs(np.arange(len(from_core))[:, None] - np.arange(len(to_core))[None, :])
        near = (gap <= 1) if len(from_core) == len(to_core) else np.ones(gap.shape, bool)
        sent[np.ix_(from_core, to_core)] += near * (spikes * share / source.size)[:, None]
    return sent + sent.T


def place(program: Program, chip: Chip, trace: Trace) -> Program:
    """Swap core numbers while that lowers messages times hops; deterministic."""
    sent = traffic(program, trace)
    cores = sent.shape[0]
    x, y = coordinates(chip.mesh, np.arange(cores, dtype=np.int64))
    distance = (np.abs(x[:, None] - x[None, :]) + np.abs(y[:, None] - y[None, :])).astype(np.float64)
    where = np.arange(cores)
    np.fill_diagonal(sent, 0.0)
    improved = True
    while improved:
        improved = False
        for a in range(cores):
            gain = _gains(sent, distance[np.ix_(where, where)], a)
            b = int(gain.argmax())
            if gain[b] > 1e-9 * sent.sum():
                where[[a, b]] = where[[b, a]]
                improved = True
    moved = where.astype(np.int32)
    populations = tuple(
        p if int(p.core.max(initial=-1)) < 0 else replace(p, core=moved[p.core]) for p in program.populations
    )
    return replace(program, populations=populations)


def _gains(sent: Traffic, distance: Traffic, a: int) -> Traffic:
    """Return by how much messages times hops fall if core ``a`` changes places with each other core."""
    now: Traffic = (sent * distance).sum(axis=1)
    moved: Traffic = distance @ sent[a] + sent @ distance[a] + 2 * sent[a] * distance[a]
    fallen: Traffic = now[a] + now - moved
    return fallen
