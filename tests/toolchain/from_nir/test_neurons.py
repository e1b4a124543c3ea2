"""Neuron nodes of NIR against their equations, and the parameters that are refused."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from nir_nets import DT, T, chain, lif, run

from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.from_nir import from_nir


def test_a_lif_is_integrated_by_forward_euler(rng: np.random.Generator) -> None:
    x = rng.random((T, 3))

    spikes = run(chain(lif(), shape=(3,), out=(3,)), x)

    v, expected = np.zeros(3), []
    for i in x:
        v = v + DT / 4e-3 * ((0.1 - v) + 3 * i)
        s = v > 0.5
        v = np.where(s, 0.05, v)
        expected.append(s)
    np.testing.assert_array_equal(spikes, np.array(expected))
    assert 0 < spikes.mean() < 1


def test_comparison_and_reset_come_from_the_neurons_metadata() -> None:
    graph = from_nir(chain(lif(comparison=">=", reset="subtract"), shape=(3,), out=(3,)))
    plain = from_nir(chain(lif(), shape=(3,), out=(3,)))

    assert (graph["n0"].comparison, graph["n0"].reset) == (">=", "subtract")
    assert (plain["n0"].comparison, plain["n0"].reset) == (">", "value")


def test_several_spikes_a_floor_and_a_start_come_from_the_neurons_metadata(rng: np.random.Generator) -> None:
    start = np.array([0.2, 0.0, -0.1])
    node = nir.IF(np.ones(3), np.full(3, 0.5), np.zeros(3))
    node.metadata = {"reset": "subtract", "comparison": ">=", "max_spikes": 0, "v_min": -0.3, "v_start": start}
    x = rng.normal(0.3, 1.0, (T, 3))

    sent = run(chain(node, shape=(3,), out=(3,)), x)

    v, expected = start, []
    for i in x:
        v = v + i
        s = np.maximum(np.floor(v / 0.5), 0)
        v = np.maximum(v - 0.5 * s, -0.3)
        expected.append(s)
    np.testing.assert_array_equal(sent, np.array(expected))
    assert np.max(expected) > 1


def test_a_cuba_lif_filters_its_current_first(rng: np.random.Generator) -> None:
    full = np.ones(3)
    node = nir.CubaLIF(full * 2e-3, full * 5e-3, full * 4, full * 0, full * 0.3, full * 0, full * 1.5)
    x = rng.random((T, 3))

    spikes = run(chain(node, shape=(3,), out=(3,)), x)

    u, v, expected = np.zeros(3), np.zeros(3), []
    for i in x:
        u = (1 - DT / 2e-3) * u + 1.5 * DT / 2e-3 * i
        v = (1 - DT / 5e-3) * v + 4 * DT / 5e-3 * u
        s = v > 0.3
        v = np.where(s, 0, v)
        expected.append(s)
    np.testing.assert_array_equal(spikes, np.array(expected))
    assert 0 < spikes.mean() < 1


def test_a_cuba_li_and_an_li_and_an_i_do_not_spike(rng: np.random.Generator) -> None:
    full, x = np.ones(3), rng.normal(size=(T, 3))
    li = run(chain(nir.LI(full * 4e-3, full * 2, full * 0.3), shape=(3,), out=(3,)), x)
    cuba = run(chain(nir.CubaLI(full * 2e-3, full * 4e-3, full * 2, full * 0, full * 1), shape=(3,), out=(3,)), x)
    integral = run(chain(nir.I(full), shape=(3,), out=(3,)), x)

    v, u, w, expected = np.zeros(3), np.zeros(3), np.zeros(3), []
    for i in x:
        v = 0.75 * v + 0.25 * (0.3 + 2 * i)
        u = 0.5 * u + 0.5 * i
        w = 0.75 * w + 0.25 * 2 * u
        expected.append((v, w))
    np.testing.assert_allclose(li, [e[0] for e in expected], atol=1e-12)
    np.testing.assert_allclose(cuba, [e[1] for e in expected], atol=1e-12)
    np.testing.assert_allclose(integral, x.cumsum(axis=0), atol=1e-12)


@pytest.mark.parametrize("r", [1.0, 1 / DT])
def test_both_conventions_of_an_ifs_gain_are_one_per_step(r: float) -> None:
    graph = from_nir(chain(nir.IF(np.full(3, r), np.ones(3), np.zeros(3)), shape=(3,), out=(3,)))

    assert graph["n0"].gain == 1
    assert graph["n0"].beta == 1


def test_an_if_whose_gain_is_unclear_is_refused() -> None:
    with pytest.raises(ImportingError, match=r"clear for r = 1 or r = 1/dt = 1000 only"):
        from_nir(chain(nir.IF(np.full(3, 0.5), np.ones(3), np.zeros(3)), shape=(3,), out=(3,)))


def test_a_time_constant_shorter_than_a_step_is_refused() -> None:
    with pytest.raises(ImportingError, match=r"tau is 0.0001 s, shorter than one timestep of 0.001 s"):
        from_nir(chain(lif(tau=1e-4), shape=(3,), out=(3,)))


def test_exact_constants_in_the_metadata_are_taken_without_rounding() -> None:
    node = lif(tau=DT / (1 - 0.3))
    node.metadata = {"beta": 0.3, "gain": 3 * (1 - 0.3)}

    assert float(from_nir(chain(node, shape=(3,), out=(3,)))["n0"].beta) == 0.3
    node.metadata = {"beta": 0.4}
    with pytest.raises(ImportingError, match=r"metadata beta 0.4 contradicts the fields: 0.3"):
        from_nir(chain(node, shape=(3,), out=(3,)))


def test_parameters_per_channel_or_scalar_spread_over_the_feature_map() -> None:
    channel = np.array([1.0, 2.0])
    per_channel = nir.LIF(channel * 4e-3, channel, channel * 0, channel, channel * 0)
    scalar = nir.LIF(*(np.array(v) for v in (4e-3, 1.0, 0.0, 1.0, 0.0)))
    full = nir.LIF(
        *(
            np.broadcast_to(v.reshape(2, 1, 1), (2, 3, 3))
            for v in (channel * 4e-3, channel, channel * 0, channel, channel * 0)
        )
    )

    for node, threshold in ((per_channel, channel), (full, channel), (scalar, np.array(1.0))):
        op = from_nir(chain(node, shape=(2, 3, 3), out=(2, 3, 3)))["n0"]
        assert op.shape == (2, 3, 3)
        np.testing.assert_array_equal(op.v_threshold, threshold)


def test_parameters_of_another_shape_are_refused() -> None:
    with pytest.raises(
        ImportingError, match=r"v_threshold has shape \(4,\); its input has \(3,\)|tau has shape"
    ) as caught:
        from_nir(chain(lif(4), shape=(3,), out=(3,)))

    assert caught.value.where == "graph: node 'n0'"


def test_a_threshold_node_is_a_spike_without_memory(rng: np.random.Generator) -> None:
    x = rng.normal(size=(T, 3))

    np.testing.assert_array_equal(run(chain(nir.Threshold(np.full(3, 0.2)), shape=(3,), out=(3,)), x), x > 0.2)
