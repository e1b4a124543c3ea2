"""Every integer is compared with the number it rounds: faults too small, or too rarely reached, for a run to show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from golden_nets import golden_deployment
from lowered_blocks import lowered, taken, with_weights
from planted import changed, reloaded, synapses_to_spikes
from tiny import tiny_deployment

from spikewright.hw_sim.somas import Gate, GateTable, Lif
from spikewright.hw_sim.synapses import IdentitySynapses
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.integer import IntConnection, IntNeuron, IntOutput
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Accumulator, Affine, Input, Output
from spikewright.toolchain.ops import Lif as FloatLif
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples
from spikewright.toolchain.spike_driven.faithful import faithful

FAMILIES = ("ma", "gac", "tcja", "staa", "recurrent", "residual")


def weights(made: Deployment, change: Callable[[np.ndarray], None]) -> tuple[Deployment, str]:
    victim, _ = synapses_to_spikes(made)
    w = victim.synapses.weights.copy()
    change(w)
    return changed(made, victim.name, synapses=victim.synapses.with_weights(w)), victim.name


def dropped_synapse(made: Deployment) -> tuple[Deployment, str]:
    def drop(w: np.ndarray) -> None:
        sizes = np.where(w == 0, np.iinfo(np.int64).max, np.abs(w))
        w.flat[int(sizes.argmin())] = 0

    return weights(made, drop)


def moved_weights(made: Deployment) -> tuple[Deployment, str]:
    def move(w: np.ndarray) -> None:
        w[...] = np.roll(w, 1)

    return weights(made, move)


def fired(made: Deployment) -> tuple[IntNeuron, Lif]:
    _, target = synapses_to_spikes(made)
    assert isinstance(target.soma, Lif)
    return target, target.soma


def one_threshold(made: Deployment) -> tuple[Deployment, str]:
    op, soma = fired(made)
    levels = np.broadcast_to(soma.threshold, (op.size,)).copy()
    levels[-1] += 128
    return changed(made, op.name, soma=replace(soma, threshold=levels)), op.name  # type: ignore[arg-type]


def other_decay(made: Deployment) -> tuple[Deployment, str]:
    op, soma = fired(made)
    return changed(made, op.name, soma=replace(soma, decay_v=np.abs(soma.decay_v - 4))), op.name  # type: ignore[arg-type]


def other_reset(made: Deployment) -> tuple[Deployment, str]:
    op, soma = fired(made)
    return changed(made, op.name, soma=replace(soma, v_reset=soma.v_reset + 2)), op.name  # type: ignore[arg-type]


def longer_silence(made: Deployment) -> tuple[Deployment, str]:
    op, soma = fired(made)
    return changed(made, op.name, soma=replace(soma, refractory=2)), op.name  # type: ignore[arg-type]


PLANTS = (dropped_synapse, moved_weights, one_threshold, other_decay, other_reset, longer_silence)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("family", FAMILIES)
def test_one_number_that_is_not_the_captured_nets_is_found_at_its_op(
    family: str, plant: Callable[[Deployment], tuple[Deployment, str]]
) -> None:
    made, name = plant(golden_deployment(family))

    faults = made.check().faithful.faults  # type: ignore[union-attr]

    assert repr(name) in faults[0]
    assert "where the captured net asks for" in faults[0]


@pytest.mark.parametrize(("strategy", "variant"), [("static", "ma code TCS"), ("causal", "ma causal TCS")])
def test_two_levels_of_a_gate_that_are_swapped_are_found(strategy: str, variant: str) -> None:
    made = lowered(with_weights(taken(strategy)[variant], 3), strategy)
    for op in made.integer:
        match op:
            case IntNeuron(soma=GateTable(table=table) as soma) if np.unique(table).size > 1:
                order = np.argsort(table.ravel())
                other = table.copy()
                other.flat[[order[0], order[-1]]] = other.flat[[order[-1], order[0]]]
                found = changed(made, op.name, soma=replace(soma, table=other)).check().faithful
            case IntNeuron(soma=Gate() as soma):
                found = changed(made, op.name, soma=replace(soma, bias=soma.bias + 2)).check().faithful
            case _:
                continue
        assert found is not None
        assert repr(op.name) in found.faults[0]


@pytest.mark.parametrize(("timesteps", "keep"), [(400, 0.999), (50, 1.0), (40, 0.9)])
def test_a_leaky_answer_with_a_gain_in_each_step_raises_no_alarm(timesteps: int, keep: float) -> None:
    rng = np.random.default_rng(0)
    hidden = FloatLif(name="hidden", inputs=("first",), shape=(12,), beta=np.array(0.9), v_threshold=np.array(1.0))
    second = Affine(name="second", inputs=("hidden",), weight=rng.normal(size=(3, 12)), bias=0.1 * rng.normal(size=3))
    graph = Graph(
        (
            Input(name="in", shape=(6,)),
            Affine(name="first", inputs=("in",), weight=rng.normal(size=(12, 6))),
            hidden,
            second,
            Accumulator(name="sum", inputs=("second",), shape=(3,), decay=keep, rectify=False),
            Output(name="out", inputs=("sum",)),
        ),
        timesteps,
    )
    samples = Samples((rng.random((timesteps, 4, 6)) < 0.3).astype(np.float32), None, "random")

    check = deploy_graph(graph, Options(), samples, name="net", samples=samples).check()

    assert check.ok, check.text()


def skipped(name: str) -> Deployment:
    """Deploy a net whose last neurons also read the first ones as they are; ``name`` is that of their second map."""
    lif = FloatLif(name="a", inputs=("first",), shape=(8,), beta=np.array(0.5), v_threshold=np.array(0.7))
    rng = np.random.default_rng(1)
    first, second, third = (
        Affine(name=key, inputs=(reads,), weight=rng.normal(size=(8, 8)) / 2)
        for key, reads in (("first", "in"), ("second", "a"), (name, "a"))
    )
    last = replace(lif, name="b", inputs=("second", name, "a"), v_threshold=np.array(1.1))
    answer = Output(name="out", inputs=("b",))
    graph = Graph((Input(name="in", shape=(8,)), first, lif, second, third, last, answer), 12)
    samples = Samples((rng.random((12, 4, 8)) < 0.4).astype(np.float32), None, "random")
    return deploy_graph(graph, Options(tolerance=1.0), samples, name="net", samples=samples)


def test_a_map_of_ones_own_that_is_named_like_a_second_projection_raises_no_alarm() -> None:
    made = skipped("second.low")

    assert made.check().ok

    other = changed(made, "second.low", synapses=made.integer["second.low"].synapses.with_weights(np.full((8, 8), 2)))  # type: ignore[attr-defined]
    found = other.check().faithful
    assert found is not None
    assert "'second.low'" in found.faults[0]


@pytest.mark.parametrize(("low", "sound"), [(-1, True), (-2, False)])
def test_an_identity_and_what_it_leaves_are_judged_as_one(low: int, sound: bool) -> None:
    """2 w - w is w; w is even: halves are whole."""
    made = skipped("third")
    held, target = made.integer["b.in2"], made.integer["b"]
    assert isinstance(held, IntConnection)
    assert isinstance(held.synapses, IdentitySynapses)
    twice = replace(held, exponent=held.exponent + 1)
    rest = replace(held, name="b.in2.low", synapses=IdentitySynapses(low * held.synapses.weight))
    graph = made.integer.map(
        lambda op: {"b.in2": twice, "b": replace(target, inputs=(*target.inputs, rest.name))}.get(op.name, op)
    )
    ops = [one for op in graph for one in ((op, rest) if op is twice else (op,))]

    found = reloaded(made, graph.with_ops(ops)).check().faithful

    assert found is not None
    assert found.ok == sound, found.text()


def test_an_answer_that_is_read_elsewhere_or_scaled_otherwise_is_found() -> None:
    made = golden_deployment("ma")
    program, graph = made.program, made.integer
    fires, kinds = fired(made)[0].name, ("membrane", "spikes")
    assert fires != program.readout
    other = kinds[program.readout_kind == kinds[0]]
    scaled = graph.map(lambda op: replace(op, scale=-op.scale) if isinstance(op, IntOutput) else op)
    planted = (
        replace(made, program=replace(program, readout=fires)),
        replace(made, program=replace(program, readout_kind=other)),  # type: ignore[arg-type]
        replace(made, integer=replace(graph, timesteps=graph.timesteps + 1)),
        replace(made, integer=scaled),
    )
    for one in planted:
        found = faithful(one)

        assert found.faults[0].startswith(repr(graph.output.name)), found.faults


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.3, 1.9])
def test_weights_that_a_gain_is_folded_into_are_rounded_in_steps_of_their_own(gain: float) -> None:
    """The largest weight is 32.2 half steps, where 31 at least fill 6 bits; without the gain it were fewer."""
    lif = FloatLif(name="a", inputs=("large", "small"), shape=(2,), beta=np.array(0.0), v_threshold=np.array(0.5))
    large, small = (
        Affine(name=name, inputs=("in",), weight=np.array(weight) / (62 * gain))
        for name, weight in (("large", [[-515.2, -335.5], [-143.5, -463.5]]), ("small", [[62, 20], [-8, 28]]))
    )
    neurons = replace(lif, gain=np.array(gain))
    graph = Graph((Input(name="in", shape=(2,)), large, small, neurons, Output(name="out", inputs=("a",))), 12)
    samples = Samples((np.random.default_rng(0).random((12, 4, 2)) < 0.5).astype(np.float32), None, "random")

    made = deploy_graph(graph, Options(weight_bits=6, tolerance=1.0), samples, name="net", samples=samples)

    assert made.integer["large"].exponent == 4  # type: ignore[attr-defined]
    found = made.check().faithful
    assert found is not None
    assert found.ok, found.text()


@pytest.mark.parametrize("more", [-1, 1])
def test_a_program_of_other_steps_is_found_and_not_run(more: int) -> None:
    made = tiny_deployment()
    planted = replace(made, program=replace(made.program, steps=made.program.steps + more)).check()

    assert not planted.ok
    assert planted.faithful is not None
    assert [(wrong.op, "steps" in wrong.what) for wrong in planted.faithful.misfits] == [("output", True)]
    assert planted.audit is None
