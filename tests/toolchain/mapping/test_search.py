"""Search mapping: never slower than balanced, the same integers, the same result by the same seed, the best so far on ctrl-C."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_strategies import conv_net, events, run, small

from spikewright.hw_sim import Chip, drc, load_chip
from spikewright.toolchain.mapping import Balanced, Search
from spikewright.toolchain.mapping import search as searching
from spikewright.toolchain.mapping.search import Plan, _moved_core, _moved_layers


@pytest.fixture(scope="module")
def chip() -> Chip:
    found = small(load_chip("loihi2"), max_neurons=2048)
    return replace(found, mesh=replace(found.mesh, usable_cores_per_chip=24))


def test_search_is_faster_than_balanced_and_repeats_by_its_seed(chip: Chip) -> None:
    graph = conv_net(side=12, channels=4, layers=3)
    x = events(graph, samples=2)
    balanced = Balanced(x)(graph, chip)
    found = [Search(x, seed=3, tries=25)(graph, chip) for _ in range(2)]

    drc.check(found[0], chip)
    before, after = run(balanced, chip, x), run(found[0], chip, x)
    np.testing.assert_array_equal(after.outputs, before.outputs)
    assert after.latency_ns.sum() < before.latency_ns.sum()
    for a, b in zip(found[0].populations, found[1].populations, strict=True):
        np.testing.assert_array_equal(a.core, b.core)


def test_an_interrupted_search_returns_the_best_so_far(chip: Chip, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = conv_net(side=8, channels=4, layers=2)
    x = events(graph, samples=1)
    measured = []
    real = searching.simulate

    def stop_at_the_third(*given: object, **how: object) -> object:
        measured.append(1)
        if len(measured) == 3:
            raise KeyboardInterrupt
        return real(*given, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(searching, "simulate", stop_at_the_third)
    drc.check(Search(x)(graph, chip), chip)


def test_changes_keep_every_layer_and_core() -> None:
    plan = Plan((("a", "b"), ("c",), ("d", "e")), (4, 2, 6))
    changes = [*_moved_layers(plan), *_moved_core(plan, 2, 0)]
    assert len(set(changes)) == len(changes) > 5
    for change in changes:
        assert [name for stage in change.stages for name in stage] == ["a", "b", "c", "d", "e"]
        assert change.cores == 12
        assert all(change.shares)
        assert len(change.shares) == len(change.stages)
