"""Linear nodes of NIR against their equations: matrices, scales, convolutions, pools, batch norms."""

from __future__ import annotations

import warnings

import nir
import numpy as np
import pytest
from nir_nets import T, chain, run
from numpy.typing import NDArray

from spikewright.toolchain import nirx
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.from_nir import from_nir


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


@pytest.mark.parametrize(("start", "end", "declared"), [(1, -1, (2, 4, 6)), (1, 3, (1, 2, 4, 6)), (-3, 2, (2, 4, 6))])
def test_a_flatten_that_counts_a_batch_axis_or_none_flattens_all(
    start: int, end: int, declared: tuple[int, ...]
) -> None:
    flat = nir.Flatten({"input": np.array(declared)}, 0, -1)
    flat.start_dim, flat.end_dim = start, end
    x = np.arange(T * 48.0).reshape(T, 2, 4, 6)

    np.testing.assert_array_equal(run(chain(flat, shape=(2, 4, 6), out=(48,)), x), x.reshape(T, 48))


def test_a_partial_flatten_is_refused() -> None:
    flat = nir.Flatten({"input": np.array([2, 4, 6])}, 1, 2)

    with pytest.raises(UnsupportedNodeError, match="start_dim 1, end_dim 2"):
        from_nir(chain(flat, shape=(2, 4, 6), out=(2, 24)))


@pytest.mark.parametrize(
    ("first", "shape"),
    [
        (nir.Linear(np.ones((2, 5))), (5,)),
        (nir.Conv2d((4, 6), np.ones((3, 1, 1, 1)), 1, 0, 1, 3, np.zeros(3)), (3, 4, 6)),
        (nir.Flatten({"input": np.array([2, 3])}, 0, -1), (2, 3)),
    ],
    ids=["matrix", "convolution", "flatten"],
)
def test_an_input_without_a_shape_takes_that_of_its_reader(first: nir.NIRNode, shape: tuple[int, ...]) -> None:
    graph = chain(first, shape=(1,), out=(1,))
    graph.nodes["input"].input_type, graph.nodes["output"].output_type = {"input": None}, {"output": None}

    assert from_nir(graph).input.shape == shape


def test_a_batch_norm_is_a_scale_and_shift_per_channel(rng: np.random.Generator) -> None:
    mean, variance, weight, bias = rng.random((4, 2))
    x = rng.normal(size=(T, 2, 3, 3))

    y = run(chain(nirx.BatchNorm(mean, variance, weight, bias, 1e-3, (2, 3, 3)), shape=(2, 3, 3), out=(2, 3, 3)), x)

    m, v, w, b = (p.reshape(2, 1, 1) for p in (mean, variance, weight, bias))
    np.testing.assert_allclose(y, (x - m) / np.sqrt(v + 1e-3) * w + b, atol=1e-12)
