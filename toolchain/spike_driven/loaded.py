"""Is what is loaded what was compiled, and is what was compiled wired as the captured net asks? Op by op, from structure alone.

program = assembled integer graph;   edges (source, target, lag) of the integer graph = those of the lowered float graph
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass

import numpy as np

from spikewright.hw_sim import Population, Program, Projection
from spikewright.toolchain.integer import IntConnection, IntInput, IntNeuron, answer_of, separated
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Delay, GateTable, Input, Neuron, Op, Output, Replayed

Edge = tuple[str, str, int]
"""Source, target, and the steps between sending and arriving."""


@dataclass(frozen=True)
class Misfit:
    """One op that is not what it should be.

    Args:
        op: Its name.
        block: Where it comes from.
        what: What is wrong, in words.
    """

    op: str
    block: str
    what: str

    def __str__(self) -> str:
        return f"{self.op!r} (block {self.block!r}): {self.what}"


def block_of(integer: Graph, name: str) -> str:
    """Return the block that an op, population or projection comes from; its own name where the graph does not know it."""
    return integer[name].block if name in integer else name


def misfits(integer: Graph, program: Program, lowered: Graph | None) -> tuple[Misfit, ...]:
    """Return every op of a program that the integer graph, or the lowered float graph, does not ask for.

    Args:
        integer: The integer graph; a connection with several delays is loaded as one for each.
        program: What is loaded.
        lowered: The float graph that was quantized; None where the model came as integers.
    """
    integer = separated(integer)
    found = [*_program(integer, program)]
    if lowered is not None:
        found += _edges(integer, program, lowered)
    return tuple(dict.fromkeys(found))


# ------------------------------------------------------------------------------------ program and integer graph
def _program(integer: Graph, program: Program) -> Iterator[Misfit]:
    loaded: dict[str, Population | Projection] = {p.name: p for p in program.populations}
    loaded |= {p.name: p for p in program.projections}
    for op in integer:
        if isinstance(op, IntInput | IntNeuron | IntConnection):
            if op.name not in loaded:
                yield Misfit(op.name, op.block, "is not loaded")
            elif what := "; ".join(_differences(integer, op, loaded[op.name])):
                yield Misfit(op.name, op.block, what)
    for name in loaded:
        if name not in integer:
            yield Misfit(name, name, "is loaded, but the integer graph has no such op")
    answer, entry = answer_of(integer), integer.input
    read = {
        "answer": (answer.inputs[0], program.readout),
        "answer's kind": (answer.readout, program.readout_kind),
        "steps": (integer.timesteps, program.steps),
        "last chip step": (vars(entry)["stop"], program.stop),
    }
    if said := "; ".join(_said(what, *pair) for what, pair in read.items() if pair[0] != pair[1]):
        yield Misfit(answer.name, answer.block, said)


def _differences(integer: Graph, op: IntInput | IntNeuron | IntConnection, held: Population | Projection) -> list[str]:
    if isinstance(held, Population):
        if isinstance(op, IntConnection):
            return ["is loaded as neurons; the integer graph has synapses"]
        pairs = {"neurons": (op.soma, held.soma), "shape": (op.shape, held.shape), "start": (op.start, held.start)}
    elif isinstance(op, IntConnection):
        ends = (op.inputs[0], next((reader.name for reader in integer.readers[op.name]), ""))
        pairs = {
            "synapses": (op.synapses, held.synapses),
            "ends": (ends, (held.source, held.target)),
            "exponent": (op.exponent, held.exponent),
            "delay": (op.delay, held.delay),
        }
    else:
        return ["is loaded as synapses; the integer graph has neurons"]
    return [_said(what, *pair) for what, pair in pairs.items() if not same(*pair)]


def _said(what: str, compiled: object, loaded: object) -> str:
    if is_dataclass(compiled) and is_dataclass(loaded):
        if type(compiled) is not type(loaded):
            return f"{what}: compiled {type(compiled).__name__}, loaded {type(loaded).__name__}"
        names = [f.name for f in fields(compiled) if not same(getattr(compiled, f.name), getattr(loaded, f.name))]
        return f"{what}: {', '.join(names)} loaded otherwise than compiled"
    return f"{what}: compiled {compiled}, loaded {loaded}"


def same(a: object, b: object) -> bool:
    """Say whether two somas, synapses or plain values hold the same."""
    if a is b:
        return True
    if is_dataclass(a) and is_dataclass(b):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return bool(np.array_equal(np.asarray(a), np.asarray(b)))
    return bool(a == b)


# ------------------------------------------------------------------------------ edges, as the captured net asks
def _edges(integer: Graph, program: Program, lowered: Graph) -> Iterator[Misfit]:
    """Yield connections that run where, or at a lag at which, the lowered net has no edge, and edges that nothing carries."""
    wanted = _wanted(lowered, answer_of(integer).inputs[0])
    known = {end for source, target, _ in wanted for end in (source, target)}
    carried: set[Edge] = set()
    names = {p.name for p in program.populations}
    for p in program.projections:
        if {p.source, p.target} <= names:
            edge = (p.source, p.target, program.lag(p))
            carried.add(edge)
            if {p.source, p.target} <= known and edge not in wanted:
                asked = sorted(lag for source, target, lag in wanted if (source, target) == edge[:2])
                there = f"asks for lag {' or '.join(map(str, asked))}" if asked else "has no such edge"
                what = f"runs from {p.source!r} to {p.target!r} at lag {edge[2]}; the captured net {there}"
                yield Misfit(p.name, block_of(integer, p.name), what)
    for source, target, lag in sorted(wanted - carried):
        if {source, target} <= names and not any(edge[:2] == (source, target) for edge in carried):
            what = f"reads nothing of {source!r}; the captured net asks for an edge of lag {lag}"
            yield Misfit(target, block_of(integer, target), what)


def _wanted(lowered: Graph, readout: str) -> set[Edge]:
    """Return the edges between what sends and what reads, through linear maps and delays; the output by its neurons' name."""
    found: set[Edge] = set()
    for op in lowered:
        if (isinstance(op, Neuron) and not _passed(lowered, op)) or isinstance(op, Output):
            target = readout if isinstance(op, Output) else op.name
            found |= {(source, target, lag) for name in op.inputs for source, lag in _sources(lowered, name)}
    return {edge for edge in found if edge[0] != edge[1] or edge[2]}


def _sources(lowered: Graph, name: str, seen: frozenset[str] = frozenset()) -> Iterator[tuple[str, int]]:
    op = lowered[name]
    if isinstance(op, Input | GateTable | Replayed) or (isinstance(op, Neuron) and not _passed(lowered, op)):
        yield name, 0
    elif name not in seen:
        steps = op.steps if isinstance(op, Delay) else 0
        for operand in op.inputs:
            for source, lag in _sources(lowered, operand, seen | {name}):
                yield source, lag + steps


def _passed(lowered: Graph, op: Op) -> bool:
    """Say whether a neuron is a read-out's filter, which the read-out itself holds."""
    silent = isinstance(op, Neuron) and not op.fires
    return silent and all(isinstance(reader, Output) for reader in lowered.readers[op.name])
