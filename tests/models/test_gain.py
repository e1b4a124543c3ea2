"""The fair twins of MA: a scalar gain and a ReLU in front of the neuron, vanilla in all else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spikewright.models.attention.gain import ScalarGainLIF
from spikewright.models.attention.ma import MALIF
from spikewright.models.errors import ModelError
from spikewright.models.nets import SmallNet
from spikewright.models.neurons import LIF, lif


def currents() -> Tensor:
    return torch.randn(4, 3, 2, 5, 5, generator=torch.Generator().manual_seed(0))


def twins(**arguments: object) -> tuple[nn.Module, nn.Module]:
    """Return the vanilla net and another one, with the same weights wherever both have them."""
    torch.manual_seed(0)
    vanilla = SmallNet(4, 8, channels=(4, 8, 8), attention="none", neuron="N1")
    torch.manual_seed(0)
    return vanilla.eval(), SmallNet(4, 8, channels=(4, 8, 8), **arguments).eval()  # type: ignore[arg-type]


def test_a_gain_scales_the_current_and_a_relu_cuts_it() -> None:
    x, neuron = currents(), lif("N1")

    torch.testing.assert_close(ScalarGainLIF(neuron, gain=0.25)(x), neuron(0.25 * x))
    torch.testing.assert_close(ScalarGainLIF(neuron, relu=True)(x), neuron(x.clamp(min=0.0)))
    both = ScalarGainLIF(neuron, gain=0.25, relu=True)
    torch.testing.assert_close(both(x), neuron((0.25 * x).clamp(min=0.0)))
    assert float(both.gain.detach()) == pytest.approx(0.25)


def test_a_gain_of_one_without_a_relu_is_the_vanilla_net_and_stays_it_in_training() -> None:
    vanilla, twin = twins(attention="gain")
    layers = [m for m in twin.modules() if isinstance(m, ScalarGainLIF)]
    for layer in layers:
        layer.score.data.fill_(torch.inf)
    x = torch.rand(4, 3, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    assert torch.equal(twin(x), vanilla(x))
    twin(x).square().sum().backward()
    assert [float(layer.score.grad) for layer in layers if layer.score.grad is not None] == [0.0] * len(layers)


def test_the_gain_starts_where_mas_product_of_gates_starts_and_learns() -> None:
    for dims, start in (("TCS", 0.125), ("TC", 0.25), ("S", 0.5)):
        _, twin = twins(attention="relu-gain", dims=dims)
        assert [float(m.gain.detach()) for m in twin.modules() if isinstance(m, ScalarGainLIF)] == pytest.approx(
            [start] * 2
        )
    neuron = ScalarGainLIF(lif("N1"), gain=0.5)
    neuron(currents()).sum().backward()
    assert float(neuron.score.grad) != 0.0  # type: ignore[arg-type]


@pytest.mark.parametrize(("attention", "more"), [("relu", 0), ("gain", 2), ("relu-gain", 2)])
def test_a_fair_twin_has_the_vanilla_weights_and_neurons_and_one_number_a_layer(attention: str, more: int) -> None:
    vanilla, twin = twins(attention=attention)

    weights = dict(twin.named_parameters())
    assert all(torch.equal(weights[name], value) for name, value in vanilla.named_parameters())
    assert len(weights) == len(dict(vanilla.named_parameters())) + more
    assert [m.v_threshold for m in twin.modules() if isinstance(m, LIF)] == [0.3] * 3
    assert isinstance(next(m for m in twin.modules() if isinstance(m, LIF | ScalarGainLIF)), LIF), (
        "the stem stays plain"
    )


def test_ma_has_the_released_code_as_a_variant_and_no_other_family_has() -> None:
    net = SmallNet(4, 8, attention="ma", variant="code")

    assert [m.variant for m in net.modules() if isinstance(m, MALIF)] == ["code"]
    with pytest.raises(ModelError, match=r"attention 'gac', variant 'code'; allowed are .* and published, causal"):
        SmallNet(attention="gac", variant="code")


def test_a_gain_outside_its_range_is_refused() -> None:
    for gain in (0.0, 1.5):
        with pytest.raises(ModelError, match=f"gain {gain}; allowed are above 0 to 1"):
            ScalarGainLIF(lif("N1"), gain=gain)
