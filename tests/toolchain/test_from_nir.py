"""NIR graphs to float graphs: every node against its equation, sums, recurrence, sub-graphs, and what is refused."""

from __future__ import annotations

import warnings

import nir
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from toolchain import nirx, ops
from toolchain.errors import ImportingError, UnsupportedNodeError, VerifyError
from toolchain.from_nir import from_nir
from toolchain.interpret import run_float

DT = 1e-3
T = 12


def chain(*nodes: nir.NIRNode, shape: tuple[int, ...], out: tuple[int, ...], **metadata: object) -> nir.NIRGraph:
    """input -> n0 -> n1 -> ... -> output."""
    names = ["input", *(f"n{k}" for k in range(len(nodes))), "output"]
    members = [nir.Input(np.array(shape)), *nodes, nir.Output(np.array(out))]
    edges = [(names[k], names[k + 1]) for k in range(len(names) - 1)]
    known = {"dt": DT, "timesteps": T, **metadata}
    return nir.NIRGraph(dict(zip(names, members, strict=True)), edges, metadata=known, type_check=False)


def net(nodes: dict[str, nir.NIRNode], *edges: str, size: int = 3) -> nir.NIRGraph:
    """Edges as "a>b"; input and output of ``size``."""
    members = {"input": nir.Input(np.array([size])), "output": nir.Output(np.array([size])), **nodes}
    pairs = [(e.split(">")[0], e.split(">")[1]) for e in edges]
    return nir.NIRGraph(members, pairs, metadata={"dt": DT, "timesteps": T}, type_check=False)


def run(graph: nir.NIRGraph, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The signal at the output, batch of one: (T, *shape)."""
    return run_float(from_nir(graph), x[:, None])["output"][:, 0]


def lif(size: int = 3, tau: float = 4e-3, **metadata: str) -> nir.LIF:
    full = np.full(size, 1.0)
    return nir.LIF(full * tau, full * 3, full * 0.1, full * 0.5, full * 0.05, metadata=dict(metadata))


# ---------------------------------------------------------------------------------------------- neurons
def test_a_lif_is_integrated_by_forward_euler(rng: np.random.Generator) -> None:
    x = rng.random((T, 3))

    spikes = run(chain(lif(), shape=(3,), out=(3,)), x)

    v, expected = np.zeros(3), []
    for i in x:
        v = v + DT / 4e-3 * ((0.1 - v) + 3 * i)
        s = v > 0.5
        v = np.where(s, 0.05, v)
        expected.append(s)
    np.testing.assert_array_equal(spikes, np.array(expected))
    assert 0 < spikes.mean() < 1


def test_comparison_and_reset_come_from_the_neurons_metadata() -> None:
    graph = from_nir(chain(lif(comparison=">=", reset="subtract"), shape=(3,), out=(3,)))
    plain = from_nir(chain(lif(), shape=(3,), out=(3,)))

    assert (graph["n0"].comparison, graph["n0"].reset) == (">=", "subtract")
    assert (plain["n0"].comparison, plain["n0"].reset) == (">", "value")


def test_a_cuba_lif_filters_its_current_first(rng: np.random.Generator) -> None:
    full = np.ones(3)
    node = nir.CubaLIF(full * 2e-3, full * 5e-3, full * 4, full * 0, full * 0.3, full * 0, full * 1.5)
    x = rng.random((T, 3))

    spikes = run(chain(node, shape=(3,), out=(3,)), x)

    u, v, expected = np.zeros(3), np.zeros(3), []
    for i in x:
        u = (1 - DT / 2e-3) * u + 1.5 * DT / 2e-3 * i
        v = (1 - DT / 5e-3) * v + 4 * DT / 5e-3 * u
        s = v > 0.3
        v = np.where(s, 0, v)
        expected.append(s)
    np.testing.assert_array_equal(spikes, np.array(expected))
    assert 0 < spikes.mean() < 1


def test_a_cuba_li_and_an_li_and_an_i_do_not_spike(rng: np.random.Generator) -> None:
    full, x = np.ones(3), rng.normal(size=(T, 3))
    li = run(chain(nir.LI(full * 4e-3, full * 2, full * 0.3), shape=(3,), out=(3,)), x)
    cuba = run(chain(nir.CubaLI(full * 2e-3, full * 4e-3, full * 2, full * 0, full * 1), shape=(3,), out=(3,)), x)
    integral = run(chain(nir.I(full), shape=(3,), out=(3,)), x)

    v, u, w, expected = np.zeros(3), np.zeros(3), np.zeros(3), []
    for i in x:
        v = 0.75 * v + 0.25 * (0.3 + 2 * i)
        u = 0.5 * u + 0.5 * i
        w = 0.75 * w + 0.25 * 2 * u
        expected.append((v, w))
    np.testing.assert_allclose(li, [e[0] for e in expected], atol=1e-12)
    np.testing.assert_allclose(cuba, [e[1] for e in expected], atol=1e-12)
    np.testing.assert_allclose(integral, x.cumsum(axis=0), atol=1e-12)


@pytest.mark.parametrize("r", [1.0, 1 / DT])
def test_both_conventions_of_an_ifs_gain_are_one_per_step(r: float) -> None:
    graph = from_nir(chain(nir.IF(np.full(3, r), np.ones(3), np.zeros(3)), shape=(3,), out=(3,)))

    assert graph["n0"].gain == 1
    assert graph["n0"].beta == 1


def test_an_if_whose_gain_is_unclear_is_refused() -> None:
    with pytest.raises(ImportingError, match=r"clear for r = 1 or r = 1/dt = 1000 only"):
        from_nir(chain(nir.IF(np.full(3, 0.5), np.ones(3), np.zeros(3)), shape=(3,), out=(3,)))


def test_a_time_constant_shorter_than_a_step_is_refused() -> None:
    with pytest.raises(ImportingError, match=r"tau is 0.0001 s, shorter than one timestep of 0.001 s"):
        from_nir(chain(lif(tau=1e-4), shape=(3,), out=(3,)))


def test_exact_constants_in_the_metadata_are_taken_without_rounding() -> None:
    node = lif(tau=DT / (1 - 0.3))
    node.metadata = {"beta": 0.3, "gain": 3 * (1 - 0.3)}

    assert float(from_nir(chain(node, shape=(3,), out=(3,)))["n0"].beta) == 0.3
    node.metadata = {"beta": 0.4}
    with pytest.raises(ImportingError, match=r"metadata beta 0.4 contradicts the fields: 0.3"):
        from_nir(chain(node, shape=(3,), out=(3,)))


def test_parameters_per_channel_or_scalar_spread_over_the_feature_map() -> None:
    channel = np.array([1.0, 2.0])
    per_channel = nir.LIF(channel * 4e-3, channel, channel * 0, channel, channel * 0)
    scalar = nir.LIF(*(np.array(v) for v in (4e-3, 1.0, 0.0, 1.0, 0.0)))
    full = nir.LIF(
        *(
            np.broadcast_to(v.reshape(2, 1, 1), (2, 3, 3))
            for v in (channel * 4e-3, channel, channel * 0, channel, channel * 0)
        )
    )

    for node, threshold in ((per_channel, channel), (full, channel), (scalar, np.array(1.0))):
        op = from_nir(chain(node, shape=(2, 3, 3), out=(2, 3, 3)))["n0"]
        assert op.shape == (2, 3, 3)
        np.testing.assert_array_equal(op.v_threshold, threshold)


def test_parameters_of_another_shape_are_refused() -> None:
    with pytest.raises(
        ImportingError, match=r"v_threshold has shape \(4,\); its input has \(3,\)|tau has shape"
    ) as caught:
        from_nir(chain(lif(4), shape=(3,), out=(3,)))

    assert caught.value.where == "graph: node 'n0'"


def test_a_threshold_node_is_a_spike_without_memory(rng: np.random.Generator) -> None:
    x = rng.normal(size=(T, 3))

    np.testing.assert_array_equal(run(chain(nir.Threshold(np.full(3, 0.2)), shape=(3,), out=(3,)), x), x > 0.2)


# ---------------------------------------------------------------------------------------------- linear
def test_affine_linear_and_scale_are_matrix_products(rng: np.random.Generator) -> None:
    a, b, w, s, x = (
        rng.normal(size=(4, 3)),
        rng.normal(size=4),
        rng.normal(size=(2, 4)),
        rng.normal(size=2),
        rng.normal(size=(T, 3)),
    )

    y = run(chain(nir.Affine(a, b), nir.Linear(w), nir.Scale(s), shape=(3,), out=(2,)), x)

    np.testing.assert_allclose(y, ((x @ a.T + b) @ w.T) * s, atol=1e-12)


@pytest.mark.parametrize("scale", [np.array(2.0), np.array([2.0, 3.0]), np.arange(18.0).reshape(2, 3, 3)])
def test_a_scale_is_scalar_per_channel_or_full(rng: np.random.Generator, scale: NDArray[np.float64]) -> None:
    x = rng.normal(size=(T, 2, 3, 3))
    spread = scale.reshape(scale.shape + (1,) * (3 - scale.ndim)) if scale.ndim else scale

    np.testing.assert_allclose(run(chain(nir.Scale(scale), shape=(2, 3, 3), out=(2, 3, 3)), x), x * spread)


def conv(
    weight: NDArray[np.float64], padding: object, *, groups: int = 1, dilation: int = 1, stride: int = 1
) -> nir.Conv2d:
    return nir.Conv2d(None, weight, stride, padding, dilation, groups, np.arange(weight.shape[0], dtype=float))


@pytest.mark.parametrize(
    ("kernel", "padding", "options"),
    [
        ((3, 3), (1, 1), {}),
        ((3, 5), (1, 0), {"groups": 2}),
        ((3, 3), 1, {"stride": 2}),
        ((3, 3), "valid", {"dilation": 2}),
        ((3, 3), "same", {"dilation": 2}),
        ((4, 4), "same", {}),
        ((2, 5), "same", {"groups": 2}),
    ],
)
def test_convolutions_are_torchs(
    rng: np.random.Generator, kernel: tuple[int, int], padding: object, options: dict[str, int]
) -> None:
    torch = pytest.importorskip("torch")
    weight = rng.normal(size=(6, 4 // options.get("groups", 1), *kernel))
    x = rng.normal(size=(T, 4, 8, 7))
    bias = torch.arange(6.0, dtype=torch.float64)
    with warnings.catch_warnings():  # torch warns that 'same' with an even kernel is slow
        warnings.simplefilter("ignore")
        expected = torch.nn.functional.conv2d(
            torch.from_numpy(x), torch.from_numpy(weight), bias, padding=padding, **options
        )

    y = run(chain(conv(weight, padding, **options), shape=(4, 8, 7), out=tuple(expected.shape[1:])), x)

    np.testing.assert_allclose(y, expected.numpy(), atol=1e-12)


def test_an_even_kernel_with_dilation_and_padding_same_is_refused() -> None:
    with pytest.raises(UnsupportedNodeError, match="even kernel of 4 and dilation 3"):
        from_nir(chain(conv(np.ones((1, 1, 4, 4)), "same", dilation=3), shape=(1, 9, 9), out=(1, 9, 9)))


def test_pools_and_flatten(rng: np.random.Generator) -> None:
    x = rng.normal(size=(T, 2, 4, 6))
    two, zero = np.array([2, 2]), np.array([0, 0])
    windows = x.reshape(T, 2, 2, 2, 3, 2)
    flat = nir.Flatten({"input": np.array([2, 2, 3])}, 0, -1)

    for node, expected in (
        (nir.SumPool2d(two, two, zero), windows.sum(axis=(3, 5))),
        (nir.AvgPool2d(two, two, zero), windows.mean(axis=(3, 5))),
        (nirx.MaxPool2d((2, 2), (2, 2), (0, 0)), windows.max(axis=(3, 5))),
    ):
        y = run(chain(node, flat, shape=(2, 4, 6), out=(12,)), x)
        np.testing.assert_allclose(y, expected.reshape(T, 12), atol=1e-12)


def test_a_partial_flatten_is_refused() -> None:
    flat = nir.Flatten({"input": np.array([2, 4, 6])}, 1, -1)

    with pytest.raises(UnsupportedNodeError, match="start_dim 1, end_dim -1"):
        from_nir(chain(flat, shape=(2, 4, 6), out=(2, 24)))


def test_a_batch_norm_is_a_scale_and_shift_per_channel(rng: np.random.Generator) -> None:
    mean, variance, weight, bias = rng.random((4, 2))
    x = rng.normal(size=(T, 2, 3, 3))

    y = run(chain(nirx.BatchNorm(mean, variance, weight, bias, 1e-3, (2, 3, 3)), shape=(2, 3, 3), out=(2, 3, 3)), x)

    m, v, w, b = (p.reshape(2, 1, 1) for p in (mean, variance, weight, bias))
    np.testing.assert_allclose(y, (x - m) / np.sqrt(v + 1e-3) * w + b, atol=1e-12)


# -------------------------------------------------------------------------------------- delays, sums, loops
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_delay_is_a_whole_number_of_steps(rng: np.random.Generator, steps: int) -> None:
    x = rng.normal(size=(T, 3))

    y = run(chain(nir.Delay(np.full(3, steps * DT)), shape=(3,), out=(3,)), x)

    np.testing.assert_array_equal(y[steps:], x[: T - steps])
    np.testing.assert_array_equal(y[:steps], 0)


@pytest.mark.parametrize("delay", [np.full(3, 1.5 * DT), np.array([1, 1, 2]) * DT, np.full(3, -DT)])
def test_other_delays_are_refused(delay: NDArray[np.float64]) -> None:
    with pytest.raises(UnsupportedNodeError, match="one whole number of steps"):
        from_nir(chain(nir.Delay(delay), shape=(3,), out=(3,)))


def test_several_edges_into_a_node_are_their_sum(rng: np.random.Generator) -> None:
    a, b, x = rng.normal(size=(3, 3)), rng.normal(size=(3, 3)), rng.normal(size=(T, 3))
    graph = net(
        {"a": nir.Linear(a), "b": nir.Linear(b), "c": nir.Scale(np.full(3, 2.0))},
        "input>a",
        "input>b",
        "b>c",
        "a>c",
        "input>c",
        "c>output",
    )

    np.testing.assert_allclose(run(graph, x), 2 * (x @ a.T + x @ b.T + x), atol=1e-12)
    assert from_nir(graph)["c.sum"].inputs == ("b", "a", "input")


def test_a_scale_by_one_with_several_edges_is_a_plain_sum() -> None:
    graph = from_nir(
        net({"a": nir.Linear(np.eye(3)), "add": nir.Scale(np.ones(3))}, "input>a", "a>add", "input>add", "add>output")
    )

    assert isinstance(graph["add"], ops.Add)
    assert "add.sum" not in graph


def test_a_self_loop_through_one_synapse_is_one_step_recurrence(rng: np.random.Generator) -> None:
    w, b, x = rng.normal(size=(3, 3)), rng.normal(size=3), rng.random((T, 3))
    graph = net({"n": lif(), "w": nir.Affine(w, b)}, "input>n", "n>w", "w>n", "n>output")

    spikes = run(graph, x)

    v, s, expected = np.zeros(3), np.zeros(3), []
    for i in x:
        v = 0.75 * v + 0.25 * (0.1 + 3 * (i + s @ w.T + b))
        s = (v > 0.5).astype(float)
        v = np.where(s > 0, 0.05, v)
        expected.append(s)
    np.testing.assert_array_equal(spikes, expected)
    assert 0 < spikes.mean() < 1


def test_a_neuron_may_feed_itself_directly_and_through_several_synapses() -> None:
    graph = from_nir(
        net(
            {"n": lif(), "w": nir.Linear(np.eye(3)), "z": nir.Scale(np.ones(3) * 2)},
            "input>n",
            "n>n",
            "n>w",
            "w>n",
            "n>z",
            "z>n",
            "n>output",
        )
    )

    assert [op.name for op in graph if isinstance(op, ops.Delay)] == ["n.delay"]
    assert {op.name for op in graph.readers["n.delay"]} == {"n.sum", "w", "z"}
    assert graph["output"].inputs == ("n",)


def test_a_longer_loop_without_delay_is_refused_by_name() -> None:
    nodes = {"a": lif(), "b": lif(), "w": nir.Linear(np.eye(3)), "y": nir.Linear(np.eye(3))}

    with pytest.raises(UnsupportedNodeError, match="the loop a -> w -> b -> y -> a has no Delay node"):
        from_nir(net(nodes, "input>a", "a>w", "w>b", "b>y", "y>a", "b>output"))


def test_a_loop_synapse_that_feeds_others_too_is_refused() -> None:
    with pytest.raises(UnsupportedNodeError, match="the loop n -> w -> n has no Delay node"):
        from_nir(net({"n": lif(), "w": nir.Linear(np.eye(3))}, "input>n", "n>w", "w>n", "w>output"))


def test_a_longer_loop_with_a_delay_runs(rng: np.random.Generator) -> None:
    w, x = rng.normal(size=(3, 3)), rng.random((T, 3))
    graph = net(
        {"a": lif(), "b": nir.Linear(w), "c": lif(), "d": nir.Delay(np.full(3, 2 * DT))},
        "input>a", "a>b", "b>c", "c>d", "d>a", "c>output",
    )  # fmt: skip

    spikes = run(graph, x)

    va, vc, past, expected = np.zeros(3), np.zeros(3), [np.zeros(3)] * 2, []
    for i in x:
        va = 0.75 * va + 0.25 * (0.1 + 3 * (i + past[-2]))
        s = (va > 0.5).astype(float)
        va = np.where(s > 0, 0.05, va)
        vc = 0.75 * vc + 0.25 * (0.1 + 3 * (s @ w.T))
        out = (vc > 0.5).astype(float)
        vc = np.where(out > 0, 0.05, vc)
        past.append(out)
        expected.append(out)
    np.testing.assert_array_equal(spikes, expected)


@given(
    order=st.permutations(["input>a", "input>b", "a>n", "b>n", "n>w", "w>n", "n>output"]),
    names=st.permutations(range(3)),
)
def test_the_order_of_ops_is_topological_and_does_not_depend_on_that_of_the_file(
    order: list[str], names: list[int]
) -> None:
    members = [("a", nir.Linear(np.eye(3))), ("b", nir.Linear(np.eye(3))), ("n", lif())]
    nodes = dict([members[k] for k in names]) | {"w": nir.Linear(np.eye(3))}

    graph = from_nir(net(nodes, *order))

    assert [op.name for op in graph] == ["input", "a", "b", "n.delay", "w", "n.sum", "n", "output"]


def test_sub_graphs_are_inlined_with_dotted_names(rng: np.random.Generator) -> None:
    w, x = rng.normal(size=(3, 3)), rng.normal(size=(T, 3))
    inner = nir.NIRGraph.from_list(nir.Linear(w), nir.Scale(np.full(3, 2.0)))
    outer = nir.NIRGraph.from_list(inner, nir.Scale(np.full(3, 3.0)))
    graph = net(
        {"block": outer, "skip": nir.Scale(np.ones(3))}, "input>block", "input>skip", "block>output", "skip>output"
    )

    np.testing.assert_allclose(run(graph, x), 6 * (x @ w.T) + x, atol=1e-12)
    assert "block.nirgraph.linear" in from_nir(graph)


# ---------------------------------------------------------------------------------------------- refusals
def test_unsupported_nodes_are_all_named_before_any_work() -> None:
    one = nir.Conv1d(None, np.ones((1, 1, 3)), 1, 0, 1, 1, np.zeros(1))
    inner = nir.NIRGraph(
        {"input": nir.Input(np.array([3])), "c": one, "output": nir.Output(np.array([3]))}, [], type_check=False
    )

    with pytest.raises(
        UnsupportedNodeError, match=r"'a' is a Conv1d; 'sub.c' is a Conv1d; supported are Affine"
    ) as caught:
        from_nir(net({"a": one, "sub": inner}, "input>a"))

    assert caught.value.help == "write it as a Conv2d over (C, 1, L) signals"


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (("input>a", "a>output", "input>a"), r"the edge \('input', 'a'\) stands twice"),
        (("input>a", "a>output", "a>ghost"), "'ghost' is no node"),
        (("input>output",), "node 'a' is not connected: nothing feeds it"),
        (("input>a", "input>output"), "node 'a' is not connected: nothing reads it"),
        (("input>a", "a>output", "a>input"), "'input' is an end of the graph and inside it"),
    ],
)
def test_broken_edges_are_refused(edges: tuple[str, ...], message: str) -> None:
    with pytest.raises(ImportingError, match=message):
        from_nir(net({"a": nir.Scale(np.ones(3))}, *edges))


def test_two_inputs_are_refused() -> None:
    with pytest.raises(ImportingError, match=r"2 Input nodes \(extra, input\); one is allowed"):
        from_nir(net({"extra": nir.Input(np.array([3]))}, "input>output", "extra>output"))


def test_shapes_that_do_not_fit_are_refused_by_node() -> None:
    with pytest.raises(VerifyError, match=r"Affine reads shape \(3,\); it takes 4 values") as caught:
        from_nir(chain(nir.Linear(np.ones((2, 4))), shape=(3,), out=(2,)))

    assert caught.value.where == "op 'n0'"


def test_a_matrix_on_a_feature_map_is_refused() -> None:
    with pytest.raises(ImportingError, match=r"a matrix on a signal of shape \(2, 3, 3\); it takes \(18,\)"):
        from_nir(chain(nir.Linear(np.ones((2, 18))), shape=(2, 3, 3), out=(2,)))


def test_an_output_of_another_shape_than_declared_is_refused() -> None:
    with pytest.raises(ImportingError, match=r"the output is declared \(5,\); the graph gives \(2,\)"):
        from_nir(chain(nir.Linear(np.ones((2, 3))), shape=(3,), out=(5,)))


@pytest.mark.parametrize("steps", [0, -1, 2.5, True])
def test_timesteps_must_be_a_positive_whole_number(steps: int) -> None:
    with pytest.raises(ImportingError, match="T is at least 1"):
        from_nir(chain(lif(), shape=(3,), out=(3,)), timesteps=steps)


def test_a_graph_that_does_not_say_t_asks_for_it() -> None:
    graph = chain(lif(), shape=(3,), out=(3,))
    graph.metadata = {"dt": DT}

    with pytest.raises(ImportingError) as caught:
        from_nir(graph)

    assert str(caught.value) == "graph: does not say how many timesteps T\n  help: give T (--timesteps)"


def test_dt_comes_from_metadata_then_argument_then_the_default() -> None:
    graph = chain(lif(), shape=(3,), out=(3,))
    assert from_nir(graph).dt_s == DT
    with pytest.raises(ImportingError, match=r"dt 0.002 s; the graph was made for 0.001 s"):
        from_nir(graph, dt_s=2e-3)

    graph.metadata = {"timesteps": T}
    assert from_nir(graph, dt_s=2e-3).dt_s == 2e-3
    assert from_nir(graph).dt_s == 1e-4
    for dt in (0.0, -1.0, float("nan")):
        with pytest.raises(ImportingError, match="it must be positive"):
            from_nir(graph, dt_s=dt)


def test_attention_trained_for_another_t_is_refused() -> None:
    parameters = {"ta_w": np.array(1.0), "ta_b": np.array(0.0)}
    node = nirx.AttentiveLif(lif(), parameters, "T", "causal", T, "hard", 2, 1.0, (3,))
    graph = chain(node, shape=(3,), out=(3,))

    assert from_nir(graph)["n0"].timesteps == T
    with pytest.raises(ImportingError, match=f"T = 5; its weights were trained for T = {T}"):
        from_nir(graph, timesteps=5)


def test_metadata_with_an_unknown_comparison_is_refused() -> None:
    with pytest.raises(ImportingError, match="metadata comparison '<', reset 'value'; allowed are"):
        from_nir(chain(lif(comparison="<"), shape=(3,), out=(3,)))
