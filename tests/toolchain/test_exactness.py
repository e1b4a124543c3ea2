"""Interpreter and machine agree bit for bit on random networks, and no float pass changes an answer."""

from __future__ import annotations

import numpy as np
import pytest
from compile_random import compile_random, lower
from example_counts import examples
from hypothesis import given
from int_nets import changed, is_lif
from mapped import mapped
from random_nets import random_net, seeds

from spikewright.hw_sim import load_chip
from spikewright.toolchain.integer import IntNeuron
from spikewright.toolchain.interpret import answer, run_float, run_int
from spikewright.toolchain.local_backends import HwSimBackend
from spikewright.toolchain.mapping import map_graph


@examples(200)
@given(seed=seeds)
def test_interpreter_and_machine_agree_on_spikes_and_states_of_random_nets(seed: int) -> None:
    graph, x = random_net(seed)
    integer, payload = compile_random(graph, x)
    program = map_graph(integer, load_chip("loihi2"))

    wanted = run_int(integer, payload)
    got = HwSimBackend().run(mapped(integer, program), payload, record=True)

    np.testing.assert_array_equal(got.answer, wanted.answer)
    assert got.recordings.keys() == wanted.recordings.keys()
    for name, recording in wanted.recordings.items():
        np.testing.assert_array_equal(got.recordings[name].out, recording.out, err_msg=name)
        np.testing.assert_array_equal(got.recordings[name].v, recording.v, err_msg=name)
        if recording.u is not None:
            np.testing.assert_array_equal(got.recordings[name].u, recording.u, err_msg=name)


@examples(60)
@given(seed=seeds)
def test_float_passes_keep_the_answer_and_every_spike(seed: int) -> None:
    graph, x = random_net(seed)
    before = run_float(graph, x)
    lowered = lower(graph)

    after = run_float(lowered, x)

    np.testing.assert_allclose(answer(lowered, after), answer(graph, before), atol=1e-9)
    for op in graph:
        if op.name in after and type(op).__name__ in ("Lif", "MALIF"):
            np.testing.assert_array_equal(after[op.name], before[op.name], err_msg=op.name)


@pytest.mark.parametrize("seed", [3, 5, 8])
def test_a_changed_threshold_is_noticed(seed: int) -> None:
    """The comparison above can fail: one threshold moved by a lot in the program only changes something it compares."""
    graph, x = random_net(seed)
    integer, payload = compile_random(graph, x)
    first = next(op for op in integer if isinstance(op, IntNeuron) and is_lif(op))
    broken = integer.map(lambda op: _raised(op) if op is first else op)
    program = map_graph(broken, load_chip("loihi2"))

    wanted = run_int(integer, payload)
    got = HwSimBackend().run(mapped(integer, program), payload, record=True)

    assert wanted.recordings[first.name].out.any()
    assert (got.recordings[first.name].out != wanted.recordings[first.name].out).any()


def _raised(op: IntNeuron) -> IntNeuron:
    return changed(op, threshold=np.full(1, (1 << 23) - 2, np.int64))
