"""Folding passes keep the function, and leave alone what they must not touch."""

from __future__ import annotations

import numpy as np
import pytest

from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Add, Affine, Array, Conv, Flatten, Input, Lif, Op, Output, Scale, SumPool
from spikewright.toolchain.passes.drop_flatten import DropFlatten
from spikewright.toolchain.passes.fold_pool import FoldPool
from spikewright.toolchain.passes.fold_scale import FoldScale
from spikewright.toolchain.passes.lower_scale import LowerScale


def lif(name: str, source: str, shape: tuple[int, ...]) -> Lif:
    return Lif(name=name, inputs=(source,), shape=shape, beta=np.array(0.5), v_threshold=np.array(0.4))


def net(*ops: Op, shape: tuple[int, ...] = (2, 8, 8)) -> Graph:
    last = ops[-1].name
    return Graph((Input(name="in", shape=shape), *ops, Output(name="out", inputs=(last,))), timesteps=3)


def spikes(rng: np.random.Generator, shape: tuple[int, ...] = (2, 8, 8)) -> Array:
    return (rng.random((3, 4, *shape)) < 0.4).astype(np.float64)


def same(before: Graph, after: Graph, x: Array) -> None:
    np.testing.assert_allclose(run_float(after, x)["out"], run_float(before, x)["out"], atol=1e-12)


def test_fold_scale_keeps_the_function(rng: np.random.Generator) -> None:
    conv = Conv(name="conv", inputs=("in",), weight=rng.normal(size=(3, 2, 3, 3)), bias=rng.normal(size=3))
    graph = net(conv, Scale(name="bn", inputs=("conv",), scale=rng.normal(size=3), shift=rng.normal(size=3)))

    folded = FoldScale()(graph)

    assert [(type(op), op.name) for op in folded] == [(Input, "in"), (Conv, "bn"), (Output, "out")]
    same(graph, folded, spikes(rng))


def test_fold_scale_keeps_a_map_that_others_read(rng: np.random.Generator) -> None:
    affine = Affine(name="fc", inputs=("in",), weight=rng.normal(size=(3, 5)))
    bn = Scale(name="bn", inputs=("fc",), scale=rng.normal(size=3))
    graph = net(affine, bn, Add(name="sum", inputs=("fc", "bn")), shape=(5,))

    folded = FoldScale()(graph)

    assert folded["fc"] is affine
    same(graph, folded, spikes(rng, (5,)))


def test_a_pass_returns_the_same_graph_where_nothing_matches(rng: np.random.Generator) -> None:
    graph = net(Affine(name="fc", inputs=("in",), weight=rng.normal(size=(3, 5))), shape=(5,))

    for step in (FoldScale(), FoldPool(), DropFlatten()):
        assert step(graph) is graph


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (2, 1, 0), (5, 1, 2)])
def test_conv_then_average_pool_is_one_convolution(
    rng: np.random.Generator, kernel: int, stride: int, padding: int
) -> None:
    conv = Conv(
        name="conv",
        inputs=("in",),
        weight=rng.normal(size=(3, 2, kernel, kernel)),
        bias=rng.normal(size=3),
        stride=(stride, stride),
        padding=(padding, padding),
    )
    graph = net(conv, SumPool(name="pool", inputs=("conv",), kernel=(2, 2), stride=(2, 2), scale=0.25))

    folded = FoldPool()(graph)

    assert [type(op) for op in folded] == [Input, Conv, Output]
    same(graph, folded, spikes(rng))


def test_three_by_three_conv_with_ap2_becomes_four_by_four_stride_two(rng: np.random.Generator) -> None:
    conv = Conv(name="conv", inputs=("in",), weight=rng.normal(size=(3, 2, 3, 3)), padding=(1, 1))
    folded = FoldPool()(net(conv, SumPool(name="pool", inputs=("conv",), kernel=(2, 2), stride=(2, 2), scale=0.25)))[
        "pool"
    ]

    assert isinstance(folded, Conv)
    assert (folded.weight.shape, folded.stride, folded.padding) == ((3, 2, 4, 4), (2, 2), (1, 1))


def test_pool_then_padded_conv_is_one_convolution(rng: np.random.Generator) -> None:
    pool = SumPool(name="pool", inputs=("in",), kernel=(2, 2), stride=(2, 2), scale=0.25)
    graph = net(pool, Conv(name="conv", inputs=("pool",), weight=rng.normal(size=(3, 2, 3, 3)), padding=(1, 1)))

    folded = FoldPool()(graph)

    assert [type(op) for op in folded] == [Input, Conv, Output]
    same(graph, folded, spikes(rng))


def test_overlapping_pool_in_front_of_a_padded_conv_is_left_alone(rng: np.random.Generator) -> None:
    pool = SumPool(name="pool", inputs=("in",), kernel=(3, 3), stride=(2, 2))
    graph = net(pool, Conv(name="conv", inputs=("pool",), weight=rng.normal(size=(3, 2, 3, 3)), padding=(1, 1)))

    assert FoldPool()(graph) is graph


def test_global_pool_flatten_and_affine_become_one_affine(rng: np.random.Generator) -> None:
    graph = net(
        lif("lif", "in", (2, 8, 8)),
        SumPool(name="pool", inputs=("lif",), kernel=(8, 8), stride=(8, 8), scale=1 / 64),
        Flatten(name="flat", inputs=("pool",)),
        Affine(name="fc", inputs=("flat",), weight=rng.normal(size=(3, 2)), bias=rng.normal(size=3)),
    )

    folded = FoldPool()(DropFlatten()(graph))

    assert [op.name for op in folded] == ["in", "lif", "fc", "out"]
    same(graph, folded, spikes(rng))


def test_a_pool_read_by_a_neuron_becomes_a_depthwise_convolution(rng: np.random.Generator) -> None:
    graph = net(
        SumPool(name="pool", inputs=("in",), kernel=(2, 2), stride=(2, 2), scale=0.25), lif("lif", "pool", (2, 4, 4))
    )

    folded = FoldPool()(graph)

    assert isinstance(folded["pool"], Conv)
    same(graph, folded, spikes(rng))


def test_a_factor_on_spikes_folds_into_the_map_that_reads_it(rng: np.random.Generator) -> None:
    scale = Scale(name="s", inputs=("in",), scale=rng.normal(size=4))
    grouped = Conv(name="conv", inputs=("s",), weight=rng.normal(size=(6, 2, 3, 3)), padding=(1, 1), groups=2)
    graph = net(scale, grouped, shape=(4, 8, 8))

    folded = FoldScale()(graph)

    assert [type(op) for op in folded] == [Input, Conv, Output]
    same(graph, folded, spikes(rng, (4, 8, 8)))


def test_a_factor_on_spikes_passes_a_pool_and_a_flatten_on_its_way_to_the_map(rng: np.random.Generator) -> None:
    graph = net(
        Scale(name="s", inputs=("in",), scale=rng.normal(size=2)),
        SumPool(name="pool", inputs=("s",), kernel=(2, 2), stride=(2, 2)),
        Flatten(name="flat", inputs=("pool",)),
        Affine(name="fc", inputs=("flat",), weight=rng.normal(size=(3, 32))),
    )

    folded = FoldScale()(graph)

    assert [type(op) for op in folded] == [Input, SumPool, Flatten, Affine, Output]
    same(graph, folded, spikes(rng))


def test_a_shift_on_spikes_stays_where_the_checker_finds_it(rng: np.random.Generator) -> None:
    scale = Scale(name="s", inputs=("in",), scale=np.ones(5), shift=np.ones(5))
    graph = net(scale, Affine(name="fc", inputs=("s",), weight=rng.normal(size=(3, 5))), shape=(5,))

    assert FoldScale()(graph) is graph
    assert LowerScale()(graph) is graph


def test_a_scale_by_one_vanishes(rng: np.random.Generator) -> None:
    graph = net(Scale(name="s", inputs=("in",), scale=np.ones(())), lif("n", "s", (2, 8, 8)))

    assert [op.name for op in FoldScale()(graph)] == ["in", "n", "out"]


@pytest.mark.parametrize("shape", [(2, 8, 8), (7,)])
def test_a_factor_that_no_map_takes_up_gets_synapses_of_its_own(
    rng: np.random.Generator, shape: tuple[int, ...]
) -> None:
    graph = net(Scale(name="s", inputs=("in",), scale=rng.normal(size=shape[0])), lif("n", "s", shape), shape=shape)

    lowered = LowerScale()(graph)

    assert isinstance(lowered["s"], Conv | Affine)
    same(graph, lowered, spikes(rng, shape))


def test_neurons_behind_a_flatten_get_the_shape_of_the_map(rng: np.random.Generator) -> None:
    neuron = Lif(
        name="n", inputs=("flat",), shape=(128,), beta=rng.random(128), v_threshold=np.array(0.4), gain=np.array(1.5)
    )
    graph = net(
        Conv(name="conv", inputs=("in",), weight=rng.normal(size=(2, 2, 3, 3)), padding=(1, 1)),
        Flatten(name="flat", inputs=("conv",)),
        neuron,
        Affine(name="fc", inputs=("n",), weight=rng.normal(size=(3, 128))),
    )

    dropped = DropFlatten()(graph)

    assert [op.name for op in dropped] == ["in", "conv", "n", "fc", "out"]
    same(graph, dropped, spikes(rng))
