"""25 random networks, compiled: Lava and the interpreter agree on every spike and every state."""

from __future__ import annotations

import numpy as np
import pytest
from compile_random import compile_random
from random_nets import random_net

from spikewright.export.lava import LavaBackend
from spikewright.toolchain.interpret import run_int

NETS = 25
TOGETHER = 5
"""Nets in one Lava run: a start costs about a second."""


@pytest.mark.lava
@pytest.mark.parametrize(
    "first", [0, *(pytest.param(first, marks=pytest.mark.slow) for first in range(TOGETHER, NETS, TOGETHER))]
)
def test_lava_and_the_interpreter_agree_on_random_nets(first: int) -> None:
    jobs = [compile_random(*random_net(seed)) for seed in range(first, first + TOGETHER)]

    for seed, (job, got) in enumerate(zip(jobs, LavaBackend().run_many(jobs, record=True), strict=True), first):
        wanted = run_int(*job)
        np.testing.assert_array_equal(got.answer, wanted.answer, err_msg=f"seed {seed}")
        assert got.recordings.keys() == wanted.recordings.keys()
        for name, recording in wanted.recordings.items():
            where = f"seed {seed}, {name}"
            np.testing.assert_array_equal(got.recordings[name].out, recording.out, err_msg=where)
            np.testing.assert_array_equal(got.recordings[name].v, recording.v, err_msg=where)
            if recording.u is not None:
                np.testing.assert_array_equal(got.recordings[name].u, recording.u, err_msg=where)
