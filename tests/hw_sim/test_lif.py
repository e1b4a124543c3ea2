"""Neurons by hand: periodic reset and refractory period, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spikewright.hw_sim import (
    DenseSynapses,
    Lif,
    Population,
    Program,
    ProgramError,
    Projection,
    Source,
    drc,
    load_chip,
    simulate,
)
from spikewright.hw_sim.fixed_point import STATE_MAX, decay, wrap_current

ONE = np.ones(1, np.int64)


def alone(bias: int, threshold: int, steps: int, **more: Any) -> Program:
    """Return one neuron without leak that only its bias drives."""
    lif = Lif(4096 * ONE, 0 * ONE, bias * ONE, threshold * ONE, more.pop("v_reset", 0 * ONE), **more)
    population = Population("n", (1,), lif, core=np.zeros(1, np.int32), kind=lif.sends)
    return Program((population,), (), "loihi2", steps, "n", "spikes")


def test_a_net_without_a_source_runs_one_sample() -> None:
    trace = simulate(alone(10, 25, 7), {}, record=True)
    assert trace.v["n"][:, 0, 0].tolist() == [10, 20, 0, 10, 20, 0, 10]
    assert trace.outputs.tolist() == [[2]]


def test_a_periodic_reset_zeroes_the_state_before_the_step_integrates() -> None:
    trace = simulate(alone(10, 1000, 8, reset_interval=3, reset_phase=1), {}, record=True)
    assert trace.v["n"][:, 0, 0].tolist() == [10, 10, 20, 30, 10, 20, 30, 10]


def test_a_periodic_reset_keeps_its_phase_in_a_longer_run_cut_into_blocks() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spikewright.hw_sim.engine.run.BLOCK_BYTES", 1)
        trace = simulate(alone(10, 1000, 40, reset_interval=16), {}, record=True)
    assert trace.v["n"][:, 0, 0].tolist() == [10 * (t % 16 + 1) for t in range(40)]


def test_a_refractory_neuron_keeps_its_voltage_and_is_silent_until_the_period_is_over() -> None:
    trace = simulate(alone(100, 50, 8, refractory=3), {}, record=True)
    assert np.flatnonzero(trace.spikes["n"]).tolist() == [0, 3, 6]
    assert not trace.v["n"].any()


def test_a_refractory_neuron_integrates_again_exactly_when_the_period_is_over() -> None:
    trace = simulate(alone(10, 15, 9, refractory=2), {}, record=True)
    assert trace.v["n"][:, 0, 0].tolist() == [10, 0, 0, 10, 0, 0, 10, 0, 0]


def test_a_periodic_reset_ends_the_refractory_period() -> None:
    trace = simulate(alone(100, 50, 5, refractory=64, reset_interval=2), {}, record=True)
    assert np.flatnonzero(trace.spikes["n"]).tolist() == [0, 2, 4]


def test_a_neuron_of_several_spikes_sends_their_number_and_subtracts_each() -> None:
    counts = {"max_spikes": None, "spacing": 10 * ONE, "reset": "subtract", "v_reset": 10 * ONE}
    trace = simulate(alone(25, 9, 4, **counts), {}, record=True)  # v >= 10, 20, ...
    assert trace.spikes["n"].ravel().tolist() == [2, 3, 2, 3]
    assert trace.v["n"].ravel().tolist() == [5, 0, 5, 0]
    assert trace.outputs.tolist() == [[10]]
    assert (trace.populations["n"].spikes, trace.messages_in.sum()) == (
        4,
        0,
    )  # one message a step, whatever its payload


def test_a_largest_number_of_spikes_leaves_the_rest_in_the_membrane() -> None:
    counts = {"max_spikes": 2, "spacing": 10 * ONE, "reset": "subtract", "v_reset": 10 * ONE}
    trace = simulate(alone(25, 9, 3, **counts), {}, record=True)
    assert trace.v["n"].ravel().tolist() == [5, 10, 15]


def test_a_membrane_is_held_at_its_floor_and_starts_where_it_is_told_and_again_after_a_reset() -> None:
    trace = simulate(alone(-30, 10, 4, v_min=-50 * ONE, v_start=40 * ONE, reset_interval=3), {}, record=True)
    assert trace.v["n"].ravel().tolist() == [10, -20, -50, 10]


@pytest.mark.parametrize(
    ("more", "current", "largest"),
    [
        (
            {"max_spikes": None, "spacing": 100 * ONE},
            10,
            1 + (100 + 640 + 7 - 100 - 1) // 100,
        ),  # at most 100 is left over
        ({"max_spikes": 5, "spacing": 100 * ONE}, 10, 5),
        ({"max_spikes": None, "spacing": 100 * ONE}, None, 1 + (STATE_MAX - 101) // 100),
        ({"max_spikes": None, "spacing": 100 * ONE, "v_start": 1000 * ONE}, 1, 1 + (1000 + 64 + 7 - 101) // 100),
    ],
)
def test_the_largest_payload_of_counts_follows_from_what_can_arrive(
    more: dict[str, Any], current: int | None, largest: int
) -> None:
    lif = Lif(4096 * ONE, 0 * ONE, 7 * ONE, 100 * ONE, 100 * ONE, "subtract", **more)
    assert lif.largest_payload(current) == largest


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"max_spikes": None, "spacing": 0 * ONE}, "spacing 0 .. 0; allowed 1 .. 8388607"),
        ({"max_spikes": 0}, "max_spikes 0 .. 0; allowed 1 .. 8388607"),
        ({"max_spikes": 2, "reset": "subtract"}, "each spike subtracts v_reset, but they are spacing apart"),
        ({"max_spikes": 2, "output_gate": True, "gates": 1}, "an output gate on several spikes a step"),
        ({"v_min": -(1 << 23) * ONE}, "v_min -8388608 .. -8388608"),
        ({"v_start": (1 << 23) * ONE}, "v_start 8388608 .. 8388608"),
        (
            {"reset_interval": 4, "reset_phase": 4},
            "reset_interval 4, reset_phase 4; the phase must be 0 .. interval - 1",
        ),
        ({"reset_interval": -1}, "reset_interval -1, reset_phase 0"),
        ({"refractory": 0}, "refractory 0 .. 0; allowed 1 .. 64"),
        ({"refractory": 65}, "refractory 65 .. 65; allowed 1 .. 64"),
    ],
)
def test_what_the_chip_has_not_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ProgramError) as error:
        drc.check(alone(1, 1, 1, **more), load_chip("loihi2"))
    assert said in str(error.value)


def test_a_program_shows_its_periods_only_where_it_has_some() -> None:
    assert "reset_interval" not in str(alone(1, 1, 1))
    assert "refractory=3" in str(alone(1, 1, 1, refractory=3))
    assert "max_spikes" not in str(alone(1, 1, 1))
    assert "max_spikes=None, v_min=-5" in str(alone(1, 1, 1, max_spikes=None, v_min=-5 * ONE))
    assert "reset_interval=4, reset_phase=1" in str(alone(1, 1, 1, reset_interval=4, reset_phase=1))


@pytest.mark.parametrize("decay_u", [0, 100, 4096])
def test_a_current_that_outgrows_its_wrap_stays_exact(decay_u: int) -> None:
    """One wrap a step cannot hold a drive of 2^29 that is kept: u grows beyond 32 bits, as in lava-nc."""
    source = Population("in", (1,), Source(1), core=np.full(1, -1, np.int32))
    lif = Lif(decay_u * ONE, 4096 * ONE, 0 * ONE, STATE_MAX * ONE, 0 * ONE)
    neuron = Population("n", (1,), lif, start=1, core=np.zeros(1, np.int32), kind="none")
    synapse = Projection("p", "in", "n", DenseSynapses(254 * ONE.reshape(1, 1)), exponent=15)
    program = Program((source, neuron), (synapse,), "loihi2", 12, "n")

    trace = simulate(program, {"in": np.ones((12, 1, 1), np.int64)}, record=True)

    u, wanted = 0 * ONE, []
    for _ in range(12):
        u = wrap_current(decay(u, decay_u) + (254 << 15 << 6))
        wanted.append(int(u[0]))
    assert trace.u["n"].ravel().tolist() == wanted
