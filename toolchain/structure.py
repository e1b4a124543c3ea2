"""Whether a net's structure can run at all, asked of the passes before any data is read: nothing is evaluated.

The stages are walked without a golden input, once as if the input were spikes and once as if a host had to encode it. What
stops both walks with the same words is no matter of the data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.errors import ToolchainError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array
from spikewright.toolchain.passes.lower_gates import LowerGates, mean_gates
from spikewright.toolchain.passes.lower_pool import too_large
from spikewright.toolchain.passes.quantize import InputCode
from spikewright.toolchain.passes.relay import Relays
from spikewright.toolchain.passes.split_host import first_blocks, split_host
from spikewright.toolchain.passes.streams import sums
from spikewright.toolchain.shapes import shapes
from spikewright.toolchain.stage import Context, Stage
from spikewright.toolchain.verify import verify

CODES = (InputCode("binary"), InputCode("dense", 1.0, True))


def refuse_structure(context: Context, stages: Iterable[Stage]) -> None:
    """Refuse a net that the stages up to ``quantize`` refuse whatever its data is.

    Args:
        context: What the first stage takes, without data and answer.
        stages: Those in front of ``quantize``, in order.

    Raises:
        ToolchainError: What both ways to code the input end in.
    """
    stages, found = tuple(stages), []
    for code in CODES:
        try:
            _walked(replace(context, code=code), stages)
        except ToolchainError as error:
            found.append(error)
        else:
            return
    if len({str(error) for error in found}) == 1:
        raise found[0]


def _walked(context: Context, stages: tuple[Stage, ...]) -> None:
    for stage in stages:
        if stage.name == "split-host":
            context = replace(context, graph=_cut(context))
        elif stage.name == LowerGates.name:
            means = _any_gates(context.graph) if "static" in context.strategies.values() else {}
            graph = LowerGates(context.gates, means, context.strategies)(context.graph)
            verify(graph, level="float")
            context = replace(context, graph=graph)
        elif stage.name == Relays.name:
            if context.options.streams != "distribute" and sums(context.graph):
                return  # which of them travel by relays depends on the data
        else:
            context = stage.run(context)
    verify(context.graph, level="lowered")


def _cut(context: Context) -> Graph:
    """Return what the chip gets where the host computes the front: the input is no spikes, or it is asked to."""
    graph = context.graph
    asked = any(context.strategies.get(op.block) == "host" for op in first_blocks(graph))
    if context.code.kind == "dense" or asked or too_large(graph) is not None:
        return split_host(graph)[0]
    return graph


def _any_gates(graph: Graph) -> dict[str, dict[str, Array]]:
    """Return gates of the right shapes, as spikes drawn at random give them."""
    rng, sizes = np.random.default_rng(0), shapes(graph)
    read = {name for op in graph if isinstance(op, AttentionBlock) for name in op.inputs}
    return mean_gates(
        graph, {name: (rng.random((graph.timesteps, 1, *sizes[name])) < 0.5).astype(np.float64) for name in read}
    )
