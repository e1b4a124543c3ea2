"""What a synapse kind and a soma say of themselves: against the synapses written out one by one, and on the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import numpy as np
import pytest
from hw_random import random_program
from hw_reference import matrix
from hypothesis import given, settings
from hypothesis import strategies as st

from spikewright.hw_sim import (
    ConvSynapses,
    DenseSynapses,
    GatedMembrane,
    GateLink,
    HostGate,
    Lif,
    Population,
    Program,
    Projection,
    Soma,
    Source,
    simulate,
)
from spikewright.hw_sim import fixed_point as fp
from spikewright.hw_sim.errors import ProgramError
from spikewright.hw_sim.somas import IntArray, Saturations, State
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


@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)), stride=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)), dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    groups=st.sampled_from((1, 2)), bands=st.tuples(st.integers(1, 4), st.integers(1, 4)), seed=st.integers(0, 9),
)  # fmt: skip
def test_tiles_of_some_channels_reach_what_their_entries_say(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    bands: tuple[int, int],
    seed: int,
) -> None:
    """Tiles are moved copies of each other, single places, or at the border, where windows see less."""
    weight = np.random.default_rng(seed).integers(-1, 2, (4, 4 // groups, *kernel))
    conv = ConvSynapses(weight, stride, padding, dilation, groups)
    source = (4, 9, 8)
    target = conv.shape(source)
    channel, row, column = np.indices(target)
    tile = row * bands[0] // target[1] * bands[1] + column * bands[1] // target[2]
    part = (channel // 2 * bands[0] * bands[1] + tile).reshape(-1)
    parts = 2 * bands[0] * bands[1]

    rows, columns, _ = conv.entries(source, target)
    wanted = np.zeros((prod(source), parts), np.int64)
    np.add.at(wanted, (columns, part[rows]), 1)
    np.testing.assert_array_equal(conv.fan_out(source, target, part, parts).table(prod(source)), wanted)


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

    def step(
        self, state: State, a: IntArray, levels: Sequence[IntArray] = (), t: int = 0, full: Saturations | None = None
    ) -> IntArray:
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


def pooled_by_hand(soma: GatedMembrane, v: IntArray) -> IntArray:
    """Return one sample's membranes (C, H, W) scaled by pooled gates, value by value, in Python's integers."""
    C, H, W = v.shape
    maps = [[[int(x) for x in row] for row in one] for one in v]

    def level(total: int, thresholds: IntArray) -> int:
        return int(soma.levels[sum(total >= int(t) for t in thresholds)])

    def scaled(x: int, by: int) -> int:
        return (abs(x) * by >> soma.gate_bits) * (1 if x >= 0 else -1)

    flat = [[x for row in one for x in row] for one in maps]
    sums = [[sum(one) for one in flat], [H * W * max(one) for one in flat]]
    hidden = [
        [max(0, sum(int(w) * x for w, x in zip(row, part, strict=True))) for row in soma.squeeze] for part in sums
    ]
    channel = [sum(int(w) * h for part in hidden for w, h in zip(row, part, strict=True)) for row in soma.excite]
    maps = [
        [[scaled(x, level(total, soma.channel_thresholds)) for x in row] for row in one]
        for one, total in zip(maps, channel, strict=True)
    ]
    k = soma.kernel.shape[-1]
    out = np.zeros(v.shape, np.int64)
    for i in range(H):
        for j in range(W):
            total = 0
            for di in range(k):
                for dj in range(k):
                    y, x = i + di - k // 2, j + dj - k // 2
                    if 0 <= y < H and 0 <= x < W:
                        column = [one[y][x] for one in maps]
                        total += int(soma.kernel[0, 0, di, dj]) * sum(column)
                        total += int(soma.kernel[0, 1, di, dj]) * C * max(column)
            for c in range(C):
                out[c, i, j] = scaled(maps[c][i][j], level(total, soma.space_thresholds))
    return out


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_membranes_are_scaled_by_ports_and_by_pools_as_worked_out_one_by_one(seed: int) -> None:
    r = np.random.default_rng(seed)
    shape, one = (3, 4, 2), np.ones(1, np.int64)
    steps = np.sort(r.integers(-(1 << 30), 1 << 30, size=256))
    soma = GatedMembrane(
        decay_u=4096 * one, decay_v=1000 * one, bias=r.integers(-999, 999, size=24), threshold=9000 * one, v_reset=0 * one,
        gates=1, membrane_gates=1, grid=shape, levels=np.arange(257),
        squeeze=r.integers(-127, 128, size=(2, 3)), excite=r.integers(-127, 128, size=(3, 2)),
        channel_thresholds=steps << 12, kernel=r.integers(-127, 128, size=(1, 2, 3, 3)), space_thresholds=steps,
    )  # fmt: skip
    plain = Lif(soma.decay_u, soma.decay_v, soma.bias, soma.threshold, soma.v_reset)
    a, level = r.integers(-400, 400, size=(2, 24)), r.integers(0, 257, size=(2, 24))
    state, alone = soma.start((2, 24)), plain.start((2, 24))
    state["v"][:] = alone["v"][:] = r.integers(-9000, 9000, size=(2, 24))
    v = fp.decay(alone["v"], plain.decay_v) + (a << 6) + plain.bias
    v = np.stack([pooled_by_hand(soma, fp.gain(one, by, 8).reshape(shape)) for one, by in zip(v, level, strict=True)])
    v = v.reshape(2, 24)

    out = soma.step(state, a, [level])

    np.testing.assert_array_equal(out, v > 9000)
    np.testing.assert_array_equal(state["v"], np.where(v > 9000, 0, v))
    assert list(soma.wrong(24)) == []
    assert "squeeze=" in str(soma)
    assert "squeeze" not in str(replace(soma, squeeze=np.zeros((0, 0), np.int64), excite=np.zeros((0, 0), np.int64)))


def test_pools_that_do_not_fit_their_population_are_refused() -> None:
    one, levels = np.ones(1, np.int64), np.arange(257)
    good = GatedMembrane(
        4096 * one, one, one, one, one, grid=(2, 3, 3), levels=levels, squeeze=np.ones((1, 2), np.int64),
        excite=np.ones((2, 1), np.int64), channel_thresholds=np.arange(256),
    )  # fmt: skip

    def said(**fields: object) -> list[str]:
        return [wrong.what for wrong in replace(good, **fields).wrong(18)]  # type: ignore[arg-type]

    assert said() == []
    assert said(grid=(2, 3, 2)) == ["grid (2, 3, 2) for 18 neurons"]
    assert said(excite=np.ones((3, 1), np.int64)) == ["squeeze (1, 2) and excite (3, 1) for 2 channels"]
    assert said(channel_thresholds=np.arange(9)) == [
        "257 levels for 9 thresholds; expected one more, thresholds ascending"
    ]
    assert said(membrane_gates=1) == ["1 membrane gates of 0 ports"]
    assert said(squeeze=np.full((1, 2), 1 << 36)) == ["pooled sums of up to 2^64; 62 bits hold them"]


def test_gates_from_the_host_are_inputs_of_a_run_and_stand_at_one_without() -> None:
    """Levels that change are messages of the host to the cores that read them."""
    one = np.ones(1, np.int64)
    lif = Lif(4096 * one, 4096 * one, 0 * one, 1000 * one, 0 * one, gates=1)
    core = np.zeros(2, np.int32)
    program = Program(
        (
            Population("in", (2,), Source(), 0),
            Population("gate", (2,), HostGate(8), 0, kind="gate"),
            Population("lif", (2,), lif, 1, core),
        ),
        (Projection("w", "in", "lif", DenseSynapses(np.diag([20, 20]))), Projection("g", "gate", "lif", GateLink(0))),
        "loihi2",
        3,
        "lif",
    )
    x, levels = np.ones((3, 1, 2), np.int64), np.array([[256, 256], [128, 256], [128, 250]])[:, None]

    free = simulate(program, {"in": x}, record=True)
    gated = simulate(program, {"in": x, "gate": levels}, record=True)

    assert free.spikes["lif"].all()
    np.testing.assert_array_equal(gated.spikes["lif"][:, 0], [[1, 1], [0, 1], [0, 1]])
    np.testing.assert_array_equal(gated.v["lif"][:, 0], [[0, 0], [640, 0], [640, 0]])
    assert gated.host_messages.sum() - free.host_messages.sum() == 2
    assert (free.sops_gate.sum(), gated.sops_gate.sum()) == (0, 2)
    with pytest.raises(ProgramError, match=r"gate levels run from 0 to 257; 8 bits hold 0 \.\. 256"):
        simulate(program, {"in": x, "gate": levels + np.array([[[-128, 1]]])})
