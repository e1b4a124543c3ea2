"""Transposed convolution: torch's numbers, the same synapses one by one, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import conv_transpose2d

from spikewright.hw_sim.linear import transposed_conv2d
from spikewright.hw_sim.synapses import MisfitError, TransposedConvSynapses

CASES = [
    ((3, 3), (2, 2), (1, 1), (1, 1)),
    ((3, 3), (1, 1), (1, 1), (0, 0)),
    ((2, 4), (2, 3), (0, 1), (1, 2)),
    ((1, 2), (3, 1), (0, 0), (0, 0)),
]


@pytest.mark.parametrize(("kernel", "stride", "padding", "more"), CASES)
def test_it_is_torchs_and_its_synapses_listed_one_by_one_deliver_the_same(
    kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], more: tuple[int, int]
) -> None:
    rng = np.random.default_rng(1)
    weight, x = rng.integers(-9, 10, (4, 3, *kernel)), rng.integers(0, 5, (6, 3, 4, 5))
    made = TransposedConvSynapses(weight, stride, padding, more)
    source, target = x.shape[1:], made.shape(x.shape[1:])
    torchs = conv_transpose2d(
        torch.from_numpy(x).double(),
        torch.from_numpy(weight.swapaxes(0, 1).copy()).double(),
        None,
        stride,
        padding,
        more,
    ).numpy()

    np.testing.assert_array_equal(transposed_conv2d(x, weight, stride, padding, more), torchs)
    flat = x.reshape(6, -1)
    np.testing.assert_array_equal(made.deliver(flat, source, target), torchs.reshape(6, -1))
    rows, columns, values = made.entries(source, target)
    matrix = np.zeros((torchs[0].size, flat.shape[1]), np.int64)
    np.add.at(matrix, (rows, columns), values)
    np.testing.assert_array_equal(flat @ matrix.T, torchs.reshape(6, -1))
    assert np.abs(matrix).sum(axis=1).max() <= made.heaviest() <= np.abs(weight).sum(axis=(1, 2, 3)).max()
    assert not list(made.malformed())


def test_a_kernel_that_is_padded_away_and_a_source_of_other_channels_are_refused() -> None:
    weight = np.ones((1, 2, 3, 3), np.int64)
    assert "padding" in str(next(iter(TransposedConvSynapses(weight, (2, 2), (3, 3)).malformed())))
    assert "output_padding" in str(next(iter(TransposedConvSynapses(weight, (1, 1), (1, 1), (1, 1)).malformed())))
    with pytest.raises(MisfitError, match=r"takes \(2, H, W\)"):
        TransposedConvSynapses(weight).shape((3, 4, 4))
