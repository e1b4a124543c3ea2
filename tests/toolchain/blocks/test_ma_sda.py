"""MA variant ``sda``: its thresholds of maxima and products of sums become spikes, OR and AND, equal on the backends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from lowered_blocks import lowered, taken

from spikewright.toolchain.blocks.ma import DIMS, MALIF
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.lowerings import SHAPE, T, net_of
from spikewright.toolchain.ops import Affine, Input, Lif, MaxPool, Multiply, Output
from spikewright.toolchain.options import Options
from spikewright.toolchain.passes.lower_gates import strategies_for
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples


def block(dims: str, seed: int = 1) -> MALIF:
    """Return a block whose masks open and shut."""
    made = taken("causal")[f"ma sda {dims}"]
    assert isinstance(made, MALIF)
    rng = np.random.default_rng(seed)
    weights = {name: np.asarray(0.9 * rng.normal(size=w.shape)) for name, w in made.parameters.items()}
    return replace(made, parameters={**weights, "level": np.array(0.6)})


def deployed(dims: str) -> Deployment:
    return lowered(block(dims), "causal")


@pytest.mark.parametrize("dims", DIMS)
def test_it_is_spike_driven_of_class_a_and_exact_on_interpreter_and_machine(dims: str) -> None:
    made = deployed(dims)
    x = made.samples.x if made.samples is not None else np.zeros(0)
    exact = run_float(made.captured, x.astype(float))["block"], run_float(made.lowered, x.astype(float))["block"]
    plain = run_float(
        net_of(replace(block(dims), dims="T", parameters={"level": np.array(1e9), "ta_taps": np.zeros(1)})), x
    )

    assert (exact[0] == exact[1]).all()
    assert (exact[0] != plain["block"]).any()
    assert made.strategies == {"block": "causal"}
    check = made.check()
    assert check.ok
    assert {row.cost_class for row in check.verdict.blocks} == {"A"}
    assert check.faithful is not None
    assert check.faithful.faults == ()
    assert made.compare(backends=("interpreter", "hw_sim")).equal
    assert not any(isinstance(op, MaxPool | Multiply) for op in made.lowered)


def test_its_masks_open_and_shut() -> None:
    made = block("TCS")

    gates = made.gates_on([0.8 * np.random.default_rng(0).normal(size=(T, 8, *SHAPE))])

    assert all(0 < gate.mean() < 1 for gate in gates.values())


def test_features_without_space_have_matrices() -> None:
    rng = np.random.default_rng(3)
    neuron = Lif(name="n", shape=(5,), beta=np.array(0.5), v_threshold=np.array(0.7))
    weights = {"level": np.array(0.3), "ta_taps": rng.normal(size=3), "ca_w": rng.normal(size=(5, 5))}
    graph = Graph(
        (
            Input(name="input", shape=(4,)),
            Affine(name="fc1", inputs=("input",), weight=rng.normal(size=(5, 4))),
            MALIF(
                name="block", inputs=("fc1",), neuron=neuron, timesteps=T, parameters=weights, dims="TC", variant="sda"
            ),
            Affine(name="fc2", inputs=("block",), weight=rng.normal(size=(3, 5))),
            Output(name="output", inputs=("fc2",)),
        ),
        T,
    )
    x = (rng.random((T, 4, 4)) < 0.5).astype(np.float32)
    samples = Samples(x, None, "random", simulated=True)

    made = deploy_graph(graph, Options(), samples, name="sda", samples=samples)

    before, after = (run_float(net, x.astype(float))["block"] for net in (made.captured, made.lowered))
    assert 0 < before.mean() < 1
    assert (after == before).all()
    assert made.compare(backends=("interpreter", "hw_sim")).equal


def test_no_constant_takes_the_place_of_what_it_adds() -> None:
    with pytest.raises(GateLoweringError, match="follows the spikes of every step: no constant gate scales it"):
        strategies_for([block("TC")], "static")


@pytest.mark.lava
@pytest.mark.slow
def test_lava_sends_the_same_spikes() -> None:
    assert deployed("TCS").compare(backends=("interpreter", "lava"), limit=1).equal
