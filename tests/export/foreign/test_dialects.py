"""A NIR file read in a framework's dialect sends the spikes of the framework's own neurons, run here beside it."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest
from numpy.typing import NDArray

from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.options import Reading

torch = pytest.importorskip("torch")

T, B, N, M = 40, 8, 20, 10
Array = NDArray[Any]


@pytest.fixture
def x(rng: np.random.Generator) -> Array:
    return (rng.random((T, B, N)) < 0.3).astype("f4")


def layer(gain: float) -> Any:
    torch.manual_seed(0)
    made = torch.nn.Linear(N, M)
    with torch.no_grad():
        made.weight.mul_(gain)
        made.bias.mul_(gain)
    return made


def ours(weights: Any, neuron: nir.NIRNode, x: Array, dialect: str) -> Array:
    """The spikes of input -> weights -> neuron, (T, B, M)."""
    bias = np.zeros(M) if weights.bias is None else weights.bias.detach().numpy()
    ends = {"input": nir.Input(np.array([N])), "output": nir.Output(np.array([M]))}
    nodes = {**ends, "fc": nir.Affine(weights.weight.detach().numpy(), bias), "n": neuron}
    edges = [("input", "fc"), ("fc", "n"), ("n", "output")]
    graph = from_nir(nir.NIRGraph(nodes, edges, type_check=False), timesteps=T, reading=Reading(dialect=dialect))
    return run_float(graph, x.astype(float))["output"]


def assert_all_spikes_equal(theirs: Array, got: Array) -> None:
    np.testing.assert_array_equal(got, theirs)
    assert 0.01 < theirs.mean() < 1


def stepwise(neuron: Any, weights: Any, x: Array) -> Array:
    """The spikes of a cell that takes one step and its state."""
    state, out = None, []
    with torch.no_grad():
        for frame in x:
            current = weights(torch.tensor(frame))
            spikes, state = neuron(current) if state is None else neuron(current, state)
            out.append(spikes.numpy())
    return np.stack(out)


def test_snntorchs_default_leaky(x: Array) -> None:
    snn = pytest.importorskip("snntorch")
    export = pytest.importorskip("snntorch.export_nir")
    leaky, weights = snn.Leaky(beta=torch.full((M,), 0.9), threshold=torch.ones(M)), layer(3)

    node = export._extract_snntorch_module(leaky)

    assert_all_spikes_equal(stepwise(leaky, weights, x), ours(weights, node, x, "snntorch"))


@pytest.mark.parametrize("kind", ["IAF", "LIF"])
def test_sinabs_default_neurons_fire_several_times_a_step(kind: str, x: Array) -> None:
    layers = pytest.importorskip("sinabs.layers")
    export = pytest.importorskip("sinabs.nir")
    neuron, weights = (layers.IAF(), layer(3)) if kind == "IAF" else (layers.LIF(tau_mem=torch.tensor(5.0)), layer(12))
    with torch.no_grad():
        currents = torch.stack([weights(torch.tensor(frame)) for frame in x], 1)
        theirs = neuron(currents).numpy().transpose(1, 0, 2)
    if kind == "IAF":
        node = export._extract_sinabs_module(neuron)
    else:  # sinabs 3.1.3 cannot write a LIF with nir 1.0.8, which takes no scalars
        node = nir.LIF(np.ones(1), np.ones(1), np.zeros(1), np.ones(1), np.zeros(1))
        node.tau, node.v_threshold = neuron.tau_mem, neuron.spike_threshold

    assert_all_spikes_equal(theirs, ours(weights, node, x, "sinabs"))
    assert theirs.max() > 1


@pytest.mark.parametrize("kind", ["IFNode", "LIFNode"])
def test_spikingjellys_neurons_fire_at_ties(kind: str, x: Array, rng: np.random.Generator) -> None:
    neurons = pytest.importorskip("spikingjelly.activation_based.neuron")
    weights = torch.nn.Linear(N, M, bias=False)
    weights.weight.data = torch.tensor(rng.integers(-2, 4, (M, N)) / 4.0, dtype=torch.float32)
    full = np.ones(M)
    if kind == "IFNode":
        neuron, node = neurons.IFNode(step_mode="m"), nir.IF(full * 1e4, full, 0 * full)
    else:
        neuron = neurons.LIFNode(tau=2.0, v_reset=0.1, step_mode="m")
        node = nir.LIF(full * 2e-4, full, full * 0.1, full, full * 0.1)
    with torch.no_grad():
        theirs = neuron(weights(torch.tensor(x))).numpy()

    assert_all_spikes_equal(theirs, ours(weights, node, x, "spikingjelly"))


def test_norses_lif_box_starts_at_its_leak(x: Array) -> None:
    norse = pytest.importorskip("norse.torch")
    export = pytest.importorskip("norse.torch.utils.export_nir")
    full = torch.ones(M)
    p = norse.LIFBoxParameters(tau_mem_inv=100 * full, v_th=full, v_leak=0.2 * full, v_reset=0 * full)
    cell, weights = norse.LIFBoxCell(p=p), layer(30)

    node = export._extract_norse_module(cell)

    assert_all_spikes_equal(stepwise(cell, weights, x), ours(weights, node, x, "norse"))


def test_norses_lif_cell_jumps_by_its_input(x: Array) -> None:
    norse = pytest.importorskip("norse.torch")
    export = pytest.importorskip("norse.torch.utils.export_nir")
    full = torch.ones(M)
    p = norse.LIFParameters(
        tau_syn_inv=300 * full, tau_mem_inv=100 * full, v_th=full, v_leak=0.2 * full, v_reset=0 * full
    )
    cell, weights = norse.LIFCell(p=p), layer(10)
    made = export._extract_norse_module(cell)
    node = nir.CubaLIF(*(np.asarray(v) for v in (made.tau_syn, made.tau_mem, made.r, made.v_leak, made.v_threshold)))
    start = norse.LIFFeedForwardState(v=0.2 * full, i=0 * full)

    state, out = start, []
    with torch.no_grad():
        for frame in x:
            spikes, state = cell(weights(torch.tensor(frame)), state)
            out.append(spikes.numpy())

    assert_all_spikes_equal(np.stack(out), ours(weights, node, x, "norse"))
