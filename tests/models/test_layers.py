"""Layers over (T, B, ...): every step is treated alike, and statistics are shared over T."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spikewright.models import layers


@pytest.mark.parametrize(
    ("layer", "plain"),
    [
        (layers.Conv2d(3, 5, 3, stride=2, padding=1), nn.Conv2d(3, 5, 3, stride=2, padding=1)),
        (layers.AvgPool2d(2), nn.AvgPool2d(2)),
        (layers.MaxPool2d(2), nn.MaxPool2d(2)),
        (layers.Flatten(), nn.Flatten()),
        (layers.BatchNorm2d(3).eval(), nn.BatchNorm2d(3).eval()),
    ],
)
def test_a_layer_does_to_every_step_what_torchs_does(layer: nn.Module, plain: nn.Module) -> None:
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(4, 2, 3, 8, 8)

    torch.testing.assert_close(layer(x), torch.stack([plain(step) for step in x]), rtol=0, atol=1e-6)


def test_batch_norm_shares_its_statistics_over_time() -> None:
    x = torch.randn(4, 8, 3, 5, 5) * 2.0 + torch.arange(4.0).reshape(4, 1, 1, 1, 1)

    y = layers.BatchNorm2d(3)(x)
    z = layers.BatchNorm1d(6)(torch.randn(4, 8, 6))

    torch.testing.assert_close(y.mean((0, 1, 3, 4)), torch.zeros(3), rtol=0, atol=1e-5)
    assert y[3].mean() - y[0].mean() > 0.5
    torch.testing.assert_close(z.mean((0, 1)), torch.zeros(6), rtol=0, atol=1e-5)


def test_dropout_drops_the_same_elements_in_every_step() -> None:
    y = layers.Dropout(0.5)(torch.ones(5, 2, 40))

    assert set(y.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(y, y[:1].expand_as(y))
    assert torch.equal(layers.Dropout(0.5).eval()(y), y)


def test_linear_and_read_out_keep_time_first() -> None:
    x = torch.randn(5, 2, 3)

    assert layers.Linear(3, 4)(x).shape == (5, 2, 4)
    assert torch.equal(layers.MeanOverTime()(x), x.mean(0))
