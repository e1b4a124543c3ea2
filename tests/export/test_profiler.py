"""The simulated Loihi 2 profiler: every figure is the trace's, the price table's or named as assumed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hw_workloads import fc
from tiny import tiny_bundle, tiny_deployment

from spikewright.export.lava.profiler import (
    Loihi2Activity,
    Loihi2ExecutionTime,
    Loihi2HwCfg,
    Loihi2HWProfiler,
    Loihi2Memory,
    Loihi2Power,
    Loihi2Spike,
    Profiler,
    ProfilerError,
    RunSteps,
    SimulatedRun,
)
from spikewright.export.lava.profiler.run import step_counts
from spikewright.hw_sim import drc, load_chip, simulate
from spikewright.toolchain.analysis import energy, event_counts, latency


@pytest.fixture(scope="module")
def fc10() -> SimulatedRun:
    """Run 1024-1024-1024 sparse, two samples of 40 steps, the second one silent in its first half."""
    program, x = fc()
    x = np.concatenate([x[:40], np.where(np.arange(40)[:, None, None] < 20, 0, x[40:80])], axis=1)
    return SimulatedRun(program, load_chip("loihi2"), simulate(program, {"in": x}, steps=40))


def profiled(source: Any) -> Loihi2HWProfiler:
    profiler = Profiler.init(source)
    profiler.execution_time_probe()
    profiler.energy_probe()
    profiler.activity_probe()
    profiler.memory_probe()
    return profiler


# --------------------------------------------------------------------------------------------- every figure
def test_activity_is_the_trace_per_core(fc10: SimulatedRun) -> None:
    seen, trace = profiled(fc10).activity, fc10.trace

    np.testing.assert_array_equal(seen.syn_ops, trace.sops.sum(axis=0))
    np.testing.assert_array_equal(seen.dendrite_updates, [1024 * trace.chip_steps * 2] * 2)
    np.testing.assert_array_equal(seen.axon_out, trace.messages.sum(axis=0))
    np.testing.assert_array_equal(seen.spikes_in, trace.messages_in.sum(axis=0))
    np.testing.assert_array_equal(seen.core_idx, [0, 1])
    np.testing.assert_array_equal(seen.chip_idx, [0, 0])
    assert seen.syn_ops.dtype == np.int64


def test_the_estimate_of_the_chips_dendrite_counter_is_2_04_updates_and_the_spikes(fc10: SimulatedRun) -> None:
    seen = profiled(fc10).activity

    wanted = 2.04 * seen.neuron_updates + fc10.trace.spikes_out.sum(axis=0)
    np.testing.assert_allclose(seen.dendrite_updates_silicon_estimate, wanted, atol=0.5)
    assert seen.basis["dendrite_updates_silicon_estimate"] == "assumed"
    assert seen.basis["dendrite_updates"] == "simulated"


def test_energy_is_that_of_the_report_for_all_samples(fc10: SimulatedRun) -> None:
    profiler = profiled(fc10)

    priced = energy(fc10.trace, fc10.chip, latency(fc10.trace, fc10.chip))
    assert profiler.dynamic_energy == pytest.approx(2 * priced.dynamic.energy.value, rel=1e-12)
    assert profiler.static_energy == pytest.approx(2 * priced.static.energy.value, rel=1e-12)
    assert profiler.energy == pytest.approx(profiler.dynamic_energy + profiler.static_energy, rel=1e-12)
    assert profiler.static_power == fc10.chip.static_power.nominal
    assert profiler.basis["static_power"] == "measured"
    assert profiler.basis["dynamic_energy"] == priced.dynamic.energy.basis


def test_the_steps_hold_all_events(fc10: SimulatedRun) -> None:
    counted = {event: count.sum() for event, count in step_counts(fc10.trace).items()}

    assert counted | {"host_message": int(fc10.trace.host_messages.sum())} == pytest.approx(event_counts(fc10.trace))


def test_power_over_time_averages_to_energy_over_time(fc10: SimulatedRun) -> None:
    power = Loihi2Power(num_steps=fc10.num_steps)
    power.read(fc10)
    profiler = profiled(fc10)

    assert power.total_power.shape == (fc10.num_steps,)
    assert np.mean(power.total_power) * profiler.execution_time.sum() == pytest.approx(profiler.energy)
    assert (power.total_power >= power.static_total_power).all()
    assert power.total_power.std() > 0
    assert power.static_vdd_power + power.static_vddm_power + power.static_vddio_power == pytest.approx(0.214)
    assert power.basis["vdd_power"] == power.basis["static_vddio_power"] == "assumed"


def test_reading_power_twice_gives_it_twice_though_scripts_subtract_in_place(fc10: SimulatedRun) -> None:
    power = Loihi2Power()
    power.read(fc10)

    first = power.total_power
    first -= 1.0

    np.testing.assert_allclose(power.total_power, first + 1.0)


def test_samples_run_one_after_another(fc10: SimulatedRun) -> None:
    time = Loihi2ExecutionTime()
    time.read(fc10)

    steps = fc10.trace.chip_steps
    assert time.execution_time_per_step.shape == (2 * steps,)
    np.testing.assert_allclose(time.execution_time_per_step[steps:], fc10.trace.latency_ns[:, 1] / 1000)
    np.testing.assert_allclose(time.spiking_time_per_step + time.host_time_per_step, time.time_per_step)
    assert not time.learning_time_per_step.any()
    assert not time.management_time_per_step.any()


def test_a_window_keeps_its_steps_counted_from_one(fc10: SimulatedRun) -> None:
    time = Loihi2ExecutionTime(t_start=3, t_end=9, dt=2)
    time.read(fc10)

    np.testing.assert_allclose(time.execution_time_per_step, fc10.trace.latency_ns[[2, 4, 6, 8], 0] / 1000)


def test_energy_of_the_first_steps_is_a_part_of_the_whole(fc10: SimulatedRun) -> None:
    part, whole = Profiler.init(fc10), profiled(fc10)
    part.energy_probe(num_steps=10)

    assert part.energy == pytest.approx(
        whole.execution_time[:10].sum() * part.static_power + fc10.step_j[:10].sum(), rel=1e-12
    )
    assert 0 < part.energy < whole.energy


def test_memory_is_that_of_the_design_rule_check(fc10: SimulatedRun) -> None:
    memory = profiled(fc10).memory

    uses = [use for use in drc.utilization(fc10.program, fc10.chip) if use.resource == "synapse_memory_bits"]
    np.testing.assert_allclose(memory.total_mpds, [use.used / use.limit for use in uses])
    np.testing.assert_array_equal(memory.resources["max_neurons"][0], [1024, 1024])
    with pytest.raises(ProfilerError, match="no published figure"):
        _ = memory.small_mpds


def test_spikes_to_other_chips_are_remote(fc10: SimulatedRun) -> None:
    mesh = replace(fc10.chip.mesh, chips_x=2, usable_cores_per_chip=1)
    spikes = Loihi2Spike()
    spikes.read(replace(fc10, chip=replace(fc10.chip, mesh=mesh)))

    sending = int((fc10.program.projections[1].synapses.weight != 0).any(axis=0).sum())
    np.testing.assert_array_equal(spikes.num_remote_spikes, [sending, 0])
    np.testing.assert_array_equal(spikes.num_local_spikes, [0, 0])
    np.testing.assert_array_equal(spikes.max_remote_fanout, [1, 0])
    np.testing.assert_array_equal(spikes.chip_idx, [0, 1])
    spikes.read(fc10)
    np.testing.assert_array_equal(spikes.num_local_spikes, [sending, 0])
    np.testing.assert_array_equal(spikes.num_remote_spikes, [0, 0])


def test_every_figure_has_a_basis_and_every_basis_a_figure(fc10: SimulatedRun) -> None:
    for probe in (
        Loihi2Power(),
        Loihi2ExecutionTime(),
        Loihi2Activity(),
        Loihi2Memory(),
        Loihi2Spike(),
        profiled(fc10),
    ):
        probe.read(fc10)
        for name, basis in probe.basis.items():
            assert np.isfinite(getattr(probe, name)).all(), name
            assert basis in ("measured", "simulated", "secondary", "assumed")


# ------------------------------------------------------------------------------------------------- bundles
def test_a_bundle_is_profiled_without_a_script(tmp_path: Path) -> None:
    profiler = profiled(str(tiny_bundle(tmp_path / "tiny")))

    profiler.run(limit=3)

    assert profiler.simulated.trace.samples == 3
    assert profiler.execution_time.shape == (3 * profiler.simulated.trace.chip_steps,)
    profiler.run()
    assert profiler.simulated.trace.samples == 12
    assert profiler.activity.syn_ops.sum() == profiler.simulated.trace.sops.sum() > 0
    assert "simulated on loihi2" in profiler.statement


def test_a_deployment_refuses_steps_that_are_no_whole_samples() -> None:
    net = Profiler.init(tiny_deployment())._deployed
    assert net is not None

    with pytest.raises(ProfilerError, match=f"multiple of {net.sample_steps}"):
        net.run(RunSteps(net.sample_steps + 1))
    with pytest.raises(ProfilerError, match="12 samples"):
        net.run(RunSteps(net.sample_steps * 13))


# -------------------------------------------------------------------------------------------------- errors
def test_reading_before_a_run_says_so() -> None:
    profiler = profiled(Loihi2HwCfg())

    with pytest.raises(ProfilerError, match="no run to read"):
        _ = profiler.power
    with pytest.raises(ProfilerError, match="no run to read"):
        _ = Loihi2Activity().syn_ops


def test_a_figure_that_was_not_asked_for_names_its_probe(fc10: SimulatedRun) -> None:
    profiler = Profiler.init(fc10)

    with pytest.raises(ProfilerError, match="energy_probe"):
        _ = profiler.power
    with pytest.raises(ProfilerError, match="execution_time_probe"):
        _ = profiler.execution_time
    with pytest.raises(ProfilerError, match="activity_probe"):
        profiler.plot_activity()


@pytest.mark.parametrize("options", [{"bin_size": 2}, {"t_start": 0}, {"t_start": 5, "t_end": 4}, {"dt": 0}])
def test_windows_that_mean_nothing_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ProfilerError, match="allowed"):
        Loihi2ExecutionTime(**options)


def test_what_is_no_configuration_is_refused() -> None:
    with pytest.raises(ProfilerError, match="found int; allowed: a run configuration"):
        Profiler.init(3)


def test_without_matplotlib_drawing_names_it(fc10: SimulatedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(ProfilerError, match="matplotlib is not installed"):
        profiled(fc10).plot_power()
