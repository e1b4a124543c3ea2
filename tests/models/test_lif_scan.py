"""The compiled LIF loop gives torch's spikes, membranes and gradients, whatever the layout; still inputs go through once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from spikewright.models import layers, lif_scan
from spikewright.models.neurons import LIF, AdaptiveLIF, Neuron, lif
from spikewright.models.surrogate import ATan, PiecewiseQuadratic

NEURONS: dict[str, Neuron] = {
    **{name: lif(name) for name in ("N1", "N2", "N3", "N4", "N5", "N6", "N7")},  # type: ignore[arg-type]
    "subtract": LIF(0.6, 0.7, reset="subtract", comparison=">", surrogate=ATan(2.0)),
    "quadratic": LIF(0.6, 0.7, gain=0.5, detach_reset=True, surrogate=PiecewiseQuadratic(1.0)),
}
ORDERS = {"channels first": (0, 1, 2, 3, 4), "channels last": (0, 1, 4, 2, 3)}


def leaf(x: Tensor) -> Tensor:
    return x.detach().clone(memory_format=torch.preserve_format).requires_grad_()


def in_torch(neuron: Neuron, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor]:
    with monkeypatch.context() as patch:
        patch.setattr(lif_scan, "fits", lambda _: False)
        spikes, membrane = neuron.trace(x)
    return spikes, membrane


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NEURONS)
def test_the_loop_gives_the_bits_of_torch(
    name: str, dtype: torch.dtype, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    neuron = NEURONS[name]
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(6, 3, 11, 40, 5, dtype=dtype, generator=generator).permute(ORDERS[order])
    x[0, 0, 0, :2] = neuron.v_threshold / neuron.gain  # type: ignore[operator]  # exact ties
    scanned, stepped, plain = leaf(x), leaf(x), leaf(x)
    ds = torch.randn(x.shape, dtype=dtype, generator=generator)
    du = torch.randn(x.shape, dtype=dtype, generator=generator)

    spikes, (traced, membrane), (expected, u) = (
        neuron(scanned),
        neuron.trace(stepped),
        in_torch(neuron, plain, monkeypatch),
    )
    spikes.backward(ds)
    torch.autograd.backward((traced, membrane), (ds, du))
    torch.autograd.backward((expected, u), (ds, du))
    alone = leaf(x)
    in_torch(neuron, alone, monkeypatch)[0].backward(ds)

    assert torch.equal(spikes, expected)
    assert torch.equal(traced, expected)
    assert torch.equal(membrane, u)
    assert scanned.grad is not None and alone.grad is not None and stepped.grad is not None and plain.grad is not None  # noqa: PT018
    tolerance = 1e-6 if name == "N2" else 0.0  # a sum of three terms, in another order
    torch.testing.assert_close(scanned.grad, alone.grad, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(
        stepped.grad, plain.grad, rtol=1e-6, atol=1e-6
    )  # the sum over u's uses, in another order
    assert spikes.stride()[1:] == x.stride()[1:]


def test_a_still_current_and_one_of_half_precision_are_scanned_as_full_ones() -> None:
    neuron, x = lif("N4"), torch.rand(1, 4, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 2
    still = x.expand(5, -1, -1, -1, -1)

    assert torch.equal(neuron(still), neuron(still.contiguous()))
    assert neuron(still.bfloat16()).dtype == torch.float32
    assert torch.equal(neuron(still.bfloat16()), neuron(still.bfloat16().float()))


def test_the_adaptive_neuron_learns_through_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    neuron = AdaptiveLIF(3).double()
    x = torch.randn(6, 4, 3, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def gradients() -> list[Tensor]:
        neuron.zero_grad()
        (neuron(x) * x).sum().backward()
        return [p.grad.clone() for p in neuron.parameters() if p.grad is not None]

    fast = gradients()
    monkeypatch.setattr(lif_scan, "fits", lambda _: False)
    for found, expected in zip(fast, gradients(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert len(fast) == 2


def test_layers_work_on_a_still_input_once_and_give_the_same() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 4, 2, 6, 6)
    still, moving = x.expand(5, -1, -1, -1, -1), x.repeat(5, 1, 1, 1, 1)
    conv, norm = layers.Conv2d(2, 3, 3), layers.BatchNorm2d(3)
    calls: list[int] = []
    conv_forward = torch.nn.Conv2d.forward

    def counted(self: torch.nn.Conv2d, input: Tensor) -> Tensor:
        calls.append(input.shape[0])
        return conv_forward(self, input)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Conv2d, "forward", counted)
        once, each = norm(conv(still)), norm(conv(moving))

    assert calls == [4, 20]
    assert layers.is_still(once)
    torch.testing.assert_close(once, each, rtol=1e-5, atol=1e-5)
