"""The short road of a model that is integer already: the stages behind ``quantize``; no calibration, nothing to quantize."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spikewright.hw_sim import Chip
from spikewright.hw_sim.chip import load_chip
from spikewright.hw_sim.program import lived
from spikewright.hw_sim.somas import Source
from spikewright.toolchain.analysis import saturations
from spikewright.toolchain.backends import RunResult, added
from spikewright.toolchain.coding import payloads
from spikewright.toolchain.comparison import compared, firing
from spikewright.toolchain.deployment import Deployment, check_data, check_labels
from spikewright.toolchain.dequantize import to_float
from spikewright.toolchain.diagnostics import Diagnostic, refuse_losses
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.integer import IntInput, IntOutput, answer_of, neurons_of, source_of
from spikewright.toolchain.interpret import int_blocks
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.options import Options
from spikewright.toolchain.outlasting import outlasting
from spikewright.toolchain.passes.align import arrival
from spikewright.toolchain.passes.quantize import InputCode
from spikewright.toolchain.pipeline import check_options, deployment_of, pipeline, with_bits
from spikewright.toolchain.pipeline import input_code as coding
from spikewright.toolchain.samples import Samples
from spikewright.toolchain.stage import Context, Note, Walk
from spikewright.toolchain.verify import verify

TRIED_SAMPLES = 16
"""Samples that travel with a net and are run on its way, to tell of states that leave 24 bits."""


def deploy_integer(
    graph: Graph,
    options: Options,
    *,
    name: str,
    card: dict[str, Any] | None = None,
    samples: Samples | None = None,
    note: Note = lambda _: None,
    stop_after: str | None = None,
    keep_stages: Path | None = None,
    diagnostics: tuple[Diagnostic, ...] = (),
    chip: Chip | None = None,
) -> Deployment:
    """Compile an integer graph for a chip; gate lowering and bits of ``options`` have nothing to act on.

    Args:
        graph: Ops of ``toolchain.integer``.
        options: What was asked for.
        name: Name of the model.
        card: Model card.
        samples: Test samples that travel with the deployment.
        note: Told the name of each stage as it starts.
        stop_after: End after this stage by raising ``Stopped``.
        keep_stages: Folder for each stage's result, as text and as file.
        diagnostics: What reading the model found.
        chip: The target; None: it is read, as the options name it.

    Raises:
        ToolchainError: A stage refuses the net.
        Stopped: The stage ``stop_after`` is done.
    """
    stages = pipeline()
    quantized = next(number for number, stage in enumerate(stages) if stage.name == "quantize")
    walk = Walk(stages[quantized + 1 :], stop_after, keep_stages, note)
    chip = load_chip(options.chip) if chip is None else chip
    check_options(options, graph, chip)
    if options.mapping == "search" and samples is None:
        raise InputError(
            "a search measures on data, and there is none",
            where="--mapping search",
            help="give it with --samples FILE.npz",
        )
    verify(graph, level="integer")
    if samples is not None:
        check_data(samples.x, graph.timesteps, graph.input.shape, where="samples data")
        check_labels(samples.y, graph, where="samples data")
    graph, unsaid = _compared(with_input_bits(graph, options, samples, name), options, name)
    graph, said = halted(graph, options, name, card or {})
    twin = _twin(graph)
    diagnostics = (*diagnostics, *unsaid, said, *outlasting(twin), *_saturates(graph, samples))
    if options.strict:
        refuse_losses(diagnostics, name)
    x = None if samples is None else samples.x
    context = Context(
        name,
        twin,
        graph,
        options,
        chip,
        options.gates,
        {},
        input_code(graph),
        x,
        lowered=twin,
        diagnostics=diagnostics,
    )
    context = walk.end(walk.through(walk.start(context), walk.stages[: walk.last + 1]))
    return deployment_of(context, card or {}, samples)


def with_input_bits(graph: Graph, options: Options, samples: Samples | None, name: str) -> Graph:
    """Return the graph with as many bits of an input as asked for; where it takes spikes and samples are counts, as these.

    Raises:
        InputError: The samples do not fit the bits.
    """
    source = source_of(graph)
    spikes = source.soma.sends == "binary"
    if options.input_bits is None and (samples is None or not spikes):
        return graph
    seen = InputCode("binary") if samples is None else coding(samples.x)
    if seen.kind == "dense" or (seen.kind == "binary" and options.input_bits is None):
        return graph
    code = with_bits(seen, options, name)
    bits = int(code.largest).bit_length()
    made = replace(source, soma=Source(bits, code.signed or source.soma.signed))
    return graph.map(lambda op: made if op is source else op)


def _compared(graph: Graph, options: Options, name: str) -> tuple[Graph, tuple[Diagnostic, ...]]:
    """Return the graph with ``--comparison`` (v >= k is v > k - 1), or what is assumed where nobody says it."""
    if options.comparison is None and firing(graph):
        what = "neurons fire at v > threshold, as the chip and Lava have it (--comparison)"
        help = "--comparison ge where the net was trained to fire at v >= threshold, as lava-dl's SLAYER trains"
        return graph, (Diagnostic("comparison-unsaid", name, what, help, "assumption"),)
    return compared(graph, options.comparison), ()


def _saturates(graph: Graph, samples: Samples | None) -> tuple[Diagnostic, ...]:
    """Return a warning for every layer whose state leaves 24 bits on the first samples."""
    if samples is None:
        return ()
    x = samples.x[:, :TRIED_SAMPLES]
    found: list[dict[str, tuple[int, int]]] = []
    for _, steps, run, _ in int_blocks(graph, payloads(graph, x, levels_only=True)):
        if steps.stop == x.shape[0]:
            found.append(run.saturations)
    return saturations(RunResult(np.zeros((0, 0), np.int64), saturations=added(found)), quantized=False)


def input_code(graph: Graph) -> InputCode:
    """Return how an integer graph's input is coded."""
    source = source_of(graph)
    if source.soma.sends == "binary":
        return InputCode("binary")
    return InputCode("counts", float((1 << source.soma.payload_bits) - 1) * source.scale, source.soma.signed)


def halted(graph: Graph, options: Options, name: str, card: Mapping[str, Any]) -> tuple[Graph, Diagnostic]:
    """Return the graph with ``--steps``, its answer a mean over the steps that the read-out runs, and what that means.

    An input that is the bias of neurons (``card``) is there before the first chip step: here it takes one to come.

    Raises:
        InputError: The chip would be halted before the read-out starts.
    """
    T, answer = graph.timesteps, answer_of(graph).inputs[0]
    stop = T + ("input" in card)
    stopped = graph.map(lambda op: replace(op, stop=stop) if isinstance(op, IntInput) else op)
    starts = arrival(stopped)
    lives = {op.name: lived(starts[op.name], T, stop) for op in neurons_of(graph)}
    if options.steps == "layer":
        what = (
            f"every layer runs its own {T} steps, {T + max(arrival(graph).values())} chip steps in all; on silicon that stops "
            f"all layers after chip step {T}, the read-out {answer!r} runs {lives[answer]}"
        )
        return graph, Diagnostic("netx-steps", name, what, "--steps chip for that", "note")
    if not lives[answer]:
        raise InputError(
            f"all layers stop after chip step {T}; the read-out {answer!r} starts at chip step {starts[answer] - stop + T}",
            where="--steps chip",
            help=f"give --timesteps {T + 1 + starts[answer] - stop} or more, and as long samples, or leave --steps out",
        )
    what = f"all layers stop after chip step {T}, so that deeper ones run fewer: " + ", ".join(
        f"{layer} {steps}" for layer, steps in lives.items()
    )
    factor = T / lives[answer]
    scaled = stopped.map(
        lambda op: replace(op, scale=op.scale * factor) if isinstance(op, IntOutput) and not op.held else op
    )
    return scaled, Diagnostic("netx-steps", name, what, "--steps layer runs all of them", "note")


def _twin(graph: Graph) -> Graph:
    """Return the float twin; a mean is over the steps that the read-out runs, a held answer is that of its last step."""
    if answer_of(graph).held:
        return to_float(graph)
    seen = lived(arrival(graph)[answer_of(graph).inputs[0]], graph.timesteps, source_of(graph).stop)
    return replace(to_float(replace(graph, timesteps=seen)), timesteps=graph.timesteps)
