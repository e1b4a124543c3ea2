"""Neurons of every dialect, Conv1d, and read-outs with two filters: interpreter, machine and Lava agree bit for bit."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from nir_nets import T, chain

from spikewright.toolchain.compare import compare
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.nirx.dialects import DIALECTS
from spikewright.toolchain.options import Options, Reading
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples

BATCH = 2
LEAKS = np.array([0.1, -0.1, 0.0, 0.2])


def deployed(reading: Reading, *last: nir.NIRNode, tau: float = 4.0, out: int) -> Deployment:
    """Conv1d (2, 9) -> LIF (4, 4) -> 16 values -> what comes last."""
    rng = np.random.default_rng(3)
    full, channel = np.ones((4, 4)), np.ones(4)
    graph = chain(
        nir.Conv1d(9, rng.normal(0.2, 0.6, (4, 2, 3)), 2, 0, 1, 1, channel * 0.05),
        nir.LIF(full * tau, full * 2, full * LEAKS[:, None], full * 0.7, full * 0.05),
        nir.Flatten({"input": np.array([4, 4])}, 0, -1),
        nir.Affine(rng.normal(0.1, 0.4, (4, 16)), channel * 0.02),
        *last,
        shape=(2, 9),
        out=(out,),
    )
    del graph.metadata["dt"]
    x = (np.random.default_rng(4).random((T, BATCH, 2, 9)) < 0.5).astype(np.float32)
    data = Samples(x, None, "random")
    return deploy_graph(from_nir(graph, dt_s=1.0, reading=reading), Options(), data, name="net", samples=data)


def assert_equal_everywhere(made: Deployment) -> None:
    assert made.samples is not None
    result = compare(made, ["interpreter", "hw_sim", "lava"], made.encode(made.samples.x))
    assert result.equal, str(result)


@pytest.mark.lava
@pytest.mark.parametrize("dialect", [*DIALECTS, None])
def test_a_dialects_neurons_are_the_same_everywhere(dialect: str | None) -> None:
    c = np.ones(4)
    taus = np.array([2.0, 3, 4, 5])
    cuba = nir.CubaLIF(taus, taus + 2, c * 2, LEAKS, c * 0.8, c * 0.1, c * 2)
    lif = nir.LIF(taus, c * 2, LEAKS, c * 0.8, c * 0.1)
    assert_equal_everywhere(deployed(Reading(dialect=dialect), lif if dialect == "sinabs" else cuba, out=4))


@pytest.mark.lava
@pytest.mark.parametrize(
    "reading",
    [
        Reading(refractory=3, comparison=">="),
        Reading(max_spikes=0, v_min=-0.5, reset="subtract"),
        Reading(v0=0.4, decay="exact"),
    ],
    ids=["refractory", "several-spikes", "start"],
)
def test_single_options_are_the_same_everywhere(reading: Reading) -> None:
    c = np.ones(4)
    assert_equal_everywhere(deployed(reading, nir.LIF(c * 4, c * 2, LEAKS, c * 0.8, c * 0.1), out=4))


@pytest.mark.lava
def test_a_read_out_with_two_filters_is_the_same_everywhere() -> None:
    c = np.ones(4)
    assert_equal_everywhere(deployed(Reading(), nir.CubaLI(c * 3, np.arange(2.0, 6), c * 2, LEAKS, c), out=4))
