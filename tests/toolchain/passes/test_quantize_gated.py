"""Gated spikes in integers: payloads are gate levels, the synapses behind them keep all weight bits; machine and Lava agree."""

from __future__ import annotations

import numpy as np
import pytest
from compile_random import compile_random
from int_nets import is_lif
from joint_nets import events, joint, joint_net
from mapped import mapped

from spikewright.hw_sim import Gate, load_chip
from spikewright.toolchain.integer import IntConnection, IntNeuron
from spikewright.toolchain.interpret import run_float, run_int
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.local_backends import HwSimBackend
from spikewright.toolchain.mapping import map_graph


def relay_of(integer: Graph) -> IntNeuron:
    (found,) = [op for op in integer if isinstance(op, IntNeuron) and is_lif(op) and op.soma.output_gate]
    return found


def test_a_payload_is_the_level_of_the_gate_where_a_spike_arrives(rng: np.random.Generator) -> None:
    graph, x = joint_net(rng, joint(rng, "T", gate_delay=2)), events(rng)
    integer, payload = compile_random(graph, x)

    result = run_int(integer, payload)

    (gate,) = [op for op in integer if isinstance(op, IntNeuron) and isinstance(op.soma, Gate)]
    spikes = result.recordings["lif1"].out
    levels = np.concatenate([np.full((2, 3, 4, 1, 1), 256), result.recordings[gate.name].out[:-2]])
    np.testing.assert_array_equal(result.recordings["tcja"].out, spikes * levels)
    assert 0 < result.recordings["tcja"].out.max() <= 256


@pytest.mark.parametrize("dims", ["T", "C"])
def test_payloads_follow_the_float_gate_to_a_few_levels(dims: str, rng: np.random.Generator) -> None:
    graph, x = joint_net(rng, joint(rng, dims, decay=1.0)), events(rng)
    integer, payload = compile_random(graph, x)

    wanted, got = run_float(graph, x), run_int(integer, payload)

    same = wanted["lif1"] == got.recordings["lif1"].out
    assert same.mean() > 0.95
    error = np.abs(wanted["tcja"] - got.recordings["tcja"].out / 256)
    assert np.median(error[wanted["tcja"] > 0]) < 0.02


def test_weights_behind_gated_spikes_keep_all_their_bits(rng: np.random.Generator) -> None:
    integer, _ = compile_random(joint_net(rng, joint(rng, "T")), events(rng))

    behind = integer["fc1"]
    assert isinstance(behind, IntConnection)
    assert behind.exponent < 0
    assert np.abs(behind.synapses.weights).max() > 127


def test_the_machine_counts_graded_sops_behind_gated_spikes(rng: np.random.Generator) -> None:
    integer, payload = compile_random(joint_net(rng, joint(rng, "T")), events(rng))
    program = map_graph(integer, load_chip("loihi2"))

    got = HwSimBackend().run(mapped(integer, program), payload, record=True)

    wanted = run_int(integer, payload)
    np.testing.assert_array_equal(got.recordings["tcja"].out, wanted.recordings["tcja"].out)
    assert program.population("tcja").kind == "graded"
    assert got.trace is not None
    sent = (wanted.recordings["tcja"].out != 0).sum(axis=(0, 1)).reshape(-1)
    fan_out = (integer["fc1"].synapses.weights != 0).sum(axis=0)  # type: ignore[attr-defined]
    assert got.trace.projections["fc1"].kind == "graded"
    assert got.trace.projections["fc1"].sops == int(sent @ fan_out) > 0


def test_a_binary_gate_sends_binary_spikes(rng: np.random.Generator) -> None:
    integer, _ = compile_random(joint_net(rng, joint(rng, "T", gate="binary")), events(rng))
    program = map_graph(integer, load_chip("loihi2"))

    assert program.population("tcja").kind == "binary"
    assert not any(is_lif(op) and op.soma.output_gate for op in integer)
    relay_free = integer["fc1"]
    assert isinstance(relay_free, IntConnection)
    assert relay_free.exponent == 0
