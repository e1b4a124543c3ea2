"""Shapes of float and integer graphs, and the errors where operands do not fit."""

from __future__ import annotations

import numpy as np
import pytest
from int_nets import int_conv, int_dense, int_input, int_lif

from spikewright.toolchain import integer as i
from spikewright.toolchain import ops as f
from spikewright.toolchain.errors import VerifyError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.shapes import RULES, shapes

ONE = np.ones(1)


def graph(*ops: f.Op) -> Graph:
    return Graph(ops, timesteps=4)


def lif(name: str, source: str, shape: tuple[int, ...], **more: object) -> f.Lif:
    return f.Lif(name=name, inputs=(source,), shape=shape, beta=ONE, v_threshold=ONE, **more)


def test_every_op_of_both_vocabularies_has_a_rule() -> None:
    abstract = {f.Op, f.AnyInput, f.AnyOutput}
    for module in (f, i):
        for cls in vars(module).values():
            if isinstance(cls, type) and issubclass(cls, f.Op) and cls not in abstract:
                assert RULES.keys() & set(cls.__mro__), cls.__name__


def test_shapes_of_a_conv_net(rng: np.random.Generator) -> None:
    net = graph(
        f.Input(name="x", shape=(4, 9, 8)),
        f.Conv(name="conv", inputs=("x",), weight=rng.random((6, 2, 3, 5)), stride=(2, 1), padding=(1, 0), groups=2),
        f.Scale(name="bn", inputs=("conv",), scale=np.ones(6)),
        lif("lif", "bn", (6, 5, 4)),
        f.SumPool(name="pool", inputs=("lif",), kernel=(2, 2), stride=(2, 2), padding=(1, 0)),
        f.Flatten(name="flat", inputs=("pool",)),
        f.Affine(name="fc", inputs=("flat",), weight=rng.random((3, 36))),
        f.Output(name="out", inputs=("fc",)),
    )

    assert shapes(net) == {
        "x": (4, 9, 8), "conv": (6, 5, 4), "bn": (6, 5, 4), "lif": (6, 5, 4),
        "pool": (6, 3, 2), "flat": (36,), "fc": (3,), "out": (3,),
    }  # fmt: skip


def test_shapes_go_round_a_feedback_loop(rng: np.random.Generator) -> None:
    net = graph(
        f.Input(name="x", shape=(5,)),
        f.Delay(name="d", inputs=("lif",), steps=1),
        f.Affine(name="w", inputs=("d",), weight=rng.random((5, 5))),
        f.Add(name="sum", inputs=("w", "x")),
        lif("lif", "sum", (5,)),
    )

    assert shapes(net)["d"] == (5,)


def test_integer_connections_read_grids_flat(rng: np.random.Generator) -> None:
    zero = np.zeros(1, np.int64)
    net = graph(
        int_input(name="x", shape=(2, 4, 4)),
        int_conv(name="c", inputs=("x",), weight=np.ones((3, 2, 3, 3), np.int64)),
        int_lif(name="n", inputs=("c",), shape=(3, 2, 2), decay_v=zero, bias=zero, threshold=zero),
        int_dense(name="d", inputs=("n",), weight=np.ones((7, 12), np.int64)),
    )

    assert shapes(net)["d"] == (7,)


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (
            f.Affine(name="a", inputs=("x",), weight=np.ones((2, 7))),
            r"Affine reads shape \(4, 6, 6\); it takes 7 values",
        ),
        (f.Conv(name="a", inputs=("x",), weight=np.ones((2, 3, 3, 3))), r"it takes \(3, H, W\)"),
        (f.Conv(name="a", inputs=("x",), weight=np.ones((2, 4, 7, 7))), "at least a 7 x 7 window"),
        (f.Conv(name="a", inputs=("x",), weight=np.ones((2, 4, 3, 3)), bias=np.ones(3)), r"bias has shape \(3,\)"),
        (f.Scale(name="a", inputs=("x",), scale=np.ones(5)), "5 channels on axis 0"),
        (f.Add(name="a", inputs=("x", "y")), r"\(4, 6, 6\) beside \(3,\)"),
        (f.Flatten(name="a", inputs=("x", "y")), "Flatten reads 2 operands; takes 1"),
        (f.Flatten(name="a", inputs=("z",)), "reads 'z', which no op is called"),
        (lif("a", "x", (4, 6, 7)), r"it takes \(4, 6, 7\)"),
        (f.Input(name="x", shape=(1,)), "two ops are called 'x'"),
    ],
)
def test_operands_that_do_not_fit_are_refused(op: f.Op, message: str) -> None:
    with pytest.raises(VerifyError, match=message) as caught:
        shapes(graph(f.Input(name="x", shape=(4, 6, 6)), f.Input(name="y", shape=(3,)), op))

    assert caught.value.where
    assert caught.value.help


def test_a_loop_without_any_shape_is_refused_by_name() -> None:
    loop = (f.Delay(name="d", inputs=("r",), steps=1), f.Relu(name="r", inputs=("d",)))

    with pytest.raises(VerifyError, match="the shapes of d, r depend on each other only"):
        shapes(graph(*loop))
