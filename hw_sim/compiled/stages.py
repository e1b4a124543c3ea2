"""Compile a program for the engine, once for many runs: internal order, folded exponents, integer widths, counter rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.chip import Chip, load_chip
from spikewright.hw_sim.compiled import layout
from spikewright.hw_sim.compiled.counters import Emitter, emitters
from spikewright.hw_sim.compiled.order import Group, groups
from spikewright.hw_sim.compiled.synapses import Compiled as Synapses
from spikewright.hw_sim.compiled.synapses import cast, prepare
from spikewright.hw_sim.errors import CapacityError, ProgramError
from spikewright.hw_sim.fixed_point import shifted_bound
from spikewright.hw_sim.program import Population, Program, Projection
from spikewright.hw_sim.synapses import GateLink, gate_index
from spikewright.hw_sim.synaptic_memory import FanOut, fan_out

Index = NDArray[np.int64]
NARROW = 1 << 24
"""Drives, biases and reset values below this in size let the LIF kernel run in 32 bits (``soma_kernels``)."""
NARROW_FILTERED = 1 << 18
"""The same for drives of a current that keeps some of itself: up to here one wrap a step brings u back to 24 bits; beyond,
u grows from step to step (as in lava-nc) and needs 64 bits."""
WIDEST = 1 << 30
"""Parameters must be below this in size; the state has 24 bits."""
MAX_INPUT_BITS = 44
"""A drive below 2**44, shifted left by 6 and multiplied by a 12-bit decay, fits 63 bits."""
MAX_NARROW_GATE_BITS = 14
"""(2**bits - 1) * 2**bits must fit 32 bits."""


@dataclass(frozen=True, eq=False)
class Input:
    """One projection with synapses; ``shift`` < 0 is left to do after the sum (a positive exponent is in the weights)."""

    projection: Projection
    synapses: Synapses
    lag: int
    shift: int


@dataclass(frozen=True, eq=False)
class GateInput:
    """One gate port: ``index`` maps target neurons to gate neurons."""

    projection: Projection
    index: NDArray[np.int32]
    lag: int


@dataclass(frozen=True, eq=False)
class Stage:
    """One population ready to run."""

    population: Population
    order: Index
    word: type[np.int32] | type[np.int64]
    params: NDArray[Any]
    inputs: tuple[Input, ...]
    gates: tuple[GateInput, ...]
    history: int
    emitters: tuple[Emitter, ...]
    core: Index


@dataclass(frozen=True, eq=False)
class Compiled:
    """A program ready to run on a chip.

    Args:
        program: What was compiled.
        chip: What it was compiled for.
        stages: By population name.
        groups: Order of evaluation.
        fan_out: What each projection's source neurons (in internal order) reach, by projection name.
        cores: Number of logical cores in use (highest number + 1).
        links: The mesh links that any message can cross, ascending.
    """

    program: Program
    chip: Chip
    stages: dict[str, Stage]
    groups: tuple[Group, ...]
    fan_out: dict[str, FanOut]
    cores: int
    links: Index


def compile(program: Program, chip: Chip | str | None = None) -> Compiled:
    """Prepare a program for ``simulate``; without ``chip`` the chip named in the program.

    Raises:
        ProgramError: Shapes or references do not fit.
        CapacityError: A core number the chip does not have.
    """
    target = chip if isinstance(chip, Chip) else load_chip(chip if chip is not None else program.chip)
    program.check()
    cores = 1 + max((int(p.core.max(initial=-1)) for p in program.populations), default=-1)
    if cores > target.mesh.cores:
        raise CapacityError(
            f"{cores} cores are in use; chip {target.name!r} has {target.mesh.cores}",
            where="program",
            help="map it to fewer cores, or choose a larger chip",
        )
    inputs = {p.name: _input(program, p) for p in program.projections if not p.synapses.gate}
    gates = {p.name: _gate(program, p) for p in program.projections if p.synapses.gate}
    reached = {p.name: _fan_out(program, p) for p in program.projections}
    stages = {}
    for population in program.populations:
        outgoing = [(p, reached[p.name]) for p in program.projections if p.source == population.name]
        stages[population.name] = _stage(
            population,
            [inputs[p.name] for p in program.projections if p.target == population.name and p.name in inputs],
            [gates[p.name] for p in program.projections if p.target == population.name and p.name in gates],
            max((program.lag(p) for p, _ in outgoing), default=0),
            emitters(population, outgoing, target),
            program,
        )
    runs = [run.ids for s in stages.values() for e in s.emitters for run in e.runs if run.kind == "links"]
    links = np.unique(np.concatenate(runs)) if runs else np.zeros(0, np.int64)
    return Compiled(program, target, stages, groups(program), reached, cores, links)


def _input(program: Program, projection: Projection) -> Input:
    synapses = prepare(projection, program.population(projection.source), program.population(projection.target))
    if projection.exponent > 0:
        synapses = replace(synapses, weight=synapses.weight << projection.exponent)
    return Input(projection, synapses, program.lag(projection), min(projection.exponent, 0))


def _gate(program: Program, projection: Projection) -> GateInput:
    """Map the neurons of the target to those of the gate, both in internal order."""
    source, target = program.population(projection.source), program.population(projection.target)
    flat = gate_index(source.shape, target.shape)
    index = layout.inverse(layout.order(source))[flat[layout.order(target)]]
    return GateInput(projection, index.astype(np.int32), program.lag(projection))


def _fan_out(program: Program, projection: Projection) -> FanOut:
    """Return the fan-out with the source's neurons in internal order."""
    source = program.population(projection.source)
    fan, order = fan_out(projection, source, program.population(projection.target)), layout.order(source)
    return replace(fan, source=layout.inverse(order).astype(np.int32)[fan.source])


def _stage(
    population: Population,
    inputs: list[Input],
    gates: list[GateInput],
    history: int,
    counters: tuple[Emitter, ...],
    program: Program,
) -> Stage:
    order = layout.order(population)
    bound, widest = 0, 0
    for item in inputs:
        raw = item.projection.synapses.worst_sum(_largest(program, item)) << max(item.projection.exponent, 0)
        widest = max(widest, raw)
        bound += shifted_bound(raw, item.shift)
    if max(bound, widest) >= 1 << MAX_INPUT_BITS:
        raise ProgramError(
            f"input of up to {max(bound, widest)} in size does not fit {MAX_INPUT_BITS} bits",
            where=f"population {population.name!r}",
            help="lower weights, exponents or payload bits",
        )
    params = _params(population, order)
    largest = int(np.abs(params).max(initial=0))
    if largest >= WIDEST:
        raise ProgramError(
            f"a parameter of {largest} in size; allowed below {WIDEST}",
            where=f"population {population.name!r}",
            help="scale weights, bias and threshold down together",
        )
    ports = tuple(sorted(gates, key=lambda g: _port(g.projection)))
    soma = population.soma
    short_gates = not soma.takes_gates or vars(soma)["gate_bits"] <= MAX_NARROW_GATE_BITS
    fits = max(bound, widest) < (NARROW_FILTERED if soma.filters else NARROW) and largest <= NARROW and short_gates
    word: type[np.int32] | type[np.int64] = np.int32 if fits else np.int64
    kept = tuple(replace(item, synapses=cast(item.synapses, word, _largest(program, item))) for item in inputs)
    core = population.cores[order]
    return Stage(population, order, word, params.astype(word), kept, ports, history, counters, core)


def _largest(program: Program, item: Input) -> int:
    """Return the largest |message| that an input carries."""
    return program.population(item.projection.source).soma.largest_payload()


def _port(projection: Projection) -> int:
    assert isinstance(projection.synapses, GateLink)
    return projection.synapses.port


def _params(population: Population, order: Index) -> Index:
    """Return the rows of the soma's kernel (rows, n) in internal order."""
    rows = [layout.expand(row, order, population.name) for row in population.soma.parameters()]
    return np.stack(rows) if rows else np.zeros((0, population.size), np.int64)
