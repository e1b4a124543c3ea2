"""The tables against the frameworks themselves, where installed (extra ``frameworks``): every spike of every neuron equal."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from foreign_nets import Run, spikes_unlike
from torch import Tensor, nn

from spikewright.export.torch_to_nir import capture
from spikewright.toolchain.errors import UnsupportedNodeError

pytestmark = pytest.mark.filterwarnings("ignore")
T, B = 10, 4


def events(*shape: int) -> Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(1)) < 0.4).float()


def equal(net: nn.Module, x: Tensor) -> None:
    wrong, total, rate = spikes_unlike(net.eval(), x)

    assert wrong == 0, f"{wrong} of {total} spikes differ"
    assert rate > 0.001


@pytest.mark.parametrize("v_reset", [0.0, None, 0.1])
@pytest.mark.parametrize("name", ["IFNode", "LIFNode", "ParametricLIFNode", "CUBALIFNode"])
@pytest.mark.parametrize("mode", ["s", "m"])
def test_spikingjelly(name: str, v_reset: float | None, mode: str) -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    layer = pytest.importorskip("spikingjelly.activation_based.layer")
    functional = pytest.importorskip("spikingjelly.activation_based.functional")
    torch.manual_seed(0)
    node = getattr(neuron, name)(v_threshold=0.3, v_reset=v_reset)
    body = nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1, bias=False),
        layer.BatchNorm2d(4),
        node,
        layer.MaxPool2d(2),
        layer.Flatten(),
        layer.Linear(64, 3),
    )
    functional.set_step_mode(body, mode)
    net = body if mode == "m" else Run(lambda m, x: torch.stack([m.body(a) for a in x]), body=body)

    if name == "CUBALIFNode" and v_reset:
        with pytest.raises(UnsupportedNodeError, match="CUBALIFNode"):
            capture(net, events(T, B, 2, 8, 8))
    else:
        equal(net, events(T, B, 2, 8, 8))


def test_spikingjelly_attention() -> None:
    masnn = pytest.importorskip("spikingjelly.activation_based.model.masnn")
    torch.manual_seed(0)
    net = masnn.MASNN(
        T=6,
        num_classes=5,
        input_size=(8, 8),
        channels=(8, 8),
        pools=(1, 2),
        fc_hidden=16,
        reduction_t=2,
        reduction_c=4,
        v_threshold=0.05,
    )

    equal(net, events(6, B, 2, 8, 8))


@pytest.mark.parametrize("options", [{}, {"reset_mechanism": "zero"}, {"beta": 1.0}])
def test_snntorch(options: dict[str, Any]) -> None:
    snn = pytest.importorskip("snntorch")
    torch.manual_seed(0)
    leaky = snn.Leaky(**{"beta": 0.9, **options})

    def forward(m: Any, x: Tensor) -> Tensor:
        mem, out = m.n.reset_mem(), []
        for a in x:
            s, mem = m.n(m.fc(a), mem)
            out.append(m.out(s))
        return torch.stack(out).mean(0)

    equal(Run(forward, fc=nn.Linear(20, 30), n=leaky, out=nn.Linear(30, 4)), events(T, B, 20) * 2)


@pytest.mark.parametrize("leak", [0.0, 0.05])
@pytest.mark.parametrize("name", ["LIFBoxCell", "IAFCell"])
def test_norse(name: str, leak: float) -> None:
    norse = pytest.importorskip("norse.torch")
    torch.manual_seed(0)
    box = {
        "p": norse.LIFBoxParameters(tau_mem_inv=torch.tensor(300.0), v_th=torch.tensor(0.1), v_leak=torch.tensor(leak))
    }
    cell = getattr(norse, name)(**(box if name == "LIFBoxCell" else {}))

    def forward(m: Any, x: Tensor) -> Tensor:
        state, out = None, []
        for a in x:
            y, state = m.net(a, state)
            out.append(y)
        return torch.stack(out).mean(0)

    equal(Run(forward, net=norse.SequentialState(nn.Linear(20, 30), cell, nn.Linear(30, 4))), events(T, B, 20))


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("name", ["IAF", "LIF"])
def test_sinabs(name: str, subtract: bool) -> None:
    layers, activation = pytest.importorskip("sinabs.layers"), pytest.importorskip("sinabs.activation")
    torch.manual_seed(0)
    reset = activation.MembraneSubtract() if subtract else activation.MembraneReset()
    options = {"spike_fn": activation.SingleSpike, "reset_fn": reset, "spike_threshold": torch.tensor(0.2)}
    options |= {"tau_mem": 5.0} if name == "LIF" else {}

    equal(nn.Sequential(nn.Linear(20, 30), getattr(layers, name)(**options), nn.Linear(30, 4)), events(B, T, 20))


def test_sinabs_of_several_spikes_a_step_is_refused() -> None:
    layers = pytest.importorskip("sinabs.layers")

    with pytest.raises(UnsupportedNodeError, match="spike_fn MultiSpike"):
        capture(nn.Sequential(nn.Linear(20, 30), layers.IAF()), events(B, T, 20))
