"""STAA-style layers: position encoding by a clock, causal gates exact, the reconstruction by constants or refused."""

from __future__ import annotations

import numpy as np
import pytest
from joint_nets import C, T, events, staa, staa_net

from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.interpret import answer, run_float
from spikewright.toolchain.ops import Lif
from spikewright.toolchain.passes.lower_gates import LowerGates, mean_gates, strategy_for


@pytest.mark.parametrize("position", [False, True])
def test_causal_layers_are_lowered_exactly(position: bool, rng: np.random.Generator) -> None:
    graph = staa_net(rng, staa(rng, position=position))
    x = events(rng)

    lowered = LowerGates("causal")(graph)

    before, after = run_float(graph, x), run_float(lowered, x)
    np.testing.assert_array_equal(after["staa"], before["staa"])
    np.testing.assert_allclose(answer(lowered, after), answer(graph, before), atol=1e-9)
    assert 0 < after["staa"].mean() < 1
    assert ("staa.clock" in lowered) == position


def test_each_neuron_of_the_clock_fires_once_at_its_own_step(rng: np.random.Generator) -> None:
    lowered = LowerGates("causal")(staa_net(rng, staa(rng)))

    ticks = run_float(lowered, events(rng, 1))["staa.clock"][:, 0]

    np.testing.assert_array_equal(ticks, np.eye(T))


@pytest.mark.parametrize("softmax", [False, True])
def test_static_gains_are_exact_on_one_sample(softmax: bool, rng: np.random.Generator) -> None:
    graph = staa_net(rng, staa(rng, "reconstruction", softmax=softmax))
    x = events(rng, 1)
    signals = run_float(graph, x)

    lowered = LowerGates("static", mean_gates(graph, signals))(graph)

    neuron = lowered["staa"]
    assert isinstance(neuron, Lif)
    assert (neuron.gates, neuron.output_gate) == (2, True)
    np.testing.assert_allclose(run_float(lowered, x)["staa"], signals["staa"], atol=1e-9)


def test_the_count_form_reads_the_spikes_of_the_step_before(rng: np.random.Generator) -> None:
    op = staa(rng, "reconstruction", softmax=False)
    x = rng.normal(size=(T, 1, C, 4, 4))
    changed = x.copy()
    changed[3] = -changed[3]

    before, after = op.gates_on([x])["C"], op.gates_on([changed])["C"]

    np.testing.assert_array_equal(before[:4], after[:4])
    assert (before[4] != after[4]).any()


def test_the_reconstruction_is_refused_as_causal_with_both_reasons(rng: np.random.Generator) -> None:
    with pytest.raises(GateLoweringError) as caught:
        strategy_for(staa(rng, "reconstruction"), "causal")

    assert str(caught.value) == (
        "block 'staa': STAA-style attention (variant 'reconstruction') cannot be lowered by 'causal': its step attention "
        "reads all 6 steps, and its aggregator is a softmax of the current\n"
        "  help: train STAALIF(variant='causal'), or deploy with --gates static"
    )
    assert strategy_for(staa(rng, "reconstruction"), "auto") == "static"
    assert strategy_for(staa(rng), "auto") == "causal"
