"""Whether what a bundle holds belongs together: the rules of every graph, of the program on its chip, and between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from spikewright.hw_sim import Program, drc, io
from spikewright.hw_sim.arrays import Arrays
from spikewright.hw_sim.errors import UNFIT
from spikewright.hw_sim.program import KINDS
from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.deployment import Deployment, check_data
from spikewright.toolchain.errors import ImportingError, ToolchainError
from spikewright.toolchain.integer import separated
from spikewright.toolchain.mapping.assemble import assemble
from spikewright.toolchain.shapes import shapes
from spikewright.toolchain.verify import verify

INPUTS = ("binary", "counts", "current", "dense", "graded")


def check_bundle(made: Deployment, where: str) -> None:
    """Refuse a deployment from disk whose parts break a rule, or do not fit each other.

    Raises:
        ImportingError: The first rule that is broken.
    """
    try:
        _graphs(made)
        drc.check(made.program, made.chip)
        found = next(_parts(made), None)
    except ToolchainError as error:
        raise ImportingError(f"does not hold together: {error.where}: {error.what}", where=where, help=AGAIN) from error
    except UNFIT as error:
        what = f"does not hold together ({type(error).__name__}: {error})"
        raise ImportingError(what[:300], where=where, help=AGAIN) from error
    if found is not None:
        raise ImportingError(f"does not hold together: {found}", where=where, help=AGAIN)


AGAIN = "deploy the model again"


def _graphs(made: Deployment) -> None:
    verify(made.captured, level="float")
    verify(made.lowered, level="float")
    verify(made.integer, level="aligned")
    if made.host is not None:
        verify(made.host.graph, level="float")
    for graph in (made.captured, *([] if made.host is None else [made.host.graph])):
        for op in graph:
            if isinstance(op, AttentionBlock):
                replace(op, parameters={key: op.parameters[key] for key in op.expected()}).check()


def _parts(made: Deployment) -> Iterator[str]:
    """Yield what does not fit."""
    if "\n" in made.name:
        yield f"the name {made.name!r}, with a line break"
    steps = {graph.timesteps for graph in (made.captured, made.lowered, made.integer)} | {made.program.steps}
    if len(steps) != 1 or made.program.chip != made.chip.name:
        yield f"{sorted(steps)} steps, a program for chip {made.program.chip!r} on {made.chip.name!r}"
    sent = made.captured.input.shape
    if made.host is not None:
        if made.host.boundary not in made.host.graph or made.host.graph.input.shape != sent:
            yield f"a host part that reads {made.host.graph.input.shape} and ends in {made.host.boundary!r}"
            return
        sent = shapes(made.host.graph)[made.host.boundary]
    if made.integer.input.shape != sent:
        yield f"an input of {made.integer.input.shape}, which gets {sent}"
    if made.input.kind not in INPUTS or not made.input.largest > 0:
        yield f"an input of kind {made.input.kind!r}, up to {made.input.largest}"
    cores = {population.name: population.core for population in made.program.populations}
    if not _same(assemble(separated(made.integer), made.chip.name, cores), made.program):
        yield "a program that is not the one of its integer graph"
    if made.samples is not None:
        check_data(made.samples.x, made.captured.timesteps, made.captured.input.shape, where="samples")


def _same(one: Program, two: Program) -> bool:
    """Say whether two programs are equal in every field and array."""
    (a, first), (b, second) = _taken_apart(one), _taken_apart(two)
    return a == b and first.keys() == second.keys() and all(np.array_equal(first[k], second[k]) for k in first)


def _taken_apart(program: Program) -> tuple[object, Arrays]:
    arrays: Arrays = {}
    return io.encode(program, "", arrays, KINDS), arrays
