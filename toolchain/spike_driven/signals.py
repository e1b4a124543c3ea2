"""What travels on an edge: a signal is a sum of leaves, each of one inferred kind, with the path it came by.

Kinds: ``binary`` 0/1 events; ``graded`` sparse integer payloads (no event in, no message out); ``current`` synaptic input
inside a core; ``gate`` a per-step gain; ``dense`` real values in every step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from spikewright.toolchain.ops import Array, Op, Shape

Kind = Literal["binary", "graded", "current", "gate", "dense"]
InputKind = Literal["binary", "graded", "dense"]
CostClass = Literal["A", "B", "C", "D"]
Path = tuple[str, ...]


@dataclass(frozen=True)
class Leaf:
    """One summand of a signal.

    Args:
        kind: What it is.
        origin: The op that made it (a synapse block, a neuron, a gate, the input).
        path: Ops from the input to where it is now.
        reason: For ``dense``: what is real-valued, as in "reads ...".
        help: For ``dense``: the change that mends it; ``{reader}`` stands for the op that reads it.
        waits: The non-causal op it has to wait for, or "".
    """

    kind: Kind
    origin: str
    path: Path
    reason: str = ""
    help: str = ""
    waits: str = ""

    @property
    def event(self) -> bool:
        """Whether it is made of messages that only an event sends."""
        return self.kind in ("binary", "graded")

    def through(self, op: Op) -> Leaf:
        """Return the leaf one op further."""
        return replace(self, path=(*self.path, op.name))


Signal = tuple[Leaf, ...]


def join(leaves: Iterable[Leaf]) -> Signal:
    """Return the sum of leaves: one of each kind and origin, the one with the shortest path."""
    found: dict[tuple[str, str], Leaf] = {}
    for leaf in leaves:
        key = (leaf.kind, leaf.origin)
        if key not in found or len(leaf.path) < len(found[key].path):
            found[key] = leaf
    return tuple(found.values())


def shortest(leaves: Iterable[Leaf]) -> Path:
    """Return the shortest path among leaves; () if there are none."""
    return min((leaf.path for leaf in leaves), key=len, default=())


def waits(leaves: Iterable[Leaf]) -> str:
    """Return the first non-causal op that a signal has to wait for, or ""."""
    return next((leaf.waits for leaf in leaves if leaf.waits), "")


def together(operands: list[Signal]) -> Signal:
    """Return all leaves of the operands."""
    return join(leaf for signal in operands for leaf in signal)


def through(op: Op, operands: list[Signal]) -> Signal:
    """Return all leaves of the operands, one op further."""
    return join(leaf.through(op) for leaf in together(operands))


def made_by(op: Op, operands: list[Signal], kind: Kind, reason: str = "", help: str = "") -> Signal:
    """Return the one leaf that ``op`` makes."""
    leaves = together(operands)
    return (Leaf(kind, op.name, (*shortest(leaves), op.name), reason, help, waits(leaves)),)


def event_class(leaves: Signal) -> CostClass:
    """Return the class of synapses that read events: B if a payload is multiplied, else A."""
    return "B" if any(leaf.kind == "graded" for leaf in leaves) else "A"


@dataclass(frozen=True)
class Fault:
    """One violation: what is wrong at which op, the path and the reason that prove it, and the smallest mending change."""

    what: str
    help: str
    path: Path
    why: str


@dataclass(frozen=True, eq=False)
class Judgement:
    """What one op is and does.

    Args:
        leaves: The signal it sends.
        why: What it does with its operands; stands behind the path in a witness.
        cost_class: A accumulate, B graded spike, C neuron-local multiply, D dense.
        scope: ``step``, ``state``, ``window(k)`` or ``sequence``.
        causal: Whether no later step is needed (apart from what an op in front waits for).
        barrier: Whether neurons wait for each other inside a step.
        macs: Dense multiply-accumulates per step; 0 if events drive it.
        synapses: Synaptic operations per step if every source fired, as captured (zero padding left out, copies counted).
        gate_multiplies: Gains applied per step.
        reductions: Real values pooled per step.
        faults: Violations.
        notes: What a reader should know.
    """

    leaves: Signal
    why: str
    cost_class: CostClass = "A"
    scope: str = "step"
    causal: bool = True
    barrier: bool = False
    macs: int = 0
    synapses: int = 0
    gate_multiplies: int = 0
    reductions: int = 0
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Context:
    """What the rules know beside an op and its operands.

    Args:
        input_kind: What the net is fed.
        still: Whether real-valued input is one frame, the same in every step.
        payload_bits: Bits of a graded gate message; None: gates are real-valued.
        timesteps: T.
        hosts: Ops on the host.
        ops: By name.
        shapes: Of every signal.
        rest: Value of every signal where no event ever happens (currents: what biases make of it), (1, *shape).
        copies: How many neurons (or synapses) read an op through sums; each gets its own synapses.
    """

    input_kind: InputKind
    still: bool
    payload_bits: int | None
    timesteps: int
    hosts: frozenset[str]
    ops: dict[str, Op]
    shapes: dict[str, Shape]
    rest: dict[str, Array] = field(default_factory=dict)
    copies: dict[str, int] = field(default_factory=dict)

    def kind_of(self, name: str) -> str:
        """Return the class name of an op."""
        return type(self.ops[name]).__name__


Rule = Callable[[Any, list[Signal], Context], Judgement]
"""From an op and what it reads to what it does."""
