"""What NIR has no field for: dialects, single options, metadata; what is assumed is told."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from nir_nets import DT, T, chain, lif
from numpy.typing import NDArray

from spikewright.toolchain import nirx
from spikewright.toolchain.errors import ImportingError, InputError
from spikewright.toolchain.from_nir import assumed, from_nir, unknown
from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.nirx.dialects import DIALECTS
from spikewright.toolchain.options import Reading

N = 3


def spikes(
    node: nir.NIRNode, x: NDArray[np.float64], reading: Reading | None = None, **how: float
) -> NDArray[np.float64]:
    """The spikes of one layer of neurons, (T, N)."""
    net = chain(node, shape=(N,), out=(N,))
    net.metadata.pop("dt")
    return run_float(from_nir(net, reading=reading, dt_s=how.get("dt", DT)), x[:, None])["output"][:, 0]


def plain_lif(tau: float, r: float = 1.0, v_leak: float = 0.0, v_reset: float = 0.0) -> nir.LIF:
    full = np.ones(N)
    return nir.LIF(full * tau, full * r, full * v_leak, full, full * v_reset)


@pytest.fixture
def x(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.normal(0.6, 1.0, (4 * T, N))


def test_snntorchs_leaky_subtracts_one_step_late(x: NDArray[np.float64]) -> None:
    beta = 0.9
    got = spikes(plain_lif(1e-4 / (1 - beta), 1 / (1 - beta)), x, Reading(dialect="snntorch"), dt=1e-4)

    v, s, expected = np.zeros(N), np.zeros(N), []
    for i in x:
        v = beta * v + i - s
        s = (v > 1).astype(float)
        expected.append(s)
    np.testing.assert_array_equal(got, expected)
    assert 0 < got.mean() < 1


def test_sinabs_lif_decays_exactly_and_fires_several_times_a_step(x: NDArray[np.float64]) -> None:
    got = spikes(plain_lif(5.0), 6 * x, Reading(dialect="sinabs"))

    a, v, expected = np.exp(-1 / 5), np.zeros(N), []
    for i in 6 * x:
        v = a * v + (1 - a) * i
        s = (v > 0) * np.trunc(v)
        v = v - s
        expected.append(s)
    np.testing.assert_array_equal(got, expected)
    assert got.max() > 1


def test_norse_writes_tau_times_dt_and_starts_at_v_leak(x: NDArray[np.float64]) -> None:
    dt, inverse, v_leak = 1e-3, 100.0, 0.2
    got = spikes(plain_lif(dt / inverse, v_leak=v_leak), 4 * x, Reading(dialect="norse"), dt=dt)

    v, expected = np.full(N, v_leak), []
    for i in 4 * x:
        v = v + dt * inverse * ((v_leak - v) + i)
        s = v > 1
        v = np.where(s, 0, v)
        expected.append(s)
    np.testing.assert_array_equal(got, np.array(expected))
    assert 0 < got.mean() < 1


def test_norses_current_takes_its_input_whole(x: NDArray[np.float64]) -> None:
    full, dt, slow, fast = np.ones(N), 1e-3, 100.0, 300.0
    node = nir.CubaLIF(full * dt / fast, full * dt / slow, full, full * 0, full)
    got = spikes(node, 4 * x, Reading(dialect="norse"), dt=dt)

    v, u, expected = np.zeros(N), np.zeros(N), []
    for i in 4 * x:
        u = u + i
        v = v + dt * slow * (u - v)
        u = u - dt * fast * u
        s = v > 1
        v = np.where(s, 0, v)
        expected.append(s)
    np.testing.assert_array_equal(got, np.array(expected))
    assert 0 < got.mean() < 1


def test_spikingjelly_says_dt_in_the_r_of_an_if() -> None:
    def read(r: float, dt_s: float | None) -> float:
        net = chain(nir.IF(np.full(N, r), np.ones(N), np.zeros(N)), shape=(N,), out=(N,))
        net.metadata.pop("dt")
        return from_nir(net, reading=Reading(dialect="spikingjelly"), dt_s=dt_s).dt_s

    assert read(float(np.float32(1 / 0.003)), None) == pytest.approx(0.003)
    with pytest.raises(ImportingError, match=r"r is 1000 .. 1000; this dialect writes 1/dt = 10000") as caught:
        read(1000.0, 1e-4)
    assert caught.value.help.startswith("--dt 0.001 ")


def test_spikingjelly_fires_at_ties_and_starts_at_v_reset() -> None:
    x = np.array([[0.5, 1.0, 0.25]] * T)
    node = nir.IF(np.full(N, 1 / DT), np.ones(N), np.full(N, 0.25))
    got = spikes(node, x, Reading(dialect="spikingjelly"))

    v, expected = np.full(N, 0.25), []
    for i in x:
        v = v + i
        s = v >= 1
        v = np.where(s, 0.25, v)
        expected.append(s)
    np.testing.assert_array_equal(got, np.array(expected))


def test_rockpool_says_dt_in_r_and_lets_the_current_decay_first(x: NDArray[np.float64]) -> None:
    dt, tau_mem, tau_syn = 2e-3, 20e-3, 5e-3
    full = np.ones(N)
    r = tau_mem * np.exp(-dt / tau_mem) / dt
    node = nir.CubaLIF(full * tau_syn, full * tau_mem, full * r, full * 0, full)
    net = chain(node, shape=(N,), out=(N,))
    net.metadata.pop("dt")
    graph = from_nir(net, reading=Reading(dialect="rockpool"))

    a, b, u, v, expected = np.exp(-dt / tau_syn), np.exp(-dt / tau_mem), np.zeros(N), np.zeros(N), []
    for i in x:
        u = a * (u + i)
        v = b * v + u
        s = (v >= 1) * np.floor(v)
        v = v - s
        expected.append(s)
    assert graph.dt_s == pytest.approx(dt)
    np.testing.assert_array_equal(run_float(graph, x[:, None])["output"][:, 0], expected)


def test_slayer_filters_a_current_and_fires_at_ties(x: NDArray[np.float64]) -> None:
    full = np.ones(N)
    node = nir.CubaLIF(full * 4e-3, full * 8e-3, full * 8, full * 0, full, w_in=full * 4)
    got = spikes(node, x, Reading(dialect="lava-dl"))

    u, v, expected = np.zeros(N), np.zeros(N), []
    for i in x:
        u = 0.75 * u + i
        v = 0.875 * v + u
        s = v >= 1
        v = np.where(s, 0, v)
        expected.append(s)
    np.testing.assert_array_equal(got, np.array(expected))


@pytest.mark.parametrize(
    ("reading", "field", "value"),
    [
        (Reading(reset="subtract"), "reset", "subtract"),
        (Reading(comparison="ge"), "comparison", ">="),
        (Reading(v0=0.25), "v_start", 0.25),
        (Reading(v0="leak"), "v_start", 0.1),
        (Reading(v0="reset"), "v_start", 0.05),
        (Reading(refractory=3), "refractory", 3),
        (Reading(max_spikes=0), "max_spikes", None),
        (Reading(v_min=-0.5), "v_min", -0.5),
        (Reading(decay="exact"), "beta", np.exp(-0.25)),
    ],
)
def test_a_single_option_says_one_thing(reading: Reading, field: str, value: object) -> None:
    assert getattr(from_nir(chain(lif(), shape=(N,), out=(N,)), reading=reading)["n0"], field) == value


def test_a_dialect_is_guessed_from_metadata_and_an_option_goes_before_it() -> None:
    named = chain(lif(), shape=(N,), out=(N,), framework="SpikingJelly 2.0")

    assert from_nir(named)["n0"].comparison == ">="
    assert from_nir(named, reading=Reading(comparison=">"))["n0"].comparison == ">"
    with pytest.raises(ImportingError, match="its metadata name 'spikingjelly'; --dialect sinabs contradicts"):
        from_nir(named, reading=Reading(dialect="sinabs"))


def test_an_option_that_contradicts_a_nodes_metadata_is_refused() -> None:
    net = chain(lif(reset="subtract"), shape=(N,), out=(N,))

    assert from_nir(net, reading=Reading(dialect="norse"), dt_s=DT)["n0"].reset == "subtract"
    with pytest.raises(ImportingError, match="its metadata say reset 'subtract'; --reset value contradicts them"):
        from_nir(net, reading=Reading(reset="value"))


@pytest.mark.parametrize("reading", [Reading(refractory=0), Reading(max_spikes=-1)])
def test_an_option_out_of_range_is_refused(reading: Reading) -> None:
    with pytest.raises(InputError, match="whole numbers from"):
        from_nir(chain(lif(), shape=(N,), out=(N,)), reading=reading)


def test_what_is_assumed_is_told_and_what_is_said_is_not() -> None:
    net = chain(lif(), shape=(N,), out=(N,), author="me")

    assert assumed(net, None, None, "net") == [
        "reset to v_reset (--reset)",
        "fires at v > v_threshold (--comparison)",
        "decay 1 - dt/tau (--decay)",
        "v(0) = 0 (--v0)",
        "one spike a step (--max-spikes)",
    ]
    said = Reading(reset="value", comparison=">", decay="euler", v0=0.0)
    assert assumed(net, None, said, "net") == ["one spike a step (--max-spikes)"]
    net.metadata.pop("dt")
    assert assumed(net, None, Reading(dialect="norse"), "net")[0] == "dt 0.001 s (--dt)"
    assert unknown(net) == ["author"]


def test_a_time_constant_in_another_unit_is_answered_with_what_makes_sense_of_it() -> None:
    with pytest.raises(ImportingError, match=r"tau is 1e-05 s, shorter than one timestep") as caught:
        from_nir(chain(plain_lif(1e-5), shape=(N,), out=(N,)))

    assert "--dialect norse if the file holds dt tau (then tau is 0.01 s)" in caught.value.help
    assert "--dt 1e-06" in caught.value.help


def test_an_endless_time_constant_is_an_integrator() -> None:
    full = np.full(N, np.inf)
    graph = chain(nir.LIF(full, full, np.zeros(N), np.ones(N), np.zeros(N)), shape=(N,), out=(N,))

    for read in (graph, nirx.copied(graph)):
        op = from_nir(read)["n0"]
        assert (op.beta, op.gain) == (1, 1)


def test_every_dialect_says_everything_but_a_floor() -> None:
    for name, dialect in DIALECTS.items():
        said = vars(dialect.settings)
        assert [key for key, value in said.items() if value is None] == ["v_min"], name
