"""Small NIR graphs for the tests of the importer, and the float run of one."""

from __future__ import annotations

import nir
import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.interpret import run_float

DT = 1e-3
T = 12


def chain(*nodes: nir.NIRNode, shape: tuple[int, ...], out: tuple[int, ...], **metadata: object) -> nir.NIRGraph:
    """input -> n0 -> n1 -> ... -> output."""
    names = ["input", *(f"n{k}" for k in range(len(nodes))), "output"]
    members = [nir.Input(np.array(shape)), *nodes, nir.Output(np.array(out))]
    edges = [(names[k], names[k + 1]) for k in range(len(names) - 1)]
    known = {"dt": DT, "timesteps": T, **metadata}
    return nir.NIRGraph(dict(zip(names, members, strict=True)), edges, metadata=known, type_check=False)


def net(nodes: dict[str, nir.NIRNode], *edges: str, size: int = 3) -> nir.NIRGraph:
    """Edges as "a>b"; input and output of ``size``."""
    members = {"input": nir.Input(np.array([size])), "output": nir.Output(np.array([size])), **nodes}
    pairs = [(e.split(">")[0], e.split(">")[1]) for e in edges]
    return nir.NIRGraph(members, pairs, metadata={"dt": DT, "timesteps": T}, type_check=False)


def run(graph: nir.NIRGraph, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The signal at the output, batch of one: (T, *shape)."""
    return run_float(from_nir(graph), x[:, None])["output"][:, 0]


def lif(size: int = 3, tau: float = 4e-3, **metadata: str) -> nir.LIF:
    full = np.full(size, 1.0)
    return nir.LIF(full * tau, full * 3, full * 0.1, full * 0.5, full * 0.05, metadata=dict(metadata))
