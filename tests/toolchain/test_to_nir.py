"""Float graphs as standard NIR: the ``nir`` package reads them, and they mean the same."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest
from nir_nets import T, chain

from spikewright.toolchain import nirx
from spikewright.toolchain.cli.main import main
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.importing import load_model
from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.options import Reading
from spikewright.toolchain.to_nir import readable, save_standard, to_nir


def read_back(graph: Graph, path: Path) -> Graph:
    """The graph as the nir package reads it from a file, all types checked."""
    nirx.write(path, to_nir(graph))
    return from_nir(nir.read(path))


def assert_same_spikes(graph: Graph, again: Graph, x: np.ndarray) -> None:
    spikes, same = (run_float(g, x)[g.output.name] for g in (graph, again))
    np.testing.assert_allclose(same, spikes, atol=1e-9)
    assert spikes.any()


def batch_norm_net() -> nir.NIRGraph:
    rng = np.random.default_rng(5)
    c = np.ones(4)
    full = np.ones((4, 3, 3))
    norm = nirx.BatchNorm(rng.normal(size=4), c, rng.random(4) + 0.5, rng.normal(size=4), 1e-5, (4, 3, 3))
    conv = nir.Conv2d((6, 6), rng.normal(size=(4, 1, 3, 1)), (2, 2), (1, 0), (1, 1), 2, rng.normal(size=4))
    cuba = nir.CubaLIF(full * 2e-3, full * 4e-3, full * 4, full * 0.1, full * 0.5, full * 0, full * 2)
    return chain(
        conv,
        norm,
        cuba,
        nir.Delay(np.arange(36).reshape(4, 3, 3) % 3 * 1e-3),
        nir.AvgPool2d(np.array([2, 2]), np.array([1, 1]), np.array([0, 0])),
        nir.Flatten({"input": np.array([4, 2, 2])}, 0, -1),
        nir.Affine(rng.normal(size=(3, 16)), rng.normal(size=3)),
        nir.LI(np.full(3, 3e-3), np.full(3, 2.0), np.zeros(3)),
        shape=(2, 6, 6),
        out=(3,),
    )


def test_a_net_with_a_batch_norm_is_read_by_nir_and_means_the_same(tmp_path: Path, rng: np.random.Generator) -> None:
    graph = from_nir(batch_norm_net())

    again = read_back(graph, tmp_path / "net.nir")

    assert_same_spikes(graph, again, (rng.random((T, 3, 2, 6, 6)) < 0.4).astype(float))


@pytest.mark.parametrize("dialect", ["snntorch", "sinabs", "spikingjelly", "norse"])
def test_what_nir_has_no_field_for_is_read_back_from_metadata(
    dialect: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    full = np.ones(4)
    conv = nir.Conv1d(6, rng.normal(size=(4, 2, 3)), 1, 1, 1, 1, np.zeros(4))
    node = nir.LIF(full * 5, full, full * 0.1, full * 0.7, full * 0.05)
    net = chain(conv, node, shape=(2, 6), out=(4, 6))
    net.metadata.pop("dt")
    graph = from_nir(net, reading=Reading(dialect=dialect), dt_s=1.0)

    again = read_back(graph, tmp_path / "net.nir")

    assert_same_spikes(graph, again, rng.normal(size=(T, 3, 2, 6)))


def test_read_outs_of_all_kinds_are_read_back(tmp_path: Path, rng: np.random.Generator) -> None:
    c, taus = np.ones(3), np.arange(2, 5) * 1e-3
    last = nir.I(c), nir.LI(taus, c * 2, c * 0.1), nir.CubaLI(taus + 1e-3, taus, c * 2, c * 0.1, c * 3)
    for node in last:
        graph = from_nir(chain(nir.Affine(rng.normal(size=(3, 4)), c), node, shape=(4,), out=(3,)))

        again = read_back(graph, tmp_path / "net.nir")

        assert_same_spikes(graph, again, (rng.random((T, 2, 4)) < 0.4).astype(float))


def test_the_verb_nir_writes_a_standard_file_and_refuses_others_by_name(tmp_path: Path, capsys) -> None:
    net, out = tmp_path / "net.nir", tmp_path / "standard.nir"
    nirx.write(net, batch_norm_net())

    assert main(["nir", str(net), "--out", str(out)]) == 0
    assert {type(node).__name__ for node in nir.read(out).nodes.values()} >= {"Conv2d", "CubaLIF", "LI"}

    nirx.write(net, chain(nirx.MaxPool2d((2, 2), (2, 2), (0, 0)), shape=(1, 4, 4), out=(1, 2, 2)))
    out.unlink()
    assert main(["nir", str(net), "--out", str(out)]) == 2
    assert "op 'n0': MaxPool has no standard node" in capsys.readouterr().err
    assert not out.exists()


def test_a_vanilla_net_of_the_zoo_is_standard_once_its_batch_norms_are_folded(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    pytest.importorskip("torch")
    found = load_model("ma-digits-vanilla")
    graph = found.float_graph()

    note = save_standard(tmp_path / "graph.nir", graph, found.nir_graph)
    again = from_nir(nir.read(tmp_path / "graph.nir"))

    assert note == "standard NIR; batch norm folded"
    x = (rng.random((graph.timesteps, 2, *graph.input.shape)) < 0.3).astype(float)
    assert_same_spikes(graph, again, x)


def test_what_standard_nir_has_no_node_for_is_named(tmp_path: Path) -> None:
    net = chain(nirx.MaxPool2d((2, 2), (2, 2), (0, 0)), shape=(1, 4, 4), out=(1, 2, 2))
    graph = from_nir(net)

    with pytest.raises(UnsupportedNodeError, match="op 'n0': MaxPool has no standard node"):
        to_nir(graph)
    note = save_standard(tmp_path / "graph.nir", graph, net)
    assert note.startswith("with nodes of spikewright's own, since standard NIR has none: op 'n0': MaxPool")
    assert not readable(tmp_path / "graph.nir")
    assert nirx.same(nirx.read(tmp_path / "graph.nir"), net)
