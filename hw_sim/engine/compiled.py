"""Compile a program for the engine, once for many runs: internal order, folded exponents, integer widths, counter rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.chip import Chip, load_chip
from spikewright.hw_sim.engine import layout
from spikewright.hw_sim.engine.conv import ConvKernel
from spikewright.hw_sim.engine.counters import Emitter, emitter
from spikewright.hw_sim.engine.fan_out import cores_of, gate_fan_out, synapse_fan_out
from spikewright.hw_sim.engine.order import Group, groups
from spikewright.hw_sim.engine.synapses import Compiled as Synapses
from spikewright.hw_sim.engine.synapses import DenseRows, prepare
from spikewright.hw_sim.errors import CapacityError, ProgramError
from spikewright.hw_sim.fixed_point import DECAY_ONE, STATE_MAX
from spikewright.hw_sim.program import (
    DeltaRelu,
    Gate,
    GateLink,
    GateTable,
    Lif,
    Population,
    Program,
    Projection,
    Source,
)
from spikewright.hw_sim.synaptic_memory import FanOut, words_read

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
    emitter: Emitter | None
    core: Index


@dataclass(frozen=True, eq=False)
class Compiled:
    """A program ready to run on a chip.

    Args:
        program: What was compiled.
        chip: What it was compiled for.
        stages: By population name.
        groups: Order of evaluation.
        fan_out: What each projection's source neurons reach, by projection name.
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
    check_references(program)
    cores = 1 + max((int(p.core.max(initial=-1)) for p in program.populations), default=-1)
    if cores > target.mesh.cores:
        raise CapacityError(
            f"{cores} cores are in use; chip {target.name!r} has {target.mesh.cores}",
            where="program",
            help="map it to fewer cores, or choose a larger chip",
        )
    inputs = {p.name: _input(program, p) for p in program.projections if not isinstance(p.synapses, GateLink)}
    gates = {p.name: _gate(program, p) for p in program.projections if isinstance(p.synapses, GateLink)}
    fan_out: dict[str, FanOut] = {}
    for projection in program.projections:
        source, destination = program.population(projection.source), program.population(projection.target)
        if projection.name in inputs:
            fan_out[projection.name] = synapse_fan_out(inputs[projection.name].synapses, source, destination)
        else:
            index = gates[projection.name].index.astype(np.int64)
            fan_out[projection.name] = gate_fan_out(index, source, destination)
    stages = {}
    for population in program.populations:
        outgoing = [
            (p, fan_out[p.name], words_read(fan_out[p.name], target.core))
            for p in program.projections
            if p.source == population.name
        ]
        stages[population.name] = _stage(
            population,
            [inputs[p.name] for p in program.projections if p.target == population.name and p.name in inputs],
            [gates[p.name] for p in program.projections if p.target == population.name and p.name in gates],
            max((program.lag(p) for p, _, _ in outgoing), default=0),
            emitter(population, outgoing, target.mesh),
            program,
        )
    runs = [run.ids for s in stages.values() if s.emitter for run in s.emitter.runs if run.kind == "links"]
    links = np.unique(np.concatenate(runs)) if runs else np.zeros(0, np.int64)
    return Compiled(program, target, stages, groups(program), fan_out, cores, links)


def check_references(program: Program) -> None:
    """Raise unless names are unique, every projection ends at populations, and lags fit the order."""
    names = [p.name for p in program.populations]
    for kind, found in (("population", names), ("projection", [p.name for p in program.projections])):
        twice = sorted({name for name in found if found.count(name) > 1})
        if twice:
            raise ProgramError("this name is used twice", where=f"{kind} {twice[0]!r}", help="rename one of them")
    for projection in program.projections:
        where = f"projection {projection.name!r}"
        for end in (projection.source, projection.target):
            if end not in names:
                raise ProgramError(
                    f"no population is called {end!r}", where=where, help=f"use one of {', '.join(names)}"
                )
        lag = program.lag(projection)
        forward = names.index(projection.source) < names.index(projection.target)
        if lag < (0 if forward else 1):
            raise ProgramError(
                f"lag {lag} (start {program.population(projection.source).start} + delay {projection.delay} - start "
                f"{program.population(projection.target).start}); at least {0 if forward else 1} is needed",
                where=where,
                help="start the target later, lengthen the delay, or put the source earlier in the program",
            )
    if program.readout not in names:
        raise ProgramError(f"no population is called {program.readout!r}", where="readout", help="name a population")
    if program.steps < 1:
        raise ProgramError(f"{program.steps} steps; at least 1 is needed", where="program", help="set steps >= 1")


def _input(program: Program, projection: Projection) -> Input:
    source, target = program.population(projection.source), program.population(projection.target)
    if isinstance(source.soma, (Gate, GateTable)) or isinstance(target.soma, (Source, GateTable)):
        raise ProgramError(
            f"synapses from {type(source.soma).__name__} to {type(target.soma).__name__}",
            where=f"projection {projection.name!r}",
            help="gate levels travel by GateLink; sources and gate tables take no input",
        )
    synapses = prepare(projection, source, target)
    if projection.exponent > 0:
        synapses = replace(synapses, weight=synapses.weight << projection.exponent)
    return Input(projection, synapses, program.lag(projection), min(projection.exponent, 0))


def _gate(program: Program, projection: Projection) -> GateInput:
    source, target = program.population(projection.source), program.population(projection.target)
    if not isinstance(source.soma, (Gate, GateTable)) or not isinstance(target.soma, Lif):
        raise ProgramError(
            f"a gate link from {type(source.soma).__name__} to {type(target.soma).__name__}",
            where=f"projection {projection.name!r}",
            help="gate links go from a Gate or GateTable to a Lif",
        )
    if source.soma.gate_bits != target.soma.gate_bits:
        raise ProgramError(
            f"gate levels of {source.soma.gate_bits} bits meet a neuron of {target.soma.gate_bits}",
            where=f"projection {projection.name!r}",
            help="use the same gate_bits on both sides",
        )
    return GateInput(projection, gate_index(projection, source, target).astype(np.int32), program.lag(projection))


def gate_index(projection: Projection, source: Population, target: Population) -> Index:
    """Return the gate neuron that scales each target neuron, both in internal order."""
    try:
        flat = np.broadcast_to(np.arange(source.size).reshape(source.shape), target.shape).ravel()
    except ValueError as error:
        raise ProgramError(
            f"gate shape {source.shape} does not broadcast to {target.shape}",
            where=f"projection {projection.name!r}",
            help="use (C, 1, 1) for a channel gate, (1, H, W) for a spatial one",
        ) from error
    return layout.inverse(layout.order(source))[flat[layout.order(target)]]


def largest_payload(population: Population) -> int:
    """Return the largest absolute payload a population can send."""
    match population.soma:
        case Source(payload_bits=bits):
            return (1 << bits) - 1
        case DeltaRelu(shift=shift):
            return STATE_MAX >> shift
        case Lif(output_gate=True, gate_bits=bits):
            return 1 << bits
        case _:
            return 1


def _stage(
    population: Population,
    inputs: list[Input],
    gates: list[GateInput],
    history: int,
    counters: Emitter | None,
    program: Program,
) -> Stage:
    order = layout.order(population)
    bound, widest = 0, 0
    for item in inputs:
        raw = item.synapses.largest_row() * largest_payload(program.population(item.projection.source))
        widest = max(widest, raw)
        bound += (raw >> -item.shift) + (1 if item.shift else 0)
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
    short_gates = not isinstance(population.soma, Lif) or population.soma.gate_bits <= MAX_NARROW_GATE_BITS
    filtered = isinstance(population.soma, Lif) and bool((population.soma.decay_u < DECAY_ONE).any())
    fits = max(bound, widest) < (NARROW_FILTERED if filtered else NARROW) and largest <= NARROW and short_gates
    word: type[np.int32] | type[np.int64] = np.int32 if fits else np.int64
    cast = tuple(_cast(item, word, largest_payload(program.population(item.projection.source))) for item in inputs)
    narrow = params.astype(word)
    return Stage(population, order, word, narrow, cast, ports, history, counters, cores_of(population))


def _cast(item: Input, word: type[np.int32] | type[np.int64], payload: int) -> Input:
    """Return an input with weights of the drive's width, and the bounds that let sums of it be narrower."""
    synapses = replace(item.synapses, weight=np.ascontiguousarray(item.synapses.weight, word))
    if isinstance(synapses, DenseRows):
        synapses = replace(synapses, peak=synapses.largest_row() * payload)
    if isinstance(synapses, ConvKernel):
        synapses = replace(synapses, payload=payload)
    return replace(item, synapses=synapses)


def _port(projection: Projection) -> int:
    assert isinstance(projection.synapses, GateLink)
    return projection.synapses.port


def _params(population: Population, order: Index) -> Index:
    match population.soma:
        case Lif() as lif:
            rows = (DECAY_ONE - lif.decay_u, DECAY_ONE - lif.decay_v, lif.bias, lif.threshold, lif.v_reset)
            return np.stack([layout.expand(row, order, population.name) for row in rows])
        case DeltaRelu(decay=decay):
            return layout.expand(decay, order, population.name)[None]
        case Gate(decay=decay, bias=bias):
            return np.stack([layout.expand(decay, order, population.name), layout.expand(bias, order, population.name)])
        case GateTable(table=table):
            wide = np.broadcast_to(table, (table.shape[0], population.size))
            return np.ascontiguousarray(wide[:, order])
        case _:
            return np.zeros((0, population.size), np.int64)
