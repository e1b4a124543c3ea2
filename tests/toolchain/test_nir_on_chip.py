"""NIR nets whose weights lie on the chip's grid: every spike of the machine is that of NIR's equations in plain numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import nir
import numpy as np
import pytest
from nir_nets import DT, T, chain
from nir_reference import convolve, pool
from numpy.typing import NDArray

from spikewright.toolchain.backends import load_backend
from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples

Array = NDArray[np.float64]
BATCH = 4
STEP = 1 / 127
"""Weights are whole multiples of it; a threshold between two of them is as good as any other there."""


@dataclass(frozen=True)
class Case:
    """A net, its input (T, B, *shape), and the spikes (T, B, *shape) that are right."""

    graph: nir.NIRGraph
    x: Array
    wanted: Array


def grid(*shape: int, seed: int = 0) -> Array:
    whole = np.random.default_rng((seed, *shape)).integers(-60, 128, shape)
    whole.reshape(shape[0], -1)[:, 0] = 127
    return whole * STEP


def events(*shape: int, rate: float = 0.4) -> Array:
    return (np.random.default_rng(shape).random((T, BATCH, *shape)) < rate).astype(np.float64)


def between(steps: int) -> float:
    return (steps + 0.3) * STEP


def integrator(shape: tuple[int, ...], threshold: float) -> nir.IF:
    full = np.ones(shape)
    return nir.IF(full, full * threshold, full * 0)


def fire(current: Array, threshold: float, decay: float = 1.0) -> Array:
    """Return spikes of integrate-and-fire neurons that reset to 0."""
    v, found = np.zeros(current.shape[1:]), []
    for i in current:
        v = decay * v + i
        found.append((v > threshold).astype(np.float64))
        v = np.where(found[-1] > 0, 0.0, v)
    return np.stack(found)


def late(x: Array, steps: NDArray[np.int64]) -> Array:
    """Return a signal (T, B, n) with each value so many steps later."""
    y = np.zeros_like(x)
    for k, d in enumerate(steps):
        y[d:, :, k] = x[: len(x) - d, :, k]
    return y


def a_conv1d() -> Case:
    w, b, x = grid(3, 2, 3), np.array([3, 0, -2]) * STEP, events(2, 9)
    current = np.stack([convolve(frame, w, b) for frame in x])
    nodes = nir.Conv1d(9, w, 1, 1, 1, 1, b), integrator((3, 9), between(150))
    return Case(chain(*nodes, shape=(2, 9), out=(3, 9)), x, fire(current, between(150)))


def a_conv1d_with_steps() -> Case:
    w, x = grid(4, 1, 3), events(2, 11)
    whole = np.zeros((4, 2, 3))
    whole[:2, 0], whole[2:, 1] = w[:2, 0], w[2:, 0]
    current = np.stack([convolve(frame, whole, np.zeros(4))[:, :, 1::2] for frame in x])
    nodes = nir.Conv1d(11, w, 2, 0, 1, 2, np.zeros(4)), integrator((4, 5), between(90))
    return Case(chain(*nodes, shape=(2, 11), out=(4, 5)), x, fire(current, between(90)))


def an_odd_pool_between() -> Case:
    w, b, x = grid(2, 2, 3, 3), np.zeros(2), events(2, 5, 7)
    first = fire(np.stack([convolve(frame, w, b) for frame in x]), between(200))
    pooled = np.stack([pool(frame, average=True) for frame in first])
    two = np.array([2, 2])
    nodes = (
        nir.Conv2d((5, 7), w, 1, 1, 1, 1, b),
        integrator((2, 5, 7), between(200)),
        nir.AvgPool2d(two, two, 0 * two),
        integrator((2, 2, 3), 0.6),
    )
    return Case(chain(*nodes, shape=(2, 5, 7), out=(2, 2, 3)), x, fire(pooled, 0.6))


def a_bias_that_is_late() -> Case:
    w, b, x, steps = grid(4, 6), np.array([15, 10, 12, -14]) * STEP, events(6), np.array([0, 2, 3, 5])
    nodes = nir.Affine(w, b), nir.Delay(steps * DT), integrator((4,), between(150))
    return Case(chain(*nodes, shape=(6,), out=(4,)), x, fire(late(x @ w.T + b, steps), between(150)))


def delays_at_the_output() -> Case:
    w, x, steps = grid(4, 6), events(6), np.array([0, 1, 3, 3])
    nodes = nir.Linear(w), integrator((4,), between(150)), nir.Delay(steps * DT)
    return Case(chain(*nodes, shape=(6,), out=(4,)), x, late(fire(x @ w.T, between(150)), steps))


def an_integrator_behind_whom_a_threshold_fires() -> Case:
    w, x = grid(4, 6) - 30 * STEP, events(6)
    nodes = nir.Linear(w), nir.I(np.ones(4)), nir.Threshold(np.full(4, between(100)))
    wanted = (np.cumsum(x @ w.T, axis=0) > between(100)).astype(np.float64)
    return Case(chain(*nodes, shape=(6,), out=(4,)), x, wanted)


def gains_of_any_sign() -> Case:
    w, x, gain = grid(4, 6), events(6), np.array([1.0, -1, 0, 1])
    full = np.ones(4)
    nodes = nir.Linear(w), nir.LIF(full * DT, gain, full * 0, full * between(60), full * 0)
    wanted = (x @ w.T * gain > between(60)).astype(np.float64)
    return Case(chain(*nodes, shape=(6,), out=(4,)), x, wanted)


def weights_of_whole_numbers() -> Case:
    w, x = (grid(4, 6) * 127).round().astype(np.int8), events(6)
    return Case(
        chain(nir.Linear(w), integrator((4,), 150.5), shape=(6,), out=(4,)), x, fire(x @ w.T.astype(float), 150.5)
    )


def a_graph_inside_that_skips() -> Case:
    w, x = grid(4, 6), events(6)
    ends = {"input": nir.Input(np.array([4])), "output": nir.Output(np.array([1, 4]))}
    edges = [("input", "w"), ("w", "output"), ("input", "output")]
    inner = nir.NIRGraph({**ends, "w": nir.Linear(np.eye(4))}, edges, type_check=False)
    hidden = fire(x @ w.T, between(150))
    nodes = nir.Linear(w), integrator((4,), between(150)), inner, integrator((4,), 2.5)
    return Case(chain(*nodes, shape=(1, 6), out=(4,)), x, fire(2 * hidden, 2.5))


CASES = (
    a_conv1d,
    a_conv1d_with_steps,
    an_odd_pool_between,
    a_bias_that_is_late,
    delays_at_the_output,
    an_integrator_behind_whom_a_threshold_fires,
    gains_of_any_sign,
    weights_of_whole_numbers,
    a_graph_inside_that_skips,
)


@pytest.mark.parametrize("made", CASES, ids=lambda made: made.__name__)
def test_every_spike_of_the_machine_is_that_of_nirs_equations(made: Callable[[], Case]) -> None:
    case = made()
    data = Samples(case.x.astype(np.float32), None, "random")
    deployed = deploy_graph(from_nir(case.graph), Options(), data, name="net")

    found = load_backend("hw_sim").run(deployed, deployed.encode(data.x)).answer * deployed.answer_scale * T

    assert 0 < case.wanted.mean() < 1
    np.testing.assert_allclose(found, case.wanted.sum(axis=0).reshape(BATCH, -1), atol=1e-6)
