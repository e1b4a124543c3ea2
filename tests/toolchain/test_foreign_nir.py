"""Graphs that others wrote and runs that others made: the NIR paper's LIF on nine platforms, and its recurrent Braille net."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from int_nets import int_dense, int_input, int_lif
from numpy.typing import NDArray

from spikewright.toolchain import nirx
from spikewright.toolchain.from_nir import DEFAULT_DT_S, from_nir
from spikewright.toolchain.integer import IntOutput
from spikewright.toolchain.interpret import run_float, run_int
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Delay

STEPS = 1000
CHIP_MARKER = 128
"""What Loihi 2 reads as v at a spike: refractory delay 1 << 7, where a simulator reads 0."""


def trace(data_dir: Path, platform: str) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Input, voltage and spikes of a platform's run."""
    rows = np.loadtxt(data_dir / "nir_lif" / f"lif_{platform}.csv", delimiter=",")
    return rows[:, 0], rows[:, 1], rows[:, 2]


def float_lif(data_dir: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Our v after reset and spikes of the paper's single LIF."""
    graph = from_nir(nirx.read(data_dir / "nir_lif" / "lif_norse.nir"), timesteps=STEPS)
    membranes: dict[str, NDArray[np.float64]] = {}
    x = trace(data_dir, "norse")[0].reshape(STEPS, 1, 1)
    signals = run_float(graph, x, membranes=membranes)
    return membranes["1"].ravel(), signals["1"].ravel()


def fixed_lif(data_dir: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Our v after reset and spikes of the same LIF in Lava's integers: weight 10, du 4095, dv 163, vth 25."""
    graph = Graph(
        (
            int_input(name="input", shape=(1,)),
            int_dense(name="w", inputs=("input",), weight=np.array([[10]])),
            int_lif(
                name="lif",
                inputs=("w",),
                shape=(1,),
                decay_u=np.array([4095 + 1]),  # lava-nc adds 1 to du
                decay_v=np.array([163]),
                bias=np.array([0]),
                threshold=np.array([25 << 6]),
            ),
            IntOutput(name="output", inputs=("lif",), readout="spikes"),
        ),
        timesteps=STEPS,
    )
    x = trace(data_dir, "lava_cpu_fixed")[0].astype(np.int64).reshape(STEPS, 1, 1)
    recording = run_int(graph, x).recordings["lif"]
    return recording.v.ravel(), recording.out.ravel()


def test_the_default_dt_is_the_one_these_traces_were_made_with(data_dir: Path) -> None:
    graph = from_nir(nirx.read(data_dir / "nir_lif" / "lif_norse.nir"), timesteps=STEPS)

    assert graph.dt_s == DEFAULT_DT_S == 1e-4


def test_the_float_lif_equals_norse_in_voltage_and_spikes(data_dir: Path) -> None:
    v, spikes = float_lif(data_dir)
    _, expected, expected_spikes = trace(data_dir, "norse")

    np.testing.assert_allclose(v, expected, atol=1e-7)  # norse computes in float32
    np.testing.assert_array_equal(spikes, expected_spikes)


def test_the_float_lif_equals_lavas_float_model_one_step_later(data_dir: Path) -> None:
    v, spikes = float_lif(data_dir)
    _, expected, expected_spikes = trace(data_dir, "lava_cpu_float")

    np.testing.assert_allclose(v[:-1], expected[1:], atol=1e-7)
    np.testing.assert_array_equal(spikes[:-1], expected_spikes[1:])


def test_the_float_lif_spikes_with_the_exact_solution_and_stays_near_its_voltage(data_dir: Path) -> None:
    v, spikes = float_lif(data_dir)
    _, exact, expected_spikes = trace(data_dir, "exact")

    np.testing.assert_array_equal(spikes, expected_spikes)
    assert np.abs(v - exact).max() < 0.0063  # forward Euler against the exact solution, threshold 0.1


@pytest.mark.parametrize(("platform", "lag"), [("snntorch", 0), ("nengo", 0), ("spinnaker2", 0), ("spyx", 1)])
def test_the_float_lif_spikes_when_other_platforms_do(data_dir: Path, platform: str, lag: int) -> None:
    _, spikes = float_lif(data_dir)
    expected = trace(data_dir, platform)[2] != 0

    np.testing.assert_array_equal(spikes[: STEPS - lag], expected[lag:])


def test_the_integer_lif_equals_lavas_fixed_point_model_exactly(data_dir: Path) -> None:
    v, spikes = fixed_lif(data_dir)
    _, expected, expected_spikes = trace(data_dir, "lava_cpu_fixed")

    np.testing.assert_array_equal(v[:-1], expected[1:])
    np.testing.assert_array_equal(spikes[:-1], expected_spikes[1:])


def test_the_integer_lif_equals_a_loihi_2_chip_but_for_its_spike_marker(data_dir: Path) -> None:
    v, spikes = fixed_lif(data_dir)
    _, chip, chip_spikes = trace(data_dir, "lava_loihi_fixed")
    ours = np.concatenate([[0], v[:-1]])

    np.testing.assert_array_equal(np.flatnonzero(chip_spikes), np.flatnonzero(spikes) + 1)
    differ = np.flatnonzero(ours != chip)
    np.testing.assert_array_equal(differ, np.flatnonzero(chip_spikes))
    assert len(differ) == 4
    assert set(chip[differ]) == {CHIP_MARKER}


def test_the_recurrent_braille_net_gives_every_published_spike(data_dir: Path) -> None:
    graph = from_nir(nirx.read(data_dir / "nir_braille" / "braille_noDelay_bias_zero.nir"), timesteps=256)
    sample = np.load(data_dir / "nir_braille" / "braille_test_sample_0.npz")
    membranes: dict[str, NDArray[np.float64]] = {}

    signals = run_float(graph, sample["x"][:, None].astype(np.float64), membranes=membranes)

    assert signals["lif1.lif"].size == 9728
    np.testing.assert_array_equal(signals["lif1.lif"][:, 0], sample["zero_lif1"])
    np.testing.assert_array_equal(signals["lif2"][:, 0], sample["zero_out"])
    np.testing.assert_allclose(membranes["lif1.lif"][:, 0], sample["zero_lif1_v_post_reset"], atol=2e-5)
    assert int(signals["lif2"].sum(axis=(0, 1)).argmax()) == int(
        sample["label"][0] if sample["label"].ndim else sample["label"]
    )


def test_the_braille_recurrence_is_one_step_through_its_synapse(data_dir: Path) -> None:
    graph = from_nir(nirx.read(data_dir / "nir_braille" / "braille_noDelay_bias_zero.nir"), timesteps=256)

    delays = [op for op in graph if isinstance(op, Delay)]
    assert [(d.name, d.steps, d.inputs) for d in delays] == [("lif1.lif.delay", 1, ("lif1.lif",))]
    assert graph["lif1.w_rec"].inputs == ("lif1.lif.delay",)
