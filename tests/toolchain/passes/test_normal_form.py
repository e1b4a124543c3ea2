"""The normal form keeps the function: maps in a row are one map of spikes, what they add is a bias; one map is left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Add, Affine, Array, Conv, Flatten, Input, Lif, Op, Output, Scale, SumPool
from spikewright.toolchain.passes.normal_form import Joins, NormalForm
from spikewright.toolchain.shapes import infer
from spikewright.toolchain.verify import verify

JOINS: tuple[Joins, ...] = ("scales", "cheaper", "all")


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

    folded = NormalForm()(graph)

    assert [(type(op), op.name) for op in folded] == [(Input, "in"), (Conv, "bn"), (Output, "out")]
    same(graph, folded, spikes(rng))


def test_fold_scale_keeps_a_map_that_others_read(rng: np.random.Generator) -> None:
    affine = Affine(name="fc", inputs=("in",), weight=rng.normal(size=(3, 5)))
    bn = Scale(name="bn", inputs=("fc",), scale=rng.normal(size=3))
    graph = net(affine, bn, Add(name="sum", inputs=("fc", "bn")), shape=(5,))

    folded = NormalForm()(graph)

    assert folded["fc"] is affine
    same(graph, folded, spikes(rng, (5,)))


def test_a_pass_returns_the_same_graph_where_nothing_matches(rng: np.random.Generator) -> None:
    graph = net(Affine(name="fc", inputs=("in",), weight=rng.normal(size=(3, 5))), shape=(5,))

    for joins in JOINS:
        assert NormalForm(joins)(graph) is graph


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

    folded = NormalForm()(graph)

    assert [type(op) for op in folded] == [Input, Conv, Output]
    same(graph, folded, spikes(rng))


def test_three_by_three_conv_with_ap2_becomes_four_by_four_stride_two(rng: np.random.Generator) -> None:
    conv = Conv(name="conv", inputs=("in",), weight=rng.normal(size=(3, 2, 3, 3)), padding=(1, 1))
    folded = NormalForm()(net(conv, SumPool(name="pool", inputs=("conv",), kernel=(2, 2), stride=(2, 2), scale=0.25)))[
        "pool"
    ]

    assert isinstance(folded, Conv)
    assert (folded.weight.shape, folded.stride, folded.padding) == ((3, 2, 4, 4), (2, 2), (1, 1))


def test_pool_then_padded_conv_is_one_convolution(rng: np.random.Generator) -> None:
    pool = SumPool(name="pool", inputs=("in",), kernel=(2, 2), stride=(2, 2), scale=0.25)
    graph = net(pool, Conv(name="conv", inputs=("pool",), weight=rng.normal(size=(3, 2, 3, 3)), padding=(1, 1)))

    folded = NormalForm()(graph)

    assert [type(op) for op in folded] == [Input, Conv, Output]
    same(graph, folded, spikes(rng))


def test_overlapping_pool_in_front_of_a_padded_conv_is_left_alone(rng: np.random.Generator) -> None:
    pool = SumPool(name="pool", inputs=("in",), kernel=(3, 3), stride=(2, 2))
    graph = net(pool, Conv(name="conv", inputs=("pool",), weight=rng.normal(size=(3, 2, 3, 3)), padding=(1, 1)))

    assert NormalForm()(graph) is graph


def test_global_pool_flatten_and_affine_become_one_affine(rng: np.random.Generator) -> None:
    graph = net(
        lif("lif", "in", (2, 8, 8)),
        SumPool(name="pool", inputs=("lif",), kernel=(8, 8), stride=(8, 8), scale=1 / 64),
        Flatten(name="flat", inputs=("pool",)),
        Affine(name="fc", inputs=("flat",), weight=rng.normal(size=(3, 2)), bias=rng.normal(size=3)),
    )

    folded = NormalForm()(graph)

    assert [op.name for op in folded] == ["in", "lif", "fc", "out"]
    same(graph, folded, spikes(rng))


def test_a_pool_read_by_a_neuron_becomes_a_depthwise_convolution(rng: np.random.Generator) -> None:
    graph = net(
        SumPool(name="pool", inputs=("in",), kernel=(2, 2), stride=(2, 2), scale=0.25), lif("lif", "pool", (2, 4, 4))
    )

    folded = NormalForm("all")(graph)

    assert isinstance(folded["pool"], Conv)
    same(graph, folded, spikes(rng))


def test_a_factor_on_spikes_folds_into_the_map_that_reads_it(rng: np.random.Generator) -> None:
    scale = Scale(name="s", inputs=("in",), scale=rng.normal(size=4))
    grouped = Conv(name="conv", inputs=("s",), weight=rng.normal(size=(6, 2, 3, 3)), padding=(1, 1), groups=2)
    graph = net(scale, grouped, shape=(4, 8, 8))

    folded = NormalForm()(graph)

    assert [type(op) for op in folded] == [Input, Conv, Output]
    same(graph, folded, spikes(rng, (4, 8, 8)))


def test_a_factor_on_spikes_passes_a_pool_and_a_flatten_on_its_way_to_the_map(rng: np.random.Generator) -> None:
    graph = net(
        Scale(name="s", inputs=("in",), scale=rng.normal(size=2)),
        SumPool(name="pool", inputs=("s",), kernel=(2, 2), stride=(2, 2)),
        Flatten(name="flat", inputs=("pool",)),
        Affine(name="fc", inputs=("flat",), weight=rng.normal(size=(3, 32))),
    )

    folded = NormalForm()(graph)

    assert [type(op) for op in folded] == [Input, Affine, Output]
    same(graph, folded, spikes(rng))


def test_a_shift_on_spikes_is_a_constant_of_what_reads_them(rng: np.random.Generator) -> None:
    scale = Scale(name="s", inputs=("in",), scale=rng.normal(size=5), shift=rng.normal(size=5))
    graph = net(scale, Affine(name="fc", inputs=("s",), weight=rng.normal(size=(3, 5))), shape=(5,))

    folded = NormalForm()(graph)

    assert [op.name for op in folded] == ["in", "fc", "out"]
    same(graph, folded, spikes(rng, (5,)))


@pytest.mark.parametrize("filters", [False, True])
def test_a_constant_that_differs_along_a_map_is_a_leak_of_plain_neurons(
    rng: np.random.Generator, filters: bool
) -> None:
    shift = Scale(name="shift", inputs=("in",), scale=np.ones(()), shift=rng.normal(size=2))
    conv = Conv(name="conv", inputs=("shift",), weight=rng.normal(size=(3, 2, 3, 3)), padding=(1, 1))
    alpha = np.full((), 0.25 * filters)
    graph = net(
        shift, conv, replace(lif("n", "conv", (3, 8, 8)), alpha=alpha, gain=np.full((), 0.7), leak=rng.normal(size=3))
    )

    made = NormalForm("all")(graph)

    neurons, x = made["n"], spikes(rng)
    assert isinstance(neurons, Lif)
    assert isinstance(made[neurons.inputs[0]], Affine if filters else Conv)
    assert (neurons.leak.size == 3 * 8 * 8) is not filters
    np.testing.assert_array_equal(run_float(made, x)["n"], run_float(graph, x)["n"])


def test_a_scale_by_one_vanishes(rng: np.random.Generator) -> None:
    graph = net(Scale(name="s", inputs=("in",), scale=np.ones(())), lif("n", "s", (2, 8, 8)))

    assert [op.name for op in NormalForm()(graph)] == ["in", "n", "out"]


@pytest.mark.parametrize("shape", [(2, 8, 8), (7,)])
def test_a_factor_that_no_map_takes_up_gets_synapses_of_its_own(
    rng: np.random.Generator, shape: tuple[int, ...]
) -> None:
    graph = net(Scale(name="s", inputs=("in",), scale=rng.normal(size=shape[0])), lif("n", "s", shape), shape=shape)

    lowered = NormalForm("all")(graph)

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

    dropped = NormalForm()(graph)

    assert [op.name for op in dropped] == ["in", "conv", "n", "fc", "out"]
    same(graph, dropped, spikes(rng))


Shape = tuple[int, ...]


def drawn(draw: st.DrawFn, name: str, source: str, shape: Shape, rng: np.random.Generator) -> Op:
    """Draw an op that reads a signal of a shape."""
    c, *sides = shape
    match draw(st.sampled_from(["conv", "conv", "pool", "scale", "lif", "flatten"])):
        case "lif":
            return lif(name, source, shape)
        case "scale":
            shift = rng.normal(size=c) if draw(st.booleans()) else None
            return Scale(name=name, inputs=(source,), scale=rng.normal(size=c), shift=shift)
        case "flatten":
            return Flatten(name=name, inputs=(source,))
        case _ if not sides:
            return Affine(name=name, inputs=(source,), weight=rng.normal(size=(4, c)), bias=rng.normal(size=4))
        case "pool":
            k = draw(st.integers(1, min(2, *sides)))
            p = draw(st.integers(0, k - 1))
            return SumPool(name=name, inputs=(source,), kernel=(k, k), stride=(k, k), padding=(p, p))
        case _:
            p, s = draw(st.integers(0 if min(sides) > 2 else 1, 1)), draw(st.integers(1, 2))
            weight, bias = rng.normal(size=(2, c, 3, 3)), rng.normal(size=2)
            return Conv(name=name, inputs=(source,), weight=weight, bias=bias, padding=(p, p), stride=(s, s))


@st.composite
def streams(draw: st.DrawFn) -> Graph:
    """Draw maps, sums, pools, scales and neurons that read each other at will."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 16)))
    ops: list[Op] = [Input(name="in", shape=(2, 6, 6))]
    known: dict[str, Shape] = {"in": (2, 6, 6)}

    def one(op: Op) -> None:
        ops.append(op)
        known[op.name] = infer(op, [known[name] for name in op.inputs])

    for k in range(draw(st.integers(3, 9))):
        source = draw(st.sampled_from(list(known)[-4:]))
        if draw(st.integers(0, 4)) == 0:
            alike = [other for other, shape in known.items() if shape == known[source]]
            one(Add(name=f"{k}", inputs=(source, draw(st.sampled_from(alike)))))
        else:
            one(drawn(draw, f"{k}", source, known[source], rng))
    ends = [op for op in ops if not any(op.name in other.inputs for other in ops) and not isinstance(op, Lif | Input)]
    for op in ends:
        one(lif(f"end.{op.name}", op.name, known[op.name]))
    return Graph((*ops, Output(name="out", inputs=(ops[-1].name,))), timesteps=3)


@settings(max_examples=40, deadline=None)
@given(streams())
def test_neurons_integrate_the_same_whatever_stands_between_them_and_messages(graph: Graph) -> None:
    x = spikes(np.random.default_rng(0), (2, 6, 6))
    before = run_float(graph, x)

    for joins in JOINS:
        after = NormalForm(joins)(graph)
        verify(after, level="float")
        found = run_float(after, x)
        for op in after:
            if isinstance(op, Lif) and op.name in before:
                np.testing.assert_allclose(found[op.name].ravel(), before[op.name].ravel())
        if joins == "all":
            verify(after, level="lowered")
            assert NormalForm(joins)(after) is after
