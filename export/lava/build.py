"""Plan -> real Lava processes, connected; runs in the child process, where ``lava`` may be imported.

Grids are flat in C order; around ``Conv``, which works in (W, H, C), messages are reshaped and transposed on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from lava.proc.conv.process import Conv
from lava.proc.dense.process import Dense
from lava.proc.lif.process import LIFReset
from lava.proc.sparse.process import Sparse
from scipy.sparse import csr_matrix, identity

from spikewright.export.lava.nodes import Edge, Node, Plan
from spikewright.export.lava.processes.process import (
    Anchor,
    Delay,
    Feed,
    Neuron,
    Recorder,
    WideSynapses,
)


def _sparse(weights: Any, **options: Any) -> Any:
    return Sparse(weights=csr_matrix(weights), **options)


def _identity(size: int, weight: int, **options: Any) -> Any:
    return Sparse(weights=(identity(size, np.int32, "csr") * weight).astype(np.int32), **options)


MAKERS: dict[str, Callable[..., Any]] = {
    "conv": Conv,
    "dense": Dense,
    "sparse": _sparse,
    "identity": _identity,
    "lif": LIFReset,
    "feed": Feed,
    "neuron": Neuron,
    "delay": Delay,
    "wide": WideSynapses,
    "recorder": Recorder,
    "anchor": Anchor,
}
"""Kind of a node -> its process; the first five are stock Lava."""


def assemble(plan: Plan) -> list[Any]:
    """Make and connect all processes of a plan."""
    made = {node.name: _make(node) for node in plan.nodes}
    kinds = {node.name: node.kind for node in plan.nodes}
    for edge in plan.edges:
        if kinds[edge.source] == "recorder":
            getattr(made[edge.source], edge.port).connect_var(getattr(made[edge.target], edge.port))
        else:
            _connect(made[edge.source], made[edge.target], edge)
    return list(made.values())


def _make(node: Node) -> Any:
    return MAKERS[node.kind](**node.parameters)


def _connect(source: Any, target: Any, edge: Edge) -> None:
    port = source.tick if edge.port == "together" else source.a_out if hasattr(source, "a_out") else source.s_out
    if isinstance(source, Conv):
        port = port.transpose((2, 1, 0)).flatten()
    into = getattr(target, edge.port)
    if isinstance(target, Conv):
        port = port.reshape(into.shape[::-1]).transpose((2, 1, 0))
    port.connect(into)
