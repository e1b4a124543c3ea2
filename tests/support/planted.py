"""Faults planted into a deployment's integer graph and program, as a wrong pass leaves them; each returns whom to blame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from spikewright.hw_sim import DenseSynapses, GateLink, GateTable, Program
from spikewright.hw_sim.somas import DeltaRelu, GatedMembrane, Lif
from spikewright.hw_sim.synapses import ConvSynapses
from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.integer import IntConnection, IntNeuron, replays_of
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping import assemble
from spikewright.toolchain.ops import Affine, Conv, Op, Output
from spikewright.toolchain.ops import Lif as FloatLif
from spikewright.toolchain.passes.base import drop_unread

Planted = tuple[Deployment, set[str]]
"""What is left of a deployment, and the names of which the checker has to give one."""


def reloaded(made: Deployment, graph: Graph) -> Deployment:
    """Return the deployment with another integer graph, and the program assembled from it; new neurons lie on core 0."""
    cores = {p.name: p.core for p in made.program.populations}
    for op in graph:
        if isinstance(op, IntNeuron) and op.name not in cores:
            cores[op.name] = np.zeros(op.size, np.int32)
    return replace(made, integer=graph, program=assemble(graph, made.program.chip, cores))


def changed(made: Deployment, name: str, **fields: Any) -> Deployment:
    """Change an op of the integer graph and of the program."""
    return reloaded(made, made.integer.map(lambda op: replace(op, **fields) if op.name == name else op))


def synapses_to_spikes(made: Deployment) -> tuple[IntConnection, IntNeuron]:
    """Return the first weighted connection to neurons that fire."""
    graph = made.integer
    for op in graph:
        if isinstance(op, IntConnection) and isinstance(op.synapses, ConvSynapses | DenseSynapses):
            target = graph.readers[op.name][0]
            if isinstance(target, IntNeuron) and isinstance(target.soma, Lif) and target.soma.kind != "none":
                return op, target
    raise AssertionError("no such connection")


def late(made: Deployment, lag: int) -> Planted:
    """Give a gate link (or, without one, synapses) another lag, in graph and program."""
    links = [op for op in made.integer if isinstance(op, IntConnection) and isinstance(op.synapses, GateLink)]
    victim = links[0] if links else synapses_to_spikes(made)[0]
    return changed(made, victim.name, lag=lag, delay=victim.delay + lag - victim.lag), {victim.name}


def dense_op(made: Deployment) -> Planted:
    """Put a real-valued map between spikes and synapses."""
    victim, _ = synapses_to_spikes(made)
    planted = Affine(name="planted", inputs=victim.inputs, weight=np.ones((4, 4)))
    ops: list[Op] = []
    for op in made.integer:
        ops += [planted, replace(op, inputs=("planted",))] if op is victim else [op]
    return replace(made, integer=made.integer.with_ops(ops)), {"planted"}


def look_ahead(made: Deployment) -> Planted:
    """Read what comes one step later."""
    return late(made, -1)


def in_step_loop(made: Deployment) -> Planted:
    """Let neurons wait, inside the step, for what follows from themselves."""
    _, target = synapses_to_spikes(made)
    loop = IntConnection(
        name="planted",
        inputs=(target.name,),
        synapses=DenseSynapses(np.full((target.size, target.size), 2)),
        lag=0,
        delay=0,
    )
    reads = (*target.currents, "planted", *target.links)
    ops: list[Op] = []
    for op in made.integer:
        ops += [loop, replace(op, inputs=reads)] if op is target else [op]
    return reloaded(made, made.integer.with_ops(ops)), {"planted"}


def host_op(made: Deployment) -> Planted:
    """Compute on the host behind the first spike: neurons off the cores, or a host's part that goes on."""
    if made.host is None:
        _, target = synapses_to_spikes(made)
        off = tuple(
            replace(p, core=np.full(p.size, -1, np.int32)) if p.name == target.name else p
            for p in made.program.populations
        )
        return replace(made, program=replace(made.program, populations=off)), {target.name}
    graph, boundary = made.host.graph, made.host.boundary
    shape = made.integer.input.shape
    more = (
        Conv(name="planted", inputs=(boundary,), weight=np.ones((shape[0], shape[0], 1, 1))),
        FloatLif(name="late", inputs=("planted",), shape=shape, beta=np.array(0.5), v_threshold=np.array(1.0)),
        Output(name="host.out", inputs=("late",)),
    )
    ops = [op for op in graph if not isinstance(op, Output)]
    return replace(made, host=replace(made.host, graph=graph.with_ops([*ops, *more]))), {"planted"}


def gate_into_synapses(made: Deployment) -> Planted:
    """Let synapses read a gate's levels."""
    _, target = synapses_to_spikes(made)
    table = IntNeuron(name="levels", shape=(2,), soma=GateTable(np.full((1, 2), 128)))
    reads = IntConnection(name="planted", inputs=("levels",), synapses=DenseSynapses(np.full((target.size, 2), 2)))
    ops: list[Op] = []
    for op in made.integer:
        new = replace(target, inputs=(*target.currents, "planted", *target.links))
        ops += [table, reads, new] if op is target else [op]
    return reloaded(made, made.integer.with_ops(ops)), {"planted"}


def real_payload(made: Deployment) -> Planted:
    """Leave weights as real numbers."""
    victim, _ = synapses_to_spikes(made)
    real = replace(victim.synapses, weight=victim.synapses.weights + 0.5)  # type: ignore[call-arg]
    return changed(made, victim.name, synapses=real), {victim.name}


def membrane_sent(made: Deployment) -> Planted:
    """Send a leaking sum in every step instead of spikes."""
    _, target = synapses_to_spikes(made)
    sends = replace(target, soma=DeltaRelu(decay=np.full(1, 1024), shift=0), inputs=target.currents)
    graph = made.integer.map(lambda op: sends if op is target else op)
    return reloaded(made, drop_unread(graph)), {target.name}


def bias_driven(made: Deployment) -> Planted:
    """Let every neuron of a layer fire in every step."""
    _, target = synapses_to_spikes(made)
    assert isinstance(target.soma, Lif)
    loud = replace(target.soma, bias=np.full(1, int(target.soma.threshold.max()) + 64), decay_v=np.full(1, 4096))
    return changed(made, target.name, soma=loud), {target.name}


def saturation(made: Deployment) -> Planted:
    """Scale weights by 2^7 (or to the largest exponent), so that states leave their bits."""
    victim, target = synapses_to_spikes(made)
    return changed(made, victim.name, exponent=min(7, victim.exponent + 7)), {victim.name, target.name}


def wrong_lag(made: Deployment) -> Planted:
    """Come one step too late."""
    links = [op for op in made.integer if isinstance(op, IntConnection) and isinstance(op.synapses, GateLink)]
    return late(made, (links[0] if links else synapses_to_spikes(made)[0]).lag + 1)


def wrong_weight(made: Deployment) -> Planted:
    """Turn the sign of one output channel's weights."""
    victim, target = synapses_to_spikes(made)
    weight = victim.synapses.weights.copy()
    weight[0] = -weight[0]
    return changed(made, victim.name, synapses=victim.synapses.with_weights(weight)), {victim.name, target.name}


def loaded_weight(made: Deployment) -> Planted:
    """Change one weight in the program alone, by the least there is."""
    victim, _ = synapses_to_spikes(made)
    weight = victim.synapses.weights.copy()
    weight.flat[0] += 2 if weight.flat[0] < 0 else -2
    other = victim.synapses.with_weights(weight)
    program: Program = made.program
    changed_ = tuple(replace(p, synapses=other) if p.name == victim.name else p for p in program.projections)
    return replace(made, program=replace(program, projections=changed_)), {victim.name}


STATIC: tuple[Callable[[Deployment], Planted], ...] = (
    dense_op, look_ahead, in_step_loop, host_op, gate_into_synapses, real_payload, membrane_sent,
)  # fmt: skip
"""What is a violation of the verdict by structure alone."""
WRONG_NET: tuple[Callable[[Deployment], Planted], ...] = (
    bias_driven, saturation, wrong_lag, wrong_weight, loaded_weight,
)  # fmt: skip
"""What is another net than the captured one, spike-driven or not."""


def other_gate(made: Deployment) -> Planted:
    """Let the host compute gates with other weights than the net was trained with."""
    (victim, *_) = replays_of(made.integer)
    assert isinstance(victim.of, AttentionBlock)
    weights = {name: -w for name, w in victim.of.parameters.items()}
    return changed(made, victim.name, of=replace(victim.of, parameters=weights)), {victim.block}


def less_read(made: Deployment) -> Planted:
    """Read out a quarter of what the gates are made of."""
    tap = replays_of(made.integer)[0].inputs[0]
    held = made.integer[tap]
    assert isinstance(held, IntNeuron)
    victim = made.integer[held.currents[0]]
    assert isinstance(victim, IntConnection)
    less = victim.synapses.with_weights(victim.synapses.weights // 8 * 2)
    return changed(made, victim.name, synapses=less), {tap, victim.name}


def other_pool(made: Deployment) -> Planted:
    """Turn the sign of the first weights of a pooled gate."""
    victim = next(op for op in made.integer if isinstance(op, IntNeuron) and isinstance(op.soma, GatedMembrane))
    assert isinstance(victim.soma, GatedMembrane)
    turned = replace(victim.soma, excite=-victim.soma.excite, kernel=-victim.soma.kernel)
    return changed(made, victim.name, soma=turned), {victim.name}


GATED: tuple[Callable[[Deployment], Planted], ...] = (other_gate, less_read, other_pool)
"""What is wrong with gates from the host, or from pools inside the step."""
