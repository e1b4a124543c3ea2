"""Delays beyond a chip's longest: over relays, step for step; of counts too, on feedback edges, and shared."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from nir_nets import DT, chain, net
from nir_reference import Array

from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.options import Options
from spikewright.toolchain.passes.long_delay import LongDelay
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples

T, B = 110, 2


def integrate(threshold: float) -> nir.IF:
    full = np.ones(3)
    return nir.IF(full, full * threshold, full * 0)


def answers(graph: nir.NIRGraph, x: Array) -> Array:
    """Spikes a neuron, on the machine."""
    graph.metadata["timesteps"] = T
    deployed = deploy_graph(from_nir(graph), Options(), Samples(x.astype(np.float32), None, "drawn"), name="net")
    assert deployed.compare(x).equal
    assert [one.code for one in deployed.diagnostics if one.severity == "note"].count("delays-by-relays") == 1
    return deployed.run(x).answer * deployed.answer_scale * T


@pytest.mark.parametrize("most", [1, 5])
def test_spikes_and_counts_come_as_late_as_they_are_to(most: int, rng: np.random.Generator) -> None:
    steps = np.array([0, 70, 108])
    x = rng.integers(0, most + 1, (T, B, 3)).astype(np.float64)
    v, wanted = np.zeros((B, 3)), np.zeros((B, 3))
    for t in range(T):
        v += np.stack([x[t - d, :, k] if t >= d else 0 * v[:, k] for k, d in enumerate(steps)], axis=1)
        wanted += v > 2.5
        v[v > 2.5] = 0

    got = answers(chain(nir.Delay(steps * DT), integrate(2.5), shape=(3,), out=(3,)), x)

    np.testing.assert_allclose(got, wanted, atol=1e-6)
    assert (wanted.sum(axis=0) > 0)[:2].all()


def test_feedback_comes_as_late_as_it_is_to(rng: np.random.Generator) -> None:
    x, found = (rng.random((T, B, 3)) < 0.3).astype(np.float64), np.zeros((T, B, 3))
    v = np.zeros((B, 3))
    for t in range(T):
        v += x[t] + (found[t - 80] if t >= 80 else 0)
        found[t] = v > 1.5
        v[v > 1.5] = 0
    nodes = {"n": integrate(1.5), "d": nir.Delay(np.full(3, 80 * DT)), "w": nir.Linear(np.eye(3))}

    got = answers(net(nodes, "input>n", "n>d", "d>w", "w>n", "n>output"), x)

    np.testing.assert_allclose(got, found.sum(axis=0), atol=1e-6)


def test_a_chip_that_delays_as_long_needs_no_relay() -> None:
    graph = from_nir(chain(nir.Delay(np.full(3, 62 * DT)), integrate(1.5), shape=(3,), out=(3,)))

    assert LongDelay(63)(graph) is graph
    assert [op.name for op in LongDelay(62)(graph)] == [
        "input", "input.relay31.delay", "input.relay31", "n0", "n1", "output",
    ]  # fmt: skip
