"""Scripts written for the chip's profiler run with other imports only; the nets they load count as Lava's and the chip's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from int_nets import changed
from netx_in_lava import run as run_in_lava
from netx_nets import conv_net, recurrent_net

from spikewright.export.lava.profiler import (
    Loihi2Activity,
    Loihi2ExecutionTime,
    Loihi2HwCfg,
    Loihi2HWProfiler,
    Profiler,
    ProfilerError,
    RunSteps,
    netx,
)
from spikewright.export.lava.profiler.network import Network, unfed
from spikewright.export.netx import export_net, import_net
from spikewright.hw_sim import Lif, simulate
from spikewright.toolchain.integer import IntNeuron
from spikewright.toolchain.ops import Op

pytestmark = pytest.mark.slow

SILICON_LOGGERS = """
import numpy as np

net = netx.hdf5.Network(net_config='network.net', reset_interval=16, reset_offset=3)
steps_per_sample = net.reset_interval
num_steps = 96

power_logger = loihi2_profiler.Loihi2Power(num_steps=num_steps)
runtime_logger = loihi2_profiler.Loihi2ExecutionTime()
memory_logger = loihi2_profiler.Loihi2Memory()
activity_logger = loihi2_profiler.Loihi2Activity()
pre_run_fxs = [
    lambda b: power_logger.attach(b),
    lambda b: runtime_logger.attach(b),
    lambda b: memory_logger.attach(b),
    lambda b: activity_logger.attach(b),
]
post_run_fxs = [
    lambda b: power_logger.get_results(),
    lambda b: runtime_logger.get_results(),
    lambda b: memory_logger.get_results(),
    lambda b: activity_logger.get_results(),
]
run_config = Loihi2HwCfg(pre_run_fxs=pre_run_fxs, post_run_fxs=post_run_fxs)
net._log_config.level = logging.INFO
net.run(condition=RunSteps(num_steps=num_steps), run_cfg=run_config)
net.stop()

inference_rate = 1e6 / runtime_logger.avg_time_per_step / steps_per_sample
total_inference_time = num_steps * runtime_logger.avg_time_per_step * 1e-6
total_power = power_logger.total_power
total_power_mean = np.mean(total_power)
static_total_power = power_logger.static_total_power
rails = np.mean(power_logger.vdd_power), np.mean(power_logger.vddm_power), np.mean(power_logger.vddio_power)
total_energy = total_power_mean / inference_rate
dynamic_energy = (total_power_mean - static_total_power) / inference_rate
per_core = list(zip(activity_logger.core_idx, activity_logger.syn_ops, activity_logger.dendrite_updates,
                    activity_logger.axon_out, activity_logger.spikes_in, memory_logger.total_mpds))
"""
"""After Intel's PilotNet notebook, from ``net = ...`` on."""

SILICON_PROFILER = """
profiler = Profiler.init(run_config)
profiler.execution_time_probe(num_steps=num_steps, t_start=1, t_end=num_steps, dt=1, buffer_size=1024)
profiler.energy_probe(num_steps=num_steps)
profiler.activity_probe()
profiler.memory_probe()
net.run(condition=RunSteps(num_steps=num_steps), run_cfg=run_config)
net.stop()
text = (
    f"Total execution time: {np.round(np.sum(profiler.execution_time), 6)} s, {profiler.execution_time[:20]}"
    f"Total power: {np.round(profiler.power, 6)} W, dynamic {profiler.dynamic_power}, static {profiler.static_power}"
    f"Total energy: {np.round(profiler.energy, 6)} J, static energy: {np.round(profiler.static_energy, 6)} J"
    f"Power breakdown: {np.round(profiler.power_breakdown(), 6)} W"
    f"Energy breakdown: {np.round(profiler.energy_breakdown(), 6)} uJ"
)
total, dynamic, static, vdd, vdd_m, vdd_io = profiler.energy_breakdown()
times = (profiler.host_time, profiler.learning_time, profiler.management_time, profiler.pre_lrn_mgtm_time,
         profiler.spiking_time)
profiler.plot_execution_time("./execution_time.png")
profiler.plot_activity(file="./activity.png")
profiler.plot_memory_util("./memory_util.png")
print(profiler.statement, profiler.num_alloc_chips, profiler.num_available_chips)
"""
"""After public scripts for the chip."""


@pytest.fixture
def net_file(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Write a conv net whose biases make it spike without input."""

    def biased(op: Op) -> Op:
        return changed(op, bias=op.soma.bias + (40 << 6)) if op.name in ("l1", "l2", "l3") else op  # type: ignore[attr-defined]

    export_net(conv_net(rng).map(biased), tmp_path / "network.net")
    return tmp_path / "network.net"


def profiled(source: Any) -> Loihi2HWProfiler:
    profiler = Profiler.init(source)
    profiler.execution_time_probe()
    profiler.energy_probe()
    profiler.activity_probe()
    profiler.memory_probe()
    return profiler


# ------------------------------------------------------------------------------------------------ scripts
def test_a_script_for_the_chip_with_loggers_runs_with_other_imports(
    net_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(net_file.parent)
    names: dict[str, Any] = {"logging": logging}
    exec("from spikewright.export.lava.profiler import Loihi2HwCfg, RunSteps, loihi2_profiler, netx", names)

    exec(SILICON_LOGGERS, names)

    run = names["activity_logger"].simulated
    assert names["total_inference_time"] == pytest.approx(run.trace.latency_s.sum())
    assert names["total_power"].shape == names["runtime_logger"].execution_time_per_step.shape == (96,)
    assert sum(names["rails"]) == pytest.approx(names["total_power_mean"])
    assert names["total_energy"] * 96 / 16 == pytest.approx(
        (run.energy.dynamic.energy.value + run.energy.static.energy.value), rel=1e-9
    )
    assert 0 < names["dynamic_energy"] < names["total_energy"]
    assert sum(row[1] for row in names["per_core"]) == run.trace.sops.sum() > 0
    assert len(names["per_core"]) == run.trace.cores


def test_a_script_for_the_chip_with_the_profiler_runs_with_other_imports(
    net_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(net_file.parent)
    names: dict[str, Any] = {"num_steps": 64, "np": np}
    exec(
        "from spikewright.export.lava.profiler import Loihi2HwCfg, Profiler, RunSteps, netx\n"
        "net, run_config = netx.hdf5.Network('network.net'), Loihi2HwCfg()",
        names,
    )

    exec(SILICON_PROFILER, names)

    assert names["total"] == pytest.approx(names["dynamic"] + names["static"])
    assert names["total"] == pytest.approx(names["vdd"] + names["vdd_m"] + names["vdd_io"])
    assert names["total"] == pytest.approx(names["profiler"].energy * 1e6)
    assert np.sum(names["times"]) == pytest.approx(names["profiler"].execution_time.sum())
    for drawn in ("execution_time", "activity", "memory_util"):
        assert (net_file.parent / f"{drawn}.png").read_bytes().startswith(b"\x89PNG")
    assert "W (" in capsys.readouterr().out


def test_lavas_own_configuration_and_condition_do_as_well(net_file: Path, tmp_path: Path) -> None:
    class LavaSimulationCfg:
        """Has the interface of ``Loihi2SimCfg``, which Lava's profiler refuses: ``select`` and no ``callback_fxs``."""

        def select(self) -> None: ...

    class LavaHardwareCfg(LavaSimulationCfg):
        def __init__(self) -> None:
            self.callback_fxs: list[Any] = []

    seen = []
    for cfg in (LavaSimulationCfg(), LavaHardwareCfg()):
        profiler = profiled(cfg)
        Network(net_file).run(condition=RunSteps(num_steps=8), run_cfg=cfg)
        seen.append(profiler.energy)

    assert seen[0] == seen[1] > 0


# ------------------------------------------------------------------------------------ the net steps as Lava's
@pytest.mark.slow
@pytest.mark.lava
def test_a_net_resets_and_spikes_at_the_steps_it_would_in_lava(net_file: Path, tmp_path: Path) -> None:
    lava = run_in_lava(net_file, tmp_path / "lava", 40, reset_interval=8, reset_offset=2)
    program = unfed(Network(net_file, reset_interval=8, reset_offset=2).program, "input")

    mine = simulate(program, {}, steps=40, record=True).spikes

    assert len(mine) == len(lava.spikes) == 4
    for found, wanted in zip(mine.values(), lava.spikes, strict=True):
        np.testing.assert_array_equal(found[:, 0], wanted)
        assert wanted.any()


@pytest.mark.parametrize("make", [conv_net, recurrent_net])
def test_every_message_takes_one_step_as_in_lava(
    make: Callable[[np.random.Generator], Any], tmp_path: Path, rng: np.random.Generator
) -> None:
    export_net(make(rng), tmp_path / "n.net")
    net = Network(tmp_path / "n.net")

    assert {p.start for p in net.program.populations} == {0}
    assert all(p.delay >= 1 and net.program.lag(p) == p.delay for p in net.program.projections)


def test_layers_reset_one_after_the_other(net_file: Path) -> None:
    net = Network(net_file, reset_interval=8, reset_offset=6)

    phases = [p.soma.reset_phase for p in net.program.populations if isinstance(p.soma, Lif)]

    assert phases == [6, 7, 0, 1]
    assert len(net) == 4


def test_a_file_that_does_not_say_its_steps_runs_as_long_as_the_script_says(net_file: Path) -> None:
    with h5py.File(net_file, "a") as file:
        del file["simulation"]
    time = Loihi2ExecutionTime()

    Network(net_file).run(RunSteps(7), Loihi2HwCfg(callback_fxs=[time]))

    assert time.execution_time_per_step.shape == (7,)


def test_driving_a_net_adds_to_what_its_biases_do(net_file: Path, rng: np.random.Generator) -> None:
    net, sops = Network(net_file), []
    for x in (None, rng.integers(0, 2, (20, 2, 9, 7))):
        activity = Loihi2Activity()
        if x is not None:
            net.drive(x)
        net.run(RunSteps(20), Loihi2HwCfg(callback_fxs=[activity]))
        sops.append(int(activity.syn_ops.sum()))

    assert sops[1] > sops[0] > 0


def test_setting_the_dead_bias_attribute_warns(net_file: Path) -> None:
    with pytest.warns(UserWarning, match="no effect, as on the chip"):
        Network(net_file).in_layer.neuron.bias = np.zeros(3)


def test_a_net_needs_a_length_and_payloads_of_that_length(net_file: Path) -> None:
    net = netx.hdf5.Network(net_config=net_file)

    with pytest.raises(ProfilerError, match="num_steps"):
        net.run()
    net.drive(np.zeros((3, 2, 9, 7), np.int64))
    with pytest.raises(ProfilerError, match="payloads for 3"):
        net.run(RunSteps(4))


# ------------------------------------------------------------------------------------------------- silicon
def test_pilotnet_counts_as_on_silicon(data_dir: Path) -> None:
    """Counters of Loihi 2 per core, read off Intel's plots; net, partition and reset as in the same notebook."""
    file = data_dir / "silicon/pilotnet_snn.net"
    net = Network(file, reset_interval=16, reset_offset=3, cores=_intels_partition(file))
    activity = Loihi2Activity()

    net.run(RunSteps(2000), Loihi2HwCfg(callback_fxs=[activity]))

    silicon = np.genfromtxt(data_dir / "silicon/pilotnet_lif_loihi2_silicon.csv", delimiter=",")[:, 1:] / 1e4
    mine = np.stack(
        [activity.syn_ops, activity.dendrite_updates_silicon_estimate, activity.axon_out, activity.spikes_in], axis=1
    )
    per_step = mine / 2000
    conv2, conv3, conv5 = slice(24, 34), 21, 15
    np.testing.assert_allclose(per_step[conv2, 0], silicon[conv2, 0], rtol=0.005)
    np.testing.assert_allclose(per_step[conv3, 0], silicon[conv3, 0], rtol=0.005)
    full = slice(37, 60)
    np.testing.assert_allclose(per_step[full, 1], silicon[full, 1], rtol=0.02)
    grain = 250  # of the plot, a step; each spike counted once would be 106 out of conv5's first core
    np.testing.assert_allclose(per_step[conv5, 2], silicon[conv5, 2], atol=grain)
    np.testing.assert_allclose(per_step[conv2, 3], silicon[conv2, 3], atol=grain)


def _intels_partition(file: Path) -> dict[str, np.ndarray]:
    """Return the core of every neuron, cores numbered from the output back: columns of the image a core, 12 cores for 100."""
    columns = {"0.input": 16, "1.conv": 4, "2.conv": 4, "3.conv": 8, "4.conv": 8, "5.conv": 16}
    cores, first = {}, 0
    for op in reversed([op for op in import_net(file) if isinstance(op, IntNeuron)]):
        index = np.arange(int(np.prod(op.shape)))
        part = (
            index % op.shape[-1] // columns[op.name]
            if op.name in columns
            else index * 12 // 100 * (op.name == "7.dense")
        )
        cores[op.name] = (first + part).astype(np.int32)
        first += int(part.max()) + 1
    return cores
