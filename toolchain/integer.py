"""The integer graph: neurons and connections that hold the somas and synapses of the machine, bit for bit on every backend.

Neurons read *connections*, connections read neurons (or the input): one connection is one message hop on the chip.
A connection has a local ``lag`` (0: same step; >= 1: feedback or an explicit delay) and, after ``align``, a chip
``delay``; a neuron has a chip ``start`` step: ``delay = start(target) + lag - start(source) >= 1``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.program import lag_of, lived
from spikewright.hw_sim.ranges import Wrong, within
from spikewright.hw_sim.somas import Lif, Soma, Source
from spikewright.hw_sim.synapses import Synapses
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import AnyInput, AnyOutput, Array, Op, Shape

IntArray = NDArray[np.int64]
LATEST = 1 << 16
"""Most steps a synapse may be late: what a chip holds is less, and its rule book says how much."""


@dataclass(frozen=True, eq=False, kw_only=True)
class IntInput(AnyInput):
    """Integer payloads from outside: x = payload * scale. ``start`` is 0.

    ``stop``: chip steps after which the chip is halted, every neuron where it is; 0: each runs its own T steps.
    """

    soma: Source = field(default_factory=Source)
    scale: float = 1.0
    start: int = 0
    stop: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class IntConnection(Op):
    """A synapse block: a[t] = (W x[t - lag]) << exponent, x = 0 for t < lag.

    With ``late``, extra steps of each synapse, >= 0 and broadcast to W: a[t] = sum over k of (W_k x[t - lag - k]) << exponent,
    W_k the synapses that are k steps late; on the chip one connection for each k (``separated``), in Lava one process.
    With a ``GateLink``: g[t] = level[t - lag]; for t < lag the level of 1.0.
    """

    synapses: Synapses
    exponent: int = 0
    lag: int = 0
    delay: int = 1
    late: IntArray | None = None

    @property
    def last(self) -> int:
        """How many local steps later its last synapse delivers."""
        return self.lag + (0 if self.late is None else int(self.late.max(initial=0)))


@dataclass(frozen=True, eq=False, kw_only=True)
class IntNeuron(Op):
    """Neurons of one soma model of the machine; ``soma.step`` is their equation.

    Operands: connections, then the gate links of ports 0, 1, ... ``scale`` (n,) or (1,): v * scale is the float membrane.
    """

    shape: Shape
    soma: Soma
    scale: Array = field(default_factory=lambda: np.ones(1))
    start: int = 0

    @property
    def size(self) -> int:
        """Number of neurons."""
        return prod(self.shape)

    @property
    def currents(self) -> tuple[str, ...]:
        """The connections whose sum is the synaptic input."""
        return self.inputs[: len(self.inputs) - self.soma.ports]

    @property
    def links(self) -> tuple[str, ...]:
        """The gate links, by port."""
        return self.inputs[len(self.inputs) - self.soma.ports :]


@dataclass(frozen=True, eq=False, kw_only=True)
class IntReplay(IntNeuron):
    """Gate levels that a host computes from a whole run: round(2**gate_bits g), g the gates of ``of`` over ``dim``.

    Operands: read-outs on the cores; their v times their ``scale`` is what ``of`` reads. ``soma``: a ``HostGate``.
    """

    of: Op
    dim: str

    @property
    def currents(self) -> tuple[str, ...]:
        """None: no synapse ends here."""
        return ()

    @property
    def links(self) -> tuple[str, ...]:
        """None."""
        return ()


@dataclass(frozen=True, eq=False, kw_only=True)
class IntOutput(AnyOutput):
    """The answer: ``membrane`` of the operand after the last step, or its ``spikes`` over T; ``scale`` to the mean over T.

    ``held``: the membrane, or the sum of what was sent, is itself the answer after the last step, and no mean is taken.
    """

    readout: Literal["membrane", "spikes"] = "membrane"
    scale: float = 1.0
    held: bool = False


def lif(
    *,
    decay_v: IntArray,
    bias: IntArray,
    threshold: IntArray,
    decay_u: IntArray | None = None,
    v_reset: IntArray | None = None,
) -> Lif:
    """Return a plain LIF: reset to ``v_reset`` (0), and a memoryless current where no ``decay_u`` is given."""
    forgets, zero = np.full(1, 4096, np.int64), np.zeros(1, np.int64)
    return Lif(forgets if decay_u is None else decay_u, decay_v, bias, threshold, zero if v_reset is None else v_reset)


def kind_of(op: Op) -> str:
    """Return what an op is, in words: the soma or synapse kind it holds, else its own type."""
    held = op.soma if isinstance(op, IntNeuron) else op.synapses if isinstance(op, IntConnection) else op
    return type(held).__name__


def source_of(graph: Graph) -> IntInput:
    """Return the input."""
    source = graph.input
    assert isinstance(source, IntInput)
    return source


def life(graph: Graph, op: IntInput | IntNeuron, timesteps: int) -> int:
    """Return how many of ``timesteps`` local steps an op of an aligned graph runs: fewer, where the chip is halted before."""
    return lived(op.start, timesteps, source_of(graph).stop)


def answer_of(graph: Graph) -> IntOutput:
    """Return the output."""
    output = graph.output
    assert isinstance(output, IntOutput)
    return output


def replays_of(graph: Graph) -> list[IntReplay]:
    """Return the gates that a host computes between two runs, in order."""
    return [op for op in graph if isinstance(op, IntReplay)]


def neurons_of(graph: Graph) -> list[IntNeuron]:
    """Return the neurons on the cores, in order."""
    return [op for op in graph if isinstance(op, IntNeuron) and not op.soma.on_host]


def ends(graph: Graph, op: IntConnection) -> tuple[IntInput | IntNeuron, IntNeuron]:
    """Return the neurons in front of and behind a connection."""
    source, target = graph[op.inputs[0]], graph.readers[op.name][0]
    assert isinstance(source, IntInput | IntNeuron)
    assert isinstance(target, IntNeuron)
    return source, target


def by_delay(op: IntConnection) -> tuple[IntConnection, ...]:
    """Return a connection as one for each delay, zero elsewhere (a zero weight is no synapse)."""
    if op.late is None:
        return (op,)
    weight, found = op.synapses.weights, []
    for steps in np.unique(op.late).tolist():
        late = np.where(op.late == steps, weight, 0)
        if late.any():
            part = op.synapses.with_weights(late)
            moved = {"lag": op.lag + steps, "delay": op.delay + steps}
            found.append(replace(op, name=f"{op.name}.d{steps}", synapses=part, late=None, **moved))
    return tuple(found) or (replace(op, late=None),)


def separated(graph: Graph) -> Graph:
    """Return the graph with one connection for each delay, as a chip holds them."""
    parts = {op.name: by_delay(op) for op in graph if isinstance(op, IntConnection) and op.late is not None}
    if not parts:
        return graph
    ops: list[Op] = []
    for op in graph:
        inputs = tuple(
            part for name in op.inputs for part in ([p.name for p in parts[name]] if name in parts else [name])
        )
        ops += parts[op.name] if op.name in parts else [op if inputs == op.inputs else replace(op, inputs=inputs)]
    return graph.with_ops(ops)


def wrong(op: Op, steps: int) -> Iterator[Wrong]:
    """Yield what is illegal in the integers an op holds; 0 steps: of any length."""
    match op:
        case IntInput() | IntNeuron():
            yield from op.soma.wrong(prod(op.shape), steps or None)
        case IntConnection():
            yield from op.synapses.wrong()
            if op.late is not None:
                yield from within("late", op.late, 0, LATEST, "shorten the delays")
        case _:
            return


def delay_of(starts: dict[str, int], graph: Graph, op: IntConnection) -> int:
    """Return the chip delay that the starts of both ends ask of a connection."""
    source, target = op.inputs[0], graph.readers[op.name][0].name
    return op.lag - lag_of(starts[source], 0, starts[target])


def wrong_delay(graph: Graph, op: IntConnection) -> str:
    """Return in words why a connection's delay is not what its starts and lag ask for, or nothing."""
    source, target = ends(graph, op)
    wanted = delay_of({end.name: end.start for end in (source, target)}, graph, op)
    if op.delay == wanted >= 1:
        return ""
    return (
        f"delay {op.delay}, but starts {source.start} and {target.start} and lag {op.lag} ask for {wanted} (at least 1)"
    )


def with_timesteps(graph: Graph, timesteps: int) -> Graph:
    """Return the graph for samples of another length; an answer that is a mean over the steps stays one (T = 0: a sum)."""
    factor = max(graph.timesteps, 1) / max(timesteps, 1)

    def scaled(op: Op) -> Op:
        return replace(op, scale=op.scale * factor) if isinstance(op, IntOutput) and not op.held else op

    return replace(graph.map(scaled) if factor != 1 else graph, timesteps=timesteps)
