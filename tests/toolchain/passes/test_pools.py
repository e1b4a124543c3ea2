"""Pools that no convolution can take up: one exact map, with a bias and a unit of its own for every neuron."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spikewright.toolchain.compare import compare
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.interpret.floats import apply
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import AdaptivePool, Add, Affine, Conv, Flatten, Input, Lif, Op, Output, SumPool
from spikewright.toolchain.options import Options
from spikewright.toolchain.passes import linear_maps
from spikewright.toolchain.passes.normal_form import NormalForm
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples

SIDE, T = 7, 4


def conv(name: str, reads: str, inside: int, rng: np.random.Generator) -> Conv:
    weight, bias = rng.normal(size=(3, inside, 3, 3)), rng.normal(size=3) / 5
    return Conv(name=name, inputs=(reads,), weight=weight, bias=bias, padding=(1, 1))


def pool(reads: str, kernel: int, stride: int, padding: int) -> SumPool:
    return SumPool(
        name="pool", inputs=(reads,), kernel=(kernel,) * 2, stride=(stride,) * 2, padding=(padding,) * 2, scale=0.25
    )


def lif(name: str, reads: str, side: int) -> Lif:
    return Lif(
        name=name, inputs=(reads,), shape=(3, side, side), beta=np.array(0.5), v_threshold=np.array([0.4, 0.6, 1])
    )


def net(*ops: Op, classes: int = 4, features: int | None = None) -> Graph:
    flat = Flatten(name="flat", inputs=(ops[-1].name,))
    size = int(np.prod(vars(ops[-1])["shape"])) if features is None else features
    weight = np.random.default_rng(9).normal(size=(classes, size))
    fc = Affine(name="fc", inputs=("flat",), weight=weight)
    source = Input(name="in", shape=(2, SIDE, SIDE))
    return Graph((source, *ops, flat, fc, Output(name="out", inputs=("fc",))), timesteps=T)


def events(rng: np.random.Generator) -> Samples:
    return Samples((rng.random((T, 6, 2, SIDE, SIDE)) < 0.4).astype(np.float32), None, "random")


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0)])
def test_a_map_that_the_windows_do_not_divide_is_pooled_exactly_on_the_chip(
    rng: np.random.Generator, kernel: int, stride: int, padding: int
) -> None:
    side = (SIDE + 2 * padding - kernel) // stride + 1
    graph = net(
        conv("conv1", "in", 2, rng), lif("lif1", "conv1", SIDE), pool("lif1", kernel, stride, padding),
        conv("conv2", "pool", 3, rng), lif("lif2", "conv2", side),
    )  # fmt: skip
    data = events(rng)

    made = deploy_graph(graph, Options(), data, name="net", samples=data)

    assert {record.name: record.check for record in made.passes}["normal-form-2"] == "exact"
    assert compare(made, ["interpreter", "hw_sim"], made.encode(data.x.astype(np.float64))).equal
    assert made.drift is not None
    assert made.drift.spike_mismatch["lif2"] < 0.03
    assert any(made.run_float(data.x).ravel())


def test_a_padded_pool_behind_a_convolution_with_a_bias_keeps_the_function(rng: np.random.Generator) -> None:
    graph = net(conv("conv1", "in", 2, rng), pool("conv1", 3, 2, 1), lif("lif1", "pool", 4))
    x = events(rng).x.astype(np.float64)

    lowered = NormalForm("all")(graph)

    assert [type(op) for op in lowered] == [Input, Affine, Lif, Affine, Output]
    np.testing.assert_allclose(run_float(lowered, x)["out"], run_float(graph, x)["out"], atol=1e-12)


def test_a_pool_of_a_residual_sum_reaches_every_branch(rng: np.random.Generator) -> None:
    graph = net(
        conv("conv1", "in", 2, rng), lif("lif1", "conv1", SIDE), conv("conv2", "in", 2, rng),
        lif("lif2", "conv2", SIDE), Add(name="sum", inputs=("lif1", "lif2")), pool("sum", 2, 2, 0),
        conv("conv3", "pool", 3, rng), lif("lif3", "conv3", 3),
    )  # fmt: skip
    data = events(rng)

    made = deploy_graph(graph, Options(), data, name="net")

    assert compare(made, ["interpreter", "hw_sim"], made.encode(data.x.astype(np.float64))).equal


def test_what_is_no_kernel_and_too_large_a_matrix_is_refused_with_the_maths(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = net(pool("in", 2, 2, 0), conv("conv1", "pool", 2, rng), lif("lif1", "conv1", 3))
    free = net(conv("conv1", "in", 2, rng), pool("conv1", 2, 2, 0), lif("lif1", "pool", 3))
    monkeypatch.setattr(linear_maps, "LARGEST", 98 * 27 - 1)

    assert not any(isinstance(op, SumPool) for op in NormalForm("all")(free))
    with pytest.raises(UnsupportedNodeError) as refused:
        NormalForm("all")(odd)

    assert str(refused.value) == (
        "op 'conv1': Conv reads the real-valued signal of SumPool 'pool', not spikes. The two are no convolution of the spikes "
        "in front: the second adds zeros at the edge, where windows of the first still overlap its map; and the matrix of both "
        "has 2,646 entries (2,645 are listed)\n"
        "  help: put a spiking neuron between 'pool' and 'conv1' (and retrain), or deploy with --streams relay"
    )


def test_an_uneven_pool_of_the_input_that_is_too_large_a_matrix_is_the_hosts_and_deploy_says_so(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pooled = AdaptivePool(name="pool", inputs=("in",), size=(4, 4))
    graph = net(pooled, conv("conv1", "pool", 2, rng), lif("lif1", "conv1", 4))
    monkeypatch.setattr(linear_maps, "LARGEST", 98 * 48 - 1)
    data = events(rng)

    made = deploy_graph(graph, Options(), data, name="net")

    assert made.host is not None
    assert [op.name for op in made.host.graph] == ["in", "pool", "conv1", "lif1", "host.out"]
    assert [one.code for one in made.diagnostics if one.where == "layer 'pool'"] == ["pool-on-host"]
    assert compare(made, ["interpreter", "hw_sim"], made.encode(data.x.astype(np.float64))).equal
    assert made.check().spike_driven


UNEVEN = AdaptivePool(name="pool", inputs=("lif1",), size=(4, 4))


def test_an_uneven_pool_is_torchs(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 3, SIDE, 5))
    expected = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(x), (4, 3)).numpy()

    np.testing.assert_allclose(apply(replace(UNEVEN, size=(4, 3)), [x]), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "place", ["in front of a conv", "behind a conv", "in front of a neuron", "in front of a matrix"]
)
def test_an_uneven_pool_runs_exactly_on_the_chip(rng: np.random.Generator, place: str) -> None:
    conv2 = conv("conv2", "lif1", 3, rng)
    behind: dict[str, tuple[Op, ...]] = {
        "in front of a conv": (UNEVEN, replace(conv2, inputs=("pool",)), lif("lif2", "conv2", 4)),
        "behind a conv": (conv2, replace(UNEVEN, inputs=("conv2",)), lif("lif2", "pool", 4)),
        "in front of a neuron": (UNEVEN, lif("lif2", "pool", 4)),
        "in front of a matrix": (UNEVEN,),
    }
    graph = net(conv("conv1", "in", 2, rng), lif("lif1", "conv1", SIDE), *behind[place], features=48)
    data = events(rng)

    made = deploy_graph(graph, Options(), data, name="net")

    assert compare(made, ["interpreter", "hw_sim"], made.encode(data.x.astype(np.float64))).equal
    assert any(made.run_float(data.x).ravel())
    assert made.check().spike_driven
