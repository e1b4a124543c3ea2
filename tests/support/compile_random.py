"""The compiler's road for random nets, without files: float graph and data in, aligned integer graph and payloads out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array
from spikewright.toolchain.passes.align import Align
from spikewright.toolchain.passes.lower_bias import LowerBias
from spikewright.toolchain.passes.lower_gates import LowerGates
from spikewright.toolchain.passes.lower_max_pool import LowerMaxPool
from spikewright.toolchain.passes.normal_form import NormalForm
from spikewright.toolchain.passes.quantize import InputCode, Quantize
from spikewright.toolchain.verify import verify


def lower(graph: Graph) -> Graph:
    """Return the graph after all float passes, causal gates."""
    for step in (NormalForm(), LowerMaxPool(), LowerGates("causal"), NormalForm("all"), LowerBias()):
        graph = step(graph)
    verify(graph, level="lowered")
    return graph


def compile_random(graph: Graph, x: Array) -> tuple[Graph, NDArray[np.int64]]:
    """Return the aligned integer graph and its integer input."""
    code = InputCode("binary") if x.max(initial=0) <= 1 else InputCode("counts", float(x.max()))
    aligned = Align()(Quantize(input=code)(lower(graph)))
    verify(aligned, level="aligned")
    return aligned, x.astype(np.int64)
