"""The short road of a model that is integer already: verify, align, map; no calibration, and nothing to quantize."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from spikewright.hw_sim.chip import load_chip
from spikewright.toolchain.deployment import Deployment, Options, PassRecord, Samples, encode
from spikewright.toolchain.dequantize import to_float
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.integer import IntInput, IntOutput
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping import map_graph, strategy_called
from spikewright.toolchain.ops import Op
from spikewright.toolchain.passes.align import Align
from spikewright.toolchain.passes.quantize import InputCode
from spikewright.toolchain.pipeline import GOLDEN_SAMPLES, check_options
from spikewright.toolchain.verify import verify


def deploy_integer(
    graph: Graph,
    options: Options,
    *,
    name: str,
    card: dict[str, Any] | None = None,
    samples: Samples | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Deployment:
    """Compile an integer graph for a chip; gate lowering and bits of ``options`` have nothing to act on.

    Args:
        graph: Ops of ``toolchain.integer``; ``timesteps`` 0 where the file does not say them.
        options: What was asked for.
        name: Name of the model.
        card: Model card.
        samples: Test samples that travel with the deployment.
        note: Told the name of each stage as it starts.

    Raises:
        ToolchainError: A stage refuses the net.
    """
    graph = with_timesteps(graph, options.timesteps or graph.timesteps)
    if options.dt_s is not None:
        graph = replace(graph, dt_s=options.dt_s)
    if graph.timesteps < 1:
        raise InputError(
            "the file does not say how many steps a sample has", where=name, help="say it with --timesteps T"
        )
    chip = load_chip(options.chip)
    check_options(options, graph, chip)
    verify(graph, level="integer")
    note("align")
    aligned = Align()(graph)
    verify(aligned, level="aligned")
    note("map")
    payloads = None if samples is None else encode(None, aligned, np.asarray(samples.x[:, :GOLDEN_SAMPLES], np.float64))
    program = map_graph(aligned, chip, strategy_called(options.mapping, payloads))
    twin = to_float(graph)
    return Deployment(
        name=name,
        captured=twin,
        lowered=twin,
        integer=aligned,
        host=None,
        program=program,
        chip=chip,
        options=options,
        strategies={},
        input=input_code(graph),
        card=card or {},
        passes=(PassRecord("align", len(graph), len(aligned), 0.0, "exact"),),
        samples=samples,
    )


def input_code(graph: Graph) -> InputCode:
    """Return how an integer graph's input is coded."""
    source = next(op for op in graph if isinstance(op, IntInput))
    if source.soma.sends == "binary":
        return InputCode("binary")
    return InputCode("counts", float((1 << source.soma.payload_bits) - 1) * source.scale, source.soma.signed)


def with_timesteps(graph: Graph, timesteps: int) -> Graph:
    """Return the graph for samples of another length; its answer stays a mean over the steps (T = 0: a sum)."""
    factor = max(graph.timesteps, 1) / max(timesteps, 1)

    def scaled(op: Op) -> Op:
        return replace(op, scale=op.scale * factor) if isinstance(op, IntOutput) else op

    return replace(graph.map(scaled) if factor != 1 else graph, timesteps=timesteps)
