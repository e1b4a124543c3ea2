"""Files as other writers make them: every value is that of NIR's equations, and the machine loses none that fits its grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from foreign_files import CASES, Case, T, delays_longer_than_the_net_runs, neurons_and_delays_behind_a_flatten, write

from spikewright.toolchain import nirx
from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples

QUICK = (neurons_and_delays_behind_a_flatten, delays_longer_than_the_net_runs)


def imported(case: Case, folder: Path) -> Graph:
    write(folder / "net.nir", case.tree)
    return from_nir(nirx.read(folder / "net.nir"), timesteps=T, dt_s=case.dt_s, reading=case.reading)


@pytest.mark.parametrize("made", CASES, ids=lambda made: made.__name__)
def test_every_value_is_that_of_nirs_equations(made: Callable[[], Case], tmp_path: Path) -> None:
    case = made()

    got = run_float(imported(case, tmp_path), case.x)["output"]

    np.testing.assert_allclose(got.reshape(case.wanted.shape), case.wanted, atol=1e-9)
    assert case.wanted.std() > 0


@pytest.mark.parametrize(
    "made",
    [pytest.param(made, marks=() if made in QUICK else pytest.mark.slow) for made in CASES],
    ids=lambda made: made.__name__,
)
def test_the_machine_answers_alike_or_says_what_it_lost(made: Callable[[], Case], tmp_path: Path) -> None:
    case = made()
    x = case.x.astype(np.float32)

    deployed = deploy_graph(imported(case, tmp_path), Options(), Samples(x, None, "drawn"), name="net")

    assert deployed.compare(x).equal
    answer = deployed.run(x).answer * deployed.answer_scale
    off = np.abs(answer - case.wanted.mean(axis=0).reshape(answer.shape))
    said = {one.code for one in deployed.diagnostics if one.severity == "warning"}
    assert (off > 1.5 / T).mean() < 0.05 or said & {"spikes-differ", "answer-drifts"}
