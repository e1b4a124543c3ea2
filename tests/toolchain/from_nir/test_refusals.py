"""NIR graphs that are refused: unknown nodes, broken edges, shapes, times and metadata."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from nir_nets import DT, T, chain, lif, net

from spikewright.toolchain import nirx
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError, VerifyError
from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.importing import load_model


def test_unsupported_nodes_are_all_named_before_any_work() -> None:
    class Unheard(nir.NIRNode):  # type: ignore[misc]
        def __init__(self) -> None:
            self.input_type, self.output_type, self.metadata = {}, {}, {}

    one = Unheard()
    inner = nir.NIRGraph(
        {"input": nir.Input(np.array([3])), "c": one, "output": nir.Output(np.array([3]))}, [], type_check=False
    )

    with pytest.raises(
        UnsupportedNodeError, match=r"'a' is a Unheard; 'sub.c' is a Unheard; supported are Affine"
    ) as caught:
        from_nir(net({"a": one, "sub": inner}, "input>a"))

    assert caught.value.help == "replace these nodes by supported ones"


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
    node = nirx.AttentionNode("ma", lif(), parameters, {"dims": "T", "variant": "causal", "gate_delay": 2}, T, (3,))
    graph = chain(node, shape=(3,), out=(3,))

    assert from_nir(graph)["n0"].timesteps == T
    with pytest.raises(ImportingError, match=f"T = 5; the graph was made for T = {T}"):
        from_nir(graph, timesteps=5)


def test_metadata_with_an_unknown_comparison_is_refused() -> None:
    with pytest.raises(ImportingError, match="metadata comparison '<'; allowed are '>', '>='"):
        from_nir(chain(lif(comparison="<"), shape=(3,), out=(3,)))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"max_spikes": -1}, "metadata max_spikes -1; whole numbers from 0 on are allowed"),
        ({"refractory": 0}, "metadata refractory 0; whole numbers from 1 on are allowed"),
        ({"refractory": 1.5}, "metadata refractory 1.5; whole numbers"),
        ({"v_min": float("nan")}, "v_min is no finite number"),
        ({"v_start": [1.0, 2.0]}, r"v_start has shape \(2,\)"),
    ],
)
def test_metadata_out_of_range_is_refused(metadata: dict[str, object], message: str) -> None:
    with pytest.raises(ImportingError, match=message):
        from_nir(chain(lif(**metadata), shape=(3,), out=(3,)))


def test_ends_of_a_sub_graph_of_another_shape_than_what_comes_in_are_refused() -> None:
    inner = chain(nir.Scale(np.array(2.0)), shape=(4,), out=(4,))

    with pytest.raises(ImportingError, match=r"declared \(4,\); what comes in has \(3,\)") as caught:
        from_nir(net({"a": inner}, "input>a", "a>output"))

    assert caught.value.where == "graph: node 'a.input'"


def test_graphs_in_memory_are_checked_as_files_are() -> None:
    weight = nir.Linear(np.ones((3, 3)))
    weight.weight = np.ones((3, 3), np.complex128)
    with pytest.raises(ImportingError, match="weight holds 9 values; expected numbers"):
        from_nir(net({"a": weight}, "input>a", "a>output"))

    broken = net({"a": nir.Linear(np.ones((3, 3)))}, "input>a", "a>output")
    broken.nodes["input"].input_type["input"] = np.array([3.5])
    with pytest.raises(ImportingError, match=r"shape holds array\(\[3.5\]\); expected whole numbers"):
        from_nir(broken)


def test_a_layer_that_an_exporter_has_no_form_of_is_named() -> None:
    broken = net({"a": nir.Linear(np.ones((3, 3))), "b": lif()}, "input>a", "a>b", "b>output")
    broken.nodes["b"] = None  # as Norse leaves a Flatten

    with pytest.raises(ImportingError, match="NoneType is no NIR node") as caught:
        from_nir(broken)

    assert caught.value.where.endswith("node 'b'")


def test_a_pool_names_the_field_that_is_wrong() -> None:
    pool = nir.SumPool2d(np.array([2, 2]), np.array([2, 2, 2]), np.array([0, 0]))

    with pytest.raises(ImportingError, match="stride is array"):
        from_nir(chain(pool, shape=(1, 4, 4), out=(1, 2, 2)))


def test_a_node_that_says_another_shape_than_comes_in_is_refused() -> None:
    conv = nir.Conv2d((9, 9), np.ones((1, 1, 2, 2)), 1, 0, 1, 1, np.zeros(1))

    with pytest.raises(ImportingError, match=r"input_shape \(9, 9\); what comes in has \(5, 5\)"):
        from_nir(chain(conv, shape=(1, 5, 5), out=(1, 4, 4)))


@pytest.mark.parametrize(
    ("shape", "help"),
    [((2, 3), "put a Flatten in front"), ((4, 6), r"np.kron\(np.eye\(4\), weight\)"), ((2, 5), "give it 10 columns")],
)
def test_the_help_for_a_matrix_fits_the_signal(shape: tuple[int, ...], help: str) -> None:
    with pytest.raises(ImportingError, match=help):
        from_nir(chain(nir.Linear(np.ones((2, 6))), shape=shape, out=(2,)))


def test_graphs_inside_that_say_another_dt_are_refused_and_one_alone_is_heard() -> None:
    inner, outer = chain(lif(), shape=(3,), out=(3,)), net({"a": lif()}, "input>a", "a>output")
    inner.metadata, outer.nodes["a"] = {"dt": 2 * DT}, inner
    with pytest.raises(ImportingError, match=r"its metadata say dt 0.001 in the graph and 0.002 in 'a'"):
        from_nir(outer)

    del outer.metadata["dt"]
    assert from_nir(outer).dt_s == 2 * DT


def test_a_file_without_an_input_shape_takes_it_from_the_user_or_the_samples() -> None:
    kernel = nir.Conv2d(None, np.ones((1, 2, 2, 2)), 1, 0, 1, 1, np.zeros(1))
    graph = chain(kernel, shape=(2, 4, 4), out=(1, 3, 3))
    graph.nodes["input"].input_type = {"input": None}
    x = np.ones((T, 1, 2, 4, 4), np.float32)

    found = load_model(graph)

    with pytest.raises(ImportingError, match="says no shape of its input") as caught:
        found.float_graph()
    assert "--input-shape" in caught.value.help
    assert found.sized is not None
    assert found.sized(x.shape[2:]).float_graph()["input"].shape == (2, 4, 4)
    with pytest.raises(ImportingError, match="no shape of the input, neither here nor in what reads it"):
        from_nir(graph)
