"""Several layers of first neurons: the host sends their spikes beside each other, and the chip reads each as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spikewright.toolchain import load
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import InputError, UnsupportedNodeError
from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Add, Affine, Conv, Input, Lif, MaxPool, Op, Output
from spikewright.toolchain.options import Options
from spikewright.toolchain.passes.split_host import JOINED
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples

T, SIDE = 6, 8


def conv(name: str, reads: str, out: int, inside: int, stride: int = 1) -> Conv:
    weight = 0.5 * np.random.default_rng(len(name) + out).normal(size=(out, inside, 3, 3))
    return Conv(name=name, inputs=(reads,), weight=weight, padding=(1, 1), stride=(stride, stride))


def matrix(name: str, reads: str, out: int, inside: int) -> Affine:
    weight = np.random.default_rng(out).normal(size=(out, inside)) / np.sqrt(inside)
    return Affine(name=name, inputs=(reads,), weight=weight)


def neurons(name: str, reads: str, *shape: int) -> Lif:
    return Lif(name=name, inputs=(reads,), shape=shape, beta=np.array(0.5), v_threshold=np.array(0.4))


def net(*ops: Op) -> Graph:
    last = ops[-1]
    assert isinstance(last, Lif)
    ends = (matrix("fc", last.name, 3, int(np.prod(last.shape))), Output(name="output", inputs=("fc",)))
    return Graph((Input(name="input", shape=(1, SIDE, SIDE), binary=False), *ops, *ends), T)


def two(second: int = SIDE) -> tuple[Op, ...]:
    return (
        conv("a.conv", "input", 3, 1), neurons("a", "a.conv", 3, SIDE, SIDE),
        conv("b.conv", "input", 2, 1, SIDE // second), neurons("b", "b.conv", 2, second, second),
    )  # fmt: skip


POOL = MaxPool(name="pool", inputs=("b",), kernel=(2, 2), stride=(2, 2))
NETS = {
    "maps": (
        *two(), conv("c.a", "a", 4, 3), conv("c.b", "b", 4, 2), Add(name="sum", inputs=("c.a", "c.b")),
        neurons("c", "sum", 4, SIDE, SIDE),
    ),
    "maps of two sizes": (
        *two(4), conv("c.a", "a", 4, 3, 2), conv("c.b", "b", 4, 2), Add(name="sum", inputs=("c.a", "c.b")),
        neurons("c", "sum", 4, 4, 4),
    ),
    "a pool of one": (
        *two(), POOL, conv("c.a", "a", 4, 3, 2), conv("c.b", "pool", 4, 2), Add(name="sum", inputs=("c.a", "c.b")),
        neurons("c", "sum", 4, 4, 4),
    ),
    "vectors": (
        matrix("a.fc", "input", 5, 64), neurons("a", "a.fc", 5), matrix("b.fc", "input", 3, 64), neurons("b", "b.fc", 3),
        matrix("c.a", "a", 6, 5), matrix("c.b", "b", 6, 3), Add(name="sum", inputs=("c.a", "c.b")), neurons("c", "sum", 6),
    ),
}  # fmt: skip


def images() -> Samples:
    still = np.random.default_rng(0).random((1, 4, 1, SIDE, SIDE))
    return Samples(np.repeat(still, T, axis=0).astype(np.float32), None, "random")


def deployed(name: str) -> Deployment:
    return deploy_graph(net(*NETS[name]), Options(mapping="greedy"), images(), name=name, samples=images())


@pytest.mark.parametrize("name", NETS)
def test_layers_that_all_read_the_image_are_computed_by_the_host(name: str, tmp_path: Path) -> None:
    made = deployed(name)
    x = images().x.astype(float)

    assert made.host is not None
    assert made.host.boundary == made.integer.input.name == JOINED
    captured, sent = run_float(made.captured, x), run_float(made.host.graph, x)[JOINED]
    assert sent.sum() == captured["a"].sum() + captured["b"].sum() > 0
    np.testing.assert_array_equal(run_float(made.lowered, sent)["c"], captured["c"])
    assert made.check().ok
    assert {block.cost_class for block in made.check().verdict.blocks if block.where == "chip"} == {"A"}
    assert made.compare().equal
    made.save(tmp_path / "bundle")
    assert load(tmp_path / "bundle").compare().equal


def test_maps_of_one_size_need_no_neurons_on_the_chip() -> None:
    names = {op.name for op in deployed("maps").integer}

    assert not {"a", "b", "a.picked", "b.picked"} & names


def round_the_first(*more: Op) -> Graph:
    """Return a net whose first neurons' current, or the image, also goes to a sum behind them."""
    return net(*two()[:2], conv("c.a", "a", 3, 3), *more, neurons("c", "sum", 3, SIDE, SIDE))


@pytest.mark.parametrize("still", [True, False])
def test_a_current_that_also_goes_round_the_first_neurons_is_sent_by_the_host(still: bool, tmp_path: Path) -> None:
    graph = round_the_first(Add(name="sum", inputs=("a.conv", "c.a")))
    data = images()
    x = data.x - 0.5 if still else np.random.default_rng(3).normal(size=data.x.shape)
    data = Samples(x.astype(np.float32), None, "random")

    made = deploy_graph(graph, Options(), data, name="residual", samples=data)

    assert made.host is not None
    assert made.host.boundary == made.integer.input.name == "a.conv"
    captured, sent = (run_float(one, x.astype(float)) for one in (made.captured, made.host.graph))
    np.testing.assert_allclose(run_float(made.lowered, sent["a.conv"])["c"], captured["c"])
    assert sent["a.conv"].min() < 0 < sent["a.conv"].max()
    (note,) = [one for one in made.diagnostics if one.code == "current-sent"]
    assert "the host sends the current 'a.conv'" in note.what
    check = made.check()
    assert not check.spike_driven  # a value in every step, event or not
    assert check.faithful is not None
    assert check.faithful.ok
    assert made.compare().equal
    made.save(tmp_path / "bundle")
    assert load(tmp_path / "bundle").compare().equal


def test_payload_bits_are_not_for_a_current() -> None:
    graph = round_the_first(Add(name="sum", inputs=("a.conv", "c.a")))

    with pytest.raises(InputError, match="payload-bits"):
        deploy_graph(graph, Options(payload_bits=12), images(), name="residual")


def test_an_image_that_itself_goes_round_the_first_neurons_is_refused_before_data_is_read() -> None:
    graph = round_the_first(conv("short", "input", 3, 1), Add(name="sum", inputs=("short", "c.a")))

    with pytest.raises(UnsupportedNodeError) as caught:
        deploy_graph(graph, Options(), images(), name="residual")

    assert str(caught.value).startswith(
        "input 'input': the input reaches 'c' as real values, which also reads the spikes of 'a': on the host it would work "
        "behind the first spike, on the chip the input would come in every step"
    )


@pytest.mark.lava
@pytest.mark.slow
def test_lava_is_sent_the_same() -> None:
    assert deployed("a pool of one").compare(backends=("interpreter", "lava"), limit=1).equal
