"""The table of all public runs: the pair of neurons within 2 %, every row with its kind, predictions from other rows only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.silicon import pair, suite

from spikewright.hw_sim import Chip, compile, load_chip, simulate


@pytest.fixture(scope="module")
def chip() -> Chip:
    return load_chip("loihi2")


@pytest.fixture(scope="module")
def found(data_dir: Path, chip: Chip) -> list[pair.Pair]:
    return pair.pairs(data_dir, chip)


@pytest.mark.parametrize(("bias", "period", "first"), [(417, 40, 39), (470, 20, 19), (640, 10, 9)])
def test_each_spike_of_the_source_is_one_of_the_target(bias: int, period: int, first: int) -> None:
    trace = simulate(compile(pair.program(bias, 5)), {}, steps=400, record=True)
    times = np.flatnonzero(trace.spikes["source"][:, 0, 0])
    np.testing.assert_array_equal(times, np.arange(first, 400, period))
    np.testing.assert_array_equal(np.flatnonzero(trace.spikes["target"][:, 0, 0]), (times + 6)[times + 6 < 400])


def test_all_eighteen_means_are_within_two_percent_and_predicted_from_the_others(found: list[pair.Pair]) -> None:
    assert len(found) == 18
    assert all(abs(one.ours_us / one.us - 1) <= 0.02 for one in found)
    assert max(map(abs, pair.left_out(found))) <= 0.001


def test_silicon_shows_the_time_of_a_spike_so_the_overhead_is_added(found: list[pair.Pair], chip: Chip) -> None:
    silicon, error, ours = pair.slope(found)
    assert silicon - 2 * error > 0
    assert ours > 0
    costs = chip.costs | {"barrier": replace(chip.costs["barrier"], latency=chip.costs["step_overhead"].latency)}
    floor = replace(chip, costs=costs | {"step_overhead": chip.costs["link_crossing"]})
    program = pair.program(640, 0)
    assert np.ptp(simulate(compile(program, floor), {}, steps=40).latency_ns) == 0
    assert np.ptp(simulate(compile(program, chip), {}, steps=40).latency_ns) > 0


def test_the_static_interval_holds_every_public_value_and_is_centred_on_the_median_day(
    data_dir: Path, chip: Chip
) -> None:
    days = suite.static_days(data_dir)
    values = [v for day in days.values() for v in day]
    assert len(values) == 32
    assert chip.static_power.low <= min(values) <= max(values) <= chip.static_power.high
    assert chip.static_power.nominal == pytest.approx(np.median([np.mean(day) for day in days.values()]), abs=5e-4)


def test_a_row_knows_its_error_and_whether_silicon_repeats_better() -> None:
    row = suite.Row("a", "b", "us", 100.0, 103.0, 0.02, "fitted", left_out=0.01)
    assert row.error == pytest.approx(0.03)
    assert row.inside is False
    assert replace(row, ours=101.0).inside is True
    missing = replace(row, ours=None, kind="not modelled")
    assert (missing.error, missing.inside) == (None, None)
    assert missing.data()["inside_repeat"] is None
