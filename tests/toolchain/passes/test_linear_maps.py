"""Linear maps in a row: what ``compose`` makes of two is what the one and then the other make, at the borders too."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spikewright.toolchain.interpret.floats import apply
from spikewright.toolchain.ops import AdaptivePool, Affine, Conv, Flatten, Op, Scale, SumPool
from spikewright.toolchain.passes.linear_maps import Kernel, LinearMap, Matrix, compose, listed, of, synapses_of
from spikewright.toolchain.shapes import infer

Shape = tuple[int, ...]
KINDS = ("conv", "depthwise", "scale", "scale each", "pool", "uneven", "flatten", "matrix")


def drawn(draw: st.DrawFn, kind: str, shape: Shape, rng: np.random.Generator) -> Op:
    """Draw an op that reads a signal of a shape."""
    number, pair = (lambda low, high: draw(st.integers(low, high))), (lambda n: (n, n))
    if len(shape) == 1:
        kind = kind if kind in ("scale", "scale each") else "matrix"
    if kind in ("conv", "depthwise"):
        groups = shape[0] if kind == "depthwise" else draw(st.sampled_from([g for g in (1, 2) if shape[0] % g == 0]))
        outs = groups * number(1, 2)
        k, d = number(1, 3), number(1, 2)
        weight = rng.normal(size=(outs, shape[0] // groups, k, number(1, 3)))
        stride, padding = (number(1, 3), number(1, 2)), (number(0, 2), number(0, 2))
        return Conv(name=kind, weight=weight, stride=stride, padding=padding, dilation=pair(d), groups=groups)
    if kind in ("scale", "scale each"):
        return Scale(name=kind, scale=rng.normal(size=shape[:1] if kind == "scale" else shape))
    if kind == "pool":
        return SumPool(
            name=kind, kernel=pair(number(1, 3)), stride=pair(number(1, 3)), padding=pair(number(0, 1)), scale=0.3
        )
    if kind == "uneven":
        return AdaptivePool(name=kind, size=(number(1, shape[1]), number(1, shape[2])))
    if kind == "flatten":
        return Flatten(name=kind)
    return Affine(name="matrix", weight=rng.normal(size=(number(1, 3), prod(shape))))


@st.composite
def chains(draw: st.DrawFn) -> tuple[list[Op], list[Shape]]:
    """Draw linear ops in a row, and the shapes between."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 16)))
    shapes: list[Shape] = [(draw(st.sampled_from([1, 2, 4])), draw(st.integers(3, 9)), draw(st.integers(3, 9)))]
    ops: list[Op] = []
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=2, max_size=4)):
        op = drawn(draw, kind, shapes[-1], rng)
        if isinstance(op, Conv | SumPool):
            k = (
                [(n - 1) * d + 1 for n, d in zip(op.weight.shape[2:], op.dilation, strict=True)]
                if isinstance(op, Conv)
                else op.kernel
            )
            assume(all(n + 2 * p >= size for n, p, size in zip(shapes[-1][1:], op.padding, k, strict=True)))
        ops.append(op)
        shapes.append(infer(op, [shapes[-1]]))
    return ops, shapes


@settings(max_examples=40, deadline=None)
@given(chains())
def test_maps_composed_are_maps_applied_in_a_row(chain: tuple[list[Op], list[Shape]]) -> None:
    ops, shapes = chain
    x = np.random.default_rng(0).normal(size=(3, *shapes[0]))
    expected = x
    for op in ops:
        expected = apply(op, [expected])
    maps = [of(op, *pair) for op, pair in zip(ops, pairwise(shapes), strict=True)]
    whole: list[LinearMap] = []
    for each in maps:
        assert each is not None
        made = compose(whole[-1], each) if whole else each
        whole[-1:] = [made] if made is not None else [*whole[-1:], each]

    for found in (whole, [listed(tuple(m for m in maps if m is not None))]):
        y = x
        for one in found:
            assert one is not None
            y = one.apply(y)
        np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(chains())
def test_synapses_are_counted_before_two_maps_become_one(chain: tuple[list[Op], list[Shape]]) -> None:
    ops, shapes = chain
    a, b = of(ops[0], shapes[0], shapes[1]), of(ops[1], shapes[1], shapes[2])
    assert a is not None
    assert b is not None
    both = compose(a, b)
    most = prod(shapes[0]) * prod(shapes[2])
    taps = [float(np.count_nonzero(listed((one,)).weight)) for one in (a, b, both) if one is not None]  # type: ignore[union-attr]
    if both is not None:
        assert taps[2] <= synapses_of(a, b) <= max(most, *(one.synapses for one in (a, b, both)))
        assert taps[2] <= both.synapses


@pytest.mark.parametrize(
    ("first", "second", "size", "stride", "padding", "dilation"),
    [
        ((3, 1, 1), (1, 2, 0), 3, 2, 1, 1),  # a strided shortcut on a membrane
        ((1, 2, 0), (3, 1, 1), 3, 2, 2, 2),  # a strided tap in front: the kernel is dilated, not full of zeros
        ((1, 1, 0), (3, 1, 1), 3, 1, 1, 1),  # RepConv
        ((2, 2, 0), (3, 1, 1), 6, 2, 2, 1),  # average pooling in front of a padded convolution
    ],
)
def test_kernels_of_two_convolutions(
    first: tuple[int, int, int], second: tuple[int, int, int], size: int, stride: int, padding: int, dilation: int
) -> None:
    rng = np.random.default_rng(0)
    made: list[LinearMap] = []
    shape: Shape = (2, 8, 8)
    for k, s, p in (first, second):
        conv = Conv(name="c", weight=rng.normal(size=(2, 2, k, k)), stride=(s, s), padding=(p, p))
        after = infer(conv, [shape])
        found = of(conv, shape, after)
        assert found is not None
        made, shape = [*made, found], after

    both = compose(*made)

    assert isinstance(both, Kernel)
    assert (both.weight.shape[2], both.stride[0], both.padding[0], both.dilation[0]) == (
        size,
        stride,
        padding,
        dilation,
    )


def test_what_pads_a_map_of_a_padded_map_is_no_kernel_but_a_matrix(rng: np.random.Generator) -> None:
    one = Kernel((2, 4, 4), (2, 4, 4), rng.normal(size=(2, 2, 3, 3)), padding=(1, 1))
    assert compose(one, one) is None
    assert isinstance(listed((one, one)), Matrix)
