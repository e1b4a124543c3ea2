"""What quantizing builds to lose nothing is the same in Lava: second projections, gains of read-outs, counts, late biases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from spikewright.export.lava import LavaBackend
from spikewright.toolchain import api
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.interpret import run_int
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.losses import second_projections
from spikewright.toolchain.ops import Accumulator, Affine, Array, Conv, Delay, Input, Lif, Op, Output
from spikewright.toolchain.samples import Samples

T, TOGETHER = 12, 3


def net(shape: tuple[int, ...], *ops: Op) -> Graph:
    return Graph((Input(name="in", shape=shape), *ops, Output(name="out", inputs=(ops[-1].name,))), timesteps=T)


def lif(name: str, source: str, *shape: int, **fields: object) -> Lif:
    default = {"beta": np.array(0.8), "v_threshold": np.array(1.0)}
    return Lif(name=name, inputs=(source,), shape=shape, **(default | fields))  # type: ignore[arg-type]


def affine(rng: np.random.Generator, name: str, source: str, rows: int, columns: int, *outliers: int) -> Affine:
    weight = rng.normal(size=(rows, columns))
    weight[list(outliers), 0] = 2000.0
    return Affine(name=name, inputs=(source,), weight=weight, bias=rng.normal(size=rows) / 4)


def outliers(rng: np.random.Generator) -> Graph:
    """Every row has an outlier."""
    return net((20,), affine(rng, "fc", "in", 8, 20, *range(8)), lif("l1", "fc", 8))


def some_outliers(rng: np.random.Generator) -> Graph:
    """Two of sixteen rows have one; behind it a filtered neuron."""
    first, second = affine(rng, "fc", "in", 16, 20, 3, 11), affine(rng, "next", "l1", 4, 16)
    return net((20,), first, lif("l1", "fc", 16), second, lif("l2", "next", 4, alpha=np.array(0.5)))


def kernel_outliers(rng: np.random.Generator) -> Graph:
    """A convolution with outliers in two channels."""
    weight = rng.normal(size=(3, 2, 3, 3))
    weight[:2, 0, 0, 0] = 900.0
    conv = Conv(name="fc", inputs=("in",), weight=weight, padding=(1, 1))
    return net((2, 5, 5), conv, lif("l1", "fc", 3, 5, 5))


def gained(decay: float | Array, alpha: float | Array = 0.0) -> Callable[[np.random.Generator], Graph]:
    def make(rng: np.random.Generator) -> Graph:
        sums = Accumulator(
            name="i", inputs=("fc2",), shape=(4,), decay=np.asarray(decay), alpha=np.asarray(alpha), rectify=False
        )
        return net((20,), affine(rng, "fc", "in", 8, 20), lif("l1", "fc", 8), affine(rng, "fc2", "l1", 4, 8), sums)

    return make


def late(rng: np.random.Generator) -> Graph:
    """A bias in front of a delay."""
    delay = Delay(name="late", inputs=("fc",), steps=3)
    return net((20,), affine(rng, "fc", "in", 8, 20), delay, lif("l1", "late", 8))


def several(rng: np.random.Generator) -> Graph:
    """Several spikes a step, read with a second projection."""
    many = lif("l1", "fc", 8, v_threshold=np.array(0.3), max_spikes=None, reset="subtract")
    return net((20,), affine(rng, "fc", "in", 8, 20), many, affine(rng, "next", "l1", 4, 8, 1), lif("l2", "next", 4))


NETS: dict[str, Callable[[np.random.Generator], Graph]] = {
    "outliers": outliers,
    "some-outliers": some_outliers,
    "kernel-outliers": kernel_outliers,
    "sums": gained(1.0),
    "leaks": gained(0.9),
    "leaks-each": gained(np.array([0.5, 0.9, 0.99, 0.2])),
    "two-filters": gained(0.9, 0.5),
    "late-bias": late,
    "several-spikes": several,
}


def deployed(name: str, *, counts: bool) -> tuple[Deployment, Array]:
    rng = np.random.default_rng(len(name))
    graph = NETS[name](rng)
    x = (rng.random((T, 16, *graph.input.shape)) < 0.4).astype(np.float64)
    if "outliers" in name:
        x[:, :, 0] = 0
    if counts:
        x = x * rng.integers(1, 6, x.shape)
    return api.deploy(graph, calibration=Samples(x, None, "x"), name=name, mapping="greedy"), x[:, :2]


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("first", range(0, len(NETS), TOGETHER))
def test_second_projections_and_gains_are_the_same_in_lava(first: int, counts: bool) -> None:
    made = [deployed(name, counts=counts) for name in list(NETS)[first : first + TOGETHER]]
    jobs = [(one.integer, one.encode(x)) for one, x in made]

    got = LavaBackend().run_many(jobs, record=True)

    assert first or counts or all(second_projections(one.integer) for one, _ in made)
    for (one, x), (integer, payloads), result in zip(made, jobs, got, strict=True):
        wanted = run_int(integer, payloads)
        where = f"{one.name}, up to {x.max():g}"
        assert any(recording.out.any() or recording.v.any() for recording in wanted.recordings.values()), where
        np.testing.assert_array_equal(result.answer, wanted.answer, err_msg=where)
        for layer, recording in wanted.recordings.items():
            for state in ("out", "v", "u"):
                due = getattr(recording, state)
                if due is not None:
                    np.testing.assert_array_equal(
                        getattr(result.recordings[layer], state), due, err_msg=f"{where}: {layer} {state}"
                    )
        assert replace(one, samples=Samples(x, None, "x")).compare().equal, where
