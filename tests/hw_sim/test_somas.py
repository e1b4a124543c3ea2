"""What a synapse kind and a soma say of themselves: against the synapses written out one by one, and on the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hw_random import random_program
from hw_reference import matrix
from hypothesis import given, settings
from hypothesis import strategies as st

from spikewright.hw_sim import (
    DenseSynapses,
    GateLink,
    Lif,
    Population,
    Program,
    Projection,
    Soma,
    Source,
    simulate,
)
from spikewright.hw_sim import fixed_point as fp
from spikewright.hw_sim.somas import IntArray, State
from spikewright.hw_sim.synapses import MisfitError, gate_axes, gate_index, spread

seeds = st.integers(min_value=0, max_value=2**31)


@settings(max_examples=100, deadline=None)
@given(seed=seeds)
def test_every_method_of_a_synapse_kind_agrees_with_its_matrix(seed: int) -> None:
    program, _ = random_program(seed)
    r = np.random.default_rng(seed)
    for p in program.projections:
        source, target = program.population(p.source), program.population(p.target)
        w, ends = matrix(program, p), (source.shape, target.shape)
        x = r.integers(-9, 10, (2, 3, source.size))

        got = np.broadcast_to(p.synapses.deliver(x, *ends), (2, 3, target.size))
        np.testing.assert_array_equal(got, x @ w.T)

        rows, columns, weight = p.synapses.entries(*ends)
        listed = np.zeros_like(w)
        np.add.at(listed, (rows, columns), weight)
        np.testing.assert_array_equal(listed, w)
        assert p.synapses.worst_sum(5) >= 5 * np.abs(w).sum(axis=1).max(initial=0)
        assert p.synapses.misfit(*ends) == "" or p.synapses.gate
        neuron = int(r.integers(source.size))
        np.testing.assert_array_equal(np.sort(p.synapses.targets(neuron, *ends)), np.flatnonzero(w[:, neuron]))
        if not p.synapses.gate:
            np.testing.assert_array_equal(p.synapses.fan_in(*ends), (w != 0).sum(axis=1))
        part = r.integers(0, 3, target.size)
        reached = p.synapses.fan_out(*ends, part, 3)
        np.testing.assert_array_equal(
            reached.table(source.size), np.stack([(w != 0)[part == k].sum(axis=0) for k in range(3)], axis=1)
        )
        assert (reached.walked >= reached.synapses).all()
        assert (reached.synapses > 0).all()


shapes = st.tuples(*(st.integers(1, 4) for _ in range(3)))


@given(shape=shapes, vector=st.booleans(), data=st.data())
def test_a_gate_broadcasts_channel_first_and_in_no_other_way(
    shape: tuple[int, int, int], vector: bool, data: st.DataObject
) -> None:
    gate = (shape[0],) if vector else tuple(data.draw(st.sampled_from((1, n))) for n in shape)
    levels = np.arange(int(np.prod(gate)))

    wanted = np.broadcast_to(levels.reshape((*gate, 1, 1) if vector else gate), shape).ravel()

    np.testing.assert_array_equal(gate_index(gate, shape), wanted)
    np.testing.assert_array_equal(np.broadcast_to(spread(levels[None], gate, shape), (1, wanted.size))[0], wanted)


@pytest.mark.parametrize(
    ("gate", "shape"),
    [((4,), (2, 3, 4)), ((3, 4), (2, 3, 4)), ((24,), (2, 3, 4)), ((2, 2, 1), (2, 3, 4)), ((2,), (3,))],
)
def test_any_other_gate_is_refused(gate: tuple[int, ...], shape: tuple[int, ...]) -> None:
    with pytest.raises(MisfitError, match="a shape that broadcasts to"):
        gate_axes(gate, shape)


@dataclass(frozen=True, eq=False)
class Leaky(Soma):
    """A model of a user's own: v = decay(v) + a; a spike, and v back by one threshold, while v > threshold."""

    per_neuron: ClassVar[tuple[str, ...]] = ("decay", "threshold")
    decay: IntArray
    threshold: IntArray

    def step(self, state: State, a: IntArray, levels: Sequence[IntArray] = (), t: int = 0) -> IntArray:
        v = fp.clip_voltage(fp.decay(state["v"], self.decay) + (a << fp.CURRENT_SHIFT))
        fired = v > self.threshold
        state["v"] = np.where(fired, v - self.threshold, v)
        return fired.astype(np.int64)


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_soma_without_a_kernel_runs_on_the_engine_by_its_own_step(recurrent: bool, rng: np.random.Generator) -> None:
    shape, ints = (2, 3, 4), (rng.integers(0, 4097, 24), rng.integers(500, 5000, 24))
    own = Leaky(*ints)
    zero, whole = np.zeros(1, np.int64), np.full(1, 4096, np.int64)
    known = Lif(whole, ints[0], zero, ints[1], ints[1], reset="subtract")
    core = np.zeros(24, np.int32)
    weight, back = rng.integers(-40, 60, (24, 6)), rng.integers(-20, 20, (24, 24))
    x = rng.integers(0, 2, (9, 3, 6))

    def run(soma: Soma) -> Program:
        loops = (Projection("r", "n", "n", DenseSynapses(back), delay=1),) if recurrent else ()
        populations = (
            Population("x", (6,), Source(1), core=np.full(6, -1, np.int32)),
            Population("n", shape, soma, 1, core),
        )
        return Program(populations, (Projection("w", "x", "n", DenseSynapses(weight)), *loops), "loihi2", 9, "n")

    got, wanted = simulate(run(own), {"x": x}, record=True), simulate(run(known), {"x": x}, record=True)

    assert "Leaky(decay=" in str(run(own))
    np.testing.assert_array_equal(got.spikes["n"], wanted.spikes["n"])
    np.testing.assert_array_equal(got.v["n"], wanted.v["n"])
    np.testing.assert_array_equal(got.outputs, wanted.outputs)
    assert got.sops.sum() == wanted.sops.sum() > 0


def test_a_gate_link_says_its_port() -> None:
    assert str(GateLink(2)) == "gate port 2"
