"""Read-outs as other frameworks write them: leaky and plain integrators, sums of spikes, pooled spikes."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from nir_nets import DT, T, chain, net
from numpy.typing import NDArray

from spikewright.toolchain.compare import compare
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import VerifyError
from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.ops import Lif, Neuron
from spikewright.toolchain.options import Options
from spikewright.toolchain.outlasting import outlasting
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples

SIZE, CLASSES, SAMPLES = 24, 4, 6


def weights(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(len(shape) * shape[0]).normal(size=shape).astype(np.float32) / 2


def fires(*shape: int) -> nir.LIF:
    full = np.ones(shape)
    return nir.LIF(full * 4 * DT, full * 3, full * 0, full * 0.5, full * 0)


def leaky(leak: float = 0.0, tau: float = 5 * DT) -> nir.LI:
    full = np.ones(CLASSES)
    return nir.LI(full * tau, full * 3, full * leak)


def filtered(tau_syn: float, leak: float = 0.0) -> nir.CubaLI:
    full = np.ones(CLASSES)
    return nir.CubaLI(full * tau_syn, np.arange(2, 2 + CLASSES) * DT, full * 3, full * leak, full * 2)


def events(*shape: int) -> NDArray[np.float32]:
    return (np.random.default_rng(5).random((T, SAMPLES, *shape)) < 0.4).astype(np.float32)


def deploy(graph: nir.NIRGraph, x: NDArray[np.float32]) -> Deployment:
    data = Samples(x, None, "random")
    return deploy_graph(from_nir(graph), Options(), data, name="net", samples=data)


def hidden() -> tuple[nir.NIRNode, ...]:
    return nir.Affine(weights(16, SIZE), weights(16)), fires(16), nir.Affine(weights(CLASSES, 16), weights(CLASSES))


@pytest.mark.parametrize(
    "readout",
    [
        leaky(),
        leaky(leak=0.3),
        leaky(tau=DT),
        nir.LI(np.arange(1, 1 + CLASSES) * DT, np.full(CLASSES, 3.0), np.arange(CLASSES) / 10),
        nir.I(np.ones(CLASSES)),
        filtered(3 * DT),
        filtered(2 * DT, leak=0.3),
    ],
    ids=["leaky", "leak-potential", "no-memory", "tau-each", "integrator", "two-filters", "two-filters-and-leak"],
)
def test_a_non_spiking_read_out_runs_as_one_population_and_answers_like_the_float_net(readout: nir.NIRNode) -> None:
    made = deploy(chain(*hidden(), readout, shape=(SIZE,), out=(CLASSES,)), events(SIZE))

    assert made.samples is not None
    assert made.drift is not None
    x = made.encode(made.samples.x.astype(np.float64))
    wanted = made.run_float(made.samples.x)
    check = made.check()
    assert compare(made, ["interpreter", "hw_sim"], x).equal
    assert made.drift.answer_error < 0.02 * np.abs(wanted).max()
    assert check.spike_driven
    assert check.faithful is not None
    assert check.faithful.ok
    assert check.audit is not None
    assert check.audit.ok


def test_spikes_of_several_layers_may_be_summed_by_the_output() -> None:
    nodes = {"w1": nir.Linear(weights(3, 3)), "a": fires(3), "w2": nir.Linear(weights(3, 3) + 1), "b": fires(3)}
    made = deploy(net(nodes, "input>w1", "w1>a", "input>w2", "w2>b", "a>output", "b>output"), events(3))

    assert made.samples is not None
    x = made.encode(made.samples.x.astype(np.float64))
    result = compare(made, ["interpreter", "hw_sim"], x)
    assert result.equal
    assert result.to_dict()["spikes"] > 0
    assert made.drift is not None
    assert made.drift.answer_error < 1 / T


def test_spikes_may_be_pooled_and_flattened_into_the_output() -> None:
    conv = nir.Conv2d((8, 8), weights(CLASSES, 2, 3, 3), 1, 1, 1, 1, np.zeros(CLASSES))
    pool = nir.AvgPool2d(np.array([8, 8]), np.array([8, 8]), np.array([0, 0]))
    flat = nir.Flatten({"input": np.array([CLASSES, 1, 1])}, 0, -1)
    graph = chain(conv, fires(CLASSES, 8, 8), pool, flat, shape=(2, 8, 8), out=(CLASSES,))

    made = deploy(graph, events(2, 8, 8))

    assert made.drift is not None
    assert made.drift.answer_error < 0.02


def with_inside(inner: nir.NIRNode) -> nir.NIRGraph:
    between = (nir.Linear(weights(16, SIZE)), inner, nir.Linear(weights(16, 16)), fires(16))
    return chain(*between, nir.Linear(weights(CLASSES, 16)), shape=(SIZE,), out=(CLASSES,))


@pytest.mark.parametrize("inner", [nir.I(np.ones(16)), nir.LI(np.full(16, 4 * DT), np.ones(16), np.zeros(16))])
def test_a_non_spiking_neuron_inside_a_net_becomes_a_filter_of_the_neurons_that_read_it(inner: nir.NIRNode) -> None:
    made = deploy(with_inside(inner), events(SIZE))

    assert [type(op) for op in made.lowered if isinstance(op, Neuron)] == [Lif]
    assert made.check().ok
    assert made.compare().equal


def test_one_with_a_filter_of_its_own_is_refused_and_no_net_with_one_is_called_spike_driven() -> None:
    ones = np.ones(16)

    with pytest.raises(VerifyError, match="real value in every step") as refusal:
        deploy(with_inside(nir.CubaLI(ones * 2 * DT, ones * 3 * DT, ones, ones * 0, ones)), events(SIZE))

    assert refusal.value.where == "non-spiking neuron 'n1'"


def test_a_net_without_attention_is_deployed_whatever_quantizing_costs() -> None:
    graph = from_nir(chain(*hidden(), shape=(SIZE,), out=(CLASSES,)))
    data = Samples(events(SIZE), np.zeros(SAMPLES, np.int64), "random")

    made = deploy_graph(graph, Options(gates="auto", tolerance=-1.0), data, name="net")

    assert made.strategies == {}


def test_a_map_with_a_bias_behind_a_leaky_integrator_is_refused_with_what_helps() -> None:
    x = events(SIZE)
    bias = np.arange(1.0, CLASSES + 1)

    def read(last: nir.NIRNode) -> nir.NIRGraph:
        return chain(*hidden(), leaky(), last, shape=(SIZE,), out=(CLASSES,))

    with pytest.raises(VerifyError) as caught:
        deploy(read(nir.Affine(weights(CLASSES, CLASSES), bias)), x)
    assert (
        caught.value.help == "leave the bias of 'n4' out (the map then acts in front of it), and add it to the answers"
    )

    wanted = run_float(from_nir(read(nir.Affine(weights(CLASSES, CLASSES), bias))), x)["output"].mean(0)
    made = deploy(read(nir.Linear(weights(CLASSES, CLASSES))), x)
    np.testing.assert_allclose(made.run_float(x) + bias, wanted, atol=1e-9)


@pytest.mark.parametrize(
    ("delays", "told"), [([1, 2, 3], None), ([1, T, T + 4], f"{T} to {T + 4}"), ([1000 * T] * 3, f"{1000 * T:,}")]
)
def test_delays_that_nothing_comes_through_in_a_run_are_warned_of_by_name(delays: list[int], told: str | None) -> None:
    """Milliseconds taken for seconds, say."""
    three = np.ones(3)
    neurons = nir.LIF(three * 4 * DT, three * 3, three * 0, three * 0.5, three * 0)
    late = nir.Delay(np.array(delays) * DT)
    graph = chain(neurons, late, nir.Linear(weights(3, 3)), neurons, shape=(3,), out=(3,))

    found = outlasting(from_nir(graph))

    what = f"of what it delays by {told} steps nothing arrives within T = {T} steps of {DT:g} s"
    assert [(one.where, one.what) for one in found] == ([] if told is None else [("delay 'n1'", what)])


def test_delays_that_add_up_to_a_run_are_warned_of_once() -> None:
    half, three = nir.Delay(np.full(3, T / 2 * DT)), np.ones(3)
    neurons = nir.LIF(three * 4 * DT, three * 3, three * 0, three * 0.5, three * 0)

    (found,) = outlasting(from_nir(chain(half, neurons, half, neurons, half, shape=(3,), out=(3,))))

    assert found.where == "delay 'n2'"
