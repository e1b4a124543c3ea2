"""Gated spikes and STAA-style layers in Lava: the interpreter's payloads, spikes and states."""

from __future__ import annotations

import numpy as np
import pytest
from compile_random import compile_random
from joint_nets import events, joint, joint_net, staa, staa_net

from spikewright.export.lava import LavaBackend
from spikewright.toolchain.interpret import run_int


@pytest.mark.lava
def test_lava_and_the_interpreter_agree_on_gated_nets() -> None:
    rng = np.random.default_rng(5)
    graphs = [joint_net(rng, joint(rng, dims, gate_delay=d)) for dims in ("T", "C") for d in (0, 3)]  # type: ignore[arg-type]
    graphs += [joint_net(rng, joint(rng, "T", gate="binary"), pooled=True), staa_net(rng, staa(rng))]
    jobs = [compile_random(graph, events(rng)) for graph in graphs]

    for index, (job, got) in enumerate(zip(jobs, LavaBackend().run_many(jobs, record=True), strict=True)):
        wanted = run_int(*job)
        np.testing.assert_array_equal(got.answer, wanted.answer, err_msg=f"net {index}")
        assert got.recordings.keys() == wanted.recordings.keys()
        for name, recording in wanted.recordings.items():
            np.testing.assert_array_equal(got.recordings[name].out, recording.out, err_msg=f"net {index}, {name}")
            np.testing.assert_array_equal(got.recordings[name].v, recording.v, err_msg=f"net {index}, {name}")
