"""The neurons N1 to N7 against golden vectors computed from the papers' and the released codes' equations."""

from __future__ import annotations

import pytest
import torch

from spikewright.models.errors import ModelError
from spikewright.models.neurons import LIF, AdaptiveLIF, lif

CURRENT = [0.6, 0.6, 0.6, 0.2, 1.2, 0.0, 0.5, 0.5, 2.5, 0.1]
GOLDEN = {
    "N1": ("1110101110", [0.6, 0.6, 0.6, 0.2, 1.26, 0.0, 0.5, 0.5, 2.5, 0.1]),
    "N2": ("1110101110", [0.6, 0.69, 0.69, 0.29, 1.287, 0.09, 0.527, 0.59, 2.59, 0.19]),
    "N3": ("1110100110", [0.6, 0.6, 0.6, 0.2, 1.25, 0.0, 0.5, 0.625, 2.5, 0.1]),
    "N4": ("0010100010", [0.6, 0.9, 1.05, 0.2, 1.3, 0.0, 0.5, 0.75, 2.875, 0.1]),
    "N6": ("1110101110", [0.6, 0.6, 0.6, 0.2, 1.25, 0.0, 0.5, 0.5, 2.5, 0.1]),
    "N7": ("1110100110", [0.6, 0.6, 0.6, 0.2, 1.25, 0.0, 0.5, 0.625, 2.5, 0.1]),
    "N5": ("0000000010", [0.3, 0.45, 0.525, 0.3625, 0.78125, 0.390625, 0.4453125, 0.47265625, 1.486328125, 0.05]),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_named_neuron_gives_its_golden_spikes_and_membrane(name: str) -> None:
    spikes, membrane = GOLDEN[name]
    current = torch.tensor(CURRENT, dtype=torch.float64)[:, None, None]

    trace = lif(name).trace(current)

    assert "".join(str(int(s)) for s in trace.spikes.flatten()) == spikes
    torch.testing.assert_close(trace.membrane.flatten(), torch.tensor(membrane, dtype=torch.float64), rtol=0, atol=1e-9)


def test_a_neuron_starts_from_zero_at_every_forward() -> None:
    neuron, current = lif("N4"), torch.rand(6, 2, 3, generator=torch.Generator().manual_seed(0))

    assert torch.equal(neuron(current), neuron(current))


def test_reset_by_subtraction_keeps_what_is_above_the_threshold() -> None:
    neuron = LIF(1.0, 1.0, reset="subtract", comparison=">=")

    trace = neuron.trace(torch.tensor([1.75, 0.25, 0.0])[:, None])

    assert trace.membrane.flatten().tolist() == [1.75, 1.0, 0.0]
    assert trace.spikes.flatten().tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(("detach", "expected"), [(True, 0.0), (False, -0.75)])
def test_a_detached_reset_stops_the_gradient_through_the_spike(detach: bool, expected: float) -> None:
    """d v[1] / d x[0] = beta (1 - s - u ds/du): s = 1, u = 1.5, ds/du = 1, beta = .5."""
    neuron = LIF(0.5, 1.25, detach_reset=detach)
    current = torch.tensor([1.5, 0.0]).requires_grad_()

    neuron.trace(current[:, None]).membrane[1].sum().backward()

    assert current.grad is not None
    assert current.grad[0].item() == pytest.approx(expected)


def test_an_unknown_neuron_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"no neuron 'N9'; there are N1, N2, N3, N4, N5") as info:
        lif("N9")  # type: ignore[arg-type]
    assert info.value.help


def test_the_adaptive_neuron_starts_as_n7_and_learns_leak_and_gain_per_channel() -> None:
    neuron = AdaptiveLIF(2).double()
    current = torch.tensor(CURRENT, dtype=torch.float64)[:, None, None].expand(-1, 1, 2).contiguous()
    torch.testing.assert_close(
        neuron.trace(current).membrane[:6, 0, 0], lif("N7").trace(current).membrane[:6, 0, 0], rtol=1e-6, atol=0
    )
    with torch.no_grad():
        neuron.decay_logit[1] = 0.0
        neuron.gain[1] = 0.5

    membrane = neuron.trace(current).membrane[:, 0, 1]

    torch.testing.assert_close(membrane[:3], torch.tensor([0.3, 0.45, 0.525], dtype=torch.float64))
    neuron.trace(current).membrane.sum().backward()
    assert (neuron.decay_logit.grad != 0).all()  # type: ignore[union-attr]
    assert (neuron.gain.grad != 0).all()  # type: ignore[union-attr]
