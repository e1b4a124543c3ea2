"""Maps in a row: one map, the same numbers; a shortcut on a membrane becomes kernels on the spikes in front of it."""

from __future__ import annotations

import numpy as np
import pytest

from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Add, Affine, Conv, Input, Lif, Output
from spikewright.toolchain.passes.merge_maps import MergeMaps


def conv(
    name: str, source: str, size: tuple[int, int, int], stride: int, padding: int, rng: np.random.Generator
) -> Conv:
    out, into, k = size
    weight, bias = rng.normal(size=(out, into, k, k)), rng.normal(size=out)
    return Conv(
        name=name, inputs=(source,), weight=weight, bias=bias, stride=(stride, stride), padding=(padding, padding)
    )


def neuron(name: str, source: tuple[str, ...], shape: tuple[int, ...]) -> Lif:
    return Lif(name=name, inputs=source, shape=shape, beta=np.array(0.5), v_threshold=np.array(1.0))


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        ((3, 1, 1), (1, 2, 0), (3, 2)),  # a strided shortcut on a membrane
        ((3, 2, 1), (1, 1, 0), (3, 2)),
        ((1, 1, 0), (3, 1, 0), (3, 1)),
        ((2, 2, 0), (2, 2, 0), (4, 4)),  # few channels between: the composed kernel is no larger than both
    ],
)
def test_two_convolutions_are_one(
    first: tuple[int, int, int], second: tuple[int, int, int], merged: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    (k1, s1, p1), (k2, s2, p2) = first, second
    middle = 6
    side = (9 + 2 * p1 - k1) // s1 + 1
    side = (side + 2 * p2 - k2) // s2 + 1
    graph = Graph(
        (
            Input(name="in", shape=(2, 9, 9)),
            conv("a", "in", (middle, 2, k1), s1, p1, rng),
            conv("b", "a", (3, middle, k2), s2, p2, rng),
            neuron("n", ("b",), (3, side, side)),
            Output(name="out", inputs=("n",)),
        ),
        timesteps=3,
    )
    x = (rng.random((3, 2, 2, 9, 9)) < 0.4).astype(np.float64)

    found = MergeMaps()(graph)

    (only,) = [op for op in found if isinstance(op, Conv)]
    assert (only.weight.shape[2], only.stride[0]) == merged
    np.testing.assert_allclose(run_float(found, x)["b"], run_float(graph, x)["b"])


def test_what_pads_a_map_of_a_map_is_no_kernel_and_a_sum_of_grids_is_left_one() -> None:
    rng = np.random.default_rng(1)
    graph = Graph(
        (
            Input(name="in", shape=(2, 4, 4)),
            conv("a", "in", (2, 2, 3), 1, 1, rng),
            conv("b", "a", (2, 2, 3), 1, 1, rng),
            conv("c", "in", (2, 2, 3), 1, 1, rng),
            Add(name="sum", inputs=("b", "c")),
            neuron("n", ("sum",), (2, 4, 4)),
            Output(name="out", inputs=("n",)),
        ),
        timesteps=2,
    )
    x = (rng.random((2, 1, 2, 4, 4)) < 0.5).astype(np.float64)
    found = MergeMaps()(graph)
    assert not any(isinstance(op, Affine) for op in found)
    np.testing.assert_allclose(run_float(found, x)["out"], run_float(graph, x)["out"])
