"""The tables against the frameworks themselves, where installed (extra ``frameworks``): every spike of every neuron equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_nets import Run, spikes_unlike
from torch import Tensor, nn

from spikewright.export.foreign.registry import named_row_of
from spikewright.export.torch_to_nir import capture
from spikewright.toolchain.errors import UnsupportedNodeError

pytestmark = pytest.mark.filterwarnings("ignore")
T, B = 10, 4


def events(*shape: int) -> Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(1)) < 0.4).float()


CHECKED = Path(__file__).with_name("checked.txt")
RAN: set[str] = set()
"""``framework class`` of the rows that the tests of this file found equal."""


def equal(net: nn.Module, x: Tensor) -> None:
    wrong, total, rate = spikes_unlike(net.eval(), x)

    assert wrong == 0, f"{wrong} of {total} spikes differ"
    assert rate > 0.001
    rows = (named_row_of(module) for module in net.modules())
    RAN.update(f"{found[0]} {found[1].name}" for found in rows if found is not None)


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

    equal(net, events(T, B, 2, 8, 8))


@pytest.mark.parametrize("name", ["NonSpikingIFNode", "NonSpikingLIFNode"])
def test_spikingjelly_read_outs_delays_and_one_dimension(name: str) -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    layer = pytest.importorskip("spikingjelly.activation_based.layer")
    functional = pytest.importorskip("spikingjelly.activation_based.functional")
    torch.manual_seed(0)
    body = nn.Sequential(
        layer.Conv1d(2, 4, 3, padding=1),
        neuron.LIFNode(v_threshold=0.3),
        layer.Delay(2),
        layer.Flatten(),
        layer.Linear(32, 10),
        layer.VotingLayer(2),
    )
    functional.set_step_mode(body, "m")

    equal(
        Run(lambda m, x: torch.stack(m.last(m.body(x))).mean(0), body=body, last=getattr(neuron, name)()),
        events(T, B, 2, 8),
    )


def test_spikingjelly_step_by_step_from_outside() -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    layer = pytest.importorskip("spikingjelly.activation_based.layer")
    torch.manual_seed(0)
    fc = layer.Linear(20, 30)

    equal(
        nn.Sequential(layer.Flatten(), fc, neuron.LIFNode(v_threshold=0.1), layer.Linear(30, 4)), events(T, B, 1, 4, 5)
    )


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


@pytest.mark.parametrize("rectified", [True, False])
def test_spikingjelly_temporal_attention_with_and_without_a_rectifier(rectified: bool) -> None:
    layer = pytest.importorskip("spikingjelly.activation_based.layer")
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    torch.manual_seed(0)
    between = nn.ReLU() if rectified else nn.Identity()
    attention = layer.TemporalWiseAttention(T, 2, dimension=2)
    node = neuron.LIFNode(v_threshold=0.1, step_mode="m")

    equal(nn.Sequential(nn.Linear(20, 30), attention, between, node, nn.Linear(30, 4)), events(T, B, 20))


def stepped(m: Any, x: Tensor) -> Tensor:
    """Call a snnTorch neuron step by step, its states handed on."""
    state, out = m.n.reset_mem(), []
    state = state if isinstance(state, tuple) else (state,)
    for a in x:
        s, *state = m.n(m.fc(a), *state) if type(m.n).__name__ != "RLeaky" else ((r := m.n(m.fc(a), *state))[0], *r)
        out.append(m.out(s))
    return torch.stack(out).mean(0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(("Leaky", o) for o in ({}, {"reset_mechanism": "zero"}, {"reset_mechanism": "none"}, {"beta": 1.0})),
        ("Leaky", {"beta": torch.linspace(0.5, 0.95, 30), "threshold": torch.linspace(0.5, 1.5, 30)}),
        ("Leaky", {"reset_mechanism": "zero", "reset_delay": False}),
        *(
            (n, {"beta": torch.tensor([0.5, 1.0, 0.9] * 10), **o})
            for n, o in (("Leaky", {}), ("Synaptic", {"alpha": 0.5}))
        ),
        *(("Synaptic", {"reset_mechanism": "zero", "alpha": 0.7, "reset_delay": d}) for d in (True, False)),
        *(("Synaptic", {"alpha": a}) for a in (0.5, torch.linspace(0.2, 0.8, 30))),
        *(("RLeaky", {"linear_features": 30, "reset_mechanism": r}) for r in ("subtract", "zero", "none")),
        ("RLeaky", {"all_to_all": False, "V": 0.5}),
        ("RLeaky", {"linear_features": 30, "reset_mechanism": "zero", "reset_delay": False}),
        *(("Lapicque", {"R": 5.0, "C": 1.5, "reset_mechanism": r}) for r in ("subtract", "zero", "none")),
    ],
)
def test_snntorch(name: str, options: dict[str, Any]) -> None:
    snn = pytest.importorskip("snntorch")
    torch.manual_seed(0)
    made = getattr(snn, name)(**{**({} if name == "Lapicque" else {"beta": 0.9}), **options})

    equal(Run(stepped, fc=nn.Linear(20, 30), n=made, out=nn.Linear(30, 4)), events(T, B, 20) * 2)


@pytest.mark.parametrize("reset", ["none", "subtract"])
@pytest.mark.parametrize("name", ["Leaky", "Lapicque"])
def test_snntorch_membranes_are_read_outs(name: str, reset: str) -> None:
    snn = pytest.importorskip("snntorch")
    torch.manual_seed(0)
    options = {"beta": 0.8} if name == "Leaky" else {"R": 5.0, "C": 1.5}

    def forward(m: Any, x: Tensor) -> Tensor:
        a, b, out = m.n.reset_mem(), m.last.reset_mem(), []
        for step in x:
            s, a = m.n(m.fc(step), a)
            _, b = m.last(m.out(s), b)
            out.append(b)
        return torch.stack(out)

    last = getattr(snn, name)(reset_mechanism=reset, **options)
    equal(Run(forward, fc=nn.Linear(20, 30), n=snn.Leaky(0.9), out=nn.Linear(30, 4), last=last), events(T, B, 20) * 2)


def test_snntorch_over_maps() -> None:
    snn = pytest.importorskip("snntorch")
    torch.manual_seed(0)
    made = snn.RLeaky(0.9, conv2d_channels=3, kernel_size=3)
    head = nn.Sequential(nn.Flatten(), nn.Linear(3 * 36, 4))

    equal(Run(stepped, fc=nn.Conv2d(2, 3, 3, padding=1), n=made, out=head), events(T, B, 2, 6, 6) * 2)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        *(
            (n, {"reset_delay": False, **o}, "with reset_delay=False: behind a membrane above twice the threshold")
            for n, o in (
                ("Leaky", {"beta": 0.9}),
                ("RLeaky", {"beta": 0.9, "linear_features": 30}),
                ("Synaptic", {"alpha": 0.5, "beta": 0.9}),
            )
        ),
        ("Synaptic", {"alpha": 0.5, "beta": 0.9, "reset_mechanism": "none"}, "fires and keeps its membrane"),
        ("Synaptic", {"alpha": 0.5, "beta": 0.0}, "'subtract' and beta = 0"),
        ("Alpha", {"alpha": 0.9, "beta": 0.5}, "Alpha has no equal here"),
    ],
)
def test_what_of_snntorch_has_no_equal_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    snn = pytest.importorskip("snntorch")
    net = Run(stepped, fc=nn.Linear(20, 30), n=getattr(snn, name)(**options), out=nn.Linear(30, 4))

    with pytest.raises(UnsupportedNodeError, match=message):
        capture(net, events(T, B, 20))


@pytest.mark.parametrize("leak", [0.0, 0.05])
@pytest.mark.parametrize("name", ["LIFBoxCell", "IAFCell", "LIFCell"])
def test_norse(name: str, leak: float) -> None:
    norse = pytest.importorskip("norse.torch")
    torch.manual_seed(0)
    box = {
        "p": norse.LIFBoxParameters(tau_mem_inv=torch.tensor(300.0), v_th=torch.tensor(0.1), v_leak=torch.tensor(leak))
    }
    if name == "LIFCell":
        box["p"] = norse.LIFParameters(
            v_th=torch.tensor(0.3), v_leak=torch.tensor(leak), v_reset=torch.tensor(2 * leak)
        )
    cell = getattr(norse, name)(**({} if name == "IAFCell" else box))

    def forward(m: Any, x: Tensor) -> Tensor:
        state, out = None, []
        for a in x:
            y, state = m.net(a, state)
            out.append(y)
        return torch.stack(out).mean(0)

    last = {"LIFBoxCell": norse.LICell, "IAFCell": norse.LIBoxCell, "LIFCell": lambda: norse.LILinearCell(4, 3)}[name]()
    equal(Run(forward, net=norse.SequentialState(nn.Linear(20, 30), cell, nn.Linear(30, 4), last)), events(T, B, 20))


@pytest.mark.parametrize("reset", ["MembraneSubtract", "MembraneReset"])
@pytest.mark.parametrize("most", [1, 2, None])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("IAF", {}),
        ("IAF", {"min_v_mem": -0.3}),
        ("LIF", {"tau_mem": 5.0}),
        ("LIF", {"tau_mem": 5.0, "norm_input": False, "min_v_mem": -0.2}),
        ("LIF", {"tau_mem": 5.0, "tau_syn": 3.0}),
        ("IAFRecurrent", {"rec_connect": nn.Linear(30, 30, bias=False)}),
    ],
)
def test_sinabs(name: str, options: dict[str, Any], most: int | None, reset: str) -> None:
    layers, activation = pytest.importorskip("sinabs.layers"), pytest.importorskip("sinabs.activation")
    torch.manual_seed(0)
    fires = {1: activation.SingleSpike, 2: activation.MaxSpike(2), None: activation.MultiSpike}[most]
    made = getattr(layers, name)(
        spike_fn=fires, reset_fn=getattr(activation, reset)(), spike_threshold=torch.tensor(0.2), **options
    )

    equal(nn.Sequential(nn.Linear(20, 30), made, nn.Linear(30, 4)), events(B, T, 20))


def test_sinabs_as_it_is_by_default_and_its_reset_to_a_value() -> None:
    layers, activation = pytest.importorskip("sinabs.layers"), pytest.importorskip("sinabs.activation")
    torch.manual_seed(0)
    to = {"reset_fn": activation.MembraneReset(0.1), "spike_fn": activation.SingleSpike}

    for made in (
        layers.IAF(),
        layers.LIF(tau_mem=2.0),
        layers.LIF(tau_mem=2.0, norm_input=False, **to),
    ):
        net = nn.Sequential(nn.Linear(20, 30), made, nn.Linear(30, 4))
        with torch.no_grad():
            net[0].weight.mul_(4)
        equal(net, events(B, T, 20))


@pytest.mark.parametrize("normed", [True, False])
def test_sinabs_read_out(normed: bool) -> None:
    layers = pytest.importorskip("sinabs.layers")
    torch.manual_seed(0)
    last = layers.ExpLeak(tau_mem=9.0, norm_input=normed)
    net = nn.Sequential(nn.Linear(20, 30), layers.LIF(tau_mem=2.0), nn.Linear(30, 4), last)
    with torch.no_grad():
        net[0].weight.mul_(4)

    equal(net, events(B, T, 20))


def test_sinabs_from_model_as_it_is_by_default() -> None:
    from_torch = pytest.importorskip("sinabs.from_torch")
    layers = pytest.importorskip("sinabs.layers")
    torch.manual_seed(0)
    ann = nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False), nn.ReLU(), layers.SumPool2d(2), nn.Flatten(), nn.Linear(36, 6), nn.ReLU()
    )

    equal(from_torch.from_model(ann, input_shape=(2, 8, 8), batch_size=B).spiking_model, 3 * events(B * T, 2, 8, 8))


@pytest.mark.parametrize("name", ["LIF", "IAF"])
def test_norse_over_all_steps(name: str) -> None:
    norse = pytest.importorskip("norse.torch")
    torch.manual_seed(0)
    lift, last = norse.Lift, norse.LI()
    net = norse.SequentialState(lift(nn.Linear(20, 30)), getattr(norse, name)(), lift(nn.Linear(30, 4)), last)

    equal(Run(lambda m, x: m.net(20 * x)[0].mean(0), net=net), events(T, B, 20))


def test_what_ran_is_what_the_page_calls_checked() -> None:
    for library in ("spikingjelly", "snntorch", "norse", "sinabs"):
        pytest.importorskip(library)
    assert sorted(RAN) == CHECKED.read_text().splitlines()
