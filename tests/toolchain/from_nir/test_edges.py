"""Edges of NIR graphs: delays, sums, loops, sub-graphs, and an order that does not depend on the file."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nir_nets import DT, T, chain, lif, net, run
from numpy.typing import NDArray

from spikewright.toolchain import ops
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.from_nir import from_nir


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_delay_is_a_whole_number_of_steps(rng: np.random.Generator, steps: int) -> None:
    x = rng.normal(size=(T, 3))

    y = run(chain(nir.Delay(np.full(3, steps * DT)), shape=(3,), out=(3,)), x)

    np.testing.assert_array_equal(y[steps:], x[: T - steps])
    np.testing.assert_array_equal(y[:steps], 0)


@pytest.mark.parametrize("delay", [np.full(3, 1.5 * DT), np.array([1, 1.5, 2]) * DT, np.full(3, -DT)])
def test_other_delays_are_refused(delay: NDArray[np.float64]) -> None:
    with pytest.raises(UnsupportedNodeError, match="a whole number of steps"):
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
