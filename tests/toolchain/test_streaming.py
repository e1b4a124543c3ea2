"""A run in parts is the run at once: any cut of samples and steps gives the same spikes, states, answers and counters."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from compile_random import compile_random
from example_counts import examples
from hypothesis import example, given
from mapped import mapped
from numpy.typing import NDArray
from random_nets import random_net, seeds
from tiny import tiny_deployment

from spikewright.hw_sim import load_chip
from spikewright.toolchain import budget
from spikewright.toolchain.backends import Recording, RunResult
from spikewright.toolchain.budget import Cut, blocks, cut
from spikewright.toolchain.calibration import Spikes
from spikewright.toolchain.compare import compare
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.interpret import FloatRun, answer, run_float
from spikewright.toolchain.local_backends import HwSimBackend, InterpreterBackend
from spikewright.toolchain.mapping import map_graph
from spikewright.toolchain.streaming import Given, Stream

SMALL = 1 << 12


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget that cuts even small nets, in samples and in steps."""
    monkeypatch.setattr(budget, "BUDGET", SMALL)
    monkeypatch.setattr(budget, "FEWEST_STEPS", 2)


def same(found: Recording, wanted: Recording, why: str) -> None:
    for state in ("out", "v", "u"):
        a, b = getattr(found, state), getattr(wanted, state)
        assert (a is None) == (b is None)
        if b is not None:
            np.testing.assert_array_equal(a, b, err_msg=f"{state} of {why}")


@examples(12)
@given(seed=seeds)
def test_interpreter_and_machine_carry_their_state_from_block_to_block(seed: int) -> None:
    graph, x = random_net(seed)
    integer, payload = compile_random(graph, x)
    made = mapped(integer, map_graph(integer, load_chip("loihi2")))
    wanted = HwSimBackend().run(made, payload, record=True)
    steps = 1 + seed % 4
    backends = (InterpreterBackend(), HwSimBackend())
    for backend in backends:
        with backend.open(made, payload.shape[1]) as session:
            for first in range(0, payload.shape[0], steps):
                found = session.advance(payload[first : first + steps])
                for name, recording in wanted.recordings.items():
                    u = None if recording.u is None else recording.u[first : first + steps]
                    part = Recording(recording.out[first : first + steps], recording.v[first : first + steps], u)
                    same(found[name], part, f"{name} on {backend.name}")
            result = session.finish()
        np.testing.assert_array_equal(result.answer, wanted.answer)
        if result.trace is not None:
            same_counters(result, wanted)


def same_counters(found: RunResult, wanted: RunResult) -> None:
    assert found.trace is not None
    assert wanted.trace is not None
    for f in fields(wanted.trace):
        if f.name not in ("spikes", "v", "u", "cycle"):
            np.testing.assert_array_equal(getattr(found.trace, f.name), getattr(wanted.trace, f.name), err_msg=f.name)


@examples(12)
@given(seed=seeds)
@example(seed=348)
def test_a_float_run_in_blocks_gives_every_signal(seed: int) -> None:
    """Loops, delays and neurons carry what they need; a product over other numbers of frames may differ in the last bit."""
    graph, x = random_net(seed)
    if any(type(op).__module__.startswith("spikewright.toolchain.blocks") for op in graph):
        return  # a block needs whole sequences
    wanted, run, steps = run_float(graph, x), FloatRun(graph, x.shape[1]), 1 + seed % 3
    for first in range(0, x.shape[0], steps):
        found = run.advance(x[first : first + steps])
        for name, values in wanted.items():
            np.testing.assert_allclose(found[name], values[first : first + steps], atol=1e-9, err_msg=name)
    np.testing.assert_allclose(run.answer, answer(graph, wanted), atol=1e-9)


@pytest.mark.parametrize("timing", ["analytic", "cycle"])
def test_counters_of_parts_add_up_to_those_of_the_whole(timing: str, little: None) -> None:
    made = tiny_deployment()
    assert made.samples is not None
    x = made.encode(made.samples.x, compact=True)
    backend = HwSimBackend(timing=timing)  # type: ignore[arg-type]
    wanted = backend.run(made, x)

    stream = Stream(made, {"hw_sim": backend}, Given(x), x.shape[1])
    for chosen in (slice(0, 5), slice(5, 6), slice(6, 12)):
        stream.run(x[:, chosen], chosen)

    found = stream.result("hw_sim")
    same_counters(found, wanted)
    np.testing.assert_array_equal(found.answer, wanted.answer)
    if timing == "cycle":
        assert found.trace is not None
        assert wanted.trace is not None
        assert found.trace.cycle is not None
        assert wanted.trace.cycle is not None
        for name, values in wanted.trace.cycle.arrays().items():
            np.testing.assert_array_equal(found.trace.cycle.arrays()[name], values, err_msg=name)


def test_a_comparison_in_parts_says_what_the_one_at_once_says(little: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny_deployment()
    assert made.samples is not None
    x = made.encode(made.samples.x)
    cut_in_parts = compare(made, ("interpreter", "hw_sim"), x)
    monkeypatch.setattr(budget, "BUDGET", 64 << 20)
    at_once = compare(made, ("interpreter", "hw_sim"), x)

    assert cut_in_parts.equal
    assert cut_in_parts.layers == at_once.layers
    assert cut_in_parts.samples == at_once.samples == 12


class Wrong(InterpreterBackend):
    """Lies about one membrane, in a sample and a step of a late part."""

    def open(self, deployment: Deployment, samples: int):  # type: ignore[no-untyped-def]
        return planted(super().open(deployment, samples))


def planted(opened):  # type: ignore[no-untyped-def]
    from contextlib import contextmanager

    @contextmanager
    def session():  # type: ignore[no-untyped-def]
        with opened as inner:
            advance, at = inner.advance, [0]

            def lie(x: NDArray[np.int64]):  # type: ignore[no-untyped-def]
                found = advance(x)
                if at[0] <= 3 < at[0] + x.shape[0]:
                    found["lif2"].v[3 - at[0], 0, 1] += 1
                at[0] += x.shape[0]
                return found

            inner.advance = lie
            yield inner

    return session()


def test_a_difference_in_a_late_part_is_named_by_its_step_in_the_run(little: None) -> None:
    made = tiny_deployment()
    assert made.samples is not None
    made._backends[("wrong",)] = Wrong()

    found = compare(made, ("interpreter", "wrong"), made.encode(made.samples.x))

    assert not found.equal
    assert str(found.first).startswith("layer 'lif2', step 3, sample 0, neuron 1: v is ")


@pytest.mark.parametrize(
    ("samples", "timesteps", "row", "wanted"),
    [
        (5760, 8, 80_000, Cut(104, 8)),
        (1, 1450, 10_000_000, Cut(1, 6)),
        (8, 100_000, 2_000, Cut(8, 4194)),
        (1, 1, 1 << 40, Cut(1, 1)),
        (3, 4, 0, Cut(3, 4)),
    ],
)
def test_parts_fit_the_budget_and_cover_everything_once(samples: int, timesteps: int, row: int, wanted: Cut) -> None:
    found = cut(samples, timesteps, row)

    assert found == wanted
    assert found == Cut(1, 1) or found.samples * found.steps * row <= budget.BUDGET
    seen = np.zeros((samples, timesteps), np.int64)
    for chosen, steps in found.parts(samples, timesteps):
        seen[chosen, steps] += 1
    assert (seen == 1).all()


def test_a_repeated_frame_is_looked_at_once() -> None:
    x = np.broadcast_to(np.ones((1, 2, 3)), (1000, 2, 3))

    assert [part.shape for part in blocks(x)] == [(1, 2, 3)]


def test_spikes_that_exceed_the_budget_wait_in_a_file(little: None) -> None:
    rng, kept = np.random.default_rng(0), Spikes()
    fired = [rng.random(n) < 0.3 for n in (9, 70_001, 8)]
    for part in fired:
        kept.add(np.packbits(part))

    kept.start()

    for part in fired:
        np.testing.assert_array_equal(np.unpackbits(kept.next(-(-part.size // 8)))[: part.size], part)
