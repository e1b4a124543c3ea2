"""What a proof keeps of a value: spikes all of them, in a bit; of large real values enough to see another one."""

from __future__ import annotations

import sys
from math import gcd
from typing import Any

import nir
import pytest
import torch
from torch import nn

from spikewright.export.torch_to_nir import capture, trace
from spikewright.export.torch_to_nir.convert import convert
from spikewright.export.torch_to_nir.trace import Kept
from spikewright.models.layers import Conv2d, Flatten, Linear
from spikewright.models.neurons import lif
from spikewright.toolchain.errors import ImportingError


def test_spikes_are_kept_all_and_large_real_values_by_a_stride_that_meets_every_channel_and_pixel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trace, "LARGE", 100)
    x = torch.randn(4, 2, 6, 5, 5, dtype=torch.float64)

    spikes, real, few = Kept.of((x > 1).double()), Kept.of(x.relu()), Kept.of(x[:1, :1, :1])

    assert (spikes.numbers.dtype, spikes.every, spikes.numbers.shape) == (torch.bool, 1, x.shape)
    assert (real.shape, gcd(real.every, x.numel())) == (x.shape, 1)
    assert real.numbers.numel() <= 100
    assert real.fired is not None
    assert torch.equal(real.fired, x > 0)
    assert few.numbers.numel() == 25


def test_a_capture_of_large_values_is_still_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "LARGE", 64)
    monkeypatch.setattr(sys.modules["spikewright.export.foreign.record"], "LARGE", 64)
    torch.manual_seed(0)
    net = nn.Sequential(Conv2d(2, 3, 3, padding=1), lif("N5"), Flatten(), Linear(3 * 36, 4))
    x = (torch.rand(5, 2, 2, 6, 6) < 0.5).float()

    graph = capture(net, x)

    assert len(graph.nodes) >= 4
    monkeypatch.setattr(sys.modules[capture.__module__], "convert", planted)
    with pytest.raises(ImportingError, match="differ"):
        capture(net, x)


def planted(*given: Any, **how: Any) -> Any:
    """Convert, and change one weight of the convolution by a little."""
    graph, names = convert(*given, **how)
    next(node for node in graph.nodes.values() if isinstance(node, nir.Conv2d)).weight[0, 0, 1, 1] += 1e-3
    return graph, names
