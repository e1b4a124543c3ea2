"""A script that builds Lava processes by hand and profiles them runs with other imports; its net spikes as Lava's does."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from spikewright.export.lava.profiler import LIF, DelayDense, Dense, Loihi2HwCfg, Profiler, ProfilerError, RunSteps
from spikewright.export.lava.profiler.processes import program_of
from spikewright.hw_sim import simulate

STEPS = 400

SCRIPT = """
TIME, bias_mant, delay = 400, 470, 5


class Pair_lif:
    def __init__(self, bias_mant=0, bias_exp=0, delay=None):
        self.lif_src = LIF(shape=(1,), bias_mant=bias_mant, bias_exp=bias_exp, vth=64, du=4095, dv=410)
        self.lif_dest = LIF(shape=(1,), bias_mant=0, bias_exp=0, vth=64, du=4095, dv=4095)
        if delay == 0:
            self.dense = Dense(weights=np.ones((1, 1)) * 128)
        else:
            self.dense = DelayDense(weights=np.ones((1, 1)) * 128, delays=delay)
        self.lif_src.s_out.connect(self.dense.s_in)
        self.dense.a_out.connect(self.lif_dest.a_in)

    def run(self, condition, run_cfg):
        self.lif_src.run(condition=condition, run_cfg=run_cfg)

    def stop(self):
        self.lif_src.stop()


run_config = Loihi2HwCfg()
results = {}
p = Pair_lif(bias_mant=bias_mant, bias_exp=0, delay=delay)
prof = Profiler.init(run_config)
prof.energy_probe(num_steps=TIME)
p.run(condition=RunSteps(num_steps=TIME, blocking=True), run_cfg=run_config)
p.stop()
energies = prof.energy_breakdown()
powers = prof.power_breakdown()
results["total_time"] = energies[0] * 10**-6 / powers[0]
"""
"""After the shape of NECOTIS' measurement of two neurons (BSD-3)."""


def test_a_script_of_lava_processes_measures_the_time_silicon_takes() -> None:
    names: dict[str, Any] = {
        "np": np, "LIF": LIF, "Dense": Dense, "DelayDense": DelayDense, "Loihi2HwCfg": Loihi2HwCfg, "Profiler": Profiler,
        "RunSteps": RunSteps,
    }  # fmt: skip
    exec(SCRIPT, names)
    assert names["results"]["total_time"] / STEPS == pytest.approx(1.164e-6, rel=0.02)
    assert names["powers"][0] == pytest.approx(0.24, abs=0.03)


def random_pair(rng: np.random.Generator) -> tuple[LIF, Dense, LIF, dict[str, Any]]:
    """Return two populations and the arguments behind them."""
    n, m = int(rng.integers(1, 6)), int(rng.integers(1, 6))
    first = {"shape": (n,), "du": int(rng.integers(0, 4096)), "dv": int(rng.integers(0, 900)), "vth": 20,
             "bias_mant": rng.integers(300, 900, n), "bias_exp": 1}  # fmt: skip
    second = {"shape": (m,), "du": int(rng.integers(0, 4096)), "dv": int(rng.integers(0, 4096)), "vth": 40}
    low = int(rng.choice([-120, 0]))
    weights = rng.integers(low, 120, (m, n))
    a, b, synapses = LIF(**first), LIF(**second), DelayDense(weights=weights, delays=rng.integers(0, 4, (m, n)))
    a.s_out.connect(synapses.s_in)
    synapses.a_out.connect(b.a_in)
    return a, synapses, b, {"first": first, "second": second, "weights": weights, "delays": synapses.delays}


IN_LAVA = """
import json, sys, tempfile
from pathlib import Path
from spikewright.export.lava.compat import prepare
prepare(Path(tempfile.mkdtemp()) / "errors")
import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import DelayDense
from lava.proc.lif.process import LIF
from lava.proc.monitor.process import Monitor

how = json.loads(sys.argv[1])
first, second = (LIF(**{k: tuple(v) if k == "shape" else np.array(v) if isinstance(v, list) else v for k, v in one.items()})
                 for one in (how["first"], how["second"]))
synapses = DelayDense(weights=np.array(how["weights"]), delays=np.array(how["delays"]))
first.s_out.connect(synapses.s_in)
synapses.a_out.connect(second.a_in)
seen = []
for process in (first, second):
    monitor = Monitor()
    monitor.probe(process.s_out, 60)
    seen.append((process.name, monitor))
second.run(condition=RunSteps(num_steps=60), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
data = [next(iter(m.get_data()[name].values())).astype(int).tolist() for name, m in seen]
second.stop()
print(json.dumps(data))
"""


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_random_pairs_spike_as_in_lava(seed: int) -> None:
    a, _, _, how = random_pair(np.random.default_rng(seed))
    trace = simulate(program_of(a.reached(), 60), {}, steps=60, record=True)
    given = json.dumps(how, default=lambda value: value.tolist())
    done = subprocess.run(
        [sys.executable, "-c", IN_LAVA, given], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = json.loads(done.stdout.splitlines()[-1])
    assert trace.spikes["lif0"].any()
    for name, spikes in zip(("lif0", "lif1"), theirs, strict=True):
        np.testing.assert_array_equal(trace.spikes[name][:, 0], spikes)


def test_what_is_connected_wrongly_or_not_whole_is_refused() -> None:
    a, b = LIF(shape=(1,)), LIF(shape=(1,))
    with pytest.raises(ProfilerError, match="put a Dense between"):
        a.s_out.connect(b.a_in)
    dense = Dense(weights=[[3]])
    a.s_out.connect(dense.s_in)
    with pytest.raises(ProfilerError, match="not connected on both sides"):
        a.run(RunSteps(num_steps=3))
    with pytest.raises(ProfilerError, match="at least one step"):
        a.run()
    with pytest.raises(ProfilerError, match="whole numbers"):
        Dense(weights=[[0.5]])
    with pytest.raises(ProfilerError, match="steps >= 0"):
        DelayDense(weights=[[1]], delays=-1)
