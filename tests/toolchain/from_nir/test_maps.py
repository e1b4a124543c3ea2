"""Linear nodes of NIR against their equations: matrices, scales, convolutions, pools, batch norms."""

from __future__ import annotations

import warnings

import nir
import numpy as np
import pytest
from nir_nets import DT, T, chain, run
from numpy.typing import NDArray

from spikewright.toolchain import nirx
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError
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
        ((4, 2), "same", {"dilation": 3}),
        ((2, 3), "same", {"dilation": 2}),
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


@pytest.mark.parametrize(
    ("start", "end", "declared", "merged"),
    [
        (1, 2, (2, 4, 6), (2, 24)),
        (0, 1, (2, 4, 6), (8, 6)),
        (-2, -1, (2, 4, 6), (2, 24)),
        (2, 3, (1, 2, 4, 6), (2, 24)),
        (1, 1, (2, 4, 6), (2, 4, 6)),
    ],
)
@pytest.mark.parametrize("per", ["channel", "neuron"])
def test_a_partial_flatten_merges_axes_for_neurons_sums_and_a_second_one(
    start: int, end: int, declared: tuple[int, ...], merged: tuple[int, ...], per: str, rng: np.random.Generator
) -> None:
    flat = nir.Flatten({"input": np.array(declared)}, 0, -1)
    flat.start_dim, flat.end_dim = start, end
    shape = merged[:1] + (1,) * (len(merged) - 1) if per == "channel" else merged
    threshold, w, x = rng.uniform(0.3, 0.7, shape), rng.normal(size=(3, 48)), rng.random((T, 2, 4, 6))
    ones = np.ones(shape)
    fires = nir.IF(r=ones, v_threshold=threshold, v_reset=0 * ones)
    nodes = (nir.Scale(np.ones((2, 4, 6))), flat, fires, nir.Flatten({"input": np.array(merged)}, 0, -1), nir.Linear(w))

    y = run(chain(*nodes, shape=(2, 4, 6), out=(3,)), x)
    ends = run(chain(flat, fires, shape=(2, 4, 6), out=merged), x)

    v, spikes = np.zeros(merged), []
    for i in x.reshape(T, *merged):
        v = v + i
        spikes.append((v > threshold).astype(float))
        v = np.where(spikes[-1] > 0, 0, v)
    np.testing.assert_array_equal(ends.reshape(T, -1), np.array(spikes).reshape(T, -1))
    np.testing.assert_allclose(y, np.array(spikes).reshape(T, 48) @ w.T, atol=1e-12)
    assert 0 < np.mean(spikes) < 1


def test_an_integrator_in_front_of_a_partial_flatten_is_one_behind_it(rng: np.random.Generator) -> None:
    leaks = nir.LI(tau=np.array([3, 5.0]) * DT, r=np.ones(2), v_leak=np.array([0.1, 0.2]))
    flat = nir.Flatten({"input": np.array([2, 4, 6])}, 1, 2)
    x = rng.random((T, 2, 4, 6))

    merged = run(chain(leaks, flat, shape=(2, 4, 6), out=(2, 24)), x)

    np.testing.assert_allclose(
        merged.reshape(T, -1), run(chain(leaks, shape=(2, 4, 6), out=(2, 4, 6)), x).reshape(T, -1)
    )


def test_a_convolution_of_merged_axes_and_axes_that_are_none_are_refused() -> None:
    flat = nir.Flatten({"input": np.array([2, 4, 6])}, 1, 2)
    line = nir.Conv1d(24, np.ones((2, 2, 3)), 1, 1, 1, 1, np.zeros(2))
    with pytest.raises(UnsupportedNodeError, match=r"merges some axes, to \(2, 24\), for the Conv 'n1'"):
        from_nir(chain(flat, line, shape=(2, 4, 6), out=(2, 24)))

    flat.start_dim, flat.end_dim = 2, 1
    with pytest.raises(ImportingError, match=r"start_dim 2, end_dim 1 on a signal of shape \(2, 4, 6\)"):
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
