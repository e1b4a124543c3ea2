"""A comparison that cannot fail proves nothing: planted differences are found and named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny import tiny_deployment

from spikewright.toolchain.backends import RunResult
from spikewright.toolchain.compare import compare, compare_results
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import BackendError, InputError
from spikewright.toolchain.local_backends import InterpreterBackend


@pytest.fixture(scope="module")
def made() -> Deployment:
    return tiny_deployment()


def run(made: Deployment) -> RunResult:
    assert made.samples is not None
    x = made.encode(made.samples.x.astype(np.float64))
    return InterpreterBackend().run(made, x, record=True)


def compared(a: RunResult, b: RunResult) -> object:
    return compare_results({"one": a, "two": b}, {}, timesteps=5, samples=12)


def test_equal_runs_are_equal(made: Deployment) -> None:
    result = compare_results({"one": run(made), "two": run(made)}, {}, timesteps=5, samples=12)

    assert result.equal
    assert result.to_dict()["spikes_compared"] == 5 * 12 * (48 + 4)
    assert result.first is None


def test_one_wrong_membrane_is_found_and_named(made: Deployment) -> None:
    bad = run(made)
    bad.recordings["lif1"].v[3, 7, 1, 2, 0] += 1

    result = compare_results({"one": run(made), "two": bad}, {}, timesteps=5, samples=12)

    assert (result.spike_mismatches, result.membrane_mismatches, result.equal) == (0, 1, False)
    assert str(result.first).startswith("layer 'lif1', step 3, sample 7, neuron 24: v is ")


def test_one_missing_spike_is_found_and_named_before_later_ones(made: Deployment) -> None:
    bad = run(made)
    fired = np.argwhere(bad.recordings["lif2"].out)
    for where in fired[:2]:
        bad.recordings["lif2"].out[tuple(where)] = 0

    result = compare_results({"one": run(made), "two": bad}, {}, timesteps=5, samples=12)

    assert result.spike_mismatches == 2
    assert result.first is not None
    assert (result.first.step, result.first.sample) == tuple(fired[0][:2])
    assert (result.first.expected, result.first.found) == (1, 0)


def test_a_wrong_answer_alone_is_not_equal(made: Deployment) -> None:
    good = run(made)
    bad = replace(good, answer=good.answer + 1)

    result = compare_results({"one": good, "two": bad}, {}, timesteps=5, samples=12)

    assert not result.equal
    assert result.answer_mismatches == good.answer.size


def test_a_backend_that_leaves_out_a_layer_is_refused(made: Deployment) -> None:
    bad = run(made)
    del bad.recordings["lif2"]

    with pytest.raises(BackendError, match=r"recorded 1 layers, 'one' 2; missing \['lif2'\], unknown \[\]"):
        compared(run(made), bad)


def test_a_recording_of_another_length_is_refused(made: Deployment) -> None:
    good, bad = run(made), run(made)
    bad.recordings["lif1"] = replace(bad.recordings["lif1"], out=bad.recordings["lif1"].out[:-1])

    with pytest.raises(BackendError, match="recorded out of layer 'lif1' as"):
        compared(good, bad)


def test_comparing_a_backend_with_itself_is_refused(made: Deployment) -> None:
    with pytest.raises(InputError, match="takes two or more different backends"):
        compare(made, ["hw_sim", "hw_sim"], np.zeros((5, 1, 2, 4, 4), np.int64))
