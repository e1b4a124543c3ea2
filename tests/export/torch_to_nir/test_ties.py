"""Membranes that meet their threshold but for rounding: the module and its capture may differ there, and it is told."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spikewright.export.torch_to_nir import trace
from spikewright.export.torch_to_nir.capture import capture_of
from spikewright.models.layers import Linear
from spikewright.models.neurons import lif
from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.interpret.states import FloatState
from spikewright.toolchain.ops import Array

T, B, N = 3, 2, 4


def chain() -> nn.Sequential:
    """Return two layers of N4 (v > 1) that read their input as it is: an input of 1 meets the threshold exactly."""
    net = nn.Sequential(Linear(N, N, bias=False), lif("N4"), Linear(N, N, bias=False), lif("N4"))
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(N))
        net[2].weight.copy_(3 * torch.eye(N))
    return net.double()


def summed_otherwise(monkeypatch: pytest.MonkeyPatch, more: float) -> None:
    total = FloatState.total

    def other(state: FloatState, currents: list[Array]) -> Array:
        found = total(state, currents)
        return found + more * (found == 1)

    monkeypatch.setattr(FloatState, "total", other)


def test_a_tie_follows_the_module_through_all_layers_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    example = torch.zeros(T, B, N, dtype=torch.float64)
    example[0, :, :2], example[1, :, 3] = 1.0, 2.0
    assert "assumed" not in capture_of(chain(), example).graph.metadata

    summed_otherwise(monkeypatch, 2.3e-16)

    told = capture_of(chain(), example).graph.metadata["assumed"]
    count, _, rest = told.partition(" ")
    assert int(count) >= 2 * B  # on the example, and on the events that are tried beside it
    assert rest.startswith("spikes of net are ties: a membrane meets its threshold but for rounding")


def test_what_is_more_than_rounding_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    example = torch.zeros(T, B, N, dtype=torch.float64)
    example[0, :, :2], example[1, :, 3] = 1.0, 2.0
    summed_otherwise(monkeypatch, 1e-9)

    with pytest.raises(
        ImportingError, match=f"{2 * B} of {T * B * N} spikes differ between the module and its capture"
    ):
        capture_of(chain(), example)


def test_a_large_layer_that_sends_something_else_than_spikes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "LARGE", T * B * N - 1)
    net, example = chain(), torch.full((T, B, N), 2.0, dtype=torch.float64)
    net[1].register_forward_hook(lambda module, x, out: 0.5 * out)

    with pytest.raises(ImportingError, match="the module sends other values than 0 and 1 there"):
        capture_of(net, example)
